"""What may be known of a model, by the names that models and mappings are shown with."""

from typing import Final

ABILITIES: Final = ("chat", "vision", "tools", "schema", "reasoning", "embeddings", "audio")
SIZES: Final = ("context_tokens", "output_tokens")
"""In tokens: the most of a call in all, the most of an answer."""
