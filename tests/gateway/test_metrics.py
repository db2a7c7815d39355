"""What the metrics page says, what bounds it, and what counting costs."""

import time

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from conduit.gateway.cache.answers import AnswerCache
from conduit.gateway.cache.store import Answer, Limits, Place
from conduit.gateway.ledger.entries import LedgerState
from conduit.gateway.ledger.records import RequestRecord
from conduit.gateway.metrics.counts import Metrics
from conduit.gateway.metrics.exposition import Exposition

RECORD = RequestRecord(
    id="req_1",
    at_ms=1,
    operation="chat",
    stream=True,
    status=200,
    outcome="succeeded",
    error_code=None,
    key_id="key_1",
    key_name="ci",
    alias="gpt-4o",
    provider="main",
    model="gpt-4o-2024-08-06",
    attempts=1,
    duration_ms=812,
    ttft_ms=100,
    input_tokens=1_000,
    cached_tokens=200,
    output_tokens=300,
    reasoning_tokens=50,
    usage_source="provider",
    cost_nanodollars=4_100_000,
    billed_nanodollars=4_200_000,
    tokens_per_s_milli=1,
)
LEDGER = LedgerState(2, 7_000, 1, 512, "journal-1", "full", available=True)

CACHE = AnswerCache(Limits(total_bytes=100_000, entry_bytes=10_000, entries=10))


def metrics() -> Metrics:
    return Metrics("0.1.0", lambda: 3, lambda: LEDGER, CACHE.figures)


def samples(shown: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = Exposition(shown).render()[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(shown: Metrics, name: str, **labels: str) -> float:
    return samples(shown)[name, tuple(sorted(labels.items()))]


def test_a_request_is_counted_by_operation_provider_status_and_outcome() -> None:
    shown = metrics()
    shown.observe(RECORD)
    shown.observe(RECORD)
    shown.observe(replace(RECORD, status=429, outcome="failed", provider=None, ttft_ms=None))
    shown.observe(replace(RECORD, status=0, outcome="failed"))
    labels = {"operation": "chat", "provider": "main"}
    assert (
        value(shown, "conduit_requests_total", **labels, status_class="2xx", outcome="succeeded")
        == 2
    )
    refused = {"provider": "none", "status_class": "4xx", "outcome": "failed"}
    assert value(shown, "conduit_requests_total", operation="chat", **refused) == 1
    assert (
        value(shown, "conduit_requests_total", **labels, status_class="other", outcome="failed")
        == 1
    )


def test_tokens_and_money_add_up() -> None:
    shown = metrics()
    for _ in range(3):
        shown.observe(RECORD)
    labels = {"operation": "chat", "provider": "main"}
    assert value(shown, "conduit_tokens_total", **labels, direction="input") == 3_000
    assert value(shown, "conduit_tokens_total", **labels, direction="output") == 900
    assert value(shown, "conduit_tokens_part_total", **labels, part="cached") == 600
    assert value(shown, "conduit_tokens_part_total", **labels, part="reasoning") == 150
    assert value(shown, "conduit_cost_nanodollars_total", **labels) == 12_300_000
    assert value(shown, "conduit_billed_nanodollars_total", **labels) == 12_600_000


@pytest.mark.parametrize(
    ("duration_ms", "first_bucket"), [(0, "0.05"), (50, "0.05"), (51, "0.1"), (10**9, "+Inf")]
)
def test_a_duration_is_in_its_bucket_and_all_wider_ones(
    duration_ms: int, first_bucket: str
) -> None:
    shown = metrics()
    shown.observe(replace(RECORD, duration_ms=duration_ms))
    found = [
        (float(dict(labels)["le"]), count)
        for (name, labels), count in samples(shown).items()
        if name == "conduit_request_duration_seconds_bucket"
    ]
    assert next(bound for bound, count in sorted(found) if count) == float(first_bucket)
    assert sorted(count for _, count in found) == [count for _, count in sorted(found)]
    labels = {"operation": "chat", "provider": "main"}
    assert value(shown, "conduit_request_duration_seconds_count", **labels) == 1
    assert value(shown, "conduit_request_duration_seconds_sum", **labels) == duration_ms / 1_000


def test_requests_without_a_first_token_are_not_in_its_histogram() -> None:
    shown = metrics()
    shown.observe(RECORD)
    shown.observe(replace(RECORD, ttft_ms=None))
    labels = {"operation": "chat", "provider": "main"}
    assert value(shown, "conduit_time_to_first_token_seconds_count", **labels) == 1


def test_gauges_are_read_when_they_are_asked_for() -> None:
    in_flight = 0
    shown = Metrics("0.1.0", lambda: in_flight, lambda: LEDGER, CACHE.figures)
    in_flight = 9
    assert value(shown, "conduit_requests_in_flight") == 9
    assert value(shown, "conduit_ledger_open_holds") == 2
    assert value(shown, "conduit_ledger_held_nanodollars") == 7_000
    assert value(shown, "conduit_ledger_journal_unapplied_bytes") == 512
    assert value(shown, "conduit_ledger_available") == 1


def test_the_cache_tells_of_itself() -> None:
    cache = AnswerCache(Limits(total_bytes=100_000, entry_bytes=10_000, entries=10))
    shown = Metrics("0.1.0", lambda: 0, lambda: LEDGER, cache.figures)
    place = Place(b"d", "fast", "fast", "key_1", 60)
    first = cache.recall("fast")
    first.place = place
    first.keep(Answer({}, b"x" * 1_000, 7_000))
    first.end()
    for _ in range(2):
        again = cache.recall("fast")
        again.look(place)
        again.end()
    assert value(shown, "conduit_cache_requests_total", result="hit") == 2
    assert value(shown, "conduit_cache_requests_total", result="miss") == 1
    assert value(shown, "conduit_cache_requests_total", result="bypass") == 0
    assert value(shown, "conduit_cache_avoided_nanodollars_total") == 14_000
    assert value(shown, "conduit_cache_entries") == 1
    assert 1_000 < value(shown, "conduit_cache_bytes") < 3_000


def test_the_build_and_the_process_are_shown() -> None:
    found = samples(metrics())
    assert any(
        name == "conduit_build_info" and ("version", "0.1.0") in labels for name, labels in found
    )
    assert any(name == "process_cpu_seconds_total" for name, _ in found)
    assert Exposition(metrics()).render()[1].startswith("text/plain")


def test_labels_are_bounded_and_models_and_keys_are_none() -> None:
    shown = metrics()
    for number in range(400):
        shown.observe(
            replace(RECORD, provider=f"p{number}", outcome=f"o{number}", model=f"m{number}")
        )
    found = samples(shown)
    providers = {dict(labels).get("provider") for _, labels in found} - {None}
    assert len(providers) == 101
    assert "other" in providers
    text = Exposition(shown).render()[0]
    assert b"m399" not in text
    assert b'"ci"' not in text


def test_two_gateways_in_one_process_do_not_share_their_counts() -> None:
    first, second = metrics(), metrics()
    first.observe(RECORD)
    assert not [name for name, _ in samples(second) if name == "conduit_requests_total"]


def test_what_observing_costs_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = metrics()
    rounds = 20_000
    begun = time.process_time()
    for _ in range(rounds):
        shown.observe(RECORD)
    spent = (time.process_time() - begun) / rounds
    with capsys.disabled():
        print(f"\nobserve: {spent * 1e6:.2f} us")
    labels = {"operation": "chat", "provider": "main"}
    assert value(shown, "conduit_request_duration_seconds_count", **labels) == rounds


def test_failed_logins_are_counted_by_api_and_answer() -> None:
    shown = metrics()
    shown.login_failed("admin", put_off=False)
    shown.login_failed("admin", put_off=True)
    shown.login_failed("client", put_off=True)
    shown.login_failed("client", put_off=True)
    name = "conduit_failed_logins_total"
    assert value(shown, name, api="admin", answer="refused") == 1
    assert value(shown, name, api="admin", answer="limited") == 1
    assert value(shown, name, api="client", answer="limited") == 2
