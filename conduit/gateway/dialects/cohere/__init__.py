"""Cohere's chat, embeddings and rankings: the wire formats of its API."""
