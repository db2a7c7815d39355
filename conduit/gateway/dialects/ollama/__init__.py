"""Ollama's own API: the wire format of `/api/chat` and `/api/embed`."""
