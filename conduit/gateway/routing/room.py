"""Which candidates have room for a prompt, as far as their windows are known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from conduit.gateway.exchange import Decision, WhyNot
from conduit.gateway.routing.fallbacks import falls_back_on

TOO_LONG: Final = "context_window"
"""The cause of a fallback to an alias that may have the room."""


class Length(Protocol):
    """How long a prompt is; `tokens` is for messages."""

    @property
    def tokens(self) -> int: ...

    def fits(self, context_tokens: int | None, output_tokens: int = 0) -> bool:
        """Whether a window takes it beside an answer of that length; an unknown one does."""
        ...


def room_in(decision: Decision, length: Length, answer: int) -> list[bool]:
    """For each candidate, whether it has room for the prompt and for the answer that is asked."""
    return [length.fits(each.can.context_tokens, answer) for each in decision.candidates]


def widest_window(decision: Decision) -> int:
    """In tokens, of those that are known; 0 where none is."""
    return max((each.can.context_tokens or 0 for each in decision.candidates), default=0)


def may_be_cut(decision: Decision) -> bool:
    """Whether the oldest turns of a prompt that nobody has room for are left out."""
    return decision.policy.long_context == "drop_oldest" and not falls_back_on(decision, TOO_LONG)


def with_room(decision: Decision, room: Sequence[bool], tokens: int) -> Decision:
    """The decision without the candidates whose window is too small for the prompt.

    Where all are, it is another alias's matter, or else the provider has the word: the length is an
    estimate.
    """
    if all(room):
        return decision
    if any(room):
        return _only_with_room(decision, room, tokens)
    if falls_back_on(decision, TOO_LONG):
        return replace(_only_with_room(decision, room, tokens), too_long=True)
    return decision


def _only_with_room(decision: Decision, room: Sequence[bool], tokens: int) -> Decision:
    pairs = list(zip(decision.candidates, room, strict=True))
    why_nots = [
        WhyNot(
            each.upstream.name,
            each.model,
            f"the prompt of about {tokens} tokens does not fit its {each.can.context_tokens}",
        )
        for each, fits in pairs
        if not fits
    ]
    return replace(
        decision,
        candidates=tuple(each for each, fits in pairs if fits),
        why_nots=(*decision.why_nots, *why_nots),
    )
