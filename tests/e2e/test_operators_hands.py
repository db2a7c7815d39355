"""What an operator does to keys and requests, as the clients see it through the OpenAI SDK."""

import asyncio
from collections.abc import Callable

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from sqlalchemy import update

from conduit.core.ids import now_ms
from conduit.gateway.storage.engine import writing
from conduit.gateway.storage.schema import keys
from tests.e2e.conftest import Running
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
WITHIN_S = 60.0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.01)


async def works(running: Running, secret: str) -> bool:
    client = running.openai(secret)
    try:
        answer = await client.chat.completions.create(model="fake-in1-out1", messages=HELLO)
    except openai.AuthenticationError:
        return False
    return bool(answer.choices)


async def rotated(running: Running, name: str, grace_s: int) -> str:
    answer = await running.admin("POST", f"/keys/{name}/rotate", {"grace_s": grace_s}, status=200)
    return str(answer["secret"])


async def test_the_former_secret_works_until_its_grace_ends_and_the_new_one_at_once(
    running: Running,
) -> None:
    old = await running.key("ci")
    assert await works(running, old)
    new = await rotated(running, "ci", 3600)
    assert await works(running, new)
    assert await works(running, old)
    # The grace is over: its end is moved to now, as waiting for it would take an hour.
    async with writing(running.gateway.database) as connection:
        await connection.execute(update(keys).values(former_expires_at_ms=now_ms()))
    running.gateway.keyring.drop((await running.admin("GET", "/keys/ci"))["id"])
    assert not await works(running, old)
    assert await works(running, new)


async def test_without_a_grace_the_former_secret_is_refused_at_once(running: Running) -> None:
    old = await running.key("ci")
    assert await works(running, old)
    new = await rotated(running, "ci", 0)
    assert not await works(running, old)
    assert await works(running, new)


async def test_a_grace_ends_by_the_clock_though_the_key_is_in_memory(running: Running) -> None:
    old = await running.key("ci")
    await rotated(running, "ci", 1)
    async with asyncio.timeout(WITHIN_S):
        while await works(running, old):
            await asyncio.sleep(0.05)
    assert not await works(running, old)


async def test_both_secrets_spend_the_same_budget_and_stop_together(running: Running) -> None:
    old = await running.key("ci", budget={"limit": "1"})
    new = await rotated(running, "ci", 3600)
    for secret in (old, new):
        assert await works(running, secret)
    await running.gateway.ledger.caught_up()
    used = await running.admin("GET", "/keys/ci/usage")
    assert (used["total"]["requests"], used["total"]["cost"]) == (2, "0.000006")
    await running.admin("PATCH", "/keys/ci", {"enabled": False})
    assert not await works(running, old)
    assert not await works(running, new)


async def test_a_cancelled_stream_ends_with_an_error_frame_and_is_settled(
    running: Running, fake: FakeUpstream
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=50, gate=gate))
    client = running.openai(await running.key())
    stream = await client.chat.completions.create(model="fake", messages=HELLO, stream=True)
    assert (await anext(stream)).choices
    (shown,) = (await running.admin("GET", "/requests/in-flight"))["data"]
    assert (shown["state"], shown["alias"], shown["key"]) == ("answering", "fake", "test")
    assert shown["held"] != "0.00"
    path = f"/requests/{shown['id']}/cancel"
    assert (await running.admin("POST", path, status=200))["id"] == shown["id"]
    with pytest.raises(openai.APIError, match="cancelled by an operator"):
        async for _ in stream:
            pass
    await until(lambda: fake.in_flight == 0)
    assert fake.requests[0].aborted.is_set()
    await until(lambda: not len(running.gateway.live))
    record = await running.last_record()
    assert (record["outcome"], record["error_code"]) == ("stopped", "request_cancelled")
    (attempt,) = await running.attempts(record["id"])
    assert (attempt["outcome"], attempt["state"]) == ("stopped", "done")
    assert float(attempt["cost"]) > 0
    await running.ledger_holds()
    await running.admin("POST", path, status=404)


async def test_a_cancelled_call_is_answered_and_not_tried_again(
    running: Running, fake: FakeUpstream
) -> None:
    fake.script(Behaviour(delay_s=60))
    client = running.openai(await running.key(), max_retries=3)
    calling = asyncio.create_task(client.chat.completions.create(model="fake", messages=HELLO))
    await until(lambda: fake.in_flight == 1)
    (shown,) = (await running.admin("GET", "/requests/in-flight"))["data"]
    assert shown["state"] == "calling"
    await running.admin("POST", f"/requests/{shown['id']}/cancel", status=200)
    with pytest.raises(openai.APIStatusError) as refused:
        await calling
    assert (refused.value.status_code, refused.value.code) == (409, "request_cancelled")
    await until(lambda: fake.in_flight == 0)
    assert len(fake.requests) == 1
    record = await running.last_record()
    assert (record["status"], record["outcome"]) == (409, "stopped")
    (attempt,) = await running.attempts(record["id"])
    assert attempt["ambiguous"]
    await running.ledger_holds()


async def test_a_reset_lets_a_key_spend_again_and_the_books_agree(running: Running) -> None:
    secret = await running.key("ci", budget={"limit": "0.001"})
    client = running.openai(secret)
    await client.chat.completions.create(model="fake-in900-out45", messages=HELLO, max_tokens=50)
    with pytest.raises(openai.RateLimitError):
        await client.chat.completions.create(model="fake", messages=HELLO, max_tokens=50)
    (budget,) = (await running.admin("GET", "/keys/ci"))["budgets"]
    path = f"/budgets/{budget['id']}/reset-spend"
    assert (await running.admin("POST", path, status=200))["spent"] == "0.00"
    await client.chat.completions.create(model="fake-in2-out3", messages=HELLO, max_tokens=50)
    (budget,) = (await running.admin("GET", "/keys/ci"))["budgets"]
    assert budget["spent"] == "0.000008"
    await running.ledger_holds()
