"""The admin API: one file of operations a resource; `table` has them all."""
