"""Asking providers by ourselves: which models they have, and whether they serve."""
