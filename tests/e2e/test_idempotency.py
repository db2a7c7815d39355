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


@pytest.mark.parametrize("model", ["fake-cut_rst", "fake-cut_fin", "fake-error_event"])
async def test_a_stream_that_was_cut_is_sent_anew(
    running: Running, fake: FakeUpstream, model: str
) -> None:
    key = await running.key()
    body = {"model": model, "messages": MESSAGES, "stream": True}
    answers = [await send(running, key, "one", body) for _ in range(2)]
    assert [(each.status, is_replay(each)) for each in answers] == [(200, False)] * 2
    assert all(b"[DONE]" not in each.body for each in answers)
    assert len(fake.requests) == 2
    await running.ledger_holds()


async def test_what_failed_or_was_refused_is_sent_anew(tmp_path: Path, fake: FakeUpstream) -> None:
    async with running_gateway(tmp_path / "home", max_attempts=1) as running:
        await connect_fake(running, fake)
        key = await running.key(allowed_models=["fake*"])
        refused = [
            await send(running, key, "one", {"model": model, "messages": MESSAGES})
            for model in ("fake-status500", "fake-status400", "fake-status429", "other")
        ]
        assert [each.status for each in refused] == [500, 400, 429, 403] or [
            each.status for each in refused
        ] == [502, 400, 429, 403]
        assert (await send(running, key, "one", messages=[])).status == 400
        assert len(fake.requests) == 3
        good = await send(running, key, "one")
        assert (good.status, is_replay(good)) == (200, False)
        await running.ledger_holds()


async def test_a_client_that_hangs_up_gives_its_turn_back(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key()
    slow = {"model": "fake-n50-gap100", "messages": MESSAGES, "stream": True}
    headers = {"authorization": f"Bearer {key}", "Idempotency-Key": "one"}
    async with running.http.post(running.url + CHAT, json=slow, headers=headers) as answer:
        await answer.content.readany()
        assert (await send(running, key, "one")).status == 409
    async with asyncio.timeout(30):
        while (again := await send(running, key, "one")).status == 409:
            await asyncio.sleep(0.01)
    assert (again.status, is_replay(again)) == (200, False)
    assert len(fake.requests) == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_reply_that_is_too_large_is_not_paid_for_twice(
    running: Running, fake: FakeUpstream, streamed: bool
) -> None:
    key = await running.key()
    body = {"model": "fake-size1100000", "messages": MESSAGES, "stream": streamed}
    assert (await send(running, key, "one", body)).status == 200
    again = await send(running, key, "one", body)
    assert (again.status, again.headers["x-should-retry"]) == (409, "false")
    assert b"idempotency_reply_not_kept" in again.body
    assert (await send(running, key, "one")).status == 422
    assert len(fake.requests) == 1


async def test_a_large_stream_is_replayed_in_pieces(running: Running) -> None:
    key = await running.key()
    body = {"model": "fake-size300000", "messages": MESSAGES, "stream": True}
    first, again = [await send(running, key, "one", body) for _ in range(2)]
    assert (is_replay(again), again.body) == (True, first.body)
    assert len(first.body) > 300_000


@pytest.mark.parametrize("named", ["", "x" * 256, "ü" * 128])
@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
async def test_a_key_of_no_bytes_or_too_many_is_refused(
    running: Running, fake: FakeUpstream, named: str, path: str
) -> None:
    refused = await send(running, await running.key(), named, path=path)
    assert refused.status == 400
    assert b"Idempotency-Key has 1 to 255 bytes" in refused.body
    assert not fake.requests


@pytest.mark.parametrize("named", ["x" * 255, "ü" * 127, "with blanks, and: more"])
async def test_any_other_text_is_a_key(running: Running, fake: FakeUpstream, named: str) -> None:
    key = await running.key()
    assert [is_replay(await send(running, key, named)) for _ in range(2)] == [False, True]


async def test_a_reply_needs_no_money(running: Running, fake: FakeUpstream) -> None:
    key = await running.key(budget={"limit": COST})
    first = await send(running, key, "one", max_tokens=30)  # it holds less than it costs
    assert first.status == 200, first.body
    assert (await send(running, key, None)).status == 429
    refused = await send(running, key, "two")
    assert (refused.status, b"insufficient_quota" in refused.body) == (429, True)
    again = await send(running, key, "one", max_tokens=30)
    assert (again.status, is_replay(again)) == (200, True)
    await running.ledger_holds()


async def test_a_reply_counts_as_a_request_and_not_by_its_tokens(running: Running) -> None:
    limits = [{"kind": "rpm", "limit": 60, "burst": 3}, {"kind": "tpm", "limit": 100}]
    key = await running.key(limits=limits)
    answers = [await send(running, key, "one", max_tokens=40) for _ in range(4)]
    assert [each.status for each in answers] == [200, 200, 200, 429]
    assert answers[2].headers["x-ratelimit-remaining-requests"] == "0"
    assert b"rate_limit_exceeded" in answers[3].body


async def test_an_answer_out_of_the_cache_is_a_reply_as_well(
    running: Running, fake: FakeUpstream
) -> None:
    await running.admin("PATCH", "/mappings/fake*", {"policy": {"cache_ttl_s": 60}})
    key = await running.key()
    first, hit = await send(running, key, None), await send(running, key, "one")
    assert (first.cache, hit.cache) == ("miss", "hit")
    await running.admin("PATCH", "/mappings/fake*", {"policy": {}})
    again = await send(running, key, "one")
    assert (is_replay(again), again.cache, "age" in again.headers) == (True, None, False)
    assert again.body == first.body
    assert len(fake.requests) == 1


async def test_counting_tokens_takes_no_notice(running: Running) -> None:
    key = await running.key()
    path, body = "/v1/messages/count_tokens", {"model": "fake", "messages": MESSAGES}
    answers = [await send(running, key, "one", body, path=path) for _ in range(2)]
    assert [(each.status, is_replay(each)) for each in answers] == [(200, False)] * 2


async def test_a_kept_body_tells_of_a_replay_too(running: Running) -> None:
    key = await running.key(log_bodies=True)
    first, again = [await send(running, key, "one") for _ in range(2)]
    found = await running.admin("GET", f"/requests/{again.headers['x-request-id']}/bodies")
    assert found["response"]["headers"]["idempotent-replayed"] == "true"
    assert found["attempts"] == []
    assert is_replay(again)
    assert again.body == first.body


async def test_openai_s_sdk_waits_for_the_reply_and_takes_it(
    running: Running, fake: FakeUpstream
) -> None:
    client = running.openai(await running.key(), max_retries=5)
    client._idempotency_header = "Idempotency-Key"  # then its own retries are sent with one key

    async def ask() -> Any:
        return await client.post(
            "/chat/completions",
            cast_to=dict[str, Any],
            body={"model": "fake-delay300-tools", "messages": MESSAGES},
            options={"idempotency_key": "one"},
        )

    one, two, three = await asyncio.gather(ask(), ask(), ask())
    assert one == two == three
    assert one["choices"][0]["message"]["tool_calls"]
    assert len(fake.requests) == 1


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "responses", "gemini"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_tool_calls_are_given_again(
    running: Running, fake: FakeUpstream, dialect: str, streamed: bool
) -> None:
    key = await running.key()
    path, body = ROUTES[dialect]
    if dialect == "gemini":
        method = "streamGenerateContent?alt=sse" if streamed else "generateContent"
        path = f"/v1beta/models/fake-tools:{method}"
    else:
        body = {**body, "model": "fake-tools", "stream": streamed}
    first, again = [await send(running, key, "one", body, path=path) for _ in range(2)]
    assert (first.status, is_replay(again), again.body) == (200, True, first.body)
    assert b"call_fake_1" in first.body
    assert len(fake.requests) == 1
