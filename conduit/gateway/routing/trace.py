"""Why a request went where it went, in the compact form that its record keeps.

The same ranking is shown, with more about each candidate, by an explanation (`routing/explain.py`).
"""

import math

import msgspec

from conduit.gateway.exchange import Attempt, Course, Exchange, Leg, Places, Ranked, WhyNot


class TracedCandidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A candidate in the order in which it was ranked; `reason` is why it took no call."""

    provider: str
    model: str
    score: float | None = None
    state: str = "ready"
    reason: str | None = None


class TracedLeg(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alias on the way; `left_out` are targets that could not serve the request at all."""

    alias: str
    strategy: str
    candidates: list[TracedCandidate]
    left_out: list[TracedCandidate] = []
    because: str | None = None
    sticky: bool = False


class TracedAttempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """`because` is what the attempt before it failed of, `waited_ms` what was waited in between."""

    provider: str
    model: str
    credential: str | None = None
    because: str | None = None
    waited_ms: int = 0
    error: str | None = None


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """`trimmed` counts the oldest messages that were left out of a prompt that was too long."""

    legs: list[TracedLeg]
    attempts: list[TracedAttempt]
    trimmed: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Trace).decode


def trace_of(exchange: Exchange) -> str | None:
    """The trace of an exchange as JSON; None where routing has not begun."""
    course = exchange.course
    if course is None:
        return None
    places = _of_one_place(exchange, course)
    if places is None:
        return _written(exchange, course)
    if places.trace is None:
        places.trace = _written(exchange, course)
    return places.trace


def _of_one_place(exchange: Exchange, course: Course) -> Places | None:
    """The places of the one candidate that there was, if it has one and served at the first try.

    Such traces are all the same, and nearly all traces are such.
    """
    leg = course.legs[0]
    if len(course.legs) > 1 or len(leg.ranked) > 1 or len(exchange.attempts) != 1:
        return None
    attempt, decision = exchange.attempts[0], leg.decision
    places = attempt.candidate.places
    usual = (
        attempt.error is None
        and not attempt.after_s
        and not exchange.trimmed
        and leg.session is None
        and len(places.found) == 1
        and not decision.why_nots
    )
    return places if usual else None


def _written(exchange: Exchange, course: Course) -> str:
    legs, attempts = [*map(_leg, course.legs)], [*map(_attempt, exchange.attempts)]
    trace = Trace(legs, attempts, exchange.trimmed)
    return _encode(trace).decode()


def read_trace(text: str) -> Trace:
    """Raises msgspec.DecodeError for what is none."""
    return _decode(text)


def _leg(leg: Leg) -> TracedLeg:
    decision = leg.decision
    return TracedLeg(
        decision.alias,
        decision.strategy,
        [*map(_candidate, leg.ranked)],
        [*map(_left_out, decision.why_nots)],
        leg.because,
        leg.session is not None,
    )


def _candidate(ranked: Ranked) -> TracedCandidate:
    candidate, blocked = ranked.candidate, ranked.blocked
    name, model, score = candidate.upstream.name, candidate.model, ranked.score
    if blocked is not None:
        return TracedCandidate(name, model, None, blocked.state, blocked.reason)
    return TracedCandidate(name, model, score if math.isfinite(score) else None)


def _left_out(why: WhyNot) -> TracedCandidate:
    return TracedCandidate(why.provider, why.model, None, "left_out", why.reason)


def _attempt(attempt: Attempt) -> TracedAttempt:
    candidate, credential, error = attempt.candidate, attempt.credential, attempt.error
    return TracedAttempt(
        candidate.upstream.name,
        candidate.model,
        None if credential is None else credential.name,
        attempt.because,
        int(attempt.after_s * 1000),
        None if error is None else error.code,
    )
