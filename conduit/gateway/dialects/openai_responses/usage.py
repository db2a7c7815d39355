"""The usage object of OpenAI's responses as disjoint buckets, and back."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.counts import grade_told, is_distorted, searches_told
from conduit.gateway.dialects.openai.usage import usage_from_openai

_COUNTERS: Final = frozenset({"input_tokens", "output_tokens"})
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
    """Disjoint buckets of a reported usage; None where it reports none, or what is no count.

    It differs from that of chat in its names alone: cached and written tokens are a part of the
    input, those of reasoning a part of the output.
    """
    if not isinstance(raw, dict) or is_distorted(raw, _COUNTERS):
        return None
    if raw.get("output_tokens") is None:  # what was written would be free
        return None
    details, output_details = raw.get("input_tokens_details"), raw.get("output_tokens_details")
    chat = {
        "prompt_tokens": raw.get("input_tokens"),
        "prompt_tokens_details": details,
        "completion_tokens": raw.get("output_tokens"),
        "completion_tokens_details": output_details,
    }
    return msgspec.structs.replace(usage_from_openai(chat), raw=raw)


def usage_of_response(response: Mapping[str, Any]) -> Usage | None:
    """The usage of a whole response, with its grade of service and the searches in its output."""
    usage = usage_from_responses(response.get("usage"))
    if usage is None:
        return None
    grade = grade_told(response.get("service_tier"))
    searches = _searches(response.get("output"))
    if grade is None and not searches:
        return usage
    return msgspec.structs.replace(usage, service_tier=grade, units=searches_told(searches))


def _searches(output: Any) -> int:
    """The calls of the search tool that were made; opening a page that was found is none."""
    items = output if isinstance(output, list) else ()
    calls = [
        object_or_empty(each.get("action")).get("type", "search")
        for each in items
        if isinstance(each, dict)
        and each.get("type") == "web_search_call"
        and each.get("status", "completed") == "completed"
    ]
    return calls.count("search")


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
