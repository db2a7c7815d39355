"""Events from the command line."""

import json
import signal
from typing import Any

import pytest

from conduit.core.events import EventKind
from tests.cli.conftest import Conduit, Outcome, Shell
from tests.cli.fake_gateway import FakeGateway


def event(seq: int, kind: str = "key.created", **data: Any) -> dict[str, Any]:
    return {"boot": "01BOOT", "seq": seq, "at_ms": 1_700_000_000_000, "kind": kind, "data": data}


def test_every_kind_is_listed_with_a_sentence_and_no_gateway(lonely_shell: Shell) -> None:
    rows = json.loads(lonely_shell("events", "types", "--json").out)["data"]
    assert [row["kind"] for row in rows] == [kind.value for kind in EventKind]
    assert all(row["description"].endswith(".") for row in rows)


def test_remembered_events_are_listed(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.tables["events"] = [event(1, id="key_1", name="ci"), event(2, "price.set", model="m")]
    lines = conduit("events", "list", "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]
    assert conduit("events", "list", "-q").out == "1\n2\n"
    assert "limit" in gateway.seen[-1].query


def test_a_list_after_a_number_tells_of_what_is_forgotten_and_how_to_go_on(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.tables["events"] = [event(8), event(9)]
    gateway.gap = {"from": 3, "to": 7}
    outcome = conduit("events", "list", "--since", "2", "--limit", "2")
    assert gateway.seen[-1].query["after"] == ["2"]
    assert "events 3 to 7 are forgotten" in outcome.err
    assert "go on with --since 9" in outcome.err


def test_kinds_are_named_alone_or_by_their_noun(conduit: Conduit, gateway: FakeGateway) -> None:
    conduit("events", "list", "--type", "budget.*,key.created")
    assert gateway.seen[-1].query["kinds"] == [
        "budget.created,budget.updated,budget.deleted,budget.spend_reset,key.created"
    ]
    unknown = conduit("events", "list", "--type", "key.eaten")
    assert unknown.code == 2
    assert "conduit events types" in unknown.err


@pytest.mark.usefixtures("started")
def test_a_tail_shows_events_as_they_happen(lonely_shell: Shell) -> None:
    with lonely_shell.start("events", "tail", "--type", "key.*", "-o", "jsonl") as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert b"connected" in tail.stderr.readline()
        lonely_shell("keys", "create", "ci", "-q")
        made = json.loads(tail.stdout.readline())
        assert (made["kind"], made["data"]["name"]) == ("key.created", "ci")
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 130
        assert b"1 event" in tail.stderr.read()
    since = str(made["seq"] - 1)
    with lonely_shell.start("events", "tail", "--since", since, "-o", "jsonl") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline()) == made
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 130


@pytest.mark.usefixtures("started")
def test_a_tail_ends_with_the_time_that_it_was_given(lonely_shell: Shell) -> None:
    outcome = lonely_shell("events", "tail", "--type", "key.*", "--timeout", "2s")
    assert outcome.code == 124
    assert "0 events" in outcome.err
    assert "--timeout" in outcome.err


def test_a_tail_that_must_not_reconnect_ends_with_its_connection(
    lonely_shell: Shell, started: Outcome
) -> None:
    with lonely_shell.start("events", "tail", "--no-reconnect") as tail:
        assert tail.stderr is not None
        assert b"connected" in tail.stderr.readline()
        lonely_shell("down", "--yes")
        assert tail.wait(60) == 3


def test_samples_are_listed_only_where_they_are_asked_for(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    conduit("events", "list")
    assert "stats.sampled" not in gateway.seen[-1].query["kinds"][0].split(",")
    conduit("events", "list", "--type", "stats.sampled")
    assert gateway.seen[-1].query["kinds"] == ["stats.sampled"]


def test_an_event_s_time_is_rfc_3339_for_programs(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.tables["events"] = [event(1, name="ci")]
    assert conduit("events", "list").out.startswith("1\t2023-11-14T22:13:20.000Z\tkey.created\t")
    assert json.loads(conduit("events", "list", "-o", "jsonl").out)["at"] == (
        "2023-11-14T22:13:20.000Z"
    )


def test_alerts_are_asked_for_by_either_name(conduit: Conduit, gateway: FakeGateway) -> None:
    for name in ("alert.raised", "notification.raised"):
        assert conduit("events", "list", "--type", name).code == 0
        assert gateway.seen[-1].query["kinds"] == ["notification.raised"]
    conduit("events", "list", "--type", "alert.*")
    assert gateway.seen[-1].query["kinds"] == ["notification.raised,notification.acknowledged"]
    unknown = conduit("events", "list", "--type", "alert.lowered")
    assert (unknown.code, "'alert.lowered'" in unknown.err) == (2, True)
    assert EventKind("alert.raised") is EventKind.NOTIFICATION_RAISED
    with pytest.raises(ValueError, match=r"alert\.lowered"):
        EventKind("alert.lowered")


@pytest.mark.parametrize("verb", [("events", "list"), ("events", "tail"), ("security", "events")])
def test_a_number_that_no_event_can_have_is_refused_before_anything_is_sent(
    conduit: Conduit, gateway: FakeGateway, verb: tuple[str, str]
) -> None:
    refused = conduit(*verb, "--since", "-5")
    assert refused.code == 2
    assert "'--since': at least 0 is expected, not -5" in refused.err
    assert not gateway.seen


@pytest.mark.parametrize("verb", [("events", "list"), ("security", "events")])
@pytest.mark.parametrize(("limit", "said"), [("0", "at least 1"), ("1001", "at most 1000")])
def test_so_many_events_are_not_to_be_had(
    conduit: Conduit, gateway: FakeGateway, verb: tuple[str, str], limit: str, said: str
) -> None:
    refused = conduit(*verb, "--limit", limit)
    assert refused.code == 2
    assert f"'--limit': {said} is expected, not {limit}" in refused.err
    assert not gateway.seen
