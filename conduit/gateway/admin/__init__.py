"""The admin API: one file of operations a resource; `routes` is their table."""
