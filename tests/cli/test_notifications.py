"""Notifications from the command line: listed, shown, acknowledged."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import FakeGateway


@pytest.fixture
def rows(gateway: FakeGateway) -> list[dict[str, Any]]:
    return [
        gateway.add("notifications"),
        gateway.add(
            *("notifications",),
            kind="key_expiring",
            severity="critical",
            subject={"kind": "key", "id": "key_1", "name": "ci"},
            message='key "ci" expires within a day, on 2026-11-21 12:00 UTC',
        ),
    ]


def test_what_is_open_is_listed(shell: Shell, conduit: Conduit, rows: list[dict[str, Any]]) -> None:
    table = shell("notifications", "list", CONDUIT_FORCE_TTY="200", NO_COLOR="1").out
    first, second = table.splitlines()[1:]
    for part in ("2026-11-20 12:00:00Z", "warning", "90 % of its budget", rows[0]["id"]):
        assert part in first
    assert "critical" in second
    assert json.loads(conduit("notifications", "list", "--json").out)["data"] == rows
    assert conduit("notifications", "ls", "-q").out == f"{rows[0]['id']}\n{rows[1]['id']}\n"


def test_a_state_and_a_kind_may_be_asked_for(conduit: Conduit, gateway: FakeGateway) -> None:
    conduit("notifications", "list", "--state", "all", "--kind", "key_expiring")
    query = gateway.seen[-1].query
    assert (query["state"], query["kind"]) == (["all"], ["key_expiring"])
    seen = len(gateway.seen)
    assert conduit("notifications", "list", "--state", "closed").code == 2
    assert conduit("notifications", "list", "--kind", "budget").code == 2
    assert len(gateway.seen) == seen
    nothing = conduit("notifications", "list", "-o", "table")
    assert (nothing.code, "nothing is open" in nothing.err) == (0, True)


def test_one_is_shown_by_its_id_or_the_beginning_of_it(
    conduit: Conduit, rows: list[dict[str, Any]]
) -> None:
    shown = conduit("notifications", "show", rows[1]["id"], "--json")
    assert json.loads(shown.out) == rows[1]
    assert (
        "expires within a day" in conduit("notifications", "show", rows[1]["id"], "-o", "wide").out
    )
    assert conduit("notifications", "show", "nobody").code == 5


def test_some_are_acknowledged(conduit: Conduit, rows: list[dict[str, Any]]) -> None:
    first, second = (row["id"] for row in rows)
    outcome = conduit("notifications", "ack", first, "-o", "json")
    assert json.loads(outcome.out)["acknowledged_by"] == "master key"
    assert f"acknowledged {first}" in outcome.err
    assert rows[1]["acknowledged_at"] is None
    both = conduit("notifications", "ack", first, second, "-q")
    assert (both.code, both.out, both.err) == (0, f"{first}\n{second}\n", "")
    assert rows[1]["acknowledged_at"] is not None


def test_those_that_a_filter_holds_for_are_acknowledged(
    conduit: Conduit, rows: list[dict[str, Any]]
) -> None:
    outcome = conduit("notifications", "ack", "--filter", "kind:key_expiring", "--yes")
    assert outcome.code == 0, outcome.err
    assert [row["acknowledged_at"] is None for row in rows] == [True, False]


def test_all_are_acknowledged_at_once(
    conduit: Conduit, gateway: FakeGateway, rows: list[dict[str, Any]]
) -> None:
    assert conduit("notifications", "ack", "--all", "--dry-run").code == 0
    assert gateway.requests("POST") == []
    outcome = conduit("notifications", "ack", "--all", "-o", "table")
    assert "acknowledged 2 notifications" in outcome.err
    assert json.loads(conduit("notifications", "ack", "--all", "--json").out) == {"acknowledged": 0}


@pytest.mark.parametrize(
    "words", [(), ("--all", "x"), ("--all", "--filter", "kind:x"), ("nobody",)]
)
def test_what_names_none_or_too_much_is_refused(
    conduit: Conduit, rows: list[dict[str, Any]], words: tuple[str, ...]
) -> None:
    assert conduit("notifications", "ack", *words).code in (2, 5)
    assert [row["acknowledged_at"] for row in rows] == [None, None]
