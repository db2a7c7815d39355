"""The terminal underneath the application: how keys come in and how changes get out."""
