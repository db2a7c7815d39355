"""The way to a stored provider: its endpoint, and what authenticates there."""
