"""Rates and percentiles of the last minute, published once a second for overviews."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from conduit.core.events import ENDED_BY_SOMEBODY, EventKind
from conduit.gateway.events.bus import Bus

T = TypeVar("T")

WINDOW_S = 60
RATE_WINDOW_S = 10
_INTERVAL_S = 1.0
_MILLI = 1_000
_MOST_PROVIDERS = 100
# Counted in a row, a record costs a fraction of what it does by itself now and then.
_COUNTED_TOGETHER = 256
_OTHER = "other"
_TOO_MANY = 429
# A provider answers these to a request that it cannot use, whoever passes it on.
_OF_THE_REQUEST = frozenset({400, 413, 422})
# Below 64 ms a bin is a millisecond, above it a thirty-second of a power of two: 3 % wide.
_BIN_BITS = 6
_BIN_MASK = (1 << _BIN_BITS) - 1


class Finished(Protocol):
    """What the record of a finished request tells here."""

    @property
    def status(self) -> int: ...
    @property
    def outcome(self) -> str: ...
    @property
    def provider(self) -> str | None: ...
    @property
    def attempts(self) -> int: ...
    @property
    def duration_ms(self) -> int: ...
    @property
    def ttft_ms(self) -> int | None: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost_nanodollars(self) -> int: ...


@dataclass(slots=True)
class _Second:
    """What finished within one second."""

    at_s: int
    requests: int = 0
    errors: int = 0
    client_errors: int = 0
    rate_limited: int = 0
    tokens: int = 0
    cost_nanodollars: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)
    ttfts: Counter[int] = field(default_factory=Counter)
    providers: Counter[str] = field(default_factory=Counter)
    provider_errors: Counter[str] = field(default_factory=Counter)


@lru_cache(maxsize=4096)
def bin_of(milliseconds: int) -> int:
    """The number of the histogram bin that a duration falls into."""
    shift = max(0, milliseconds.bit_length() - _BIN_BITS)
    return (shift << _BIN_BITS) + (milliseconds >> shift)


def middle_of(number: int) -> int:
    """The duration in the middle of a bin."""
    shift = number >> _BIN_BITS
    return ((number & _BIN_MASK) << shift) + ((1 << shift) >> 1)


def percentile(bins: Counter[int], percent: int) -> int | None:
    """The duration that so many percent do not exceed; None where there is none."""
    total = sum(bins.values())
    left = -(-total * percent // 100)
    for number in sorted(bins):
        left -= bins[number]
        if left <= 0:
            return middle_of(number)
    return None


class Stats:
    """Counts `request.finished` as it happens; a sample is made only while somebody looks.

    `clock` gives seconds. Percentiles and shares are of the last minute, rates of the last ten
    seconds.
    """

    def __init__(
        self,
        bus: Bus,
        in_flight: Callable[[], int],
        *,
        viewers: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._in_flight = in_flight
        self._viewers = viewers
        self._clock = clock
        self._begun_s = int(clock())
        self._seconds: deque[_Second] = deque(maxlen=WINDOW_S + 1)
        self._uncounted: list[Finished] = []  # what finished within the second
        self._uncounted_s = 0
        self._published: dict[str, Any] | None = None
        self._viewed_by = 0
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = bus.subscribe(self._finished, {EventKind.REQUEST_FINISHED})

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="stats")

    async def stop(self) -> None:
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def publish(self) -> bool:
        """Publish a sample if somebody looks and it says anything new to them."""
        viewers = self._viewers()
        newcomers = viewers > self._viewed_by
        self._viewed_by = viewers
        if not viewers:
            return False
        sample = self.sample()
        if sample == self._published and not newcomers:
            return False
        self._published = sample
        self._bus.publish(EventKind.STATS_SAMPLED, sample)
        return True

    def sample(self) -> dict[str, Any]:
        """The present figures: integers, thousandths where the name ends in `_milli`.

        Of the `errors`, `client_errors` are those that only the client can mend, so that what is
        left are the gateway's and its providers'; those of `providers` are without them.
        `rate_limited` are all that were answered 429.
        """
        self._count_all()
        now_s = int(self._clock())
        window = [each for each in self._seconds if each.at_s > now_s - WINDOW_S]
        recent = [each for each in window if each.at_s > now_s - RATE_WINDOW_S]
        recent_s = max(1, min(RATE_WINDOW_S, now_s - self._begun_s + 1))
        latencies = _sum(each.latencies for each in window)
        providers = _sum(each.providers for each in window)
        provider_errors = _sum(each.provider_errors for each in window)
        requests = sum(each.requests for each in window)
        errors = sum(each.errors for each in window)
        cost = sum(each.cost_nanodollars for each in recent)
        return {
            "window_s": WINDOW_S,
            "rate_window_s": RATE_WINDOW_S,
            "in_flight": self._in_flight(),
            "requests": requests,
            "errors": errors,
            "client_errors": sum(each.client_errors for each in window),
            "rate_limited": sum(each.rate_limited for each in window),
            "error_share_milli": errors * _MILLI // requests if requests else 0,
            "requests_per_s_milli": sum(each.requests for each in recent) * _MILLI // recent_s,
            "tokens_per_s_milli": sum(each.tokens for each in recent) * _MILLI // recent_s,
            "cost_nanodollars_per_min": cost * 60 // recent_s,
            "latency_p50_ms": percentile(latencies, 50),
            "latency_p95_ms": percentile(latencies, 95),
            "latency_p99_ms": percentile(latencies, 99),
            "ttft_p95_ms": percentile(_sum(each.ttfts for each in window), 95),
            "statuses": {
                f"{hundreds}xx": count
                for hundreds, count in sorted(_sum(each.statuses for each in window).items())
            },
            "providers": {
                name: {"requests": count, "errors": provider_errors[name]}
                for name, count in sorted(providers.items())
            },
        }

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self.publish()

    def _finished(self, kind: EventKind, at_ms: int, record: Finished) -> None:
        now_s = int(self._clock())
        if now_s != self._uncounted_s or len(self._uncounted) >= _COUNTED_TOGETHER:
            self._count_all()
            self._uncounted_s = now_s
        self._uncounted.append(record)

    def _count_all(self) -> None:
        if not self._uncounted:
            return
        second = self._second(self._uncounted_s)
        _count(second, self._uncounted)
        self._uncounted.clear()

    def _second(self, at_s: int) -> _Second:
        if not self._seconds or self._seconds[-1].at_s != at_s:
            self._seconds.append(_Second(at_s))
        return self._seconds[-1]


def _count(second: _Second, records: Sequence[Finished]) -> None:
    second.requests += len(records)
    second.tokens += sum([each.input_tokens + each.output_tokens for each in records])
    second.cost_nanodollars += sum([each.cost_nanodollars for each in records])
    second.statuses.update([each.status // 100 for each in records])
    second.latencies.update([bin_of(each.duration_ms) for each in records])
    second.ttfts.update([bin_of(ms) for each in records if (ms := each.ttft_ms) is not None])
    for provider, count in Counter([each.provider for each in records]).items():
        if provider is not None:
            is_one_too_many = (
                provider not in second.providers and len(second.providers) >= _MOST_PROVIDERS
            )
            second.providers[_OTHER if is_one_too_many else provider] += count
    for record in records:
        if record.status >= 400 and record.outcome not in ENDED_BY_SOMEBODY:
            second.errors += 1
            second.rate_limited += record.status == _TOO_MANY
            if is_of_client(record):
                second.client_errors += 1
            elif (provider := record.provider) is not None:
                second.provider_errors[provider if provider in second.providers else _OTHER] += 1


def is_of_client(record: Finished) -> bool:
    """Whether a request failed by what its client asked, or by what its key may.

    That is what the gateway refused before any provider was asked, and what a provider found
    unusable; a provider's 401 or 429 is for the operator to mend.
    """
    unasked = not record.attempts and record.status < 500
    return record.status >= 400 and (unasked or record.status in _OF_THE_REQUEST)


def _sum(counters: Iterable[Counter[T]]) -> Counter[T]:
    total: Counter[T] = Counter()
    for counter in counters:
        total.update(counter)
    return total
