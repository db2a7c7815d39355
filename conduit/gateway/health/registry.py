"""How providers are doing, as far as the calls that went to them tell: one process, in memory.

A deployment is a model at a provider by one credential: it has a breaker, the pause that its
provider asked for, and its speed. A credential may be out as a whole, for being refused or for
having no quota left, and it has a cap on its calls in flight. Times are seconds of a monotonic
clock unless a name says otherwise.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import random
from typing import Any, Final, NamedTuple

import msgspec

from conduit.core.ids import now_ms
from conduit.gateway.config.snapshot import Credential, Upstream
from conduit.gateway.health.breaker import Breaker, BreakerRules, BreakerState
from conduit.gateway.health.deployments import CredentialHealth, Deployment, Effect, Out

_MOST_DEPLOYMENTS: Final = 10_000
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
"""What a rate limit without a word of how long asks for: doubled each time in a row."""


class Blocked(NamedTuple):
    """Why a deployment takes no call now, in a word and a sentence, and when it may again."""

    state: str
    reason: str
    until: float
    can_wait: bool = False  # whether a short wait is likely to help
    deployment: Deployment | None = None  # where that wait would be


class Speed(msgspec.Struct, frozen=True, gc=False):
    """How fast an attempt was; None where it does not tell."""

    ttft_ms: float | None = None
    tokens_per_s: float | None = None


class Call(msgspec.Struct, frozen=True, eq=False):
    """A call that has begun at a deployment."""

    deployment: Deployment
    credential: Credential | None
    is_probe: bool
    is_retry: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A transition worth an operator's attention: of a breaker, or of a credential."""

    at_ms: int
    provider: str
    model: str | None
    credential: str
    before: str
    after: str
    reason: str | None
    until_ms: int | None

    def as_event(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "at_ms"}


class HealthRules(NamedTuple):
    """`breakers` is whether anything that fails is left out at all.

    Of an alias's deployments at most `pool_ratio` are left out for their share of failures. After a
    rate limit a credential is left `throttle_factor` of its calls in flight.
    """

    breakers: bool = True
    breaker: BreakerRules = BreakerRules()
    pool_ratio: float = 0.5
    throttle_factor: float = 0.7


@dataclass(slots=True, eq=False)
class Health:
    """What is known of all deployments, and the operator's hand in it."""

    rules: HealthRules = field(default_factory=HealthRules)
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random
    changed: Callable[[Change], None] = lambda change: None
    active: int = 0
    retries: int = 0
    token: object = field(default_factory=object)
    """Another one whenever deployments that were looked up may not be the right ones any more."""

    _deployments: dict[tuple[str, str, str], Deployment] = field(default_factory=dict)
    _credentials: dict[tuple[str, str], CredentialHealth] = field(default_factory=dict)

    def deployments(self) -> list[Deployment]:
        return list(self._deployments.values())

    def credentials(self) -> list[CredentialHealth]:
        return list(self._credentials.values())

    def use(self, rules: HealthRules) -> None:
        """Go on by other rules; breakers whose numbers change begin anew."""
        if rules.breaker != self.rules.breaker:
            for deployment in self._deployments.values():
                deployment.breaker = Breaker(rules.breaker, self.draw)
        self.rules = rules

    def of(self, upstream: Upstream, credential: Credential | None, model: str) -> Deployment:
        key = (upstream.name, credential.id if credential is not None else "", model)
        found = self._deployments.get(key)
        if found is None or not found.credential.serves(upstream, credential):
            found = self._made(key, upstream, credential, model)
        return found

    def _made(
        self,
        key: tuple[str, str, str],
        upstream: Upstream,
        credential: Credential | None,
        model: str,
    ) -> Deployment:
        self._make_room()
        if key in self._deployments:
            self.token = object()
        own = key[:2]
        known = self._credentials.get(own)
        if known is None or not known.serves(upstream, credential):
            known = self._credentials[own] = CredentialHealth(upstream, credential)
        breaker = Breaker(self.rules.breaker, self.draw)
        made = self._deployments[key] = Deployment(known, model, breaker)
        return made

    def _make_room(self) -> None:
        """Clients choose the names of models where an alias ends in `*`: forget those at rest."""
        if len(self._deployments) < _MOST_DEPLOYMENTS:
            return
        now = self.clock()
        at_rest = [
            key
            for key, each in self._deployments.items()
            if not each.in_flight
            and not each.waiters
            and each.breaker.state(now) is BreakerState.CLOSED
        ]
        for key in at_rest[: max(len(at_rest) // 2, 1)]:
            del self._deployments[key]
        self.token = object()

    def blocked(
        self,
        deployment: Deployment,
        credential: Credential | None,
        now: float,
        *,
        breakers: bool = True,
    ) -> Blocked | None:
        """Why no call may begin there now; None where one may."""
        own = deployment.credential
        most: float | None = None if credential is None else credential.max_in_flight
        if breakers and self.rules.breakers:
            if own.out.reason is not None and own.out.at(now):
                return Blocked(str(own.out.reason), OUT_WORDS[str(own.out.reason)], own.out.until)
            if deployment.out.reason is not None and deployment.out.at(now):
                words = OUT_WORDS[str(deployment.out.reason)]
                return Blocked(str(deployment.out.reason), words, deployment.out.until)
            if deployment.breaker.is_open and not deployment.breaker.admits(now):
                return _breaker_blocks(deployment.breaker, now)
            if now < deployment.throttled_until:
                words = THROTTLED_WORDS
                until = deployment.throttled_until
                return Blocked("throttled", words, until, can_wait=True, deployment=deployment)
            if own.cap is not None:
                most = own.most_in_flight(credential)
        if most is not None and own.in_flight >= int(most):
            words = f"{own.in_flight} calls are in flight with its credential, which is the cap"
            return Blocked("full", words, now, can_wait=True, deployment=deployment)
        if credential is None or credential.requests_per_minute is None:
            return None
        free_at = own.free_at(credential, now)
        if free_at > now:
            words = "its credential's cap on calls a minute was reached"
            return Blocked("full", words, free_at, can_wait=True, deployment=deployment)
        return None

    def begin(
        self,
        deployment: Deployment,
        credential: Credential | None,
        *,
        is_retry: bool,
        breakers: bool = True,
    ) -> Call:
        """A call goes out; `end` has to follow."""
        now = self.clock()
        deployment.in_flight += 1
        deployment.calls += 1
        self.active += 1
        if is_retry:
            deployment.retries += 1
            self.retries += 1
        deployment.credential.take(credential, now)
        watched = breakers and self.rules.breakers
        probe = watched and deployment.breaker.begin(now)
        return Call(deployment, credential, probe, is_retry)

    def end(
        self,
        call: Call,
        effect: Effect,
        *,
        speed: Speed = Speed(),  # noqa: B008  # a constant
        retry_after_s: float | None = None,
        error: str | None = None,
        may_open: Callable[[], bool] = lambda: True,
    ) -> None:
        """The call is over: what it says of the deployment and of its credential."""
        deployment, now = call.deployment, self.clock()
        deployment.in_flight -= 1
        self.active -= 1
        if call.is_retry:
            deployment.retries -= 1
            self.retries -= 1
        deployment.credential.give_back()
        if effect is Effect.WELL:
            self._went_well(deployment, speed, now, probe=call.is_probe)
            return
        failed = effect is Effect.FAILURE
        deployment.failures += failed
        was = deployment.breaker.end(
            False if failed else None, now, probe=call.is_probe, may_open=may_open
        )
        if error is not None and effect is not Effect.NOTHING:
            deployment.last_error, deployment.last_error_at_ms = error, now_ms()
        if was is not None:
            self._tell_breaker(deployment, was, now, error)
        own = deployment.credential
        if effect is Effect.THROTTLED:
            self._throttle(deployment, retry_after_s, now)
        elif effect in (Effect.INVALID_KEY, Effect.NO_QUOTA):
            self._put_out(own, None, own.out, effect.value, now)
        elif effect is Effect.NO_PERMISSION:
            self._put_out(own, deployment.model, deployment.out, effect.value, now)

    def _went_well(self, deployment: Deployment, speed: Speed, now: float, *, probe: bool) -> None:
        own = deployment.credential
        own.went_well()
        deployment.pauses = 0
        if speed.ttft_ms is not None:
            deployment.ttft_ms.add(speed.ttft_ms, now)
        if speed.tokens_per_s is not None:
            deployment.tokens_per_s.add(speed.tokens_per_s, now)
        if own.out.reason is not None or deployment.out.reason is not None:
            self._take_back(deployment, "a call went well")
        was = deployment.breaker.end(True, now, probe=probe)
        if was is not None:
            self._tell_breaker(deployment, was, now, None)

    def _take_back(self, deployment: Deployment, because: str) -> None:
        """What was left out is not any more."""
        own = deployment.credential
        for model, out in ((None, own.out), (deployment.model, deployment.out)):
            if (before := out.reason) is not None:
                out.clear()
                self._tell(own, model, before, "ready", because, None)

    def _throttle(self, deployment: Deployment, retry_after_s: float | None, now: float) -> None:
        deployment.credential.throttled(self.rules.throttle_factor)
        if retry_after_s is None:
            retry_after_s = min(_FIRST_PAUSE_S * 2**deployment.pauses, _LONGEST_PAUSE_S)
            deployment.pauses = min(deployment.pauses + 1, 10)
        deployment.throttled_until = max(deployment.throttled_until, now + retry_after_s)

    def _put_out(
        self, own: CredentialHealth, model: str | None, out: Out, reason: str, now: float
    ) -> None:
        before = out.reason or "ready"
        out.put(reason, now)
        self._tell(own, model, before, reason, OUT_WORDS[reason], self._at_ms(out.until, now))

    # What an operator may do.

    def open_breaker(self, deployment: Deployment, for_s: float) -> None:
        now = self.clock()
        was = deployment.breaker.state(now)
        deployment.breaker.open_until(now + for_s)
        self._tell_breaker(deployment, was, now, "an operator opened it")

    def close_breaker(self, deployment: Deployment) -> None:
        now = self.clock()
        was = deployment.breaker.state(now)
        deployment.breaker.close(now)
        if was is not BreakerState.CLOSED:
            self._tell_breaker(deployment, was, now, "an operator closed it")

    def reset(self, deployment: Deployment) -> None:
        """Forget every trouble of a deployment and of its credential."""
        now = self.clock()
        was = deployment.breaker.state(now)
        deployment.breaker.reset()
        deployment.throttled_until = 0.0
        deployment.pauses = 0
        own = deployment.credential
        own.cap = None
        if was is not BreakerState.CLOSED:
            self._tell_breaker(deployment, was, now, "an operator reset it")
        self._take_back(deployment, "an operator reset it")

    def probed(self, deployment: Deployment, *, ok: bool, error: str | None) -> None:
        """A probe that cost nothing found a provider reachable, or not.

        Reachable, it need not wait any longer for calls to try it; what they find out decides.
        """
        now = self.clock()
        breaker = deployment.breaker
        if ok and breaker.state(now) is BreakerState.OPEN and not breaker.is_held:
            breaker.reopens_at = now
            self._tell_breaker(deployment, BreakerState.OPEN, now, "a probe reached it")
        elif not ok and error is not None:
            deployment.last_error, deployment.last_error_at_ms = error, now_ms()

    def _tell_breaker(
        self, deployment: Deployment, was: BreakerState, now: float, reason: str | None
    ) -> None:
        state = deployment.breaker.state(now)
        until_ms = None
        if state is BreakerState.OPEN:
            until_ms = self._at_ms(deployment.breaker.reopens_at, now)
        own = deployment.credential
        self._tell(own, deployment.model, was.value, state.value, reason, until_ms)

    def _tell(
        self,
        own: CredentialHealth,
        model: str | None,
        before: str,
        after: str,
        reason: str | None,
        until_ms: int | None,
    ) -> None:
        change = Change(now_ms(), own.provider, model, own.name, before, after, reason, until_ms)
        self.changed(change)

    @staticmethod
    def _at_ms(at: float, now: float) -> int:
        return now_ms() + int((at - now) * 1000)


OUT_WORDS: Final[Mapping[str, str]] = {
    "invalid_key": "the provider refused its credential",
    "no_quota": "its credential has no quota left at the provider",
    "no_permission": "its credential may not use this model",
}
THROTTLED_WORDS: Final = "the provider's rate limit was reached"


def _breaker_blocks(breaker: Breaker, now: float) -> Blocked:
    if breaker.state(now) is BreakerState.OPEN:
        return Blocked("breaker_open", "its breaker is open", breaker.reopens_at)
    return Blocked("breaker_open", "its breaker lets one probe through at a time", now + 1.0)
