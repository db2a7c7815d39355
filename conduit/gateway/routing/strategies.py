"""Strategies: in which order the targets that could serve a request are tried.

Each is a small pure function that gives every standing a score; the lowest is tried first, and
equal scores keep the order of the mapping. Targets of a lower `order` come before all others, and
those of weight 0 after the rest of their order, whatever the strategy.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

import msgspec

NOMINAL_OUTPUT_TOKENS: Final = 256
"""How long an answer is taken to be when targets are compared by their speed."""

TIE_BREAK: Final = 1e-6
"""Less than this is added to a score by chance, so that it decides between equals alone."""

_EXPLORED_FIRST_MS: Final = 1.0
_SCORE: Final = itemgetter(1)


class Standing(msgspec.Struct, frozen=True, gc=False):
    """A target as strategies see it, at one moment.

    `ttft_ms` is the average time to the first token and `tokens_per_s` the average speed after it,
    None while nothing is known of late. `cost` is the most in nano-dollars that this request costs
    there, None where it has no price.
    """

    name: str
    order: int = 0
    weight: int = 1
    in_flight: int = 0
    cost: int | None = None
    ttft_ms: float | None = None
    tokens_per_s: float | None = None


class Tiered(Protocol):
    """What has a place among others whatever the strategy."""

    @property
    def order(self) -> int: ...

    @property
    def weight(self) -> int: ...


class Draw(NamedTuple):
    """What chance and turn bring: `random` gives a number from 0 up to 1, `turn` counts requests
    of the mapping."""

    random: Callable[[], float]
    turn: int


Strategy = Callable[[Sequence[Standing], Draw], list[float]]


def simple(standings: Sequence[Standing], draw: Draw) -> list[float]:
    """As the mapping lists them."""
    return [0.0] * len(standings)


def random(standings: Sequence[Standing], draw: Draw) -> list[float]:
    """Each first as often as any other, whatever its weight."""
    return [draw.random() for _ in standings]


def round_robin(standings: Sequence[Standing], draw: Draw) -> list[float]:
    """Each first in its turn."""
    count = max(len(standings), 1)
    return [float((index - draw.turn) % count) for index in range(len(standings))]


def weighted(standings: Sequence[Standing], draw: Draw) -> list[float]:
    """Each first in proportion to its weight (Efraimidis and Spirakis, 2006: exponential keys)."""
    return [-math.log(1.0 - draw.random()) / max(each.weight, 1) for each in standings]


def least_used(standings: Sequence[Standing], draw: Draw) -> list[float]:
    """The fewest calls in flight for its weight; chance decides between equals."""
    return [each.in_flight / max(each.weight, 1) + draw.random() * TIE_BREAK for each in standings]


def lowest_cost(standings: Sequence[Standing], draw: Draw) -> list[float]:
    """The lowest bound of this request's cost; what has no price comes last."""
    return [math.inf if each.cost is None else float(each.cost) for each in standings]


def lowest_latency(standings: Sequence[Standing], draw: Draw) -> list[float]:
    """The shortest time that an answer of usual length is expected to take, in milliseconds.

    Multiplied by the calls in flight and one more, so that a fast target is not run over (the
    "peak EWMA" of Finagle). What is not known, or not any more, is tried first.
    """
    random, scores = draw.random, []
    for each in standings:
        expected = expected_ms(each)
        if expected is None:
            expected = _EXPLORED_FIRST_MS
        scores.append(expected * (each.in_flight + 1) + random() * TIE_BREAK)
    return scores


def expected_ms(standing: Standing) -> float | None:
    """Milliseconds for an answer of `NOMINAL_OUTPUT_TOKENS`; None where nothing is known."""
    ttft_ms, tokens_per_s = standing.ttft_ms, standing.tokens_per_s
    if ttft_ms is None and not tokens_per_s:
        return None
    writing_ms = NOMINAL_OUTPUT_TOKENS / tokens_per_s * 1000 if tokens_per_s else 0.0
    return (ttft_ms or 0.0) + writing_ms


STRATEGIES: Final[Mapping[str, Strategy]] = {
    "simple": simple,
    "random": random,
    "round-robin": round_robin,
    "weighted": weighted,
    "least-used": least_used,
    "lowest-cost": lowest_cost,
    "lowest-latency": lowest_latency,
}


def sticky_scores(standings: Sequence[Standing], session: str) -> list[float]:
    """The same order for the same session, by weight (rendezvous hashing): when a target is out,
    only its own sessions move, and they come back with it."""
    return [-math.log(_share(session, each.name)) / max(each.weight, 1) for each in standings]


def _share(session: str, name: str) -> float:
    digest = hashlib.blake2b(
        name.encode("utf-8", "surrogatepass"),
        key=hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=32).digest(),
        digest_size=8,
    ).digest()
    return (int.from_bytes(digest, "big") + 1) / 2.0**64


def ranking(
    strategy: str, standings: Sequence[Standing], draw: Draw, session: str | None = None
) -> list[tuple[int, float]]:
    """Indices into `standings` in the order in which they are tried, each with its score."""
    if _are_equals(standings):
        return sorted(enumerate(_scores(strategy, standings, draw, session)), key=_SCORE)
    tiers: dict[tuple[int, bool], list[int]] = {}
    for index, each in enumerate(standings):
        tiers.setdefault((each.order, each.weight == 0), []).append(index)
    ranked: list[tuple[int, float]] = []
    for _, members in sorted(tiers.items()):
        scores = _scores(strategy, [standings[index] for index in members], draw, session)
        ranked += sorted(zip(members, scores, strict=True), key=_SCORE)
    return ranked


def _are_equals(standings: Sequence[Standing]) -> bool:
    """Whether none comes before another one whatever the strategy."""
    order = standings[0].order if standings else 0
    for each in standings:  # noqa: SIM110  # half as dear, and done for every request
        if each.order != order or not each.weight:
            return False
    return True


def in_tiers(targets: Sequence[Tiered]) -> list[int]:
    """Indices by order, those of weight 0 after the rest of it, and else as they are listed."""
    return sorted(
        range(len(targets)),
        key=lambda index: (targets[index].order, targets[index].weight == 0),
    )


def _scores(
    strategy: str, standings: Sequence[Standing], draw: Draw, session: str | None
) -> list[float]:
    if session is not None:
        return sticky_scores(standings, session)
    return STRATEGIES.get(strategy, simple)(standings, draw)
