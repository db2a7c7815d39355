"""Anthropic's usage object as disjoint buckets.

Source: platform.claude.com/docs "Prompt caching" and the SDK's `Usage`: `input_tokens` are those
neither read from nor written to a cache, and `output_tokens` include the thinking.
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.counts import (
    grade_told,
    is_distorted,
    read_count,
    searches_told,
)

_COUNTERS: Final = ("input_tokens", "output_tokens")
_BUCKETS: Final = (*_COUNTERS, "cache_read_input_tokens", "cache_creation_input_tokens")
# What OpenAI's usage has beside two fields of the same names, whose input includes the cached.
_FOREIGN: Final = frozenset({"total_tokens", "input_tokens_details", "prompt_tokens"})


def usage_from_anthropic(raw: Mapping[str, Any]) -> Usage:
    """Disjoint buckets of a reported usage.

    A part that is larger than its total is cut, so that the totals stay what the provider said.
    """
    split = object_or_empty(raw.get("cache_creation"))
    hour, minutes = (
        read_count(split.get("ephemeral_1h_input_tokens")),
        read_count(split.get("ephemeral_5m_input_tokens")),
    )
    reported = raw.get("cache_creation_input_tokens")
    written = hour + minutes if reported is None else read_count(reported)
    hour = min(hour, written)
    output = read_count(raw.get("output_tokens"))
    details = object_or_empty(raw.get("output_tokens_details"))
    reasoning = min(read_count(details.get("thinking_tokens")), output)
    searches = read_count(object_or_empty(raw.get("server_tool_use")).get("web_search_requests"))
    # Its fast mode is told apart from the tiers of its capacity.
    grade = "fast" if raw.get("speed") == "fast" else grade_told(raw.get("service_tier"))
    return Usage(
        input_tokens=read_count(raw.get("input_tokens")),
        cache_read_tokens=read_count(raw.get("cache_read_input_tokens")),
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        output_tokens=output - reasoning,
        reasoning_tokens=reasoning,
        units=searches_told(searches),
        service_tier=grade,
        raw=dict(raw),
        output_untold=raw.get("output_tokens") is None,
    )


def reported_usage(raw: Any) -> Usage | None:
    """The usage in `raw`, or None where it reports none, or what is no count.

    An explicit zero is a report.
    """
    if not isinstance(raw, dict) or not any(name in raw for name in _COUNTERS):
        return None
    if is_distorted(raw, _BUCKETS):
        return None
    return usage_from_anthropic(raw)


def merged_usage(start: Any, later: Any) -> dict[str, Any]:
    """The running totals of a stream: what a later event reports replaces what was there."""
    merged = dict(object_or_empty(start))
    return merged | {
        name: value for name, value in object_or_empty(later).items() if value is not None
    }


def usage_to_anthropic(usage: Usage | None) -> dict[str, Any]:
    """The usage object that a client of this dialect expects, which cannot do without one."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    raw = usage.raw
    if raw is not None and _is_own(raw) and usage_from_anthropic(raw) == usage:
        return dict(raw)
    minutes, hour = usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    fields: dict[str, Any] = {
        "input_tokens": usage.input_tokens + usage.input_audio_tokens,
        "cache_creation_input_tokens": minutes + hour,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": minutes,
            "ephemeral_1h_input_tokens": hour,
        },
        "output_tokens": usage.total_output_tokens,
    }
    if usage.reasoning_tokens:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return fields


def _is_own(raw: Mapping[str, Any]) -> bool:
    """Whether a client of this dialect finds what it cannot do without, and it means the same."""
    return all(name in raw for name in _COUNTERS) and not raw.keys() & _FOREIGN
