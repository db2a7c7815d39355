"""What a model is said to be able to do, in the few words of a picker."""

from collections.abc import Mapping
from typing import Any

from conduit.core import people

_SHOWN = ("vision", "tools", "reasoning", "schema", "audio")


def note_of(model: Mapping[str, Any] | None) -> str:
    """`vision tools 128k $2.50/$10`, then what keeps it from being used."""
    if model is None:
        return ""
    can = model.get("capabilities") or {}
    words = [name for name in _SHOWN if can.get(name) is True]
    if model.get("context_tokens"):
        words.append(_short(model["context_tokens"]))
    if model.get("input") is not None and model.get("output") is not None:
        words.append(f"{people.money(model['input'])}/{people.money(model['output'])}")
    if not model.get("available", True):
        words.append("unavailable")
    if model.get("simulated"):
        words.append("simulated")
    return " ".join(words)


def _short(tokens: int) -> str:
    return f"{tokens // 1000}k" if tokens >= 1000 else str(tokens)
