"""Ollama's counts and durations as disjoint buckets."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.counts import is_distorted, read_count

_COUNTERS: Final = frozenset({"prompt_eval_count", "eval_count"})
METRICS: Final = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)


def usage_from_ollama(fields: Mapping[str, Any]) -> Usage | None:
    """The buckets of an answer's last line; None where it counts nothing, or what is no count.

    The durations, in nanoseconds, stay in `raw`. A count of zero is left out by the server.
    """
    raw = {name: fields[name] for name in METRICS if name in fields}
    if _COUNTERS.isdisjoint(raw) or is_distorted(raw, _COUNTERS):
        return None
    return Usage(
        input_tokens=read_count(raw.get("prompt_eval_count")),
        output_tokens=read_count(raw.get("eval_count")),
        raw=raw,
        output_untold=raw.get("eval_count") is None,
    )


def usage_to_ollama(usage: Usage) -> dict[str, Any]:
    """Ollama's fields for a usage, its own where it came from there."""
    raw = usage.raw
    if raw is not None and ("prompt_eval_count" in raw or "eval_count" in raw):
        return dict(raw)
    return {
        "prompt_eval_count": usage.total_input_tokens,
        "eval_count": usage.total_output_tokens,
    }
