"""The screen of groups: who is in them, what they share, what was paid in."""

from typing import Any

import pytest

from conduit.client.errors import AuthenticationFailed
from tests.tui.allowed import budget, group, limit, monthly, prepaid, spent_by_day, transaction
from tests.tui.events import key, mapping
from tests.tui.screens import STATES, back, fill, in_state, list_of, on_screen, sent
from tests.tui.snapshots import assert_looks
from tests.tui.support import SIZES, Answer, page, refusal, screen_text, until, until_shown

ENG = {"group": "eng", "group_id": "group_eng"}
GROUP = group(
    "eng",
    description="what engineers call with",
    limits=[limit("rpm", 600, 412), limit("tpm", 100_000, 0)],
    budgets=[monthly("group", "eng", "200", "150.50", timezone="Europe/Berlin")],
    prepaid=prepaid("58.90", spent="41.10", held="0.25"),
    keys=2,
)
MADE = [
    transaction("debit", "-20.00", "58.90", reason="invoice 12", at="2026-11-19T10:00:00Z"),
    transaction("adjustment", "5.00", "78.90", reason="typing error"),
    transaction("credit", "100.00", "100.00", at="2026-11-02T08:00:00Z"),
]
GROUPS = page(
    GROUP,
    group("batch", prepaid=prepaid("-1.50", paid_in="10.00", spent="11.50"), keys=1),
    group("demo", enabled=False),
    group("sales", budgets=[budget("group", "sales", "10", "10")], allowed_models=["gpt-4o"]),
)
DATA: dict[str, Answer] = {
    "groups.list": GROUPS,
    "keys.list": page(
        key("ci", limit="50", spent="41.00", **ENG), key("web", **ENG), key("nightly")
    ),
    "mappings.list": page(mapping("gpt-4o")),
    "group_transactions.list": page(*MADE),
    "usage.show": spent_by_day(d02="0.40", d17="4.10", d18="1.20", d19="3.00", d20="2.20"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    async with in_state("groups", state, DATA, size) as (_, pilot):
        await assert_looks(pilot, f"groups-{size}-{state}")


async def test_a_group_in_full_looks_as_it_was_looked_at() -> None:
    async with on_screen("groups", DATA) as (_, pilot):
        await pilot.press("enter")
        await until_shown("invoice 12", pilot)
        await assert_looks(pilot, "groups-80x24-detail")


async def test_one_key_goes_from_keys_to_groups_and_back_and_the_tab_stays() -> None:
    async with on_screen("keys", DATA) as (app, pilot):
        await pilot.press("v")
        await until_shown("BALANCE", pilot)
        assert app.here == "groups"
        await pilot.press("v")
        await until(lambda: app.here == "keys", pilot)


async def test_a_group_shows_its_state_its_balance_and_its_budget() -> None:
    async with on_screen("groups", DATA) as (app, pilot):
        await until_shown("sales", pilot)
        lines = {line.split()[0]: line for line in screen_text(app).splitlines()[5:8]}
        assert "unpaid" in lines["batch"]
        assert "-$1.50" in lines["batch"]
        assert "off" in lines["demo"]
        assert "spent" in lines["sales"]
        assert "100%" in lines["sales"]


async def test_enter_shows_limits_members_and_transactions() -> None:
    async with on_screen("groups", DATA, "120x40") as (app, pilot):
        for text in (
            "what engineers call with",
            "$100.00 paid in, $41.10 spent, $0.25 held",
            "100,000 tokens a minute, 0 left",
            "-$20.00",
            "+$100.00",
            "$4.10 at most",
        ):
            await until_shown(text, pilot)
        assert [row["name"] for row in list_of(app).members(GROUP)] == ["ci", "web"]  # type: ignore[attr-defined]


async def test_a_key_that_comes_into_the_group_is_listed_at_once() -> None:
    async with on_screen("groups", DATA, "120x40") as (app, pilot):
        await until_shown("-$20.00", pilot)
        app.store.put("keys", key("nightly", **ENG), epoch=app.store.epoch)
        await until_shown("nightly", pilot)


# Making and changing


async def test_a_group_is_made_and_then_its_budget() -> None:
    made = group("ops", prepaid=prepaid("0.00", paid_in="0.00"))
    fresh = {**made, "budgets": [monthly("group", "ops", "20")]}
    answers = {**DATA, "groups.create": made, "budgets.create": {}, "groups.show": fresh}
    async with on_screen("groups", answers) as (app, pilot):
        await pilot.press("a")
        await until_shown("new group", pilot)
        await pilot.press(*"ops", "tab", *"night shift")
        await fill("limit", "20", app, pilot)
        await fill("rpm", "60", app, pilot)
        app.screen.query_one("#field-prepaid").value = True  # type: ignore[attr-defined]
        await assert_looks(pilot, "groups-80x24-form")
        await pilot.press("ctrl+s")
        await until_shown("made group ops", pilot)
        body = sent(app, "groups.create")[0][2]
        assert body["description"] == "night shift"
        assert body["prepaid"] is True
        assert [each["kind"] for each in body["limits"]] == ["rpm"]
        scope = {"kind": "group", "id": "group_ops"}
        assert sent(app, "budgets.create")[0][2]["scope"] == scope
        assert list_of(app).grid.cursor_key == "group_ops"


async def test_the_addresses_of_a_group_are_shown_and_changed() -> None:
    bound = {**GROUP, "allowed_ips": ["10.0.0.0/8"]}
    answers = {**DATA, "groups.list": page(bound), "groups.update": {**bound, "version": 2}}
    async with on_screen("groups", answers, "120x40") as (app, pilot):
        await until_shown("10.0.0.0/8", pilot)
        await pilot.press("e")
        await until_shown("group eng, version 1", pilot)
        await fill("allowed_ips", "10.0.0.0/8, 203.0.113.7", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("changed eng", pilot)
        body = {"allowed_ips": ["10.0.0.0/8", "203.0.113.7/32"], "version": 1}
        assert sent(app, "groups.update")[-1][2] == body


async def test_a_group_whose_budget_is_refused_is_there_all_the_same() -> None:
    refused = refusal(422, "limit: too much", "invalid")
    answers = {**DATA, "groups.create": group("ops"), "budgets.create": refused}
    async with on_screen("groups", answers) as (app, pilot):
        await pilot.press("a")
        await until_shown("new group", pilot)
        await pilot.press(*"ops")
        await fill("limit", "20", app, pilot)
        await pilot.press("ctrl+s")
        await back(app, pilot)
        await until_shown("group ops is there, its budget is not", pilot)


async def test_a_conflict_over_a_group_is_merged() -> None:
    theirs = {**GROUP, "description": "theirs", "version": 2}

    def update(*_: str, body: Any) -> Any:
        if body["version"] == 1:
            raise refusal(409, "group eng is at version 2, not 1", "conflict")
        return {**theirs, "name": "eng2", "version": 3}

    answers = {**DATA, "groups.update": update, "groups.show": theirs}
    async with on_screen("groups", answers) as (app, pilot):
        await pilot.press("e")
        await until_shown("group eng, version 1", pilot)
        await pilot.press("end", "2", "ctrl+s")
        await until_shown("theirs", pilot)
        await pilot.press("enter")
        await until_shown("changed eng2", pilot)
        assert sent(app, "groups.update")[-1][2] == {"name": "eng2", "version": 2}


async def test_switching_a_group_off_asks_because_it_stops_all_its_keys() -> None:
    answers = {**DATA, "groups.update": {**GROUP, "enabled": False, "version": 2}}
    async with on_screen("groups", answers) as (app, pilot):
        await pilot.press("x")
        await until_shown("All keys in it are refused", pilot)
        await pilot.press("n")
        await back(app, pilot)
        assert not sent(app, "groups.update")
        await pilot.press("x")
        await until_shown("Disable eng?", pilot)
        await pilot.press("y")
        await until_shown("disabled eng", pilot)


async def test_keys_are_moved_into_the_group_from_a_list_of_the_others() -> None:
    def update(id: str, body: Any) -> Any:
        return key(id.removeprefix("key_"), group=body["group"], group_id="group_eng", version=2)

    answers = {**DATA, "keys.update": update, "groups.show": {**GROUP, "keys": 3}}
    async with on_screen("groups", answers) as (app, pilot):
        await pilot.press("m")
        await until_shown("keys to move into eng", pilot)
        assert "web" not in screen_text(app)
        await pilot.press("enter")
        await until_shown("moved 1 key into eng", pilot)
        body = {"group": "eng", "version": 1}
        assert sent(app, "keys.update") == [("keys.update", ("key_nightly",), body)]


async def test_deleting_wants_the_name_and_says_who_is_in_it() -> None:
    async with on_screen("groups", {**DATA, "groups.delete": {}}) as (_, pilot):
        await pilot.press("D")
        await until_shown("2 keys in it: it is refused", pilot)
        await pilot.press(*"eng", "enter")
        await until_shown("deleted eng", pilot)


# Money


async def pay(letter: str, amount: str, reason: str, app: Any, pilot: Any) -> None:
    await pilot.press("p", letter)
    await until_shown("the balance of eng", pilot)
    await pilot.press(*amount)
    await fill("reason", reason, app, pilot)


@pytest.mark.parametrize(
    ("letter", "kind", "question", "told"),
    [
        ("c", "credit", "Credit $25.00 to the balance of eng?", "credited $25.00 to eng"),
        ("d", "debit", "Debit $25.00 from the balance of eng?", "debited $25.00 from eng"),
        ("r", "refund", "Refund $25.00 to the balance of eng?", "refunded $25.00 to eng"),
        ("a", "adjustment", "Adjust $25.00 to the balance of eng?", "adjusted eng by +$25.00"),
    ],
)
async def test_a_transaction_is_asked_about_and_made_once(
    letter: str, kind: str, question: str, told: str
) -> None:
    amount = "-25.00" if kind == "debit" else "25.00"
    made = transaction(kind, amount, "83.90")
    answers = {**DATA, "group_transactions.create": made, "groups.show": GROUP}
    async with on_screen("groups", answers) as (app, pilot):
        await pay(letter, "25", "invoice 13", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown(question, pilot)
        await until_shown("Only another transaction", pilot)
        await pilot.press("y")
        await until_shown(f"{told}: its balance is $83.90", pilot)
        [(_, names, body)] = sent(app, "group_transactions.create")
        assert names == ("group_eng",)
        assert body.pop("idempotency_key").startswith("tui-")
        assert body == {"kind": kind, "amount": "25.00", "reason": "invoice 13"}


async def test_no_transaction_is_made_without_a_reason_or_a_yes() -> None:
    async with on_screen("groups", DATA) as (app, pilot):
        await pilot.press("p", "c")
        await until_shown("credit the balance of eng", pilot)
        await pilot.press(*"0", "ctrl+s")
        await until_shown("more than nothing is expected", pilot)
        await until_shown("is needed", pilot)
        await fill("amount", "5", app, pilot)
        await fill("reason", "a gift", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("Credit $5.00", pilot)
        await pilot.press("n")
        await until_shown("nothing was sent", pilot)
        assert not sent(app, "group_transactions.create")


async def test_a_try_that_failed_is_made_again_under_the_same_key() -> None:
    tries: list[str] = []

    def create(*_: str, body: Any) -> Any:
        tries.append(body["idempotency_key"])
        if len(tries) == 1:
            raise refusal(503, "the database is away", "unavailable")
        return transaction("credit", "5.00", "63.90")

    answers = {**DATA, "group_transactions.create": create, "groups.show": GROUP}
    async with on_screen("groups", answers) as (app, pilot):
        await pay("c", "5", "top up", app, pilot)
        for shown in ("the database is away", "credited $5.00"):
            await pilot.press("ctrl+s")
            await until_shown("Credit $5.00 to", pilot)
            await pilot.press("y")
            await until_shown(shown, pilot)
        assert len(set(tries)) == 1


async def test_a_debt_is_asked_about_with_the_name_typed() -> None:
    made = transaction("debit", "-80.00", "-21.10")
    answers = {**DATA, "group_transactions.create": made, "groups.show": GROUP}
    async with on_screen("groups", answers) as (app, pilot):
        await pay("d", "80", "chargeback", app, pilot)
        app.screen.query_one("#field-allow_negative").value = True  # type: ignore[attr-defined]
        await pilot.press("ctrl+s")
        await until_shown("It becomes -$21.10", pilot)
        await pilot.press(*"eng", "enter")
        await until_shown("its balance is -$21.10", pilot)
        assert sent(app, "group_transactions.create")[0][2]["allow_negative"] is True


async def test_what_the_gateway_refuses_of_a_balance_stands_in_the_form() -> None:
    refused = refusal(409, "only $58.90 is left", "conflict")
    async with on_screen("groups", {**DATA, "group_transactions.create": refused}) as (app, pilot):
        await pay("d", "80", "chargeback", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("only $58.90 is left", pilot)
        assert app.screen is not app.frame


async def test_the_first_credit_says_that_the_group_is_prepaid_from_then_on() -> None:
    made = transaction("credit", "5.00", "5.00")
    answers = {**DATA, "group_transactions.create": made, "groups.show": GROUP}
    async with on_screen("groups", answers) as (app, pilot):
        assert list_of(app).grid.move_to_key("group_sales")
        await pilot.press("p", "c")
        await until_shown("the balance of sales", pilot)
        await pilot.press(*"5")
        await fill("reason", "begin", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("sales is prepaid", pilot)


async def test_a_refused_master_key_is_shown_in_the_title() -> None:
    refused = AuthenticationFailed("unauthorized", "the master key is not one of this gateway's")
    async with on_screen("groups", {**DATA, "group_transactions.create": refused}) as (app, pilot):
        await pay("c", "5", "top up", app, pilot)
        await pilot.press("ctrl+s")
        await until_shown("Credit $5.00", pilot)
        await pilot.press("y")
        await until_shown("AUTH FAILED", pilot)


@pytest.mark.parametrize(
    "pressed", [["p", "c"], ["p", "d"], ["m"], ["x"], ["a"], ["e"], ["b", "a"]]
)
async def test_without_a_connection_nothing_is_changed_and_the_reason_said(
    pressed: list[str],
) -> None:
    async with on_screen("groups", DATA) as (app, pilot):
        app.store.connectivity.lost("connection refused", 4)
        await pilot.press(*pressed)
        await until_shown("not connected to the gateway", pilot)
        assert app.screen is app.frame


async def test_what_a_budget_is_projected_to_spend_stands_below_it() -> None:
    async with on_screen("groups", DATA, "120x40") as (_, pilot):
        await until_shown("projected $2", pilot)
        await until_shown("by 2026-11-30 23:00:00Z", pilot)
