"""Conduit: the LLM gateway that is run from a terminal."""

__version__ = "0.1.0"
