"""The official OpenAI package for Node against the whole gateway."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import UPSTREAM_SECRET, Running
from tests.fakes.openai_answers import TOOL_ARGUMENTS
from tests.fakes.upstream import FakeUpstream

NODE = shutil.which("node")
SCRIPT = Path(__file__).parents[1] / "node" / "openai_client.mjs"
PACKAGE = SCRIPT.parent / "node_modules" / "openai"
SCENARIO_S = 30.0

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(NODE is None, reason="there is no node on the PATH"),
    pytest.mark.skipif(not PACKAGE.is_dir(), reason=f"no {PACKAGE}: run make services"),
]


async def play(running: Running, scenario: str, key: str, *model: str) -> Any:
    """What the script saw."""
    assert NODE is not None, "the tests are skipped without it"
    process = await asyncio.create_subprocess_exec(
        NODE,
        str(SCRIPT),
        scenario,
        *model,
        env={
            **os.environ,
            "CONDUIT_TEST_URL": f"{running.url}/v1",
            "CONDUIT_TEST_KEY": key,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SCENARIO_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_a_whole_answer_is_counted_and_priced(running: Running) -> None:
    seen = await play(running, "chat", await running.key())
    assert seen["text"] == "word0 word1 word2 word3 word4"
    assert seen["finishReason"] == "stop"
    assert (seen["usage"]["prompt_tokens"], seen["usage"]["completion_tokens"]) == (12, 34)
    record = await running.last_record()
    assert record["id"] == seen["requestId"]
    assert record["cost"] == seen["cost"] == "0.00008"
    await running.ledger_holds()


async def test_a_stream_arrives_whole_with_the_usage_that_was_asked_for(
    running: Running,
) -> None:
    seen = await play(running, "stream", await running.key())
    assert seen["text"] == "word0 word1 word2 word3 word4 word5 word6"
    assert seen["finishReason"] == "stop"
    assert seen["usage"]["completion_tokens"] == 9
    assert seen["chunks"] == 9  # seven of text, the end, the usage
    record = await running.last_record()
    assert (record["stream"], record["outcome"]) == (True, "succeeded")
    assert (record["input_tokens"], record["output_tokens"]) == (5, 9)
    await running.ledger_holds()


async def test_tool_calls_are_the_same_whole_and_streamed(running: Running) -> None:
    whole, streamed = await play(running, "tools", await running.key())
    call = {"id": "call_fake_1", "name": "weather", "arguments": TOOL_ARGUMENTS}
    assert whole == streamed == {"finishReason": "tool_calls", "calls": [call]}


async def test_each_failure_raises_the_right_class(running: Running) -> None:
    # Each is to reach the provider, though its credential was refused a moment ago.
    await running.admin("PATCH", "/mappings/fake*", {"policy": {"breakers": False}})
    seen = await play(running, "errors", await running.key())
    assert {name: (error["class"], error["status"]) for name, error in seen.items()} == {
        "fake-status400": ("BadRequestError", 400),
        "fake-status401": ("InternalServerError", 502),
        "fake-status404": ("NotFoundError", 404),
        "fake-status422": ("UnprocessableEntityError", 422),
        "fake-status429-retry7": ("RateLimitError", 429),
        "fake-status500": ("InternalServerError", 502),
        "unknown": ("NotFoundError", 404),
        "stranger": ("AuthenticationError", 401),
        "brokenStream": ("APIError", None),  # its status had been sent when it broke
    }
    assert seen["fake-status401"]["code"] == "upstream_auth_error"
    assert seen["fake-status429-retry7"]["retryAfter"] == "7"
    assert seen["unknown"]["code"] == "model_not_found"
    assert seen["stranger"]["code"] == "invalid_api_key"
    assert seen["brokenStream"]["code"] == "upstream_error"
    assert all(
        error["requestId"].startswith("req_")
        for name, error in seen.items()
        if name != "brokenStream"
    )
    assert UPSTREAM_SECRET not in json.dumps(seen)
    await running.ledger_holds()


async def test_models_are_the_aliases_that_the_key_may_use(running: Running) -> None:
    target = [{"provider": "fake", "model": "fake"}]
    await running.admin("POST", "/mappings", {"alias": "other/model", "targets": target})
    seen = await play(running, "models", await running.key(allowed_models=["other/*"]))
    assert seen["ids"] == ["other/model"]
    assert seen["one"]["id"] == "other/model"


async def test_embeddings_come_as_numbers(running: Running) -> None:
    seen = await play(running, "embeddings", await running.key())
    assert seen["vectors"] == [[0.25, -0.5, 0.125]] * 2
    assert seen["usage"]["prompt_tokens"] == 12


async def test_an_aborted_stream_closes_the_upstream_and_is_settled(
    running: Running, fake: FakeUpstream
) -> None:
    playing = asyncio.create_task(play(running, "abort", await running.key()))
    received = await fake.request(1, timeout_s=SCENARIO_S)
    seen = await playing
    assert (seen["chunks"], seen["aborted"]) == (3, True)
    async with asyncio.timeout(2):
        await received.aborted.wait()
    assert await running.gateway.live.wait_until_empty(2)
    record = await running.last_record()
    assert (record["status"], record["outcome"]) == (499, "client_gone")
    assert float(record["cost"]) > 0
    await running.ledger_holds()
