"""The fake upstream is itself as it is said to be."""

import asyncio
import json
import sys
from pathlib import Path

import openai
import pytest

from tests.fakes.behaviour import Behaviour, Fault, Usage, behaviour_of
from tests.fakes.upstream import FakeUpstream

Message = openai.types.chat.ChatCompletionUserMessageParam
HELLO: list[Message] = [{"role": "user", "content": "nonce-1234"}]


def client_of(fake: FakeUpstream) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=fake.base_url, api_key="sk-fake", max_retries=0)


def test_a_model_name_is_a_behaviour() -> None:
    behaviour = behaviour_of("fake-n20-gap10-cut_rst-at3-in7-out8-usage_none")
    assert behaviour == Behaviour(
        chunks=20,
        gap_s=0.01,
        fault=Fault.CUT_RST,
        at=3,
        input_tokens=7,
        output_tokens=8,
        usage=Usage.NONE,
    )
    assert behaviour_of("gpt-4o") is None
    assert behaviour_of("fake-nonsense") is None


async def test_the_official_client_understands_it() -> None:
    async with FakeUpstream() as fake, client_of(fake) as client:
        answer = await client.chat.completions.create(model="fake-echo", messages=HELLO)
        assert answer.choices[0].message.content == "nonce-1234"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 34
        stream = await client.chat.completions.create(
            model="fake-n3", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == "word0 word1 word2"
        assert chunks[-1].usage is not None
        vectors = await client.embeddings.create(
            model="fake", input=["a", "b"], encoding_format="float"
        )
        assert len(vectors.data) == 2
        legacy = await client.completions.create(model="fake-n2", prompt="hello")
        assert legacy.choices[0].text == "word0 word1"
        assert [model.id async for model in client.models.list()] == [*fake.models]


async def test_a_tool_call_is_whole_in_both_ways() -> None:
    async with FakeUpstream() as fake, client_of(fake) as client:
        answer = await client.chat.completions.create(model="fake-tools", messages=HELLO)
        assert answer.choices[0].message.tool_calls is not None
        stream = await client.chat.completions.create(
            model="fake-tools", messages=HELLO, stream=True
        )
        arguments = ""
        async for chunk in stream:
            for call in chunk.choices[0].delta.tool_calls or []:
                arguments += (call.function and call.function.arguments) or ""
        assert json.loads(arguments) == {"city": "Oslo"}


async def test_errors_have_their_status_and_their_wait() -> None:
    async with FakeUpstream() as fake, client_of(fake) as client:
        with pytest.raises(openai.RateLimitError) as raised:
            await client.chat.completions.create(model="fake-status429-retry2", messages=HELLO)
        assert raised.value.response.headers["retry-after"] == "2"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="other", messages=HELLO)
        fake.default = Behaviour()
        answer = await client.chat.completions.create(model="other", messages=HELLO)
        assert answer.model == "other"


async def test_it_refuses_stream_options_by_name() -> None:
    async with FakeUpstream() as fake, client_of(fake) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(
                model="fake-refuse_stream_options",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
        assert raised.value.param == "stream_options"


async def test_a_request_is_in_the_log_of_the_process_before_it_is_answered(
    tmp_path: Path,
) -> None:
    log = tmp_path / "requests.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.upstream", "--log", str(log),
        cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        base_url = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
        port = int(base_url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"model": "fake-silent"}'
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nx-client-request-id: att_1\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        async with asyncio.timeout(10):
            while not log.exists() or not log.read_bytes():
                await asyncio.sleep(0.01)
        assert json.loads(log.read_text())["client_request_id"] == "att_1"
        writer.close()
        assert await reader.read() == b""
    finally:
        process.kill()
        await process.wait()
