"""How bytes of a stream are cut into events, and how the usual event is read and written fast."""
