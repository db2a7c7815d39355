"""Values of a request that a provider's limits change, alike for all providers."""

from conduit.gateway.conversation import ChatRequest, Sampling
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError, Target


def output_cap(request: ChatRequest, target: Target, losses: Losses) -> int | None:
    """The most the model shall write: what was asked for, within what it is able to."""
    cap, most = request.sampling.max_output_tokens, target.max_output_tokens
    if cap is None or most is None or cap <= most or losses.is_own:
        return cap
    losses.emulate("max_output_tokens")
    return most


def within(
    name: str, value: float | None, least: float, most: float, losses: Losses
) -> float | None:
    """A number that shades how an answer is drawn, or the nearest to it that the provider takes."""
    if value is None or least <= value <= most:
        return value
    losses.emulate(name)
    return least if value < least else most


def stops_of(
    sampling: Sampling, *, most: int | None = None, blank: bool = True
) -> list[str] | None:
    """The stop sequences; raises InexpressibleError for more than `most`.

    `blank` is whether one may be white space alone. An empty one stops nothing.
    """
    stops = [text for text in sampling.stop if text]
    if most is not None and len(stops) > most:
        reason = f"This model's provider takes at most {most:,} stop sequences"
        raise InexpressibleError("stop", reason)
    if not blank and not all(text.strip() for text in stops):
        reason = "This model's provider takes no stop sequence that is white space alone"
        raise InexpressibleError("stop", reason)
    return stops or None
