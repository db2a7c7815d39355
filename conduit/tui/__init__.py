"""The terminal user interface, started by `conduit-tui`."""
