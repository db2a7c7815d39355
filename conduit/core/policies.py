"""The words by which a mapping says how it is routed, which its resource has as types."""

from typing import Final

STRATEGIES: Final = (
    "simple",
    "random",
    "round-robin",
    "weighted",
    "least-used",
    "lowest-cost",
    "lowest-latency",
)
FALLBACK_CAUSES: Final = ("error", "rate_limit", "context_window", "content_filter", "timeout")
STICKY: Final = ("off", "session", "user")
LONG_CONTEXT: Final = ("refuse", "drop_oldest")
UNKNOWN_PRICE: Final = ("refuse", "free", "default")
