"""Shared words: errors, money, keys, events and resources; imports nothing of ours."""
