"""Requests in flight, from the command line."""

import json

from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import FakeGateway


def test_running_requests_are_listed(shell: Shell, gateway: FakeGateway) -> None:
    row = gateway.add("running")
    assert json.loads(shell("requests", "list", "--json").out)["data"] == [row]
    table = shell("requests", "list", CONDUIT_FORCE_TTY="160", NO_COLOR="1").out
    assert "answering" in table
    assert "gpt-4o -> openai/gpt-4o" in table
    gateway.tables["running"] = []
    assert "no request is running" in shell("requests", "list", CONDUIT_FORCE_TTY="160").err


def test_a_request_is_cancelled_by_the_beginning_of_its_id(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    row = gateway.add("running", id="req_01ABCDEF")
    assert conduit("requests", "cancel", "req_01ABC").code == 2  # nobody can be asked
    assert row["state"] == "answering"
    outcome = conduit("requests", "cancel", "req_01ABC", "--yes")
    assert outcome.code == 0
    assert row["state"] == "stopping"
    assert "cancelled req_01ABCDEF" in outcome.err
    assert "conduit logs show req_01ABCDEF" in outcome.err


def test_an_ambiguous_beginning_cancels_nothing(conduit: Conduit, gateway: FakeGateway) -> None:
    rows = [gateway.add("running", id=f"req_01ABC{end}") for end in "XY"]
    outcome = conduit("requests", "cancel", "req_01ABC", "--yes")
    assert outcome.code == 2
    assert "req_01ABCX, req_01ABCY" in outcome.err
    assert [row["state"] for row in rows] == ["answering"] * 2


def test_a_request_that_has_ended_is_not_found_and_the_others_are_cancelled(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    row = gateway.add("running", id="req_01ABCDEF")
    assert conduit("requests", "cancel", "req_gone", "--yes").code == 5
    assert conduit("requests", "cancel", "req_gone", "req_01ABCDEF", "--yes").code == 8
    assert row["state"] == "stopping"


def test_requests_are_cancelled_by_what_they_are(conduit: Conduit, gateway: FakeGateway) -> None:
    rows = [gateway.add("running", id=f"req_01ABC{key}", key=key) for key in ("ci", "web", "ci2")]
    chosen = ("requests", "cancel", "--filter", "key:ci*")
    assert conduit(*chosen).code == 2  # nobody can be asked
    outcome = conduit(*chosen, "--yes", "-q")
    assert outcome.out == "req_01ABCci\nreq_01ABCci2\n"
    assert [row["state"] for row in rows] == ["stopping", "answering", "stopping"]
    assert conduit("requests", "cancel").code == 2
