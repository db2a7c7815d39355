"""What Cohere says of an answer beside its text: what it used, and where it is from."""

from typing import Any

USAGE: dict[str, Any] = {
    "billed_units": {"input_tokens": 37.0, "output_tokens": 28.0},
    "tokens": {"input_tokens": 913.0, "output_tokens": 83.0},
    "cached_tokens": 800,
}
CITATION: dict[str, Any] = {
    "start": 0,
    "end": 3,
    "text": "24°",
    "type": "TEXT_CONTENT",
    "sources": [
        {
            "type": "document",
            "id": "d",
            "document": {"title": "T", "url": "https://x", "snippet": "it is 24°"},
        }
    ],
}
