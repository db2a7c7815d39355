"""Cohere's usage objects as disjoint buckets."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import object_or_empty
from conduit.gateway.dialects.counts import count_told, is_distorted, read_count


def usage_from_cohere(raw: Any) -> Usage | None:
    """The buckets of a `usage` (chat) or `meta` (embed, rerank) object; None where it counts none.

    Cohere reports two pairs: `tokens`, all that the model saw with the template around the prompt,
    and `billed_units`, what is charged. The buckets are those that are billed, as money follows
    them; where none are billed, the tokens. `cached_tokens` are counted among `tokens`, of which
    the template is most, so they are a bucket only there. `reasoning_tokens`, of newer models, are
    among the output of either pair. The search units of a chat are `requests`
    where they are more than the chat itself; those of a ranking are `search_units_in`.
    """
    fields = object_or_empty(raw)
    billed = object_or_empty(fields.get("billed_units"))
    tokens = object_or_empty(fields.get("tokens"))
    requests = search_units_in(fields) or 1
    if _counted(billed):
        output, reasoning = _output_in(billed, tokens)
        images = 0 if "image_tokens" in billed else read_count(billed.get("images"))
        return Usage(
            input_tokens=read_count(billed.get("input_tokens"))
            + read_count(billed.get("image_tokens")),
            output_tokens=output,
            reasoning_tokens=reasoning,
            requests=requests,
            units=(("images", images),) if images else (),
            raw=fields,
            output_untold=billed.get("output_tokens") is None,
        )
    if not _counted(tokens):
        return None
    output, reasoning = _output_in(tokens, tokens)
    read = read_count(tokens.get("input_tokens"))
    cached = min(read_count(fields.get("cached_tokens")), read)
    return Usage(
        input_tokens=read - cached,
        cache_read_tokens=cached,
        output_tokens=output,
        reasoning_tokens=reasoning,
        requests=requests,
        raw=fields,
        output_untold=tokens.get("output_tokens") is None,
    )


def _output_in(units: Mapping[str, Any], tokens: Mapping[str, Any]) -> tuple[int, int]:
    """The output of a pair, apart from its reasoning, and the reasoning."""
    output = read_count(units.get("output_tokens"))
    reasoning = min(read_count(tokens.get("reasoning_tokens")), output)
    return output - reasoning, reasoning


def search_units_in(*reports: Mapping[str, Any]) -> int | None:
    """The most search units that any of a provider's objects tells; None where none tells them."""
    places = chain(reports, (object_or_empty(each.get("billed_units")) for each in reports))
    told = (count_told(place.get("search_units")) for place in places)
    return max((units for units in told if units is not None), default=None)


def usage_to_cohere(usage: Usage) -> dict[str, Any]:
    """Cohere's usage object, its own where it came from there."""
    raw = usage.raw
    if raw is not None and ("billed_units" in raw or "tokens" in raw):
        return dict(raw)
    counts = {
        "input_tokens": usage.total_input_tokens,
        "output_tokens": usage.total_output_tokens,
    }
    fields: dict[str, Any] = {"billed_units": counts, "tokens": dict(counts)}
    if usage.cache_read_tokens:
        fields["cached_tokens"] = usage.cache_read_tokens
    return fields


_COUNTERS = ("input_tokens", "output_tokens", "image_tokens", "images")


def _counted(units: Mapping[str, Any]) -> bool:
    """Whether they tell counts, and such as can be charged."""
    told = any(units.get(name) is not None for name in _COUNTERS)
    return told and not is_distorted(units, _COUNTERS)
