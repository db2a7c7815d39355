"""Credentials that calls leave out for a while, in the lists of the command line."""

from typing import Any

import pytest

from tests.cli.conftest import Conduit
from tests.cli.fake_gateway import FakeGateway

UNTIL = "2026-11-30T10:01:46Z"
MOMENT = "2026-11-30 10:01:46Z"
STEP = "next: conduit breakers reset main --credential spare"
LIST = ("providers", "credentials", "list", "main")


def out(state: str, model: str | None = None) -> dict[str, Any]:
    return {"state": state, "reason": "why", "model": model, "until": UNTIL}


@pytest.fixture
def told(gateway: FakeGateway) -> list[dict[str, Any]]:
    """What is held against one of two credentials."""
    found: list[dict[str, Any]] = []
    fields = {"source": "sealed", "primary": False, "left_out": found, "state": "ready"}
    spare = gateway.add("credentials", name="spare", **fields)
    first = gateway.add("credentials", name="first", **{**fields, "left_out": []})
    gateway.add("providers", name="main", type="openai", credentials=[first, spare])
    return found


@pytest.mark.parametrize(
    ("held", "state"),
    [
        ([out("invalid_key")], f"invalid_key until {MOMENT}"),
        ([out("no_quota"), out("throttled", "m")], f"no_quota until {MOMENT}"),
        ([out("throttled", "m")], f"ready, but for m: throttled until {MOMENT}"),
        ([out("throttled", "m"), out("no_permission", "n")], "ready, but for 2 models"),
    ],
)
def test_lists_tell_why_and_until_when_and_how_it_is_undone(
    conduit: Conduit, told: list[dict[str, Any]], held: list[dict[str, Any]], state: str
) -> None:
    told += held
    table = conduit(*LIST, "-o", "wide")
    assert state in table.out
    assert STEP in table.err
    providers = conduit("providers", "list", "-o", "wide")
    assert f"sealed (ready), sealed ({state})" in providers.out
    assert STEP in providers.err
    filtered = conduit("providers", "list", "-o", "table", "--filter", "name:main")
    assert STEP in filtered.err


def test_nothing_is_advised_where_all_are_ready_or_to_programs(
    conduit: Conduit, told: list[dict[str, Any]]
) -> None:
    assert "next" not in conduit(*LIST, "-o", "table").err
    told.append(out("invalid_key"))
    outcome = conduit(*LIST, "-o", "csv")
    assert outcome.err == ""
    names, row, _ = outcome.out.splitlines()
    shown = dict(zip(names.split(","), row.split(","), strict=True))
    assert (shown["state"], shown["left_out.state"]) == ("ready", "invalid_key")


def test_a_gateway_of_before_that_says_nothing_of_it_is_read(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    old = gateway.add("credentials", name="old", source="sealed", primary=True, state="ready")
    gateway.add("providers", name="main", type="openai", credentials=[old])
    assert conduit(*LIST, "-o", "table").code == 0
    assert "sealed (ready)" in conduit("providers", "list", "-o", "table").out
