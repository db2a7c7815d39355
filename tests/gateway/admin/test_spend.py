"""What was charged in doubt, and corrections of it, over the admin API and both engines."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.gateway.conversation import Usage
from conduit.gateway.exchange import Exchange
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.ledger.entries import AttemptOutcome, Hold, Settlement, UsageSource
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.records import Claim
from conduit.gateway.provider import Operation
from tests import postgresql
from tests.gateway.admin.calls import AdminApi
from tests.gateway.admin.test_keys import claim
from tests.gateway.exchanges import entered, snapshot

DOLLAR = 1_000_000_000
REVIEW = "/admin/spend/review"


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    """Partial indexes and sums are the engine's, so by each."""
    return str(request.param)


def ended(cost: int, outcome: str = "ambiguous", **changes: Any) -> Settlement:
    fields: dict[str, Any] = {
        "outcome": AttemptOutcome(outcome),
        "usage": Usage(input_tokens=10),
        "usage_source": UsageSource.ESTIMATED,
        "cost_nanodollars": cost,
        "billed_nanodollars": 0,
        "at_ms": now_ms(),
        "error_code": "upstream_timeout",
        "ambiguous": outcome != "succeeded",
    }
    return Settlement(**(fields | changes))


async def charged(
    ledger: LocalLedger, key_id: str, cost: int, outcome: str = "ambiguous", **changes: Any
) -> Claim:
    hold: Hold = await ledger.hold(claim(key_id, 2 * DOLLAR, **changes))
    ledger.settle(hold, ended(cost, outcome))
    await ledger.caught_up()
    return hold.claim


def path_of(attempt: Claim) -> str:
    return f"/admin/spend/attempts/{attempt.attempt_id}"


async def correct(api: AdminApi, attempt: Claim, cost: str, **more: Any) -> Any:
    body = {"cost": cost, "reason": "it is not on the invoice", **more}
    return await api.post(f"{path_of(attempt)}/correct", body)


async def test_charges_in_doubt_are_listed_newest_first_page_by_page(
    api: AdminApi, ledger: LocalLedger
) -> None:
    key = await api.made("/admin/keys", {"name": "ci"})
    doubtful = [await charged(ledger, key["id"], n * 1000) for n in range(1, 6)]
    await charged(ledger, key["id"], DOLLAR, "succeeded")
    found = await api.listed(f"{REVIEW}?limit=2")
    assert [each["id"] for each in found] == [each.attempt_id for each in reversed(doubtful)]
    newest = found[0]
    assert (newest["key"], newest["hold"], newest["charged"], newest["cost"]) == (
        *("ci", "2.00", "0.000005", "0.000005"),
    )
    assert newest["why"] == "the provider failed (upstream_timeout): its estimated input"


async def test_a_review_may_be_of_a_key_a_time_an_outcome_or_a_target(
    api: AdminApi, ledger: LocalLedger
) -> None:
    first, second = [await api.made("/admin/keys", {"name": name}) for name in ("a", "b")]
    held = await charged(ledger, first["id"], 2 * DOLLAR)
    gone = await charged(ledger, second["id"], 2 * DOLLAR, "client_gone", model="other")
    await api.delete("/admin/keys/b")
    for query, wanted in (
        ("key=a", [held]),
        ("key=b", [gone]),
        ("outcome=client_gone", [gone]),
        ("model=other", [gone]),
        ("provider=none", []),
        ("alias=none", []),
        ("since=2020-01-01T00:00:00Z", [gone, held]),
        ("until=2020-01-01T00:00:00Z", []),
        ("state=corrected", []),
    ):
        found = await api.listed(f"{REVIEW}?{query}")
        assert [each["id"] for each in found] == [each.attempt_id for each in wanted], query
    assert (await api.get(f"{REVIEW}?key=nobody")).status == 404
    assert (await api.get(f"{REVIEW}?state=closed")).status == 422
    [row] = await api.listed(f"{REVIEW}?key=a")
    assert row["why"].endswith("the whole hold, as it may have been answered in full")


async def test_a_correction_moves_the_budget_the_usage_and_the_review(
    api: AdminApi, ledger: LocalLedger, published: list[tuple[EventKind, Mapping[str, Any]]]
) -> None:
    key = await api.made("/admin/keys", {"name": "ci", "budget": {"limit": "5"}})
    attempt = await charged(ledger, key["id"], 2 * DOLLAR)
    answer = await correct(api, attempt, "0.25")
    assert answer.status == 200, answer.text
    assert (answer.body["charged"], answer.body["cost"]) == ("2.00", "0.25")
    [made] = answer.body["corrections"]
    assert (made["difference"], made["actor"], made["reason"]) == (
        *("-1.75", "master key", "it is not on the invoice"),
    )
    [budget] = (await api.get("/admin/keys/ci")).body["budgets"]
    assert budget["spent"] == "0.25"
    used = (await api.get("/admin/usage?by=key")).body
    assert (used["total"]["cost"], used["total"]["attempts"]) == ("0.25", 1)
    assert used["groups"][0]["cost"] == "0.25"
    assert await api.listed(REVIEW) == []
    for state in ("corrected", "all"):
        assert [e["cost"] for e in await api.listed(f"{REVIEW}?state={state}")] == ["0.25"]
    kinds = [(kind, facts) for kind, facts in published if kind is EventKind.SPEND_CORRECTED]
    [(_, facts)] = kinds
    assert (facts["former_cost_nanodollars"], facts["cost_nanodollars"]) == (2 * DOLLAR, DOLLAR / 4)


async def test_what_cannot_be_corrected_is_refused_in_words(
    api: AdminApi, ledger: LocalLedger
) -> None:
    key = await api.made("/admin/keys", {"name": "ci"})
    attempt = await charged(ledger, key["id"], DOLLAR)
    assert (await api.post("/admin/spend/attempts/att_none/correct", WANTED)).status == 404
    running = await ledger.hold(claim(key["id"], DOLLAR))
    refused = await correct(api, running.claim, "1")
    assert (refused.status, refused.error) == (409, "conflict")
    assert "has not ended" in refused.message
    ledger.settle(running, ended(1, "succeeded"))
    for cost, status, said in (
        ("20.01", 422, "at most $20.00, 10 times what was held"),
        ("-1", 422, "cost"),
        ("1", 409, "costs $1.00 already"),
    ):
        refused = await correct(api, attempt, cost)
        assert (refused.status, said in refused.message) == (status, True), refused.text
    assert (await correct(api, attempt, "0.5", reason="  ")).status == 422
    assert (await correct(api, attempt, "0.5")).status == 200
    refused = await correct(api, attempt, "0.75")
    assert refused.status == 409
    assert "was corrected to $0.50 by master key (it is not on the invoice)" in refused.message
    answer = await correct(api, attempt, "0.75", again=True)
    assert [each["difference"] for each in answer.body["corrections"]] == ["-0.50", "0.25"]
    correction = answer.body["corrections"][0]["id"]
    assert (await api.get(f"/admin/spend/attempts/{correction}")).status == 404
    assert (await api.get(path_of(attempt))).body == answer.body


WANTED = {"cost": "1", "reason": "it is not on the invoice"}


async def test_of_two_corrections_at_once_one_is_refused(
    api: AdminApi, ledger: LocalLedger
) -> None:
    key = await api.made("/admin/keys", {"name": "ci"})
    attempt = await charged(ledger, key["id"], DOLLAR)
    answers = await asyncio.gather(*(correct(api, attempt, f"0.{n}") for n in range(1, 6)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]
    assert len((await api.get(path_of(attempt))).body["corrections"]) == 1


async def test_an_attempt_of_a_request_that_runs_still_is_left_alone(
    api: AdminApi, ledger: LocalLedger, live: LiveExchanges
) -> None:
    key = await api.made("/admin/keys", {"name": "ci"})
    exchange = Exchange(Operation.CHAT, snapshot([]))
    attempt = await charged(ledger, key["id"], DOLLAR, request_id=exchange.id)
    with entered(live, exchange):
        refused = await correct(api, attempt, "0.5")
        assert (refused.status, "is running still" in refused.message) == (409, True)
    assert (await correct(api, attempt, "0.5")).status == 200
