"""The usage object of OpenAI's responses as disjoint buckets, and back."""

from typing import Any, Final

import msgspec

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.openai.usage import usage_from_openai

_WHOLE: Final = frozenset(
    {
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    }
)


def usage_from_responses(raw: Any) -> Usage | None:
    """Disjoint buckets of a reported usage; None where it reports none.

    It differs from that of chat in its names alone: cached and written tokens are a part of the
    input, those of reasoning a part of the output.
    """
    if not isinstance(raw, dict) or not ({"input_tokens", "output_tokens"} & raw.keys()):
        return None
    details, output_details = raw.get("input_tokens_details"), raw.get("output_tokens_details")
    chat = {
        "prompt_tokens": raw.get("input_tokens"),
        "prompt_tokens_details": details,
        "completion_tokens": raw.get("output_tokens"),
        "completion_tokens_details": output_details,
    }
    return msgspec.structs.replace(usage_from_openai(chat), raw=raw)


def usage_to_responses(usage: Usage) -> dict[str, Any]:
    """The usage object that a client of this format expects: its own provider's as it stands."""
    read, written = usage.total_input_tokens, usage.total_output_tokens
    raw = usage.raw
    is_own = raw is not None and raw.keys() >= _WHOLE
    if (
        raw is not None
        and is_own
        and (raw["input_tokens"], raw["output_tokens"]) == (read, written)
    ):
        return dict(raw)
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": read + written,
    }
