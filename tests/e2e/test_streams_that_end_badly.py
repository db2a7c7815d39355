"""Streams that are cut, stalled, wrong or left: what the client sees, and what is settled."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.e2e.conftest import (
    Running,
    connect_fake,
    running_gateway,
    with_every_upstream_client,
)
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

WITHIN_S = 30.0


def body_of(model: str, **fields: object) -> dict[str, object]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        **fields,
    }


async def stream(running: Running, key: str, model: str, **fields: object) -> tuple[int, str]:
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body_of(model, **fields),
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        return response.status, await response.text()


def frames(text: str) -> list[Any]:
    return [
        json.loads(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith("data: ") and line != "data: [DONE]"
    ]


async def until(condition: Any, within_s: float = WITHIN_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@with_every_upstream_client
@pytest.mark.parametrize("fault", ["cut_fin", "cut_rst", "cut_in_event", "error_event"])
async def test_a_stream_that_breaks_ends_with_an_error_frame_and_no_end_mark(
    running: Running, fault: str
) -> None:
    key = await running.key()
    status, text = await stream(running, key, f"fake-n6-{fault}-at3")
    assert status == 200
    assert "[DONE]" not in text
    *chunks, last = frames(text)
    assert chunks
    assert last["error"]["code"] == "upstream_error"
    record = await running.last_record()
    assert (record["status"], record["outcome"]) == (200, "cut")
    assert record["error_code"] == "upstream_error"
    assert float(record["cost"]) > 0
    await running.ledger_holds()


async def test_an_error_as_first_event_is_an_error_answer(running: Running) -> None:
    status, text = await stream(running, await running.key(), "fake-first_error")
    assert status == 502
    assert json.loads(text)["error"]["code"] == "upstream_error"
    await running.ledger_holds()


@with_every_upstream_client
async def test_a_silent_provider_meets_its_deadline(
    tmp_path: Path, fake: FakeUpstream, upstream_client: str
) -> None:
    async with running_gateway(
        tmp_path,
        first_event_timeout_s=0.3,
        gap_timeout_s=0.3,
        upstream_client=upstream_client,
    ) as running:
        await connect_fake(running, fake)
        key = await running.key()
        status, text = await stream(running, key, "fake-silent")
        assert status == 504
        assert json.loads(text)["error"]["code"] == "upstream_timeout"
        record = await running.last_record()
        attempt, again = await running.attempts(record["id"])  # repeated once, no more
        assert again["ambiguous"]
        # It may be working, and billing, still: the whole hold is taken as spent.
        assert attempt["ambiguous"]
        assert attempt["cost"] == attempt["hold"]
        assert attempt["billed"] == "0.00"
        status, text = await stream(running, key, "fake-n5-stall-at2")
        assert status == 200
        assert frames(text)[-1]["error"]["code"] == "upstream_timeout"
        assert "[DONE]" not in text
        await running.ledger_holds()


@with_every_upstream_client
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_hangs_up_closes_the_upstream_and_is_settled(
    running: Running, fake: FakeUpstream, streamed: bool
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=50, gate=gate) if streamed else Behaviour(delay_s=60))
    key = await running.key()
    calling = asyncio.create_task(
        read_first(running, key) if streamed else stream(running, key, "fake", stream=False)
    )
    if streamed:
        await calling
    else:
        await until(lambda: fake.in_flight == 1)
        calling.cancel()
    await until(lambda: fake.in_flight == 0, within_s=1.0)
    assert fake.requests[0].aborted.is_set()
    await until(lambda: not len(running.gateway.live))
    record = await running.last_record()
    assert (record["status"], record["outcome"]) == (499, "client_gone")
    (attempt,) = await running.attempts(record["id"])
    assert attempt["outcome"] == "client_gone"
    assert float(attempt["cost"]) > 0
    assert attempt["ambiguous"] is not streamed
    await running.ledger_holds()


async def read_first(running: Running, key: str) -> None:
    """Read one piece of a stream, then hang up."""
    response = await running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body_of("fake"),
        headers={"authorization": f"Bearer {key}"},
    )
    await response.content.readany()
    response.close()


async def test_a_server_that_sends_no_end_mark_gets_one_from_us(running: Running) -> None:
    status, text = await stream(running, await running.key(), "fake-n3-usage_none")
    assert status == 200
    assert text.endswith("data: [DONE]\n\n")
    record = await running.last_record()
    assert record["usage_source"] == "estimated"
    assert record["output_tokens"] > 0


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_usage_below_nothing_is_estimated_and_not_free(
    running: Running, streamed: bool
) -> None:
    key = await running.key()
    status, text = await stream(running, key, "fake-n8-usage_negative", stream=streamed)
    assert status == 200
    if streamed:  # the client asked for no usage, and gets none whatever it says
        assert not any("usage" in frame for frame in frames(text))
        assert text.endswith("data: [DONE]\n\n")
    record = await running.last_record()
    assert record["usage_source"] == "estimated"
    assert record["output_tokens"] > 0
    (attempt,) = await running.attempts(record["id"])
    assert float(attempt["cost"]) > 0
    await running.ledger_holds()


SILENT_GEMINI = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "four words of it"}]},
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
}


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_usage_without_a_word_of_the_output_is_estimated_and_not_free(
    running: Running, streamed: bool
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith(":streamGenerateContent"):
            text = f"data: {json.dumps(SILENT_GEMINI)}\n\n"
            return web.Response(text=text, content_type="text/event-stream")
        return web.json_response(SILENT_GEMINI)

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    async with TestServer(application) as server:
        provider = {"name": "silent", "type": "gemini", "base_url": str(server.make_url("/v1beta"))}
        credential = {"name": "default", "secret": "made-up"}
        await running.admin(
            "POST", "/providers", {**provider, "allow_private": True, "credential": credential}
        )
        targets = [{"provider": "silent", "model": "m"}]
        await running.admin("POST", "/mappings", {"alias": "silent", "targets": targets})
        await running.admin("PUT", "/prices/silent/*", {"input": "1", "output": "2"})
        status, text = await stream(running, await running.key(), "silent", stream=streamed)
    assert status == 200
    assert "four words of it" in text
    record = await running.last_record()
    assert (record["usage_source"], record["output_tokens"]) == ("estimated", 4)
    await running.ledger_holds()


@with_every_upstream_client
async def test_the_next_target_serves_when_the_first_one_fails(
    running: Running, fake: FakeUpstream
) -> None:
    targets = [
        {"provider": "fake", "model": "fake-status500"},
        {"provider": "fake", "model": "fake-first_error"},
        {"provider": "fake", "model": "fake-n3"},
    ]
    await running.admin("POST", "/mappings", {"alias": "sturdy", "targets": targets})
    status, text = await stream(running, await running.key(), "sturdy")
    assert status == 200
    assert text.endswith("data: [DONE]\n\n")
    record = await running.last_record()
    assert (record["model"], record["attempts"], record["alias"]) == ("fake-n3", 3, "sturdy")
    attempts = await running.attempts(record["id"])
    assert [attempt["outcome"] for attempt in attempts] == ["refused", "ambiguous", "succeeded"]
    # OpenAI's own header carries each attempt's id, so that both sides can be compared.
    assert fake.client_request_ids == [attempt["id"] for attempt in attempts]
    await running.ledger_holds()


async def test_a_request_that_is_wrong_is_not_tried_elsewhere(
    running: Running, fake: FakeUpstream
) -> None:
    targets = [
        {"provider": "fake", "model": "fake-status400"},
        {"provider": "fake", "model": "fake"},
    ]
    await running.admin("POST", "/mappings", {"alias": "picky", "targets": targets})
    status, _ = await stream(running, await running.key(), "picky")
    assert status == 400
    assert len(fake.requests) == 1


@with_every_upstream_client
async def test_a_chunk_leaves_when_it_arrives(running: Running, fake: FakeUpstream) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=3, gate=gate))
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body_of("fake"),
        headers={"authorization": f"Bearer {await running.key()}"},
    ) as response:
        # The provider waits for the gate after its first chunk, so this one cannot have been
        # held back for company.
        async with asyncio.timeout(WITHIN_S):
            first = await response.content.readany()
        assert b"chat.completion.chunk" in first
        gate.set()
        rest = await response.content.read()
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_stream_of_nothing_but_its_end_mark_is_no_answer(
    running: Running, fake: FakeUpstream
) -> None:
    for _ in range(3):  # as often as it is asked
        fake.script(Behaviour(raw_body=b"data: [DONE]\n\n"))
    status, text = await stream(running, await running.key(), "fake")
    assert status == 502
    assert "empty stream" in text
    await running.ledger_holds()


async def test_a_client_that_reads_nothing_is_cut_off(tmp_path: Path, fake: FakeUpstream) -> None:
    async with running_gateway(tmp_path, client_stall_timeout_s=0.3) as running:
        await connect_fake(running, fake)
        key = await running.key()
        body = json.dumps({**body_of("fake-size30000000"), "stream": False}).encode()
        host, port = running.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        assert b" 200 " in await reader.readline()
        # Nothing more is read; what the gateway still has is given up after the time.
        await until(lambda: not len(running.gateway.live))
        record = await running.last_record()
        assert record["outcome"] == "succeeded"  # the provider's work was done and is paid
        writer.close()
        await running.ledger_holds()


async def test_a_connection_kept_alive_brings_no_new_calls_to_a_gateway_that_stops(
    running: Running,
) -> None:
    key = await running.key()
    running.gateway.live.closed = True
    status, text = await stream(running, key, "fake")
    assert status == 503
    assert json.loads(text)["error"]["code"] == "server_shutting_down"


async def test_a_providers_content_type_is_not_passed_on(
    running: Running, fake: FakeUpstream
) -> None:
    answer = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"x"}}]}'
    fake.script(Behaviour(raw_body=answer, headers={"content-type": "text/html"}))
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={**body_of("fake"), "stream": False},
        headers={"authorization": f"Bearer {await running.key()}"},
    ) as response:
        assert response.status == 200
        assert response.content_type == "application/json"


async def test_what_was_said_of_one_host_does_not_hold_for_another(running: Running) -> None:
    provider = {"name": "near", "type": "openai_compatible", "base_url": "http://127.0.0.1:9/v1"}
    await running.admin("POST", "/providers", provider)
    there = {"base_url": "http://10.1.2.3/latest"}
    await running.admin("PATCH", "/providers/near", there, status=422)
    await running.admin("PATCH", "/providers/near", {**there, "allow_private": True})
