"""Health of providers, breakers by hand, and draining, from the command line."""

import csv
import json
from typing import Any

import pytest

from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import AT, FakeGateway


@pytest.fixture
def deployments(gateway: FakeGateway) -> list[dict[str, Any]]:
    """A closed breaker and an open one."""
    return [
        gateway.add("deployments", in_flight=2, cap=4),
        gateway.add(
            *("deployments",),
            provider="azure",
            model="a/b",
            state="breaker_open",
            reason="its breaker is open",
            until=AT,
            breaker="open",
            opened_in_a_row=2,
            last_error="upstream_error",
        ),
    ]


def change(gateway: FakeGateway, **fields: Any) -> dict[str, Any]:
    usual = {"at": AT, "provider": "azure", "model": "a/b", "credential": "default"}
    ends = {"before": "closed", "after": "open", "reason": "upstream_error", "until": AT}
    return gateway.add("history", **{**usual, **ends, **fields})


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("degraded", 0), ("down", 9)])
def test_a_summary_is_a_check_where_that_is_asked(
    conduit: Conduit, gateway: FakeGateway, status: str, code: int
) -> None:
    gateway.answers["health"] = summary = {
        "status": status,
        "deployments": 2,
        "ready": 1,
        "by_state": {"breaker_open": 1, "ready": 1},
        "in_flight": 3,
        "retries": 0,
        "waiting": 0,
        "aliases_down": ["fast"] if status == "down" else [],
    }
    outcome = conduit("health", "summary", "--check", "--json")
    assert (outcome.code, json.loads(outcome.out)) == (code, summary)
    plain = conduit("health", "summary", "-o", "table")
    assert plain.code == 0
    assert "1 breaker_open, 1 ready" in plain.out
    assert ("nothing serves fast" in plain.err) is (status == "down")


def test_targets_are_listed_with_their_health(
    shell: Shell, conduit: Conduit, deployments: list[dict[str, Any]]
) -> None:
    table = shell("health", "providers", CONDUIT_FORCE_TTY="200", NO_COLOR="1").out
    first, second = table.splitlines()[1:]
    for part in ("openai/gpt-4o", "ready", "2/4", "310ms", "88.2"):
        assert part in first
    assert "azure/a/b" in second
    assert "breaker_open" in second
    one = conduit("health", "providers", "--provider", "azure", "--json")
    assert json.loads(one.out)["data"] == [deployments[1]]


def test_breakers_that_are_closed_are_shown_with_all(
    conduit: Conduit, deployments: list[dict[str, Any]]
) -> None:
    assert conduit("health", "breakers", "-q").out == "azure\n"
    assert conduit("health", "breakers", "--all", "-q").out == "openai\nazure\n"
    assert conduit("breakers", "list", "-q").out == "openai\nazure\n"
    deployments[1]["breaker"] = "closed"
    assert "every breaker is closed" in conduit("health", "breakers", "-o", "table").err


def test_what_has_changed_is_listed(conduit: Conduit, gateway: FakeGateway) -> None:
    row = change(gateway)
    change(gateway, provider="other", model=None)
    shown = conduit("health", "history", "--since", "1h", "--provider", "azure", "--json")
    assert json.loads(shown.out)["data"] == [row]
    assert gateway.seen[-1].query["since"][0].endswith("Z")
    table = conduit("health", "history", "-o", "wide").out
    assert "azure/a/b" in table
    assert "upstream_error" in table


def test_a_breaker_is_opened_once_that_is_confirmed(
    conduit: Conduit, gateway: FakeGateway, deployments: list[dict[str, Any]]
) -> None:
    order = ("breakers", "open", "openai", "--for", "5m")
    assert conduit(*order).code == 2  # nobody can be asked
    assert deployments[0]["breaker"] == "closed"
    outcome = conduit(*order, "--yes")
    assert outcome.code == 0
    assert gateway.seen[-1].body == {"provider": "openai", "for_s": 300.0}
    assert deployments[0]["breaker"] == "open"
    assert "nothing is sent to openai for 5m (1 target)" in outcome.err
    assert "conduit breakers close openai" in outcome.err


@pytest.mark.parametrize("name", ["close", "reset"])
def test_a_breaker_is_closed_and_reset_by_model_and_credential(
    conduit: Conduit, gateway: FakeGateway, deployments: list[dict[str, Any]], name: str
) -> None:
    order = ("breakers", name, "azure/a/b", "--credential", "default")
    assert conduit(*order, "--dry-run").code == 0
    assert deployments[1]["breaker"] == "open"
    assert conduit(*order).code == 0
    assert conduit(*order, "--yes").code == 0
    assert gateway.seen[-1].body == {"provider": "azure", "model": "a/b", "credential": "default"}
    assert deployments[1]["breaker"] == "closed"


@pytest.mark.parametrize(("target", "code"), [("nobody", 5), ("azure/", 2), ("/m", 2)])
def test_a_target_that_there_is_not_is_refused(
    conduit: Conduit, deployments: list[dict[str, Any]], target: str, code: int
) -> None:
    assert conduit("breakers", "close", target).code == code


def test_a_provider_is_shown_with_its_targets_and_what_has_changed(
    conduit: Conduit, gateway: FakeGateway, deployments: list[dict[str, Any]]
) -> None:
    gateway.add("providers", name="azure", type="openai")
    row = change(gateway)
    found = json.loads(conduit("providers", "health", "azure", "--json").out)
    assert found == {"provider": "azure", "deployments": [deployments[1]], "history": [row]}
    table = conduit("providers", "health", "azure", "-o", "wide").out
    assert table.index("LAST ERROR") < table.index("BEFORE")


def test_a_drain_waits_until_nothing_runs_there(
    conduit: Conduit, gateway: FakeGateway, deployments: list[dict[str, Any]]
) -> None:
    provider = gateway.add("providers", name="openai", type="openai")
    gateway.ending = [
        lambda: deployments[0].update(in_flight=1),
        lambda: deployments[0].update(in_flight=0),
    ]
    outcome = conduit("providers", "drain", "openai")
    assert (outcome.code, provider["enabled"]) == (0, False)
    told = outcome.err.splitlines()
    assert told[:2] == ["2 calls in flight at openai", "1 call in flight at openai"]
    assert "provider openai is drained" in told[2]


def test_a_drain_that_takes_too_long_is_124_and_leaves_the_provider_disabled(
    conduit: Conduit, gateway: FakeGateway, deployments: list[dict[str, Any]]
) -> None:
    provider = gateway.add("providers", name="openai", type="openai", enabled=False)
    outcome = conduit("providers", "drain", "openai", "--wait", "100ms")
    assert (outcome.code, provider["enabled"], outcome.out) == (124, False, "")
    assert "2 calls still in flight at openai" in outcome.err
    assert gateway.requests("PATCH") == []
    at_once = conduit("providers", "drain", "openai", "--no-wait")
    assert at_once.code == 0
    assert conduit("providers", "drain", "openai", "--dry-run").code == 0


def test_programs_are_told_the_provider_that_people_read_in_the_target(
    shell: Shell, conduit: Conduit, deployments: list[dict[str, Any]]
) -> None:
    names, *rows = csv.reader(conduit("breakers", "list", "-o", "csv").out.splitlines())
    providers = [row[names.index("provider")] for row in rows]
    assert providers == [each["provider"] for each in deployments]
    table = shell("breakers", "list", CONDUIT_FORCE_TTY="200", NO_COLOR="1").out
    assert "PROVIDER" not in table.splitlines()[0].upper()


@pytest.mark.parametrize(
    "command",
    [
        ("breakers", "close", "openai"),
        ("breakers", "reset", "openai"),
        ("providers", "drain", "openai", "--no-wait"),
        ("providers", "credentials", "primary", "openai", "default"),
        ("providers", "credentials", "disable", "openai", "default"),
        ("providers", "credentials", "enable", "openai", "default"),
        ("route", "set-strategy", "fast", "random"),
    ],
    ids=" ".join,
)
def test_what_never_asks_takes_the_word_of_a_script_that_nobody_need_be_asked(
    conduit: Conduit,
    gateway: FakeGateway,
    deployments: list[dict[str, Any]],
    command: tuple[str, ...],
) -> None:
    gateway.add("providers", name="openai", type="openai")
    gateway.add("credentials", name="default", state="ready", source="sealed", primary=False)
    gateway.add("mappings", alias="fast", targets=[])
    outcome = conduit(*command, "--yes", "--dry-run")
    assert outcome.code == 0, outcome.err
