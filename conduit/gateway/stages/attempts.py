"""The row of attempts of one exchange: where it goes first, and what is tried after a failure.

The table of what is retried, and where, is in docs/reliability.md.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from random import random
from typing import Final

from conduit.core.errors import (
    ConduitError,
    UpstreamRateLimitedError,
)
from conduit.gateway.exchange import (
    Attempt,
    Candidate,
    Course,
    Decision,
    Exchange,
    Leg,
    Place,
    Ranked,
)
from conduit.gateway.health.deployments import CredentialHealth, Deployment, Effect
from conduit.gateway.health.registry import Blocked, Health
from conduit.gateway.routing.causes import cause_of, effect_of
from conduit.gateway.routing.fallbacks import cause_of_none, next_alias, soonest
from conduit.gateway.routing.ranks import Asked, choose, only, places_of, rank, usable_places
from conduit.gateway.routing.rotation import Rotation
from conduit.gateway.routing.sessions import session_of
from conduit.gateway.routing.strategies import Draw
from conduit.gateway.stages.failures import passed
from conduit.gateway.stages.retries import (
    SHORTEST_PAUSE_S,
    RetryRules,
    may_move_on,
    may_repeat,
    nothing_takes_it,
)

_LATE_S: Final = 0.002
"""A timer of the event loop may ring a millisecond early."""

_OF_ONE_CREDENTIAL: Final = frozenset(
    {Effect.INVALID_KEY, Effect.NO_QUOTA, Effect.NO_PERMISSION, Effect.THROTTLED}
)


CostOf = Callable[[Exchange, Candidate], int | None]
Decide = Callable[[Exchange, str], Decision | None]


class Attempts:
    """Gives the next attempt of an exchange, and None when its answer has left.

    The next one is made only after a failure that allows it and before any byte of an answer has
    left. When nothing is left to try, the last error is raised.
    """

    def __init__(
        self,
        rules: RetryRules,
        health: Health,
        decide: Decide,
        cost_of: CostOf,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        draw: Callable[[], float] = random,
    ) -> None:
        self._rules = rules
        self._health = health
        self._decide = decide
        self._cost_of = cost_of
        self._sleep = sleep
        self._draw = draw
        self.rotation = Rotation()
        """The turns of aliases that go round; of all where they are counted together."""

    async def __call__(self, exchange: Exchange) -> Attempt | None:
        course = exchange.course
        if course is not None:
            last = course.last
            assert last is not None, "a course begins with an attempt"
            error = last.error
            if error is None or last.answering:
                return None
            return await self._next(exchange, course, last, error)
        decision = exchange.decision
        assert decision is not None, "the pipeline resolves first"
        leg = self._leg(exchange, decision)
        waiting = list(leg.ranked)
        course = exchange.course = Course([leg], waiting)
        if not waiting or (usable := waiting[0].usable) is None:
            return await self._first(exchange, course)
        # Nothing can have changed since it was ranked: nobody else has had a turn.
        place = choose(usable, self._draw, leg.session)
        return self._attempt(exchange, course, waiting.pop(0), place)

    # Setting out.

    def _leg(self, exchange: Exchange, decision: Decision, because: str | None = None) -> Leg:
        policy = decision.policy
        session = session_of(exchange, policy.sticky) if policy.sticky != "off" else None
        if len(decision.candidates) == 1:
            alone = only(self._health, decision.candidates[0], breakers=policy.breakers)
            return Leg(decision, [alone], because, session)
        turn = self.rotation.take(decision) if decision.strategy == "round-robin" else 0
        asked = Asked(partial(self._cost_of, exchange), session)
        ranked = rank(self._health, decision, asked, Draw(self._draw, turn))
        return Leg(decision, ranked, because, session)

    async def _first(self, exchange: Exchange, course: Course) -> Attempt:
        """No candidate takes a call now: another alias, a short wait, or a refusal."""
        cause = cause_of_none(course.legs[0].decision, course.waiting)
        fallen = self._fall_back(exchange, course, cause)
        if fallen is not None:
            return fallen
        attempt = await self._wait_for_room(exchange, course)
        if attempt is None:
            if exchange.is_late(self._rules.shortest_s):
                raise passed()
            raise nothing_takes_it(course.legs[0], self._health.clock())
        return attempt

    async def _wait_for_room(self, exchange: Exchange, course: Course) -> Attempt | None:
        """Wait a little where a rate limit or a cap is all that is in the way."""
        rules, clock = self._rules, self._health.clock
        ends = clock() + exchange.waits_s(rules.queue_s)
        while (blocked := soonest(course.waiting)) is not None and blocked.can_wait:
            left = ends - clock()
            if left <= 0 or blocked.until > ends:
                return None
            deployment = blocked.deployment
            if deployment is None or deployment.waiters >= rules.queue_length:
                return None
            began = clock()
            await self._wait_at(deployment, max(blocked.until - began, 0.0), left)
            course.waited_s += clock() - began
            attempt = self._pick(exchange, course)
            if attempt is None or _credential(attempt) is not deployment.credential:
                deployment.credential.wake()  # the place that became free is somebody else's
            if attempt is not None:
                attempt.after_s = course.waited_s
                return attempt
        return None

    async def _wait_at(self, deployment: Deployment, pause_s: float, most_s: float) -> None:
        """For a pause to pass, or for a call in flight to give its place back."""
        deployment.waiters += 1
        try:
            if pause_s > 0:
                await self._sleep(min(pause_s, most_s))
                return
            freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            deployment.credential.waiting.append(freed)
            try:
                async with asyncio.timeout(most_s):
                    await freed
            except TimeoutError:
                return
            except asyncio.CancelledError:
                if freed.done() and not freed.cancelled():
                    deployment.credential.wake()  # the place goes to the next one
                raise
        finally:
            deployment.waiters -= 1

    # What follows a failure.

    async def _next(
        self, exchange: Exchange, course: Course, last: Attempt, error: ConduitError
    ) -> Attempt:
        attempt = await self._following(exchange, course, last, error)
        if attempt is None:
            self._tell_when_again(course, error)
            raise error
        return attempt

    async def _following(
        self, exchange: Exchange, course: Course, last: Attempt, error: ConduitError
    ) -> Attempt | None:
        """None where nothing is left to try."""
        course.unsure += last.is_unsure
        if last.ask_again:  # over a field of ours, so it does not count against the limit
            course.counted -= 1
            return self._attempt(
                exchange,
                course,
                course.tried.pop(),
                Place(_known(last.deployment), last.credential),
            )
        cause = cause_of(error)
        another = self._another_alias(exchange, course, cause)
        most = self._rules.max_attempts - (another is not None)
        if self._is_used_up(course):
            return None
        if not may_move_on(error, course.unsure) and another is None:
            return None
        if self._left_s(exchange) < self._rules.shortest_s or not self._is_affordable():
            return None
        attempt = None
        if may_move_on(error, course.unsure) and course.counted < most:
            self._with_another_credential(exchange, course, last, error)
            attempt = self._pick(exchange, course, cause)
        if attempt is None and another is not None:
            attempt = self._fall_back(exchange, course, cause)
        if attempt is None and may_repeat(error, course.unsure):
            attempt = await self._again(exchange, course, error, cause)
        return attempt

    def _is_used_up(self, course: Course) -> bool:
        """Whether as much was sent as ever is for one request."""
        return course.counted >= self._rules.max_attempts or course.unsure > 1

    def _tell_when_again(self, course: Course, error: ConduitError) -> None:
        """What a client's SDK is to do with the last error of a request."""
        if isinstance(error, UpstreamRateLimitedError) and error.retry_after_s is None:
            pauses = self._pauses(course.legs[0].ranked)  # where the client's next one begins
            error.retry_after_s = max(min(pauses, default=0.0), SHORTEST_PAUSE_S)
        told_when = error.retry_after_s is not None and not self._is_used_up(course)
        if error.status >= 500 and not told_when:
            # Another round by the SDK would only repeat what was tried here.
            error.should_retry = False

    def _with_another_credential(
        self, exchange: Exchange, course: Course, last: Attempt, error: ConduitError
    ) -> None:
        """What one credential was refused may be granted to another one of the same provider."""
        if effect_of(error, last.status) not in _OF_ONE_CREDENTIAL:
            return
        tried = {each.deployment for each in exchange.attempts}
        places = places_of(self._health, last.candidate)
        if any(each.deployment not in tried for each in places):
            course.waiting.insert(0, course.tried[-1])

    async def _again(
        self, exchange: Exchange, course: Course, error: ConduitError, cause: str
    ) -> Attempt | None:
        """All have been tried: once more, after a pause, where that is likely to help."""
        rules = self._rules
        left = self._left_s(exchange)
        pause = rules.base_s * 2 ** (course.counted - 1)
        pause = self._draw() * min(rules.cap_s, pause)
        course.waiting = list(course.legs[-1].ranked)
        if isinstance(error, UpstreamRateLimitedError) or error.retry_after_s is not None:
            soonest = self._soonest_pause(course, error)
            if soonest > min(rules.retry_after_most_s, left * rules.retry_after_share):
                return None
            pause = max(pause, soonest + _LATE_S)
        if pause > left - rules.shortest_s:
            return None
        began = self._health.clock()
        deployment = _known(course.last.deployment if course.last is not None else None)
        if deployment.waiters >= rules.queue_length:
            return None
        deployment.waiters += 1
        try:
            await self._sleep(pause)
        finally:
            deployment.waiters -= 1
        course.waited_s += self._health.clock() - began
        attempt = self._pick(exchange, course, cause)
        if attempt is not None:
            attempt.after_s = self._health.clock() - began
        return attempt

    def _soonest_pause(self, course: Course, error: ConduitError) -> float:
        """Seconds until some deployment takes a call again."""
        pauses = self._pauses(course.waiting)
        return max(min(pauses, default=0.0), 0.0 if len(pauses) > 1 else error.retry_after_s or 0.0)

    def _pauses(self, candidates: Iterable[Ranked]) -> list[float]:
        """The seconds that the provider of each deployment of theirs has asked to be left alone."""
        now = self._health.clock()
        return [
            max(each.deployment.throttled_until - now, 0.0)
            for ranked in candidates
            for each in places_of(self._health, ranked.candidate)
        ]

    def _left_s(self, exchange: Exchange) -> float:
        ends_at = exchange.ends_at
        if ends_at is None:
            if exchange.call.stream:
                return self._rules.total_s
            ends_at = exchange.began + self._rules.total_s
        return ends_at - time.monotonic()

    def _is_affordable(self) -> bool:
        """Whether the budget of retries of the whole process allows one more."""
        rules, health = self._rules, self._health
        return health.retries < max(rules.budget_floor, rules.budget_ratio * health.active)

    # Where it goes.

    def _pick(
        self, exchange: Exchange, course: Course, because: str | None = None
    ) -> Attempt | None:
        """The first candidate that takes a call now; None where none does."""
        leg = course.legs[-1]
        breakers = leg.decision.policy.breakers
        tried = {each.deployment for each in exchange.attempts}
        for index, ranked in enumerate(course.waiting):
            usable = usable_places(self._health, ranked.candidate, breakers=breakers)
            if isinstance(usable, Blocked):
                ranked.blocked = usable
                continue
            place = choose(usable, self._draw, leg.session, tried)
            if exchange.attempts and not self._has_room_for_retry(place.deployment):
                continue
            del course.waiting[index]
            return self._attempt(exchange, course, ranked, place, because)
        return None

    def _has_room_for_retry(self, deployment: Deployment) -> bool:
        rules = self._rules
        room = max(rules.budget_floor, rules.budget_ratio * deployment.in_flight)
        return deployment.retries < room

    def _attempt(
        self,
        exchange: Exchange,
        course: Course,
        ranked: Ranked,
        place: Place,
        because: str | None = None,
    ) -> Attempt:
        course.tried.append(ranked)
        course.counted += 1
        leg, before = course.legs[-1], len(exchange.attempts)
        attempt = course.last = Attempt(
            ranked.candidate,
            before + 1,
            place.credential,
            place.deployment,
            leg.decision.policy,
            because,
            is_retry=because is not None and before > 0,
            siblings=leg.ranked,
            ends_at=exchange.ends_at,
        )
        return attempt

    def _another_alias(self, exchange: Exchange, course: Course, cause: str) -> str | None:
        """The alias to fall back to for a cause, of those not tried yet."""
        taken = {leg.decision.alias for leg in (*course.legs, *course.passed_over)}
        return next_alias(course.legs[-1].decision.mapping, cause, taken)

    def _fall_back(self, exchange: Exchange, course: Course, cause: str) -> Attempt | None:
        """Go on with another alias, and from that one to the next while none takes the call.

        One that can do nothing for the request is passed over: the client did not ask for it.
        """
        while (alias := self._another_alias(exchange, course, cause)) is not None:
            decision = self._decide(exchange, alias)
            if decision is None or decision.refusal is not None:
                nothing = decision or Decision(alias, (), ())
                course.passed_over.append(Leg(nothing, [], cause))
                continue
            leg = self._leg(exchange, decision, cause)
            course.legs.append(leg)
            course.waiting = list(leg.ranked)
            attempt = self._pick(exchange, course, cause)
            if attempt is not None:
                return attempt
        return None


def _known(deployment: Deployment | None) -> Deployment:
    assert deployment is not None, "routing made the attempt"
    return deployment


def _credential(attempt: Attempt) -> CredentialHealth:
    return _known(attempt.deployment).credential
