"""Gemini's `usageMetadata` as disjoint buckets.

Source: https://ai.google.dev/api/generate-content#UsageMetadata. The total is the sum of prompt
(cached tokens inside), results of tools that the provider ran, candidates, and thoughts.
"""

from collections.abc import Mapping
from typing import Any

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import objects
from conduit.gateway.dialects.counts import grade_told, is_distorted, read_count

_COUNTERS = ("promptTokenCount", "candidatesTokenCount", "totalTokenCount")
_BUCKETS = (*_COUNTERS, "toolUsePromptTokenCount", "thoughtsTokenCount")


def reported_usage(raw: Any, former: Usage | None = None) -> Usage | None:
    """The usage in `raw`, or `former` where it reports none; an explicit zero is a report.

    None where one of its counts is none, whatever had been reported before.
    """
    if not isinstance(raw, dict) or not any(name in raw for name in _COUNTERS):
        return former
    return None if is_distorted(raw, _BUCKETS) else usage_from_gemini(raw)


def usage_from_gemini(raw: Mapping[str, Any]) -> Usage:
    """Disjoint buckets of a reported usage, which add up to its total.

    A part that is larger than what it is a part of is cut to what fits. Tokens that only the total
    knows of are thoughts: models have reported them there alone.
    """
    prompt = read_count(raw.get("promptTokenCount"))
    results = read_count(raw.get("toolUsePromptTokenCount"))
    written = read_count(raw.get("candidatesTokenCount"))
    thoughts = read_count(raw.get("thoughtsTokenCount"))
    total = read_count(raw.get("totalTokenCount"))
    if thoughts and total == prompt + results + written and thoughts <= written:
        written -= thoughts  # counted among the candidates
    thoughts += max(0, total - prompt - results - written - thoughts)

    cached = min(read_count(raw.get("cachedContentTokenCount")), prompt)
    heard = _of_audio(raw.get("promptTokensDetails")) - _of_audio(raw.get("cacheTokensDetails"))
    heard = min(max(0, heard), prompt - cached)
    heard += min(_of_audio(raw.get("toolUsePromptTokensDetails")), results)
    spoken = min(_of_audio(raw.get("candidatesTokensDetails")), written)
    return Usage(
        input_tokens=prompt + results - cached - heard,
        cache_read_tokens=cached,
        input_audio_tokens=heard,
        output_tokens=written - spoken,
        reasoning_tokens=thoughts,
        output_audio_tokens=spoken,
        service_tier=grade_told(raw.get("serviceTier")),
        raw=dict(raw),
        output_untold=not thoughts and raw.get("candidatesTokenCount") is None,
    )


def usage_to_gemini(usage: Usage) -> dict[str, Any]:
    """The `usageMetadata` that a client of this dialect expects."""
    if usage.raw is not None and _is_own(usage.raw, usage):
        return dict(usage.raw)
    prompt = usage.total_input_tokens
    written = usage.output_tokens + usage.output_audio_tokens
    fields: dict[str, Any] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": written,
        "totalTokenCount": prompt + usage.total_output_tokens,
    }
    if usage.cache_read_tokens:
        fields["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.reasoning_tokens:
        fields["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.input_audio_tokens:
        fields["promptTokensDetails"] = _modalities(prompt, usage.input_audio_tokens)
    if usage.output_audio_tokens:
        fields["candidatesTokensDetails"] = _modalities(written, usage.output_audio_tokens)
    return fields


def _is_own(raw: Mapping[str, Any], usage: Usage) -> bool:
    found = reported_usage(raw)
    return found is not None and (found.total_input_tokens, found.total_output_tokens) == (
        usage.total_input_tokens,
        usage.total_output_tokens,
    )


def _modalities(total: int, audio: int) -> list[dict[str, Any]]:
    counts = {"TEXT": total - audio, "AUDIO": audio}
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]


def _of_audio(details: Any) -> int:
    return sum(
        read_count(item.get("tokenCount"))
        for item in objects(details)
        if item.get("modality") == "AUDIO"
    )
