"""Rates, shares and percentiles of the last minute."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.events import EventKind
from conduit.gateway.events.bus import Bus
from conduit.gateway.events.stats import Stats, bin_of, middle_of

FINISHED = EventKind.REQUEST_FINISHED


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Record(SimpleNamespace):
    def as_event(self) -> dict[str, Any]:
        return vars(self)


def record(**fields: Any) -> Record:  # columns of a record
    columns = {
        "status": 200,
        "duration_ms": 10,
        "ttft_ms": None,
        "input_tokens": 60,
        "output_tokens": 40,
        "cost_nanodollars": 1_000,
        "provider": "main",
        "attempts": 1,
        "outcome": "ok",
    }
    return Record(**columns | fields)


def test_a_sample_sums_what_finished() -> None:
    bus, clock = Bus("b1"), Clock()
    stats = Stats(bus, lambda: 3, clock=clock)
    clock.now_s += 9
    for milliseconds in range(1, 101):
        bus.publish(FINISHED, record(duration_ms=milliseconds // 2, ttft_ms=5))
    bus.publish(FINISHED, record(status=429, provider=None, attempts=0))
    bus.publish(FINISHED, record(status=502, provider="spare", duration_ms=60_000))
    assert stats.sample() == {
        "window_s": 60,
        "rate_window_s": 10,
        "in_flight": 3,
        "requests": 102,
        "errors": 2,
        "client_errors": 1,
        "rate_limited": 1,
        "error_share_milli": 19,
        "requests_per_s_milli": 10_200,
        "tokens_per_s_milli": 1_020_000,
        "cost_nanodollars_per_min": 612_000,
        "latency_p50_ms": 25,
        "latency_p95_ms": 48,
        "latency_p99_ms": 50,
        "ttft_p95_ms": 5,
        "statuses": {"2xx": 100, "4xx": 1, "5xx": 1},
        "providers": {
            "main": {"requests": 100, "errors": 0},
            "spare": {"requests": 1, "errors": 1},
        },
    }


@pytest.mark.parametrize(("status", "outcome"), [(499, "client_gone"), (503, "stopped")])
def test_a_request_that_somebody_ended_is_nobodys_error(status: int, outcome: str) -> None:
    bus = Bus("b1")
    stats = Stats(bus, lambda: 0)
    bus.publish(FINISHED, record(status=status, outcome=outcome))
    sample = stats.sample()
    assert (sample["requests"], sample["errors"], sample["error_share_milli"]) == (1, 0, 0)
    assert sample["providers"] == {"main": {"requests": 1, "errors": 0}}
    assert sample["statuses"] == {f"{status // 100}xx": 1}


@pytest.mark.parametrize(
    ("status", "attempts", "is_of_client"),
    [
        (404, 0, True),  # there is no such model
        (429, 0, True),  # the key's own limit
        (400, 1, True),  # the provider cannot use it
        (422, 2, True),
        (429, 1, False),  # the provider's limit
        (401, 1, False),  # our credential was refused
        (404, 1, False),  # the mapping names a model that the provider has not
        (502, 3, False),
        (503, 0, False),  # nobody was asked, for nobody is well
    ],
)
def test_what_only_the_client_can_mend_is_told_apart(
    status: int, attempts: int, is_of_client: bool
) -> None:
    bus = Bus("b1")
    stats = Stats(bus, lambda: 0)
    bus.publish(FINISHED, record(status=status, attempts=attempts))
    sample = stats.sample()
    assert (sample["errors"], sample["client_errors"]) == (1, int(is_of_client))
    assert sample["providers"]["main"]["errors"] == int(not is_of_client)
    assert sample["rate_limited"] == (status == 429)


def test_an_idle_gateway_has_no_percentiles() -> None:
    sample = Stats(Bus("b1"), lambda: 0).sample()
    assert sample["latency_p50_ms"] is None
    assert sample["requests_per_s_milli"] == 0


def test_what_is_older_than_the_window_is_forgotten() -> None:
    bus, clock = Bus("b1"), Clock()
    stats = Stats(bus, lambda: 0, clock=clock)
    bus.publish(FINISHED, record())
    clock.now_s += 30
    bus.publish(FINISHED, record())
    assert stats.sample()["requests"] == 2
    assert stats.sample()["requests_per_s_milli"] == 100
    clock.now_s += 30
    assert stats.sample()["requests"] == 1
    clock.now_s += 30
    assert stats.sample()["requests"] == 0


def test_a_sample_is_published_when_it_is_new_to_somebody() -> None:
    bus, viewers = Bus("b1"), 0
    stats = Stats(bus, lambda: 0, viewers=lambda: viewers, clock=Clock())
    bus.publish(FINISHED, record())
    assert not stats.publish()
    viewers = 1
    assert stats.publish()
    assert not stats.publish()
    bus.publish(FINISHED, record())
    assert stats.publish()
    viewers = 2
    assert stats.publish()
    assert not stats.publish()
    sampled = [event for event in bus.after(0).events if event.kind is EventKind.STATS_SAMPLED]
    assert len(sampled) == 3
    assert sampled[0].data["requests"] == 1


async def test_samples_are_published_every_second_until_it_stops() -> None:
    bus = Bus("b1")
    sampled = asyncio.Event()
    bus.subscribe(lambda *_: sampled.set(), {EventKind.STATS_SAMPLED})
    stats = Stats(bus, lambda: 0)
    await stats.start()
    async with asyncio.timeout(10):
        await sampled.wait()
    await stats.stop()
    before = stats.sample()
    bus.publish(FINISHED, record())
    assert stats.sample() == before


def test_providers_are_bounded() -> None:
    bus = Bus("b1")
    stats = Stats(bus, lambda: 0, clock=Clock())
    for number in range(500):
        bus.publish(FINISHED, record(provider=f"p{number}"))
    providers = stats.sample()["providers"]
    assert len(providers) == 101
    assert providers["other"]["requests"] == 400


def test_errors_of_providers_beyond_the_bound_are_counted_with_them() -> None:
    bus = Bus("b1")
    stats = Stats(bus, lambda: 0, clock=Clock())
    for number in range(120):
        bus.publish(FINISHED, record(provider=f"p{number}", status=502 if number > 90 else 200))
    providers = stats.sample()["providers"]
    assert providers["other"] == {"requests": 20, "errors": 20}
    assert providers["p95"] == {"requests": 1, "errors": 1}


@given(st.integers(0, 10**9))
def test_a_bin_is_within_two_percent_of_what_falls_into_it(milliseconds: int) -> None:
    assert abs(middle_of(bin_of(milliseconds)) - milliseconds) <= milliseconds * 0.02


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_bins_keep_the_order(one: int, other: int) -> None:
    if one <= other:
        assert bin_of(one) <= bin_of(other)


def test_what_counting_costs_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    bus = Bus("b1")
    stats = Stats(bus, lambda: 0)
    finished = record(ttft_ms=300, duration_ms=812)
    rounds = 20_000
    begun = time.process_time()
    for _ in range(rounds):
        bus.publish(FINISHED, finished)
    spent = (time.process_time() - begun) / rounds
    with capsys.disabled():
        print(f"\npublish with statistics: {spent * 1e6:.2f} us")
    assert stats.sample()["requests"] == rounds
