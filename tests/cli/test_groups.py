"""`conduit groups`, and the group of a key."""

import json

import pytest

from tests.cli.conftest import Conduit
from tests.cli.fake_gateway import FakeGateway

PREPAID = {
    "paid_in": "20.00",
    "spent": "8.00",
    "held": "0.00",
    "balance": "12.00",
    "since": "2026-01-31T00:00:00.000Z",
}


def test_groups_are_listed_shown_made_and_deleted(conduit: Conduit, gateway: FakeGateway) -> None:
    row = gateway.add("groups", name="team", prepaid=PREPAID, keys=3)
    assert "team" in conduit("groups", "list").out
    assert json.loads(conduit("groups", "show", "team", "--json").out)["prepaid"] == PREPAID
    assert conduit("groups", "list", "-q").out == f"{row['id']}\n"
    made = conduit(
        *("groups", "create", "crew", "--models", "gpt-*,claude-*", "--rpm", "60,burst=5"),
        *("--description", "the crew", "--prepaid", "-q"),
    )
    assert made.code == 0
    assert gateway.seen[-1].body == {
        "name": "crew",
        "description": "the crew",
        "allowed_models": ["gpt-*", "claude-*"],
        "limits": [{"kind": "rpm", "limit": 60, "burst": 5}],
        "prepaid": True,
    }
    assert made.out.startswith("grp_")
    assert conduit("groups", "delete", "team", "--yes").code == 0
    assert [each["name"] for each in gateway.tables["groups"]] == ["crew"]
    assert conduit("groups", "show", "team").code == 5


def test_a_group_is_given_a_budget_with_its_making(conduit: Conduit, gateway: FakeGateway) -> None:
    assert conduit("groups", "create", "team", "--budget", "50", "--period", "month").code == 0
    (group,) = gateway.tables["groups"]
    bodies = [seen.body for seen in gateway.requests("POST")]
    assert bodies[1] == {
        "scope": {"kind": "group", "id": group["id"]},
        "period": "month",
        "limit": "50.00",
    }
    gateway.seen.clear()
    assert conduit("groups", "create", "other", "--budget", "much").code == 2
    assert not gateway.seen


def test_a_group_is_changed_in_what_is_named_alone(conduit: Conduit, gateway: FakeGateway) -> None:
    told = {"burst": None, "shadow": False, "timezone": "UTC", "on_store_down": "closed"}
    limit = {"kind": "rpm", "limit": 60, **told}
    now = {"remaining": 60, "exceeded": 0}
    gateway.add("groups", name="team", limits=[{**limit, **now}])
    assert conduit("groups", "update", "team").code == 2
    assert conduit("groups", "update", "team", "--tpm", "1000", "--description", "x").code == 0
    assert gateway.requests("PATCH")[-1].body == {
        "description": "x",
        "limits": [limit, {"kind": "tpm", "limit": 1000}],
        "version": 1,
    }
    assert conduit("groups", "disable", "team").code == 0
    assert gateway.requests("PATCH")[-1].body == {"enabled": False}
    dry = conduit("groups", "update", "team", "--name", "crew", "--dry-run")
    assert "PATCH /admin/groups/" in dry.out
    assert len(gateway.requests("PATCH")) == 2


def test_a_group_is_bound_to_addresses_and_freed_again(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    assert conduit("groups", "create", "team", "--ips", "203.0.113.7,10.0.0.0/8").code == 0
    assert gateway.requests("POST")[-1].body["allowed_ips"] == ["203.0.113.7", "10.0.0.0/8"]
    assert "10.0.0.0/8" in conduit("groups", "show", "team", "-o", "table").out
    assert conduit("groups", "update", "team", "--ips", "any").code == 0
    assert gateway.requests("PATCH")[-1].body == {"allowed_ips": []}


@pytest.mark.parametrize(
    ("words", "body", "said"),
    [
        (("credit", "team", "50"), {"kind": "credit"}, "credited $50.00 to group team"),
        (("refund", "team", "50"), {"kind": "refund"}, "refunded $50.00 to group team"),
        (
            ("debit", "team", "50", "--allow-negative"),
            {"kind": "debit", "allow_negative": True},
            "debited $50.00 from group team",
        ),
        (
            ("adjust", "team", "50", "--minus"),
            {"kind": "adjustment", "negative": True},
            "adjusted group team by $50.00",
        ),
    ],
)
def test_a_balance_is_changed(
    conduit: Conduit, gateway: FakeGateway, words: tuple[str, ...], body: object, said: str
) -> None:
    group = gateway.add("groups", name="team")
    outcome = conduit("groups", *words, "--reason", "invoice 7", "--idempotency-key", "i7")
    assert outcome.code == 0
    seen = gateway.requests("POST")[-1]
    assert seen.path == f"/admin/groups/{group['id']}/transactions"
    common = {"amount": "50.00", "reason": "invoice 7", "idempotency_key": "i7"}
    assert seen.body == {**common, **body}  # type: ignore[dict-item]
    assert f"{said}: its balance is $12.00" in outcome.err


def test_each_transaction_has_a_key_of_its_own(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.add("groups", name="team")
    for _ in range(2):
        assert conduit("groups", "credit", "team", "1", "-q").out.startswith("gtx_")
    first, second = (seen.body["idempotency_key"] for seen in gateway.requests("POST"))
    assert first != second
    assert conduit("groups", "credit", "team", "-q", "--", "-1").code == 2
    assert conduit("groups", "credit", "team", "lots").code == 2
    assert conduit("groups", "credit", "nobody", "1").code == 5
    assert len(gateway.requests("POST")) == 2


def test_transactions_members_and_usage_of_a_group(conduit: Conduit, gateway: FakeGateway) -> None:
    group = gateway.add("groups", name="team")
    gateway.add(
        "group_transactions", kind="credit", amount="5.00", reason="why", idempotency_key=None
    )
    rows = json.loads(conduit("groups", "transactions", "team", "--json").out)["data"]
    assert [row["reason"] for row in rows] == ["why"]
    gateway.add("keys", name="ci", group="team")
    assert "ci" in conduit("groups", "members", "team").out
    assert gateway.seen[-1].query["group"] == [group["id"]]
    assert conduit("groups", "usage", "team", "--by", "model", "--since", "ever").code == 0
    assert gateway.seen[-1].query == {"by": ["model"], "group": [group["id"]], "most": ["20000"]}
    assert conduit("groups", "usage", "team", "--by", "colour").code == 2


def test_a_key_comes_into_a_group_and_leaves_it(conduit: Conduit, gateway: FakeGateway) -> None:
    group = gateway.add("groups", name="team")
    assert conduit("keys", "create", "ci", "--group", "team").code == 0
    assert gateway.requests("POST")[-1].body == {"name": "ci", "group": "team"}
    conduit("keys", "update", "ci", "--group", "none")
    assert gateway.requests("PATCH")[-1].body == {"group": None}
    conduit("keys", "update", "ci", "--group", "team")
    assert gateway.requests("PATCH")[-1].body == {"group": "team"}
    conduit("keys", "list", "--group", "team")
    assert gateway.seen[-1].query["group"] == [group["id"]]
    assert conduit("keys", "list", "--group", "none").code == 5


def test_records_and_sums_are_of_a_group(conduit: Conduit, gateway: FakeGateway) -> None:
    conduit("logs", "list", "--group", "team")
    assert gateway.seen[-1].query["filter"] == ["group:team"]
    group = gateway.add("groups", name="team")
    conduit("usage", "--by", "group", "--group", "team", "--since", "ever")
    assert gateway.seen[-1].query == {"by": ["group"], "group": [group["id"]], "most": ["20000"]}
    conduit("usage", "--group", "gone-group", "--since", "ever")
    assert gateway.seen[-1].query == {"group": ["gone-group"]}


def test_a_budget_is_for_a_group(conduit: Conduit, gateway: FakeGateway) -> None:
    assert conduit("budgets", "create", "--scope", "group:team", "--limit", "5").code == 0
    assert gateway.requests("POST")[-1].body["scope"] == {"kind": "group", "id": "team"}
    gateway.tables["budgets"][0]["scope_name"] = "team"
    assert json.loads(conduit("budgets", "show", "group:team", "--json").out)["limit"] == "5.00"
    assert conduit("budgets", "create", "--scope", "team", "--limit", "5").code == 2
