"""What an operator does to keys and budgets from the command line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conduit.core.keys import digest_of, make_virtual_key
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import AT, VIRTUAL_KEY, FakeGateway


def test_a_rotation_prints_nothing_but_the_new_secret_when_told_so(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.add("keys", name="ci")
    outcome = shell("keys", "rotate", "ci", "--grace", "24h", "-q")
    assert outcome.out == f"{VIRTUAL_KEY}\n"
    assert outcome.err == ""
    assert gateway.seen[-1].body == {"grace_s": 86_400}


def test_a_rotation_says_until_when_the_former_secret_is_good(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("keys", name="ci")
    outcome = conduit("keys", "rotate", "ci", "--grace", "24h")
    assert outcome.out.count(VIRTUAL_KEY) == 1
    assert "the former secret is good until 2026-11-20 12:00:00Z" in outcome.err
    at_once = conduit("keys", "rotate", "ci")
    assert gateway.requests("POST")[-1].body == {"grace_s": 0}
    assert "the former secret has ended" in at_once.err
    assert json.loads(conduit("keys", "rotate", "ci", "--json").out)["secret"] == VIRTUAL_KEY


def test_a_rotated_secret_goes_to_a_private_file(
    conduit: Conduit, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.add("keys", name="ci")
    path = tmp_path / "key"
    outcome = conduit("keys", "rotate", "ci", "--out", str(path))
    assert path.read_text() == f"{VIRTUAL_KEY}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert VIRTUAL_KEY not in outcome.out + outcome.err
    sent = len(gateway.requests("POST"))
    assert conduit("keys", "rotate", "ci", "--out", str(path)).code == 2
    assert len(gateway.requests("POST")) == sent


def test_a_rotation_that_is_tried_dry_sends_nothing(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.add("keys", name="ci")
    outcome = conduit("keys", "rotate", "ci", "--grace", "1h", "--dry-run")
    assert outcome.out.startswith("POST /admin/keys/key_")
    assert '"grace_s": 3600' in outcome.out
    assert gateway.requests("POST") == []
    assert conduit("keys", "rotate", "ci", "--grace", "10ms").code == 2


def test_keys_are_chosen_by_expiry_and_by_budget(conduit: Conduit, gateway: FakeGateway) -> None:
    wanted = ("--unused", "30d", "--tag", "team=a", "--tag", "env")
    conduit("keys", "list", "--expiring", "7d", "--over-budget", *wanted)
    query = gateway.seen[-1].query
    assert query["unused_since"][0].endswith("Z")
    assert query["tags"] == ["team=a,env"]
    assert conduit("keys", "list", "--tag", "=a").code == 2
    assert conduit("keys", "list", "--tag", "a=b,c=d").code == 2
    [now], [end] = query["expires_after"], query["expires_before"]
    assert datetime.fromisoformat(end) - datetime.fromisoformat(now) > timedelta(days=6.99)
    assert abs(datetime.fromisoformat(now) - datetime.now(UTC)) < timedelta(minutes=5)
    assert query["over_budget"] == ["true"]
    conduit("keys", "list")
    assert not {"expires_before", "expires_after", "over_budget"} & set(gateway.seen[-1].query)


def test_tags_and_metadata_are_given_and_replaced(conduit: Conduit, gateway: FakeGateway) -> None:
    metadata = ("--metadata", '{"owner": "Ada"}')
    conduit("keys", "create", "ci", "--tags", "team=a, env=ci", *metadata)
    body = gateway.seen[-1].body
    assert (body["tags"], body["metadata"]) == ({"team": "a", "env": "ci"}, {"owner": "Ada"})
    conduit("keys", "update", "ci", "--tags", "none")
    [patch] = gateway.requests("PATCH")
    assert patch.body == {"tags": {}}
    for wrong in (("--tags", "team"), ("--tags", "=a"), ("--metadata", "[1]"), ("--metadata", "x")):
        assert conduit("keys", "create", "no", *wrong).code == 2, wrong
    table = conduit("keys", "list", "-o", "wide").out
    assert "TAGS" in table


def test_a_filter_chooses_the_keys_that_are_disabled(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    for name in ("ci-1", "ci-2", "prod"):
        gateway.add("keys", name=name)
    refused = conduit("keys", "disable", "--filter", "name:ci-*")
    assert refused.code == 2
    assert gateway.requests("PATCH") == []
    outcome = conduit("keys", "disable", "--filter", "name:ci-*", "--yes", "--json")
    assert outcome.code == 0
    assert [row["name"] for row in json.loads(outcome.out)["data"]] == ["ci-1", "ci-2"]
    assert [row["enabled"] for row in gateway.tables["keys"]] == [False, False, True]


@pytest.mark.parametrize("verb", [["enable"], ["disable"], ["delete", "--yes"]])
def test_some_of_several_keys_that_fail_make_a_partial_success(
    conduit: Conduit, gateway: FakeGateway, verb: list[str]
) -> None:
    gateway.add("keys", name="one")
    gateway.add("keys", name="two")
    outcome = conduit("keys", *verb, "one", "missing", "two")
    assert outcome.code == 8
    assert "error: missing: " in outcome.err
    assert "1 of 3 failed" in outcome.err


def test_usage_is_a_row_for_each_group_and_the_total_is_told(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("keys", name="ci")
    outcome = conduit("keys", "usage", "ci", "--since", "30d", "--by", "model")
    assert outcome.out == "gpt-4o\t3\t1000\t0\t204\t0\t0.0041\t0.0041\t4\t1\n"
    assert "ci: 3 requests sent, $0.0041 in all" in outcome.err
    query = gateway.seen[-1].query
    assert query["by"] == ["model"]
    assert "since" in query
    whole = conduit("keys", "usage", "ci", "--since", "ever")
    assert whole.out.startswith("ci\t3\t1000\t")
    assert "since" not in gateway.seen[-1].query
    assert json.loads(conduit("keys", "usage", "ci", "--json").out)["total"]["cost"] == "0.0041"
    assert conduit("keys", "usage", "ci", "--by", "colour").code == 2


def test_usage_ends_where_it_is_told_to(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.add("keys", name="ci")
    until = "2026-11-20T00:00:00Z"
    assert conduit("keys", "usage", "ci", "--since", "ever", "--until", until).code == 0
    assert gateway.seen[-1].query == {"until": [until]}
    assert conduit("keys", "usage", "ci", "--until", "soon").code == 2


def test_what_keys_have_spent_is_reset_once_that_is_confirmed(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    budget = gateway.add("budgets", scope={"kind": "key", "id": "k"}, limit="5.00")
    gateway.add("keys", name="ci", budgets=[budget])
    gateway.add("keys", name="free")
    refused = conduit("keys", "reset-spend", "ci")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert budget["spent"] == "1.25"
    outcome = conduit("keys", "reset-spend", "ci", "--yes")
    assert outcome.code == 0
    assert "$1.25 of $5.00 is spent no more" in outcome.err
    assert budget["spent"] == "0.00"
    none = conduit("keys", "reset-spend", "free", "--yes")
    assert none.code == 2
    assert "has no budget" in none.err


def test_a_budget_is_made_shown_changed_reset_and_deleted(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    flags = ("--scope", "key:ci", "--limit", "50", "--period", "total", "--mode", "hard")
    assert conduit("budgets", "create", *flags).code == 0
    assert gateway.seen[-1].body == {
        "scope": {"kind": "key", "id": "ci"},
        "period": "total",
        "limit": "50.00",
        "mode": "hard",
    }
    budget = gateway.tables["budgets"][0]
    assert conduit("budgets", "show", budget["id"], "-q").out == f"{budget['id']}\n"
    conduit("budgets", "update", budget["id"], "--limit", "60", "--mode", "soft")
    assert gateway.requests("PATCH")[-1].body == {"limit": "60.00", "mode": "soft"}
    reset = conduit("budgets", "reset-spend", budget["id"], "--yes")
    assert reset.code == 0
    assert "$1.25 of budget" in reset.err
    assert conduit("budgets", "delete", budget["id"], "--yes").code == 0
    assert gateway.tables["budgets"] == []


def test_a_key_is_checked_by_its_digest_and_never_printed(
    shell: Shell, gateway: FakeGateway
) -> None:
    row = gateway.add("keys", name="ci")
    outcome = shell("keys", "check", "--key-stdin", "--json", stdin=VIRTUAL_KEY)
    assert outcome.code == 0
    assert json.loads(outcome.out)["name"] == "ci"
    assert gateway.seen[-1].body == {"digest": digest_of(VIRTUAL_KEY).hex()}
    row["state"] = "disabled"
    disabled = shell("keys", "check", "--key-stdin", stdin=VIRTUAL_KEY)
    assert disabled.code == 9
    assert "it is disabled" in disabled.err
    for each in (outcome, disabled):
        assert VIRTUAL_KEY not in each.out + each.err


def test_a_key_that_is_none_is_found_out_without_a_gateway(
    lonely_shell: Shell, shell: Shell, gateway: FakeGateway
) -> None:
    mistyped = VIRTUAL_KEY[:-1] + ("A" if VIRTUAL_KEY[-1] != "A" else "B")
    wrong = lonely_shell("keys", "check", "--key-stdin", stdin=mistyped)
    assert wrong.code == 9
    assert "checksum" in wrong.err
    assert mistyped not in wrong.out + wrong.err
    offline = lonely_shell("keys", "check", "--offline", "--key-stdin", stdin=VIRTUAL_KEY)
    assert offline.code == 0
    foreign = shell("keys", "check", "--key-stdin", stdin=make_virtual_key())
    assert foreign.code == 9
    assert "knows no such key" in foreign.err
    assert lonely_shell("keys", "check").code == 2
    piped = lonely_shell("keys", "check", "-", "--offline", stdin=VIRTUAL_KEY)
    assert (piped.code, "can be seen" in piped.err) == (0, False)
    given = lonely_shell("keys", "check", VIRTUAL_KEY, "--offline")
    assert (given.code, "can be seen by others" in given.err) == (0, True)
    assert VIRTUAL_KEY not in given.out + given.err
    assert lonely_shell("keys", "check", VIRTUAL_KEY, "--key-env", "X").code == 2


def test_a_former_end_is_a_time(gateway: FakeGateway, conduit: Conduit) -> None:
    gateway.add("keys", name="ci", former_expires_at=AT)
    assert json.loads(conduit("keys", "show", "ci", "--json").out)["former_expires_at"] == AT


def test_a_budget_is_named_by_its_key_where_that_has_one_alone(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    for number, name in enumerate(("ci", "web", "web")):
        scope = {"kind": "key", "id": f"key_{number}"}
        gateway.add("budgets", scope=scope, scope_name=name, limit="5.00")
    shown = json.loads(conduit("budgets", "show", "key:ci", "--json").out)
    assert shown["scope_name"] == "ci"
    assert conduit("budgets", "show", "key:web").code == 2
    assert conduit("budgets", "show", "key:nobody").code == 5
    assert conduit("budgets", "delete", "key:ci", "--yes").code == 0
    assert [row["scope_name"] for row in gateway.tables["budgets"]] == ["web", "web"]
    assert conduit("budgets", "list", "-o", "table").out.count("key:web") == 2
    piped = conduit("budgets", "list", "-o", "tsv").out.splitlines()
    assert [line.split("\t")[:2] for line in piped] == [["web", "key"], ["web", "key"]]
    assert conduit("budgets", "list", "-o", "csv").out.startswith("scope_name,scope.kind,period,")


def test_a_key_gets_and_loses_leave_to_name_providers(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    assert conduit("keys", "create", "ci", "--direct").code == 0
    assert gateway.requests("POST")[-1].body == {"name": "ci", "allow_direct": True}
    assert "DIRECT" in conduit("keys", "list", "-o", "wide").out
    assert conduit("keys", "update", "ci", "--no-direct").code == 0
    assert gateway.requests("PATCH")[-1].body == {"allow_direct": False}


def test_rate_limits_are_given_and_taken_away_one_by_one(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    made = conduit("keys", "create", "ci", "--rpm", "600,burst=20", "--tpd", "9000,shadow")
    assert made.code == 0
    given = [
        {"kind": "rpm", "limit": 600, "burst": 20},
        {"kind": "tpd", "limit": 9000, "shadow": True},
    ]
    assert gateway.requests("POST")[-1].body == {"name": "ci", "limits": given}
    told = {"shadow": False, "timezone": "UTC", "on_store_down": "degrade"}
    usual = {"burst": None, **told, "remaining": 600, "exceeded": 0}
    gateway.tables["keys"][0]["limits"] = [usual | each for each in given]
    shown = conduit("keys", "list", "-o", "wide").out
    assert "600/600 rpm burst 20, 600/9,000 tpd shadow" in shown
    assert conduit("keys", "update", "ci", "--tpd", "none", "--concurrent", "4").code == 0
    assert gateway.requests("PATCH")[-1].body == {
        "limits": [
            {"kind": "rpm", "limit": 600, "burst": 20, **told},
            {"kind": "concurrent", "limit": 4},
        ],
        "version": 1,
    }


@pytest.mark.parametrize("text", ["0", "-1", "many", "60,burst", "60,burst=0", "60,fast", ""])
def test_a_rate_limit_that_is_none_is_told(conduit: Conduit, text: str) -> None:
    outcome = conduit("keys", "create", "ci", f"--rpm={text}")
    assert outcome.code == 2
    assert "--rpm" in outcome.err


def test_a_key_gets_and_loses_priority(conduit: Conduit, gateway: FakeGateway) -> None:
    assert conduit("keys", "create", "ci", "--priority").code == 0
    assert gateway.requests("POST")[-1].body == {"name": "ci", "priority": True}
    assert "PRIORITY" in conduit("keys", "list", "-o", "wide").out
    assert "priority" in conduit("keys", "show", "ci", "-o", "table").out
    assert conduit("keys", "update", "ci", "--no-priority").code == 0
    assert gateway.requests("PATCH")[-1].body == {"priority": False}


def test_a_key_is_bound_to_addresses_and_freed_again(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    assert conduit("keys", "create", "ci", "--ips", "203.0.113.7,10.0.0.0/8").code == 0
    assert gateway.requests("POST")[-1].body["allowed_ips"] == ["203.0.113.7", "10.0.0.0/8"]
    assert conduit("keys", "update", "ci", "--ips", "any").code == 0
    assert gateway.requests("PATCH")[-1].body == {"allowed_ips": []}


def test_what_a_budget_is_projected_to_spend_is_said_beside_the_record(
    conduit: Conduit, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_of_november_ms = 1_794_787_200_000  # 2026-11-16T00:00:00Z
    monkeypatch.setattr("conduit.cli.allowances.now_ms", lambda: half_of_november_ms)
    month = {"period": "month", "period_start": "2026-11-01T00:00:00Z", "timezone": "UTC"}
    budget = {"limit": "50.00", "spent": "41.00", "held": "0.00", "mode": "hard", **month}
    scope = {"kind": "key", "id": "key_1"}
    budget = gateway.add("budgets", name="b", scope=scope, scope_name="ci", **budget)
    gateway.add("keys", name="ci", budgets=[budget])
    gateway.add("groups", name="eng", budgets=[budget], prepaid=None)
    said = "budget of $50.00: projected $82.00 by 2026-12-01 00:00:00Z"
    for words in (("keys", "show", "ci"), ("groups", "show", "eng")):
        assert said in conduit(*words).err
        assert said not in conduit(*words).out
        assert conduit(*words, "-q").err == ""
    assert said in conduit("budgets", "show", budget["id"]).err
