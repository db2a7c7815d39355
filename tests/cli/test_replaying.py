"""`conduit logs replay`, against a gateway that is told what it answers."""

import json
from typing import Any

from tests.cli.conftest import Shell
from tests.cli.fake_gateway import MASTER_KEY, FakeGateway, Handler

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
