"""What is remembered of a deployment and of its credential between calls.

Times are seconds of a monotonic clock unless a name says otherwise.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from conduit.gateway.config.snapshot import Credential, Upstream
from conduit.gateway.health.breaker import Breaker

_SMOOTHING: Final = 0.2
"""The weight of the newest sample in an average."""

_KNOWN_FOR_S: Final = 60.0
"""How long a speed counts as known after its last sample."""

_OUT_FOR_S: Final[Mapping[str, tuple[float, ...]]] = {
    "invalid_key": (10.0, 60.0, 300.0, 3600.0),
    "no_quota": (60.0, 300.0, 3600.0),
    "no_permission": (60.0, 300.0, 3600.0),
}
"""For how long something is left out, the first time, the second in a row, and so on."""


class Effect(StrEnum):
    """What the end of an attempt says of where it went."""

    WELL = "well"
    FAILURE = "failure"
    NOTHING = "nothing"
    THROTTLED = "rate_limit"
    INVALID_KEY = "invalid_key"
    NO_QUOTA = "no_quota"
    NO_PERMISSION = "no_permission"


class Average:
    """An exponentially weighted moving average that is forgotten when nothing new comes."""

    __slots__ = ("known_until", "value")

    def __init__(self) -> None:
        self.value: float | None = None
        self.known_until = 0.0

    def add(self, sample: float, now: float) -> None:
        known = self.value if now <= self.known_until else None
        self.value = sample if known is None else known + _SMOOTHING * (sample - known)
        self.known_until = now + _KNOWN_FOR_S


class Out:
    """What is left out for a reason, for longer each time in a row."""

    __slots__ = ("again", "reason", "until")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.reason: str | None = None
        self.until = 0.0
        self.again = 0

    def put(self, reason: str, now: float) -> None:
        steps = _OUT_FOR_S[reason]
        self.again = self.again + 1 if reason == self.reason else 1
        self.reason = reason
        self.until = now + steps[min(self.again, len(steps)) - 1]

    def at(self, now: float) -> bool:
        return self.reason is not None and now < self.until


class CredentialHealth:
    """One credential of a provider: whether it is out, and how much goes out with it."""

    __slots__ = (
        "base_url",
        "cap",
        "id",
        "in_flight",
        "name",
        "out",
        "provider",
        "secret",
        "tat",
        "waiting",
    )

    def __init__(self, upstream: Upstream, credential: Credential | None) -> None:
        self.provider = upstream.name
        self.base_url = upstream.base_url
        self.id = credential.id if credential is not None else ""
        self.name = credential.name if credential is not None else ""
        self.secret = credential.secret if credential is not None else ""
        self.out = Out()
        self.in_flight = 0
        self.cap: float | None = None  # learnt from the provider's rate limits (AIMD)
        self.tat = 0.0  # of the cap on calls a minute (GCRA)
        self.waiting: deque[asyncio.Future[None]] = deque()

    def serves(self, upstream: Upstream, credential: Credential | None) -> bool:
        """Whether it is of this secret at this address: what is known of others says nothing."""
        secret = credential.secret if credential is not None else ""
        return self.secret == secret and self.base_url == upstream.base_url

    def most_in_flight(self, credential: Credential | None) -> float | None:
        """The lower of the operator's cap and the learnt one; None where there is neither."""
        own = credential.max_in_flight if credential is not None else None
        if own is None or self.cap is None:
            return self.cap if own is None else own
        return min(own, self.cap)

    def free_at(self, credential: Credential | None, now: float) -> float:
        """When the cap on calls a minute lets the next call out."""
        a_minute = credential.requests_per_minute if credential is not None else None
        if a_minute is None:
            return now
        # A whole minute's calls may come at once, and then one by one.
        return max(now, self.tat - 60.0 + 60.0 / a_minute)

    def take(self, credential: Credential | None, now: float) -> None:
        self.in_flight += 1
        if credential is not None and credential.requests_per_minute is not None:
            self.tat = max(self.tat, now) + 60.0 / credential.requests_per_minute

    def give_back(self) -> None:
        self.in_flight -= 1
        self.wake()

    def wake(self) -> None:
        """Give a place that is free to whoever has waited longest."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def throttled(self, factor: float) -> None:
        """Fewer calls at a time from now on: that share of what was in flight, one at least."""
        self.cap = max(1.0, (self.cap or float(self.in_flight + 1)) * factor)

    def went_well(self) -> None:
        if self.cap is not None:
            self.cap += 1.0 / self.cap  # one more for each window of as many good calls


class Deployment:
    """A model at a provider by one credential."""

    __slots__ = (
        "breaker",
        "calls",
        "credential",
        "failures",
        "in_flight",
        "last_error",
        "last_error_at_ms",
        "model",
        "out",
        "pauses",
        "retries",
        "throttled_until",
        "tokens_per_s",
        "ttft_ms",
        "waiters",
    )

    def __init__(self, credential: CredentialHealth, model: str, breaker: Breaker) -> None:
        self.credential = credential
        self.model = model
        self.breaker = breaker
        self.in_flight = 0
        self.waiters = 0  # requests that wait for it
        self.retries = 0  # in flight, of calls that failed elsewhere or here before
        self.calls = 0
        self.failures = 0
        self.throttled_until = 0.0
        self.pauses = 0  # rate limits in a row that did not say for how long
        self.out = Out()  # where the credential may not use this model
        self.ttft_ms = Average()
        self.tokens_per_s = Average()
        self.last_error: str | None = None
        self.last_error_at_ms: int | None = None

    def speeds_at(self, now: float) -> tuple[float | None, float | None]:
        """Milliseconds to the first token and tokens a second, None where nothing new has come."""
        ttft, tokens = self.ttft_ms, self.tokens_per_s
        return (
            ttft.value if now <= ttft.known_until else None,
            tokens.value if now <= tokens.known_until else None,
        )

    @property
    def name(self) -> str:
        return f"{self.credential.provider}/{self.model}"
