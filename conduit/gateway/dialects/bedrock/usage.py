"""Bedrock's usage object as disjoint buckets."""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.counts import is_distorted, read_count

_BUCKETS: Final = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")


def usage_from_bedrock(raw: Mapping[str, Any]) -> Usage:
    """Disjoint buckets of a `TokenUsage`.

    `inputTokens` are those neither read from a cache nor written to it, says the user guide
    ("Prompt caching"), so nothing is taken out of them. Written ones of which the details tell no
    lifetime are kept for five minutes.
    """
    written = read_count(raw.get("cacheWriteInputTokens"))
    details = raw.get("cacheDetails")
    for_an_hour = sum(
        read_count(detail.get("inputTokens"))
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, dict) and detail.get("ttl") == "1h"
    )
    for_an_hour = min(for_an_hour, written)
    return Usage(
        input_tokens=read_count(raw.get("inputTokens")),
        cache_read_tokens=read_count(raw.get("cacheReadInputTokens")),
        cache_write_5m_tokens=written - for_an_hour,
        cache_write_1h_tokens=for_an_hour,
        output_tokens=read_count(raw.get("outputTokens")),
        raw=dict(raw),
        output_untold=raw.get("outputTokens") is None,
    )


def reported_usage(raw: Any) -> Usage | None:
    """The usage in `raw`, or None where it reports none, or what is no count.

    An explicit zero is a report.
    """
    if not isinstance(raw, dict) or not ("inputTokens" in raw or "outputTokens" in raw):
        return None
    if is_distorted(raw, _BUCKETS):
        return None
    return usage_from_bedrock(raw)
