"""A request under an `Idempotency-Key` is answered once, however often it is sent."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.e2e.test_cache import CHAT, COST, MESSAGES, ROUTES, WHOLE, Got, ask
from tests.fakes.upstream import FakeUpstream

PLAIN: Mapping[str, Any] = {"model": "fake", "messages": MESSAGES}


async def send(
    running: Running,
    key: str,
    named: str | None,
    body: Mapping[str, Any] = PLAIN,
    *,
    path: str = CHAT,
    **fields: Any,
) -> Got:
    headers = {} if named is None else {"Idempotency-Key": named}
    return await ask(running, key, body, path=path, headers=headers, **fields)


def is_replay(got: Got) -> bool:
    return got.headers.get("idempotent-replayed") == "true"


@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_reply_is_given_again_for_nothing(
    running: Running, fake: FakeUpstream, name: str
) -> None:
    key = await running.key()
    path, body = WHOLE[name]
    first = await send(running, key, "one", body, path=path)
    record = await running.last_record()
    assert (first.status, is_replay(first), record["cache"]) == (200, False, None)
    again = await send(running, key, "one", body, path=path)
    assert (again.status, is_replay(again), again.body) == (200, True, first.body)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert (again.headers["x-conduit-cost"], again.headers["x-conduit-attempts"]) == ("0.00", "0")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(fake.requests) == 1
    replay = await running.last_record()
    assert replay["id"] == again.headers["x-request-id"]
    assert (replay["cache"], replay["outcome"], replay["status"]) == ("replay", "succeeded", 200)
    assert (replay["cost"], replay["billed"], replay["avoided"]) == ("0.00", "0.00", record["cost"])
    assert (replay["attempts"], replay["input_tokens"]) == (0, 0)
    await running.ledger_holds()


@pytest.mark.parametrize("stored", [False, True], ids=["from memory", "from the database"])
@pytest.mark.parametrize("name", ROUTES)
async def test_a_stream_is_given_again_to_the_byte(
    running: Running, fake: FakeUpstream, name: str, stored: bool
) -> None:
    key = await running.key()
    path, body = ROUTES[name]
    streamed = body if "gemini" in name else {**body, "stream": True}
    first = await send(running, key, "one", streamed, path=path)
    assert (first.status, is_replay(first)) == (200, False)
    if stored:
        await running.gateway.ledger.caught_up()
        running.gateway.turns._recent.clear()
    again = await send(running, key, "one", streamed, path=path)
    assert (again.status, is_replay(again), again.body) == (200, True, first.body)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(fake.requests) == 1
    await running.ledger_holds()


@pytest.mark.parametrize("streamed", [False, True])
async def test_100_requests_at_once_under_one_key_make_one_call(
    running: Running, fake: FakeUpstream, streamed: bool
) -> None:
    key = await running.key()
    body = {"model": "fake-n5-gap20-delay50", "messages": MESSAGES, "stream": streamed}
    answers = await asyncio.gather(*(send(running, key, "one", body) for _ in range(100)))
    assert len(fake.requests) == 1
    told = Counter((each.status, is_replay(each)) for each in answers)
    assert told.keys() <= {(200, False), (200, True), (409, False)}
    assert told[200, False] == 1
    refused = [each for each in answers if each.status == 409]
    assert refused
    assert all(each.headers["retry-after"] == "1" for each in refused)
    assert all(b"idempotency_in_progress" in each.body for each in refused)
    replayed = await asyncio.gather(*(send(running, key, "one", body) for _ in range(100)))
    assert {(each.status, is_replay(each)) for each in replayed} == {(200, True)}
    assert len({each.body for each in answers if each.status == 200} | {replayed[0].body}) == 1
    assert len(fake.requests) == 1
    await running.ledger_holds()


async def test_another_request_under_the_same_key_is_refused(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key()
    assert (await send(running, key, "one")).status == 200
    prompt = {"model": "fake", "prompt": "Once"}
    others = [
        await send(running, key, "one", temperature=0.5),
        await send(running, key, "one", stream=True),
        await send(running, key, "one", prompt, path="/v1/completions"),
        await send(running, key, "one", {**PLAIN, "max_tokens": 9}, path="/v1/messages"),
    ]
    assert [each.status for each in others] == [422] * 4
    assert b"idempotency_key_reused" in others[0].body
    assert (await running.last_record())["error_code"] == "idempotency_key_reused"
    assert len(fake.requests) == 1
    assert is_replay(await send(running, key, "one"))
    await running.ledger_holds()


async def test_virtual_keys_do_not_share_an_idempotency_key(
    running: Running, fake: FakeUpstream
) -> None:
    one, two = await running.key("one"), await running.key("two")
    answers = [await send(running, each, "same") for each in (one, two, one)]
    assert [is_replay(each) for each in answers] == [False, False, True]
    assert len(fake.requests) == 2


async def test_a_reply_outlives_a_restart(tmp_path: Path, fake: FakeUpstream) -> None:
    async with running_gateway(tmp_path / "home") as before:
        await connect_fake(before, fake)
        key = await before.key()
        first = await send(before, key, "one")
    async with running_gateway(tmp_path / "home") as after:
        again = await send(after, key, "one")
        assert (is_replay(again), again.body) == (True, first.body)
        assert (await after.last_record())["avoided"] == COST
    assert len(fake.requests) == 1
