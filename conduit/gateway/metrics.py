"""What `/metrics` tells Prometheus, with labels that cannot grow without bound.

Counting is on the request path, so it only puts a record aside. Some hundreds are counted in a row,
which is several times cheaper a record than one now and then, or when the exposition is asked for;
it is built from plain integers.
"""

import platform
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from conduit.core.limits import Limit
from conduit.gateway.cache.answers import Figures
from conduit.gateway.ledger.entries import LedgerState
from conduit.gateway.ledger.records import RequestRecord
from conduit.gateway.limits.limiter import LimiterState
from conduit.gateway.shedding import Shedder, SheddingState

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


class _Histogram:
    """Counts per bucket, not yet cumulative, and the sum, in milliseconds."""

    __slots__ = ("_bounds", "_counts", "_sum_ms")

    def __init__(self, bounds_ms: tuple[int, ...]) -> None:
        self._bounds = bounds_ms
        self._counts = [0] * (len(bounds_ms) + 1)
        self._sum_ms = 0

    def add(self, milliseconds: int) -> None:
        self._counts[bisect_left(self._bounds, milliseconds)] += 1
        self._sum_ms += milliseconds

    def buckets(self) -> list[tuple[str, float]]:
        bounds = [*(repr(bound / 1_000) for bound in self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))

    @property
    def sum_s(self) -> float:
        return self._sum_ms / 1_000


class _Series:
    """All series of one operation and provider, found by one look-up a request."""

    __slots__ = ("billed", "cached", "cost", "duration", "input", "output", "reasoning", "results",
                 "ttft")  # fmt: skip

    def __init__(self) -> None:
        self.results: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.duration = _Histogram(_DURATIONS_MS)
        self.ttft = _Histogram(_TTFTS_MS)
        self.input = self.cached = self.output = self.reasoning = 0
        self.cost = self.billed = 0


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
        self._series: defaultdict[tuple[str, str], _Series] = defaultdict(_Series)
        self._failed_logins: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._uncounted: list[RequestRecord] = []
        self._limits_exceeded: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._version = version
        self._in_flight = in_flight
        self._ledger = ledger
        self._cache = cache
        self._shedder = shedder
        self._limiter = limiter
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Exposition(self.families))
        ProcessCollector(registry=self.registry)

    def observe(self, record: RequestRecord) -> None:
        """A request has finished."""
        self._uncounted.append(record)
        if len(self._uncounted) >= _COUNTED_TOGETHER:
            self._count_all()

    def _count_all(self) -> None:
        for record in self._uncounted:
            self._count(record)
        self._uncounted.clear()

    def _count(self, record: RequestRecord) -> None:
        series = self._series[self._operations[record.operation], self._providers[record.provider]]
        hundreds = record.status // 100
        status_class = _STATUS_CLASSES[hundreds if 1 <= hundreds <= 5 else 0]
        series.results[status_class, self._outcomes[record.outcome]] += 1
        series.duration.add(record.duration_ms)
        if record.ttft_ms is not None:
            series.ttft.add(record.ttft_ms)
        series.input += record.input_tokens
        series.cached += record.cached_tokens
        series.output += record.output_tokens
        series.reasoning += record.reasoning_tokens
        series.cost += record.cost_nanodollars
        series.billed += record.billed_nanodollars

    def login_failed(self, api: str, put_off: bool) -> None:
        """Count a wrong key; `put_off` where it was answered 429."""
        self._failed_logins[api, "limited" if put_off else "refused"] += 1

    def limit_exceeded(self, limit: Limit, refused: bool) -> None:
        """Count a request for which a rate limit had no room; a shadow refuses nothing."""
        self._limits_exceeded[limit.kind, "refused" if refused else "shadow"] += 1

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type, which carries the charset."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def families(self) -> Iterator[Metric]:
        self._count_all()
        yield self._requests()
        yield self._histogram(
            "conduit_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            lambda series: series.duration,
        )
        yield self._histogram(
            "conduit_time_to_first_token_seconds",
            "From the head of a request to the first byte of its answer.",
            lambda series: series.ttft,
        )
        yield from self._tokens()
        yield self._money(
            "conduit_cost_nanodollars",
            "What providers charge, in billionths of a US dollar.",
            lambda series: series.cost,
        )
        yield self._money(
            "conduit_billed_nanodollars",
            "What keys are charged, in billionths of a US dollar.",
            lambda series: series.billed,
        )
        yield GaugeMetricFamily(
            "conduit_requests_in_flight", "Requests being served.", value=self._in_flight()
        )
        yield self._logins()
        yield self._exceeded_limits()
        yield from _ledger_families(self._ledger())
        yield from _cache_families(self._cache())
        if self._shedder is not None:
            yield from _shedding_families(self._shedder.state())
        yield from _limiter_families(self._limiter())
        yield InfoMetricFamily(
            "conduit_build",
            "What runs here.",
            value={"version": self._version, "python": platform.python_version()},
        )

    def _exceeded_limits(self) -> Metric:
        family = CounterMetricFamily(
            "conduit_rate_limits_exceeded",
            "Requests for which a rate limit had no room: refused, or let by a shadow.",
            labels=("limit", "result"),
        )
        for names, count in self._limits_exceeded.items():
            family.add_metric(names, count)
        return family

    def _requests(self) -> Metric:
        labels = ("operation", "provider", "status_class", "outcome")
        family = CounterMetricFamily("conduit_requests", "Finished requests.", labels=labels)
        for names, series in self._series.items():
            for result, count in series.results.items():
                family.add_metric((*names, *result), count)
        return family

    def _logins(self) -> Metric:
        family = CounterMetricFamily(
            "conduit_failed_logins",
            "Wrong keys: refused with 401, or put off with 429.",
            labels=("api", "answer"),
        )
        for names, count in self._failed_logins.items():
            family.add_metric(names, count)
        return family

    def _histogram(self, name: str, help_text: str, of: Callable[[_Series], _Histogram]) -> Metric:
        family = HistogramMetricFamily(name, help_text, labels=("operation", "provider"))
        for names, series in self._series.items():
            histogram = of(series)
            family.add_metric(names, histogram.buckets(), histogram.sum_s)
        return family

    def _tokens(self) -> Iterator[Metric]:
        whole = CounterMetricFamily(
            "conduit_tokens", "Tokens, by direction.", labels=("operation", "provider", "direction")
        )
        part = CounterMetricFamily(
            "conduit_tokens_part",
            "Tokens that conduit_tokens_total holds already: cached of input, reasoning of output.",
            labels=("operation", "provider", "part"),
        )
        for names, series in self._series.items():
            whole.add_metric((*names, "input"), series.input)
            whole.add_metric((*names, "output"), series.output)
            part.add_metric((*names, "cached"), series.cached)
            part.add_metric((*names, "reasoning"), series.reasoning)
        yield whole
        yield part

    def _money(self, name: str, help_text: str, of: Callable[[_Series], int]) -> Metric:
        family = CounterMetricFamily(name, help_text, labels=("operation", "provider"))
        for names, series in self._series.items():
            family.add_metric(names, of(series))
        return family


class _Exposition(Collector):
    """What the registry asks for metric families."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()


def _shedding_families(state: SheddingState) -> Iterator[Metric]:
    refused = CounterMetricFamily(
        "conduit_shed_requests", "Requests refused as overloaded.", labels=("reason",)
    )
    active = GaugeMetricFamily(
        "conduit_shedding", "1 while requests are refused for this reason.", labels=("reason",)
    )
    for reason, count in state.refused.items():
        refused.add_metric((reason,), count)
        active.add_metric((reason,), int(reason in state.reasons))
    yield refused
    yield active
    yield GaugeMetricFamily(
        "conduit_event_loop_lag_p99_seconds",
        "How late the event loop was, of the last second.",
        value=state.loop_lag_p99_ms / 1000,
    )


def _limiter_families(state: LimiterState) -> Iterator[Metric]:
    if state.store == "none":
        return
    yield GaugeMetricFamily(
        "conduit_limiter_store_up",
        "1 while Redis, in which rate limits are shared, answers.",
        value=int(state.store == "up"),
    )
    yield GaugeMetricFamily(
        "conduit_limiter_gateways", "Gateways that share the limits.", value=state.gateways
    )
    yield CounterMetricFamily(
        "conduit_limiter_store_failures", "How often Redis did not answer.", value=state.failures
    )


def _ledger_families(state: LedgerState) -> Iterator[Metric]:
    gauges: Mapping[str, tuple[str, int]] = {
        "conduit_ledger_available": ("1 where money can be held.", int(state.available)),
        "conduit_ledger_open_holds": ("Attempts whose money is held.", state.open_holds),
        "conduit_ledger_held_nanodollars": (
            "Money held by running attempts, in billionths of a US dollar.",
            state.held_nanodollars,
        ),
        "conduit_ledger_waiting": ("Requests that wait for held money.", state.waiting),
        "conduit_ledger_journal_unapplied_bytes": (
            "Journal that the database does not hold yet.",
            state.journal_bytes_unapplied,
        ),
    }
    for name, (help_text, value) in gauges.items():
        yield GaugeMetricFamily(name, help_text, value=value)


def _cache_families(figures: Figures) -> Iterator[Metric]:
    total = figures.total
    requests = CounterMetricFamily(
        "conduit_cache_requests",
        "Requests to aliases that keep answers: answered from them, not, or past them.",
        labels=("result",),
    )
    results = {"hit": total.hits, "miss": total.misses, "bypass": total.bypassed}
    for result, count in results.items():
        requests.add_metric((result,), count)
    yield requests
    yield CounterMetricFamily(
        "conduit_cache_avoided_nanodollars",
        "What answers that were kept would have cost, in billionths of a US dollar.",
        value=total.avoided_nanodollars,
    )
    yield GaugeMetricFamily("conduit_cache_entries", "Answers kept.", value=figures.entries)
    yield GaugeMetricFamily("conduit_cache_bytes", "The memory they take.", value=figures.bytes)
