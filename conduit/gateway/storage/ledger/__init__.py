"""The ledger in the database: its statements, and how its tables are written on each engine."""
