"""`--budget` of keys and of groups: which of the budgets that there are is meant."""

import pytest

from tests.cli.conftest import Conduit
from tests.cli.fake_gateway import FakeGateway

KINDS = pytest.mark.parametrize("kind", ["key", "group"])


def owner(gateway: FakeGateway, kind: str, *periods: str) -> list[str]:
    """A key or a group called ci, with a budget of 5 USD of each period; their ids."""
    row = gateway.add(f"{kind}s", name="ci", budgets=[])
    scope = {"kind": kind, "id": row["id"]}
    for period in periods:
        row["budgets"].append(gateway.add("budgets", scope=scope, period=period, limit="5.00"))
    return [budget["id"] for budget in row["budgets"]]


def changes(gateway: FakeGateway) -> list[tuple[str, str, object]]:
    seen = [each for each in gateway.seen if each.method != "GET"]
    return [(each.method, each.path.removeprefix("/admin/"), each.body) for each in seen]


@KINDS
@pytest.mark.parametrize("period", ["total", "day", "month"])
def test_the_one_budget_that_there_is_is_changed_whatever_its_period(
    conduit: Conduit, gateway: FakeGateway, kind: str, period: str
) -> None:
    [budget] = owner(gateway, kind, period)
    outcome = conduit(f"{kind}s", "update", "ci", "--budget", "10")
    assert outcome.code == 0
    assert changes(gateway) == [("PATCH", f"budgets/{budget}", {"limit": "10.00"})]
    span = "in total" if period == "total" else f"a {period}"
    assert f"changed the budget of {kind} ci: $5.00 {span}, now $10.00" in outcome.err


@KINDS
def test_a_first_budget_is_made_of_the_period_that_is_said(
    conduit: Conduit, gateway: FakeGateway, kind: str
) -> None:
    owner(gateway, kind)
    outcome = conduit(f"{kind}s", "update", "ci", "--budget", "10")
    assert f"made a budget of {kind} ci: $10.00 in total" in outcome.err
    [(method, path, body)] = changes(gateway)
    assert (method, path) == ("POST", "budgets")
    assert isinstance(body, dict)
    assert (body["period"], body["limit"]) == ("total", "10.00")


@KINDS
def test_another_period_is_another_budget(
    conduit: Conduit, gateway: FakeGateway, kind: str
) -> None:
    owner(gateway, kind, "day")
    outcome = conduit(f"{kind}s", "update", "ci", "--budget", "90", "--period", "month")
    assert f"made a budget of {kind} ci: $90.00 a month" in outcome.err
    assert [method for method, _, _ in changes(gateway)] == ["POST"]


@KINDS
@pytest.mark.parametrize("budget", ["10", "none"])
def test_of_several_budgets_one_has_to_be_named(
    conduit: Conduit, gateway: FakeGateway, kind: str, budget: str
) -> None:
    _, month = owner(gateway, kind, "day", "month")
    rename = ("--name", "new")
    outcome = conduit(f"{kind}s", "update", "ci", "--budget", budget, *rename)
    assert outcome.code == 2
    assert "2 budgets ($5.00 a day; $5.00 a month)" in outcome.err
    assert "--period: day, month" in outcome.err
    assert ("or all" in outcome.err) is (budget == "none")
    assert changes(gateway) == []  # the name is as it was too
    named = conduit(f"{kind}s", "update", "ci", "--budget", budget, "--period", "month")
    assert named.code == 0
    [(method, path, _)] = changes(gateway)
    assert method == ("DELETE" if budget == "none" else "PATCH")
    assert path == f"budgets/{month}"


@KINDS
def test_none_takes_away_the_one_that_there_is(
    conduit: Conduit, gateway: FakeGateway, kind: str
) -> None:
    [budget] = owner(gateway, kind, "month")
    outcome = conduit(f"{kind}s", "update", "ci", "--budget", "none")
    assert outcome.code == 0
    assert f"removed the budget of {kind} ci: $5.00 a month" in outcome.err
    assert changes(gateway) == [("DELETE", f"budgets/{budget}", None)]


@KINDS
def test_all_budgets_are_taken_away_together(
    conduit: Conduit, gateway: FakeGateway, kind: str
) -> None:
    budgets = owner(gateway, kind, "day", "month")
    assert conduit(f"{kind}s", "update", "ci", "--budget", "5", "--period", "all").code == 2
    assert conduit(f"{kind}s", "update", "ci", "--budget", "none", "--period", "all").code == 0
    assert [path for _, path, _ in changes(gateway)] == [f"budgets/{each}" for each in budgets]


@KINDS
def test_where_nothing_is_taken_away_it_is_said(
    conduit: Conduit, gateway: FakeGateway, kind: str
) -> None:
    owner(gateway, kind, "month")
    outcome = conduit(f"{kind}s", "update", "ci", "--budget", "none", "--period", "day")
    assert f"{kind} ci has no such budget" in outcome.err
    assert changes(gateway) == []


@KINDS
def test_two_budgets_of_one_period_are_named_by_their_ids(
    conduit: Conduit, gateway: FakeGateway, kind: str
) -> None:
    ids = owner(gateway, kind, "day", "day")
    outcome = conduit(f"{kind}s", "update", "ci", "--budget", "7", "--period", "day")
    assert outcome.code == 2
    assert ", ".join(ids) in outcome.err
    assert changes(gateway) == []


@KINDS
def test_a_period_means_nothing_by_itself(
    conduit: Conduit, gateway: FakeGateway, kind: str
) -> None:
    owner(gateway, kind, "day")
    for words in (["--period", "month"], ["--budget", "5", "--period", "year"]):
        outcome = conduit(f"{kind}s", "update", "ci", *words)
        assert outcome.code == 2
        assert "--period" in outcome.err
    assert changes(gateway) == []


@KINDS
def test_a_change_of_a_budget_that_is_tried_dry_sends_nothing(
    conduit: Conduit, gateway: FakeGateway, kind: str
) -> None:
    owner(gateway, kind, "day")
    outcome = conduit(f"{kind}s", "update", "ci", "--budget", "10", "--dry-run")
    assert "PATCH /admin/budgets/" in outcome.out
    assert "changed the budget" not in outcome.err
    assert changes(gateway) == []


def test_a_budget_is_made_in_a_time_zone_with_its_key_or_group(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    words = ("--budget", "5", "--period", "day", "--timezone", "Europe/Berlin")
    made = {"limit": "5.00", "period": "day", "timezone": "Europe/Berlin"}
    assert conduit("keys", "create", "ci", *words).code == 0
    assert gateway.requests("POST")[-1].body == {"name": "ci", "budget": made}
    outcome = conduit("groups", "create", "team", *words)
    assert outcome.code == 0
    [(_, _, group), (_, _, budget)] = changes(gateway)[1:]
    assert group == {"name": "team"}
    assert isinstance(budget, dict)
    assert {name: budget[name] for name in made} == made
    assert "$5.00 a day (Europe/Berlin)" in outcome.err
    for noun in ("keys", "groups"):
        sent = len(gateway.requests("POST"))
        refused = conduit(noun, "create", "other", "--timezone", "Europe/Berlin")
        assert refused.code == 2
        assert "--budget" in refused.err
        assert conduit(noun, "create", "other", "--budget", "5", "--period", "year").code == 2
        assert len(gateway.requests("POST")) == sent


def test_a_limit_a_day_is_of_a_time_zone(conduit: Conduit, gateway: FakeGateway) -> None:
    assert conduit("keys", "create", "ci", "--rpd", "5,timezone=Europe/Berlin").code == 0
    limit = {"kind": "rpd", "limit": 5, "timezone": "Europe/Berlin"}
    assert gateway.requests("POST")[-1].body == {"name": "ci", "limits": [limit]}
    shown = {"burst": None, "shadow": False, "on_store_down": "degrade", "remaining": 5}
    gateway.tables["keys"][0]["limits"] = [shown | limit]
    assert "5/5 rpd Europe/Berlin" in conduit("keys", "list", "-o", "wide").out
    for words in (["--rpd", "5,timezone=Mars/Olympus"], ["--rpm", "5,timezone=Europe/Berlin"]):
        refused = conduit("keys", "update", "ci", *words)
        assert refused.code == 2
        assert words[0] in refused.err
