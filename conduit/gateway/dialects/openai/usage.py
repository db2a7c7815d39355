"""OpenAI's usage object as disjoint buckets."""

from collections.abc import Mapping
from typing import Any

import msgspec

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.counts import (
    LARGEST_COUNT,
    grade_told,
    is_distorted,
    read_count,
    searches_told,
)

_PLAIN = {"prompt_tokens", "completion_tokens", "total_tokens"}
_PLAIN_WITH_DETAILS = _PLAIN | {"prompt_tokens_details", "completion_tokens_details"}
_COUNTERS = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"}
)


def usage_from_openai(raw: Mapping[str, Any]) -> Usage:
    """Disjoint buckets of a reported usage.

    What is reported as part of a total (cached, written, audio, reasoning) is taken out of it,
    never added. A part that is larger than what is left of its total, a negative number or a thing
    that is no number is cut to what fits, so that the totals stay what the provider said. What the
    sum of all has beside its parts is cached input where that is as much, and reasoning otherwise:
    it is billed, whatever it was.
    """
    plain = _plain_usage(raw)
    if plain is not None:
        return plain
    prompt_details = object_or_empty(raw.get("prompt_tokens_details"))
    output_details = object_or_empty(raw.get("completion_tokens_details"))
    prompt = read_count(raw.get("prompt_tokens", raw.get("input_tokens")))
    completion = read_count(raw.get("completion_tokens", raw.get("output_tokens")))
    total = read_count(raw.get("total_tokens"))
    reasoning = read_count(output_details.get("reasoning_tokens", raw.get("reasoning_tokens")))
    if not prompt and total > completion and "prompt_tokens" not in raw:
        prompt = total - completion
    cached = _cached(raw, prompt_details)
    beside = total - prompt - completion  # in the total, and in neither of its parts
    if beside > 0 and beside == cached:
        prompt += beside
    elif beside > 0:  # reasoning, as xAI tells it and others do not
        completion += beside
        reasoning = max(reasoning, beside)

    cached = min(cached, prompt)
    written = min(read_count(prompt_details.get("cache_write_tokens")), prompt - cached)
    heard = min(read_count(prompt_details.get("audio_tokens")), prompt - cached - written)
    reasoning = min(reasoning, completion)
    spoken = min(read_count(output_details.get("audio_tokens")), completion - reasoning)
    return Usage(
        input_tokens=prompt - cached - written - heard,
        cache_read_tokens=cached,
        cache_write_5m_tokens=written,
        input_audio_tokens=heard,
        output_tokens=completion - reasoning - spoken,
        reasoning_tokens=reasoning,
        output_audio_tokens=spoken,
        units=searches_told(_searches(raw)),
        raw=dict(raw),
    )


def _plain_usage(raw: Mapping[str, Any]) -> Usage | None:
    """Two counts and their sum, where nothing is told of their parts; None for anything else."""
    names = raw.keys()
    if names != _PLAIN and not (_PLAIN < names <= _PLAIN_WITH_DETAILS and _are_whole(raw)):
        return None
    prompt, completion = raw["prompt_tokens"], raw["completion_tokens"]
    if type(prompt) is not int or type(completion) is not int:
        return None
    total, told = prompt + completion, raw["total_tokens"]
    if prompt < 0 or completion < 0 or total > LARGEST_COUNT:
        return None
    if told != total or type(told) is bool:  # which equals a sum of 0 or 1
        return None
    return Usage(input_tokens=prompt, output_tokens=completion, raw=raw)


def _are_whole(raw: Mapping[str, Any]) -> bool:
    """Whether the details say of every part of the counts that there is none."""
    prompt = object_or_empty(raw.get("prompt_tokens_details"))
    output = object_or_empty(raw.get("completion_tokens_details"))
    return not any(prompt.values()) and not any(output.values())


def is_usage(raw: Any) -> bool:
    """Whether it is to be a usage, whether its numbers make sense or not."""
    return isinstance(raw, dict) and not _COUNTERS.isdisjoint(raw)


def reported_usage(raw: Any, service_tier: Any = None) -> Usage | None:
    """The usage in `raw`, or None where it reports none; an explicit zero is a report.

    `service_tier` is what the answer says beside it of its grade of service. A usage of which a
    count is none is no report either.
    """
    if not is_usage(raw):
        return None
    usage = _plain_usage(raw)
    if usage is None:
        if is_distorted(raw, _COUNTERS):
            return None
        usage = usage_from_openai(raw)
    return _of_grade(usage, service_tier)


def usage_of_writing(raw: Any, service_tier: Any = None) -> Usage | None:
    """The same of what a model wrote: a usage without a word of that is no report.

    It would make the answer free. Neither is `null` a word.
    """
    if not isinstance(raw, dict):
        return None
    if (plain := _plain_usage(raw)) is not None:
        return plain if service_tier is None else _of_grade(plain, service_tier)
    if (
        raw.get("completion_tokens") is None
        and raw.get("output_tokens") is None
        and raw.get("total_tokens") is None
    ):
        return None
    return reported_usage(raw, service_tier)


def _of_grade(usage: Usage, service_tier: Any) -> Usage:
    grade = grade_told(service_tier)
    return usage if grade is None else msgspec.structs.replace(usage, service_tier=grade)


def usage_of_chunk(chunk: Mapping[str, Any]) -> Usage | None:
    """The usage that a chunk of a stream reports, wherever vendors put it."""
    places = [chunk.get("usage"), object_or_empty(chunk.get("x_groq")).get("usage")]
    choices = chunk.get("choices")
    if isinstance(choices, list):
        places += [
            choice.get("usage") for choice in choices if isinstance(choice, dict)
        ]  # Moonshot
    tier = chunk.get("service_tier")
    found = (usage_of_writing(raw, tier) for raw in places)
    return next((usage for usage in found if usage is not None), None)


def usage_to_openai(usage: Usage) -> dict[str, Any]:
    """The usage object that a client of this dialect expects."""
    prompt, completion = usage.total_input_tokens, usage.total_output_tokens
    raw = usage.raw
    if raw is not None and (raw.get("prompt_tokens"), raw.get("completion_tokens", 0)) == (
        prompt,
        completion,
    ):
        return dict(raw)
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            # Not OpenAI's own: OpenRouter and others report it so.
            **({"cache_write_tokens": written} if written else {}),
            "audio_tokens": usage.input_audio_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
        },
    }


def _searches(raw: Mapping[str, Any]) -> int:
    # Perplexity counts its queries, OpenRouter those of the tool that its models call.
    tools = object_or_empty(raw.get("server_tool_use"))
    return read_count(raw.get("num_search_queries", tools.get("web_search_requests")))


def _cached(raw: Mapping[str, Any], details: Mapping[str, Any]) -> int:
    # DeepSeek and Moonshot report cache hits outside the details.
    for value in (
        details.get("cached_tokens"),
        raw.get("prompt_cache_hit_tokens"),
        raw.get("cached_tokens"),
    ):
        if value is not None:
            return read_count(value)
    return 0
