"""What real calls used and spent, as the gateway and the command line tell it."""

import csv
import io
import json
from pathlib import Path

import pytest

from conduit.core.money import parse_usd
from tests.e2e.cli import Cli
from tests.e2e.conftest import Running
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

COSTS = {"one": parse_usd("0.000212"), "two": parse_usd("0.000052")}  # 12 tokens in, 100 or 20 out


async def ask(running: Running, key: str, output_tokens: int, *, streamed: bool = False) -> None:
    body = {
        "model": f"fake-in12-out{output_tokens}",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": streamed,
    }
    headers = {"authorization": f"Bearer {key}"}
    url = f"{running.url}/v1/chat/completions"
    async with running.http.post(url, json=body, headers=headers) as response:
        assert response.status == 200
        await response.read()


async def test_usage_is_what_the_calls_cost(running: Running, tmp_path: Path) -> None:
    one, two = await running.key("one"), await running.key("two")
    for streamed in (False, True):
        await ask(running, one, 100, streamed=streamed)
    await ask(running, two, 20)
    await running.admin("DELETE", "/keys/one")

    # Nothing is waited for: what was written before the call counts.
    used = await running.admin("GET", "/usage?by=key")
    costs = {group["group"]: parse_usd(group["cost"]) for group in used["groups"]}
    assert costs == {"one": 2 * COSTS["one"], "two": COSTS["two"]}
    total = used["total"]
    assert parse_usd(total["cost"]) == parse_usd(total["billed"]) == sum(costs.values())
    assert (total["requests"], total["attempts"], total["open_holds"]) == (3, 3, 0)
    assert (total["input_tokens"], total["output_tokens"]) == (36, 220)
    await running.ledger_holds()

    cli = Cli(tmp_path, running.url, running.master_key)
    table = (await cli("usage", "--by", "key", "--since", "1h", "-o", "csv")).ok()
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert {row["group"]: parse_usd(row["cost"]) for row in rows} == costs
    assert "3 requests sent, $0.00048 in all" in table.err
    for arguments, requests in (
        (("--key", "one"), 2),  # which is deleted
        (("--provider", "fake", "--model", "fake-in12-out20"), 1),
        (("--alias", "fake-in12-out100", "--until", "1h"), 0),
    ):
        shown = (await cli("usage", *arguments, "--json")).ok().json
        assert shown["total"]["requests"] == requests
    refused = await cli("usage", "--by", "colour")
    assert refused.code == 2
    assert "model, key, group, provider, alias, day, hour" in refused.err


async def test_what_was_sent_is_the_same_by_records_and_by_the_ledger(
    running: Running, tmp_path: Path
) -> None:
    key = await running.key("one")
    for _ in range(2):
        await ask(running, key, 100)
    headers = {"authorization": f"Bearer {key}"}
    url = f"{running.url}/v1/chat/completions"
    body = {"model": "nobody", "messages": [{"role": "user", "content": "hello"}]}
    async with running.http.post(url, json=body, headers=headers) as refused:
        assert refused.status == 404

    cli = Cli(tmp_path, running.url, running.master_key)
    for _ in range(200):  # records are written in batches, moments after their answers
        of_key = (await cli("keys", "usage", "one", "--json")).ok().json["total"]
        if of_key["recorded"] == 3:
            break
    assert (of_key["recorded"], of_key["requests"], of_key["failed"]) == (3, 2, 1)
    of_ledger = (await cli("usage", "--key", "one", "--json")).ok().json["total"]
    assert of_ledger["requests"] == of_key["requests"]
    assert of_ledger["cost"] == of_key["cost"]
    assert "2 requests sent" in (await cli("usage", "--by", "key")).ok().err


async def test_what_each_row_cost_over_time_is_told_where_it_is_asked_for(
    running: Running, tmp_path: Path
) -> None:
    one, two = await running.key("one"), await running.key("two")
    await ask(running, one, 100)
    await ask(running, two, 20)
    unasked = await running.admin("GET", "/usage?by=key")
    assert [group["series"] for group in unasked["groups"]] == [None, None]
    for step in ("day", "hour"):
        told = await running.admin("GET", f"/usage?by=key&series={step}")
        for group in told["groups"]:
            assert sum(parse_usd(each["cost"]) for each in group["series"]) == COSTS[group["group"]]
            assert ("T" in group["series"][0]["at"]) is (step == "hour")
    cli = Cli(tmp_path, running.url, running.master_key)
    shown = (await cli("usage", "--by", "key", "--series", "--json")).ok().json
    assert [len(group["series"]) for group in shown["groups"]] == [1, 1]
    plain = (await cli("usage", "--by", "key", "--json")).ok().json
    assert [group["series"] for group in plain["groups"]] == [None, None]
    wide = {"CONDUIT_FORCE_TTY": "120", "NO_COLOR": "1"}
    table = (await cli("usage", "--by", "key", **wide)).ok().out.splitlines()
    assert table[0].endswith("OVER TIME")
    assert table[1].endswith("\u2581\u2588")
    for path in ("/usage?series=day", "/usage?by=day&series=day"):
        with pytest.raises(AssertionError, match="series: it goes with groups"):
            await running.admin("GET", path)


async def test_calls_to_which_a_provider_gives_one_id_are_rows_of_their_own(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key("one")
    answer = {
        "id": "chatcmpl-always-the-same",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 100, "total_tokens": 112},
    }
    fake.default = Behaviour(raw_body=json.dumps(answer).encode())
    for _ in range(5):
        await ask(running, key, 100)
    total = (await running.admin("GET", "/usage"))["total"]
    assert (total["requests"], total["attempts"]) == (5, 5)
    assert parse_usd(total["cost"]) == 5 * COSTS["one"]
    await running.ledger_holds()
