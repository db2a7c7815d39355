"""Why a request went where it went, in the compact form that its record keeps.

The same ranking is shown, with more about each candidate, by an explanation (`routing/explain.py`).
"""

import math
from typing import Final

import msgspec

from conduit.gateway.exchange import (
    Attempt,
    Candidate,
    Course,
    Exchange,
    Leg,
    Ranked,
    WhyNot,
)
from conduit.gateway.health.registry import Blocked


class TracedCandidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A candidate in the order in which it was ranked; `reason` is why it took no call."""

    provider: str
    model: str
    score: float | None = None
    state: str = "ready"
    reason: str | None = None


class TracedLeg(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alias on the way; `left_out` are targets that could not serve the request at all.

    Those that were passed over, as they could do nothing for it, come last.
    """

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


_NEVER: Final = math.inf
_MARKED: Final = 0.5
"""A score that stands for any."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Trace).decode


def trace_of(exchange: Exchange) -> str | None:
    """The trace of an exchange as JSON; None where routing has not begun.

    One that was refused because nothing could serve it has why each candidate was left out.
    """
    course = exchange.course
    if course is None:
        decision = exchange.decision
        if decision is None or decision.candidates:
            return None
        return _encode(Trace([_leg(Leg(decision, []))], [])).decode()
    return _usual(exchange, course) or _written(exchange, course)


def _usual(exchange: Exchange, course: Course) -> str | None:
    """The trace of a request that was served at the first try, where nothing was left out.

    Nearly all are such, and all but the scores is the same in each: so the pieces in between are
    written once for a candidate and kept with it. None for other requests.
    """
    leg, attempts = course.legs[0], exchange.attempts
    if len(course.legs) > 1 or len(attempts) != 1 or exchange.trimmed or leg.session is not None:
        return None
    attempt = attempts[0]
    if attempt.error is not None or attempt.after_s or leg.decision.why_nots:
        return None
    places = attempt.candidate.places
    if len(places.found) != 1:  # another credential next time
        return None
    first = leg.ranked[0]
    if len(leg.ranked) == 1 and first.blocked is None and not first.score:  # never compared
        return places.traced_alone or _keep_alone(leg, attempt)
    scores, before = [], []
    for each in leg.ranked:
        score = each.score
        if score == _NEVER or each.blocked is not None:
            return None
        scores.append(score)
        before.append(each.candidate.places.traced or _keep_before_score(each.candidate))
    texts = _encode(scores).decode()[1:-1].split(",")  # in a sixth of the time of repr
    scored = [f"{start}{text}}}" for start, text in zip(before, texts, strict=True)]
    head, tail = places.traced_around or _keep_around(leg, attempt)
    return f"{head}{','.join(scored)}{tail}"


def _keep_alone(leg: Leg, attempt: Attempt) -> str:
    """The whole trace of requests that this attempt serves, and no other could."""
    attempt.candidate.places.traced_alone = alone = _encode(
        Trace([_leg(leg)], [_attempt(attempt)])
    ).decode()
    return alone


def _keep_before_score(candidate: Candidate) -> str:
    before, _ = _split(_scored(Ranked(candidate, _MARKED)))
    candidate.places.traced = before
    return before


def _keep_around(leg: Leg, attempt: Attempt) -> tuple[str, str]:
    """What stands before and after the candidates of requests that this attempt serves."""
    candidate = attempt.candidate
    alone = Leg(leg.decision, [Ranked(candidate, _MARKED)])
    before, after = _split(Trace([_leg(alone)], [_attempt(attempt)]))
    head = before.removesuffix(candidate.places.traced or _keep_before_score(candidate))
    around = candidate.places.traced_around = head, after.removeprefix("}")
    return around


def _split(traced: Trace | TracedCandidate) -> tuple[str, str]:
    """What is written before and after the only score; quotes within names are escaped."""
    before, after = _encode(traced).decode().split(f'"score":{_MARKED}')
    return f'{before}"score":', after


def _written(exchange: Exchange, course: Course) -> str:
    legs = [_leg(each) for each in (*course.legs, *course.passed_over)]
    attempts = [*map(_attempt, exchange.attempts)]
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
        [
            _scored(each) if each.blocked is None else _blocked(each, each.blocked)
            for each in leg.ranked
        ],
        [*map(_left_out, decision.why_nots)],
        leg.because,
        leg.session is not None,
    )


def _scored(ranked: Ranked) -> TracedCandidate:
    score = ranked.score
    return TracedCandidate(
        ranked.candidate.upstream.name, ranked.candidate.model, None if score == math.inf else score
    )


def _blocked(ranked: Ranked, why: Blocked) -> TracedCandidate:
    candidate = ranked.candidate
    return TracedCandidate(candidate.upstream.name, candidate.model, None, why.state, why.reason)


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
