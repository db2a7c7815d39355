"""This process on its system: what it uses, its memory, clock and log, its waits and its stop."""
