"""Groups and their balances through the admin API."""

from collections.abc import Mapping
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.gateway.keys.keyring import Keyring
from conduit.gateway.ledger.local import LocalLedger
from tests import postgresql
from tests.gateway.admin.calls import AdminApi

PATH = "/admin/groups"
TRANSACTIONS = PATH + "/team/transactions"


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def transact(api: AdminApi, sort: str, amount: str, **fields: object) -> Any:
    return await api.post(TRANSACTIONS, {"kind": sort, "amount": amount, **fields})


async def balance(api: AdminApi) -> str:
    return str((await api.get(f"{PATH}/team")).body["prepaid"]["balance"])


async def test_a_group_is_made_shown_changed_and_deleted(
    api: AdminApi, published: list[tuple[EventKind, Mapping[str, Any]]]
) -> None:
    limits = [{"kind": "rpm", "limit": 60}]
    made = await api.made(PATH, {"name": "team", "allowed_models": ["gpt-*"], "limits": limits})
    assert (made["description"], made["enabled"], made["keys"]) == ("", True, 0)
    assert (made["prepaid"], made["budgets"]) == (None, [])
    assert made["limits"][0]["remaining"] == 60
    assert (await api.get(f"{PATH}/{made['id']}")).body == made
    assert await api.listed(PATH) == [made]
    answer = await api.patch(f"{PATH}/team", {"name": "crew", "description": "x", "version": 1})
    assert (answer.status, answer.body["version"]) == (200, 2)
    assert (await api.patch(f"{PATH}/crew", {"enabled": False, "version": 1})).status == 409
    assert (await api.delete(f"{PATH}/crew")).status == 204
    assert (await api.get(f"{PATH}/{made['id']}")).status == 404
    assert (await api.post(PATH, {"name": "crew"})).status == 201  # the name is free again
    kinds = [kind for kind, _ in published]
    assert kinds == ["group.created", "group.updated", "group.deleted", "group.created"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "team"}, 409),
        ({"name": "a b"}, 422),
        ({"name": "x", "limits": [{"kind": "rpm", "limit": 0}]}, 422),
        ({"name": "x", "budget": {"limit": "5"}}, 422),
    ],
)
async def test_what_cannot_be_a_group_is_refused(
    api: AdminApi, body: dict[str, object], status: int
) -> None:
    await api.made(PATH, {"name": "team"})
    assert (await api.post(PATH, body)).status == status
    assert len(await api.listed(PATH)) == 1


async def test_keys_come_into_a_group_and_leave_it(api: AdminApi, keyring: Keyring) -> None:
    made = await api.made(PATH, {"name": "team", "allowed_models": ["gpt-*"]})
    key = await api.made("/admin/keys", {"name": "ci", "group": "team"})
    await api.made("/admin/keys", {"name": "other"})
    assert (key["group"], key["group_id"]) == ("team", made["id"])
    assert [each["name"] for each in await api.listed("/admin/keys?group=team")] == ["ci"]
    assert (await api.get("/admin/keys?group=none")).status == 404
    grant = await keyring.find(key["secret"])
    assert grant is not None
    assert grant.group is not None
    assert grant.group.allowed_models == ("gpt-*",)
    assert (await api.get(f"{PATH}/team")).body["keys"] == 1
    refused = await api.delete(f"{PATH}/team")
    assert (refused.status, refused.body["error"]["code"]) == (409, "conflict")
    assert "1 key of the group team" in refused.body["error"]["message"]
    await api.patch(f"{PATH}/team", {"enabled": False})
    grant = await keyring.find(key["secret"])  # what was remembered of it is forgotten
    assert grant is not None
    assert grant.group is not None
    assert not grant.group.enabled
    left = await api.patch("/admin/keys/ci", {"group": None})
    assert (left.body["group"], left.body["group_id"]) == (None, None)
    assert (await keyring.find(key["secret"])).group is None  # type: ignore[union-attr]
    answer = await api.patch("/admin/keys/ci", {"group": "none"})
    assert (answer.status, answer.body["error"]["message"]) == (
        422,
        "group: there is no group none",
    )
    assert (await api.delete(f"{PATH}/team")).status == 204


async def test_a_hard_budget_of_the_group_counts_for_its_keys(
    api: AdminApi, keyring: Keyring
) -> None:
    await api.made(PATH, {"name": "team"})
    key = await api.made("/admin/keys", {"name": "ci", "group": "team"})
    assert not (await keyring.find(key["secret"])).has_hard_budget  # type: ignore[union-attr]
    scope = {"kind": "group", "id": "team"}
    budget = await api.made("/admin/budgets", {"scope": scope, "limit": "5", "period": "month"})
    assert budget["scope_name"] == "team"
    assert (await keyring.find(key["secret"])).has_hard_budget  # type: ignore[union-attr]
    shown = (await api.get(f"{PATH}/team")).body["budgets"]
    assert [each["id"] for each in shown] == [budget["id"]]
    assert (await api.get("/admin/keys/ci")).body["budgets"] == []
    await api.delete(f"/admin/budgets/{budget['id']}")
    assert not (await keyring.find(key["secret"])).has_hard_budget  # type: ignore[union-attr]
    missing = {"scope": {"kind": "group", "id": "none"}, "limit": "5"}
    assert (await api.post("/admin/budgets", missing)).status == 422


async def test_transactions_add_up_and_tell_who_and_why(
    api: AdminApi, published: list[tuple[EventKind, Mapping[str, Any]]], keyring: Keyring
) -> None:
    made = await api.made(PATH, {"name": "team"})
    key = await api.made("/admin/keys", {"name": "ci", "group": "team"})
    assert not (await keyring.find(key["secret"])).has_hard_budget  # type: ignore[union-attr]
    answer = await transact(api, "credit", "50", reason="invoice 7")
    assert answer.status == 201
    first = answer.body
    assert (first["kind"], first["amount"], first["balance"]) == ("credit", "50.00", "50.00")
    assert (first["actor"], first["reason"]) == ("master key", "invoice 7")
    assert first["address"] == "127.0.0.1"
    assert (await keyring.find(key["secret"])).has_hard_budget  # type: ignore[union-attr]
    for kind, amount, more, left in (
        ("debit", "20", {}, "30.00"),
        ("refund", "0.000000001", {}, "30.000000001"),
        ("adjustment", "1", {}, "31.000000001"),
        ("adjustment", "1.000000001", {"negative": True}, "30.00"),
    ):
        assert (await transact(api, kind, amount, **more)).body["balance"] == left
    told = await api.listed(TRANSACTIONS)
    assert told[-1] == first
    assert [each["amount"] for each in told] == [
        "-1.000000001",
        "1.00",
        "0.000000001",
        "-20.00",
        "50.00",
    ]
    page = (await api.get(f"{TRANSACTIONS}?limit=2")).body
    rest = (await api.get(f"{TRANSACTIONS}?limit=5&cursor={page['next_cursor']}")).body
    assert [*page["data"], *rest["data"]] == told
    assert await balance(api) == "30.00"
    # The balance is no budget that somebody could change or reset.
    assert await api.listed("/admin/budgets") == []
    kind, facts = published[-1]
    assert kind == EventKind.GROUP_BALANCE_CHANGED
    assert (facts["id"], facts["amount_nanodollars"]) == (made["id"], -1_000_000_001)
    (newest, *_) = await api.listed("/admin/config/revisions")
    shown = (await api.get(f"/admin/config/revisions/{newest['revision']}")).body
    assert (newest["kind"], newest["name"]) == ("group", "team")
    assert shown["changes"][0]["note"] == "adjustment"


async def test_what_would_leave_less_than_nothing_is_refused_unless_said_so(
    api: AdminApi,
) -> None:
    await api.made(PATH, {"name": "team", "prepaid": True})
    assert await balance(api) == "0.00"
    await transact(api, "credit", "5")
    for kind, more in (("debit", {}), ("adjustment", {"negative": True})):
        refused = await transact(api, kind, "5.01", **more)
        assert (refused.status, refused.body["error"]["code"]) == (409, "conflict")
        assert "$5.00" in refused.body["error"]["message"]
    assert await balance(api) == "5.00"
    made = await transact(api, "debit", "7", allow_negative=True)
    assert (made.status, made.body["balance"]) == (201, "-2.00")
    assert await balance(api) == "-2.00"
    assert (await api.listed(TRANSACTIONS))[0]["balance"] == "-2.00"


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "credit", "amount": "0"},
        {"kind": "credit", "amount": "-5"},
        {"kind": "credit", "amount": "5", "negative": True},
        {"kind": "gift", "amount": "5"},
        {"kind": "credit", "amount": "9999999999"},
        {"kind": "credit", "amount": "5", "reason": "x" * 501},
        {"kind": "credit"},
    ],
)
async def test_what_is_no_transaction_is_refused(api: AdminApi, body: dict[str, object]) -> None:
    await api.made(PATH, {"name": "team"})
    assert (await api.post(TRANSACTIONS, body)).status == 422
    assert await api.listed(TRANSACTIONS) == []
    assert (await api.get(f"{PATH}/team")).body["prepaid"] is None


async def test_more_than_can_be_counted_is_refused(api: AdminApi) -> None:
    await api.made(PATH, {"name": "team"})
    most = "9223372036.854775807"
    assert (await transact(api, "credit", most)).status == 201
    refused = await transact(api, "credit", "0.000000001")
    assert refused.status == 422
    assert refused.body["error"]["message"].startswith("amount: ")


async def test_a_transaction_is_made_once_under_its_key(api: AdminApi) -> None:
    await api.made(PATH, {"name": "team"})
    first = (await transact(api, "credit", "5", idempotency_key="invoice-7")).body
    again = await transact(api, "credit", "5", idempotency_key="invoice-7")
    assert again.body == first
    other = await transact(api, "credit", "6", idempotency_key="invoice-7")
    assert other.status == 409
    assert other.body["error"]["message"].startswith("idempotency_key: ")
    assert await balance(api) == "5.00"
    assert len(await api.listed(TRANSACTIONS)) == 1


async def test_a_transaction_that_cannot_be_stored_is_not_enforced(
    api: AdminApi, ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await api.made(PATH, {"name": "team"})
    await transact(api, "credit", "5")

    async def fail(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("conduit.gateway.storage.group_transactions.insert", fail)
    assert (await transact(api, "debit", "4")).status == 500
    assert ledger.affordable("key_x", group_id=made["id"]) == 5 * 10**9
    assert await balance(api) == "5.00"


async def test_a_group_that_was_renamed_is_called_so_by_the_ledger(
    api: AdminApi, ledger: LocalLedger
) -> None:
    made = await api.made(PATH, {"name": "team", "prepaid": True})
    await api.patch(f"{PATH}/team", {"name": "crew"})
    spent = ledger.exhausted("key_x", made["id"])
    assert spent is not None
    assert spent.spent_up == 'the prepaid balance of group "crew" is used up'
