"""`conduit logs replay`, against a gateway that is told what it answers."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import MASTER_KEY, FakeGateway, Handler, Refusal

ANSWER = {"choices": [{"message": {"content": "good\nevening"}}]}


def message(body: object) -> dict[str, Any]:
    text = json.dumps(body)
    shared = {"headers": {}, "encoding": "utf-8", "truncated": False}
    return {**shared, "body": text, "bytes": len(text)}


def keep(gateway: FakeGateway, **changes: Any) -> str:
    """A request with its bodies on record, as another one answered it."""
    former = {"choices": [{"message": {"content": "good\nmorning"}}]}
    row = gateway.add("requests", id="req_FORMER", **changes)
    gateway.add(
        "bodies",
        id=row["id"],
        path="/v1/chat/completions",
        request=message({"model": "m", "messages": []}),
        response=message(former),
    )
    return str(row["id"])


def answer(handler: Handler) -> None:
    handler.answer(200, ANSWER)


def test_a_read_only_context_sends_no_request_again(shell: Shell, gateway: FakeGateway) -> None:
    del shell.environment["CONDUIT_URL"], shell.environment["CONDUIT_MASTER_KEY"]
    flags = ("--url", gateway.url, "--read-only", "--key-stdin")
    assert shell("context", "add", "prod", *flags, stdin=MASTER_KEY).code == 0
    gateway.chat = answer
    request_id = keep(gateway)
    outcome = shell("logs", "replay", request_id, "--json")
    assert (outcome.code, outcome.out) == (4, "")
    assert json.loads(outcome.err)["error"]["code"] == "read_only"
    assert gateway.requests("POST") == []
    assert shell("logs", "replay", request_id, "--dry-run", "--json").code == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is looked for once."""
    monkeypatch.setattr("conduit.cli.records.replaying._RECORD_TRIES", 1)


def answer_with_head(handler: Handler) -> None:
    head = {"x-conduit-provider": "openai", "x-conduit-model": "gpt", "x-conduit-cost": "0.002"}
    handler.answer(200, ANSWER, head)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("trouble", ["late", "failing"])
def test_an_answer_without_its_record_is_compared_as_far_as_it_goes(
    conduit: Conduit, gateway: FakeGateway, trouble: str
) -> None:
    def chat(handler: Handler) -> None:
        if trouble == "failing":
            gateway.failing += [Refusal(503, "unavailable", "not now")] * 3
        answer_with_head(handler)

    gateway.chat = chat
    outcome = conduit("logs", "replay", keep(gateway), "--diff", "--json")
    assert outcome.code == 0, outcome.err
    row = json.loads(outcome.out)
    fields = {each["field"]: each["now"] for each in row["fields"]}
    assert row["id"] == "req_TEST"
    assert fields == {
        "status": 200,
        "alias": None,
        "provider": "openai",
        "model": "gpt",
        "duration_ms": None,
        "ttft_ms": None,
        "input_tokens": None,
        "output_tokens": None,
        "cost": "0.002",
    }
    assert row["text"]["diff"][-2:] == ["-morning", "+evening"]
    assert json.loads(row["body"]) == ANSWER
    assert "no record of req_TEST" in outcome.err


@pytest.mark.usefixtures("impatient")
def test_people_and_pipes_get_the_answer_whose_record_is_missing(
    conduit: Conduit, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.chat = answer_with_head
    request_id = keep(gateway)
    piped = conduit("logs", "replay", request_id, "--diff")
    assert piped.code == 0
    assert "status\t200\t200\n" in piped.out
    assert "good\\nevening" not in piped.out
    assert "good\\nevening" in piped.err
    monkeypatch.setenv("CONDUIT_FORCE_TTY", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = conduit("logs", "replay", request_id, "--diff")
    assert shown.code == 0
    assert "+evening" in shown.out
    assert '"content": "good\\nevening"' in shown.out
    assert "no record of req_TEST" in shown.err


def test_an_answer_with_its_record_is_compared_in_full(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.chat = answer_with_head
    request_id = keep(gateway)
    gateway.add("requests", id="req_TEST", duration_ms=5)
    outcome = conduit("logs", "replay", request_id, "--diff", "--json")
    row = json.loads(outcome.out)
    assert {"field": "duration_ms", "before": 812, "now": 5} in row["fields"]
    assert json.loads(row["body"]) == ANSWER
    assert "no record" not in outcome.err


def test_texts_that_differ_in_line_ends_alone_are_not_the_same(
    conduit: Conduit, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {"choices": [{"message": {"content": "good\r\nmorning"}}]}
    gateway.chat = lambda handler: handler.answer(200, whole)
    request_id = keep(gateway)
    gateway.add("requests", id="req_TEST")
    monkeypatch.setenv("CONDUIT_FORCE_TTY", "100")
    assert "differ in their line ends" in conduit("logs", "replay", request_id, "--diff").err
