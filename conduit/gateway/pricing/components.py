"""The parts of a cost: what each component of a usage costs, as `cost_of` adds it up."""

from conduit.core.money import cost_of_units
from conduit.gateway.conversation import Usage
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.cost import rates_for_usage
from conduit.gateway.pricing.quantities import cost_of_quantities

_INPUT = (
    ("input", "input_tokens"),
    ("cache_read", "cache_read_tokens"),
    ("cache_write_5m", "cache_write_5m_tokens"),
    ("cache_write_1h", "cache_write_1h_tokens"),
    ("input_audio", "input_audio_tokens"),
)
_OUTPUT = (
    ("output", "output_tokens"),
    ("reasoning", "reasoning_tokens"),
    ("output_audio", "output_audio_tokens"),
)


def components_of(usage: Usage, rates: Rates) -> dict[str, int]:
    """Nano-dollars of each component that was used; their sum is what `cost_of` gives."""
    counting = rates_for_usage(usage, rates)
    found: dict[str, int] = {}
    for plain, sides in ((counting.input, _INPUT), (counting.output, _OUTPUT)):
        for name, bucket in sides:
            tokens = getattr(usage, bucket)
            if tokens:
                rate = getattr(counting, name)
                found[name] = cost_of_units(tokens, plain if rate is None else rate)
    if rates.per_request and usage.requests:
        found["request"] = rates.per_request * usage.requests
    for each in usage.units:
        found[each[0]] = cost_of_quantities((each,), rates.units)
    return found
