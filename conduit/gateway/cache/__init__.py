"""Answers kept in memory, for requests that ask the same once more."""
