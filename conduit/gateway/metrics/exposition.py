"""The exposition that Prometheus reads at `/metrics`, of what `counts.py` has counted.

Imported when it is asked for first: most gateways are never scraped, and the library takes a
megabyte.
"""

import platform
from collections.abc import Callable, Iterator, Mapping

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

from conduit.gateway.cache.answers import Figures
from conduit.gateway.ledger.entries import LedgerState
from conduit.gateway.limits.limiter import LimiterState
from conduit.gateway.metrics.counts import Histogram, Metrics, Series
from conduit.gateway.shedding import SheddingState


class Exposition(Collector):
    """The metric families of one gateway process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type, which carries the charset."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        self._metrics.count_all()
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
            "conduit_requests_in_flight", "Requests being served.", value=self._metrics.in_flight()
        )
        yield _counter(
            "conduit_failed_logins",
            "Wrong keys: refused with 401, or put off with 429.",
            ("api", "answer"),
            self._metrics.failed_logins,
        )
        yield _counter(
            "conduit_rate_limits_exceeded",
            "Requests for which a rate limit had no room: refused, or let by a shadow.",
            ("limit", "result"),
            self._metrics.limits_exceeded,
        )
        yield from _ledger_families(self._metrics.ledger())
        yield from _cache_families(self._metrics.cache())
        if self._metrics.shedder is not None:
            yield from _shedding_families(self._metrics.shedder.state())
        yield from _limiter_families(self._metrics.limiter())
        yield InfoMetricFamily(
            "conduit_build",
            "What runs here.",
            value={"version": self._metrics.version, "python": platform.python_version()},
        )

    def _requests(self) -> Metric:
        labels = ("operation", "provider", "status_class", "outcome")
        family = CounterMetricFamily("conduit_requests", "Finished requests.", labels=labels)
        for names, series in self._metrics.series.items():
            for result, count in series.results.items():
                family.add_metric((*names, *result), count)
        return family

    def _histogram(self, name: str, help_text: str, of: Callable[[Series], Histogram]) -> Metric:
        family = HistogramMetricFamily(name, help_text, labels=("operation", "provider"))
        for names, series in self._metrics.series.items():
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
        for names, series in self._metrics.series.items():
            whole.add_metric((*names, "input"), series.input)
            whole.add_metric((*names, "output"), series.output)
            part.add_metric((*names, "cached"), series.cached)
            part.add_metric((*names, "reasoning"), series.reasoning)
        yield whole
        yield part

    def _money(self, name: str, help_text: str, of: Callable[[Series], int]) -> Metric:
        family = CounterMetricFamily(name, help_text, labels=("operation", "provider"))
        for names, series in self._metrics.series.items():
            family.add_metric(names, of(series))
        return family


def _counter(
    name: str, help_text: str, labels: tuple[str, str], counts: Mapping[tuple[str, str], int]
) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


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
