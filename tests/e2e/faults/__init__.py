"""What becomes of a request when providers, or the ways to them, fail."""
