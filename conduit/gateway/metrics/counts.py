"""What is counted for Prometheus, with labels that cannot grow without bound.

Counting is on the request path, so it only puts a record aside. Some hundreds are counted in a row,
which is several times cheaper a record than one now and then, or when the exposition is asked for;
that is built from plain integers, in `exposition.py`.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from conduit.core.limits import Limit
from conduit.gateway.cache.answers import Figures
from conduit.gateway.ledger.entries import LedgerState
from conduit.gateway.ledger.records import RequestRecord
from conduit.gateway.limits.limiter import LimiterState
from conduit.gateway.shedding import Shedder

MOST_PROVIDERS = 100
_MOST_WORDS = 30
_COUNTED_TOGETHER = 256
_OTHER = "other"
_NONE = "none"
_STATUS_CLASSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
_DURATIONS_MS = (
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000,
)  # fmt: skip
_TTFTS_MS = (25, 50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200)


class _Labels(dict[str | None, str]):
    """The first so many names stand for themselves, all later ones are "other"."""

    def __init__(self, most: int) -> None:
        super().__init__({None: _NONE})
        self._most = most

    def __missing__(self, name: str | None) -> str:
        if name is None or len(self) > self._most:
            return _OTHER
        self[name] = name
        return name


class Histogram:
    """Counts per bucket, not yet cumulative, and the sum, in milliseconds."""

    __slots__ = ("_bounds", "_counts", "_sum_ms")

    def __init__(self, bounds_ms: tuple[int, ...]) -> None:
        self._bounds = bounds_ms
        self._counts = [0] * (len(bounds_ms) + 1)
        self._sum_ms = 0

    def add(self, milliseconds: Sequence[int]) -> None:
        bounds = self._bounds
        for bucket, count in Counter([bisect_left(bounds, each) for each in milliseconds]).items():
            self._counts[bucket] += count
        self._sum_ms += sum(milliseconds)

    def buckets(self) -> list[tuple[str, float]]:
        bounds = [*(repr(bound / 1_000) for bound in self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))

    @property
    def sum_s(self) -> float:
        return self._sum_ms / 1_000


class Series:
    """All series of one operation and provider, found by one look-up a request."""

    __slots__ = ("billed", "cached", "cost", "duration", "input", "output", "reasoning", "results",
                 "ttft")  # fmt: skip

    def __init__(self) -> None:
        self.results: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.duration = Histogram(_DURATIONS_MS)
        self.ttft = Histogram(_TTFTS_MS)
        self.input = self.cached = self.output = self.reasoning = 0
        self.cost = self.billed = 0

    def add(self, records: Sequence[RequestRecord], outcomes: Mapping[str | None, str]) -> None:
        """Count records in a row; `outcomes` gives the label of each."""
        results = Counter([(each.status // 100, each.outcome) for each in records])
        for (hundreds, outcome), count in results.items():
            status_class = _STATUS_CLASSES[hundreds if 1 <= hundreds <= 5 else 0]
            self.results[status_class, outcomes[outcome]] += count
        self.duration.add([each.duration_ms for each in records])
        self.ttft.add([ms for each in records if (ms := each.ttft_ms) is not None])
        self.input += sum([each.input_tokens for each in records])
        self.cached += sum([each.cached_tokens for each in records])
        self.output += sum([each.output_tokens for each in records])
        self.reasoning += sum([each.reasoning_tokens for each in records])
        self.cost += sum([each.cost_nanodollars for each in records])
        self.billed += sum([each.billed_nanodollars for each in records])


class Metrics:
    """The metrics of one gateway process; the callables are asked at each exposition."""

    def __init__(
        self,
        version: str,
        in_flight: Callable[[], int],
        ledger: Callable[[], LedgerState],
        cache: Callable[[], Figures],
        shedder: Shedder | None = None,
        limiter: Callable[[], LimiterState] = LimiterState,
    ) -> None:
        self._providers = _Labels(MOST_PROVIDERS)
        self._operations = _Labels(_MOST_WORDS)
        self._outcomes = _Labels(_MOST_WORDS)
        self.series: defaultdict[tuple[str, str], Series] = defaultdict(Series)
        self.failed_logins: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._uncounted: list[RequestRecord] = []
        self.limits_exceeded: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.version = version
        self.in_flight = in_flight
        self.ledger = ledger
        self.cache = cache
        self.shedder = shedder
        self.limiter = limiter

    def observe(self, record: RequestRecord) -> None:
        """A request has finished."""
        self._uncounted.append(record)
        if len(self._uncounted) >= _COUNTED_TOGETHER:
            self.count_all()

    def count_all(self) -> None:
        """Count what has been put aside."""
        alike: defaultdict[tuple[str, str | None], list[RequestRecord]] = defaultdict(list)
        for record in self._uncounted:
            alike[record.operation, record.provider].append(record)
        self._uncounted.clear()
        for (operation, provider), records in alike.items():
            series = self.series[self._operations[operation], self._providers[provider]]
            series.add(records, self._outcomes)

    def login_failed(self, api: str, put_off: bool) -> None:
        """Count a wrong key; `put_off` where it was answered 429."""
        self.failed_logins[api, "limited" if put_off else "refused"] += 1

    def limit_exceeded(self, limit: Limit, refused: bool) -> None:
        """Count a request for which a rate limit had no room; a shadow refuses nothing."""
        self.limits_exceeded[limit.kind, "refused" if refused else "shadow"] += 1
