"""aimock, a mock of OpenAI that others wrote, as the provider; a recorder sees what reaches it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.aimock import NEEDS_AIMOCK, running_aimock
from tests.e2e.conftest import UPSTREAM_SECRET, Running, running_gateway

TOOL_ARGUMENTS = '{"city": "Zürich 🙂",  "days": 3.10, "big": 12345678901234567890}'
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("weather", "clock")
]

pytestmark = NEEDS_AIMOCK


class Request(NamedTuple):
    """One request as its bytes passed."""

    head: str
    body: bytes

    def header(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name:
                return value.strip()
        return None


class Recorder:
    """Passes bytes on to a server both ways and keeps what the clients sent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sent: list[bytearray] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Recorder":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None, "it was started"
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def base_url(self) -> str:
        assert self._server is not None, "it was started"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    @property
    def requests(self) -> list[Request]:
        return [request for sent in self._sent for request in _requests(bytes(sent))]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task"
        self._connections.add(task)
        sent = bytearray()
        self._sent.append(sent)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            with suppress(OSError):
                await asyncio.gather(
                    _pump(reader, upstream_writer, sent),
                    _pump(upstream_reader, writer, bytearray()),
                )
        finally:
            self._connections.discard(task)
            upstream_writer.close()
            writer.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    while data := await reader.read(65_536):
        kept += data
        writer.write(data)
        await writer.drain()
    writer.close()


def _requests(sent: bytes) -> Iterator[Request]:
    """The requests of one connection; a body has the length that its head says."""
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        request = Request(head.decode("ascii"), b"")
        length = int(request.header("content-length") or 0)
        yield request._replace(body=rest[:length])
        sent = rest[length:]


@pytest.fixture(scope="module")
def aimock_port() -> Iterator[int]:
    with running_aimock() as port:
        yield port


@pytest.fixture
async def recorder(aimock_port: int) -> AsyncIterator[Recorder]:
    async with Recorder(aimock_port) as recording:
        yield recording


@pytest.fixture
async def running(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Running]:
    """A gateway whose provider is aimock, behind the recorder."""
    async with running_gateway(tmp_path / "home") as gateway:
        provider = {
            "name": "aimock",
            "type": "openai_compatible",
            "base_url": recorder.base_url,
            "credential": {"secret": UPSTREAM_SECRET},
        }
        target = {"provider": "aimock", "model": "gpt-4o"}
        await gateway.admin("POST", "/providers", provider)
        await gateway.admin("POST", "/mappings", {"alias": "mocked", "targets": [target]})
        await gateway.admin("PUT", "/prices/aimock/*", {"input": "1", "output": "2"})
        yield gateway


def asking(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def test_a_whole_answer(running: Running) -> None:
    client = running.openai(await running.key())
    answer = await client.chat.completions.create(model="mocked", messages=asking("greet me"))
    assert answer.choices[0].message.content == "Good morning, and welcome."
    record = await running.last_record()
    assert (record["input_tokens"], record["output_tokens"]) == (11, 6)
    assert record["cost"] == "0.000023"  # 11 * 1,000 + 6 * 2,000 nano-dollars
    await running.ledger_holds()


async def test_a_stream_is_counted_though_its_client_asks_for_no_usage(running: Running) -> None:
    client = running.openai(await running.key())
    stream = await client.chat.completions.create(
        model="mocked", messages=asking("greet me"), stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "Good morning, and welcome."
    assert chunks[-1].choices[0].finish_reason == "stop"
    record = await running.last_record()
    assert (record["input_tokens"], record["output_tokens"]) == (11, 6)
    assert record["usage_source"] == "provider"
    await running.ledger_holds()


async def test_halves_of_surrogate_pairs_pass_through(running: Running) -> None:
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"model": "mocked", "messages": asking("faces"), "stream": True},
        headers={"authorization": f"Bearer {await running.key()}"},
    ) as response:
        text = await response.text()
    assert text.endswith("data: [DONE]\n\n")
    *events, _ = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    pieces = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events]
    assert r'{"content":"\ud83d"}' in text  # a half by itself, still as an escape
    whole = "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16")
    assert whole == "a🙂b🙃🙂c"
    record = await running.last_record()
    assert (record["outcome"], record["output_tokens"]) == ("succeeded", 7)
    await running.ledger_holds()


async def test_tool_calls_are_whole_and_exact(running: Running) -> None:
    client = running.openai(await running.key())
    whole = await client.chat.completions.create(
        model="mocked", messages=asking("weather"), tools=TOOLS
    )
    assert [
        (call.id, call.function.name, call.function.arguments)
        for call in whole.choices[0].message.tool_calls or []
        if call.type == "function"
    ] == [("call_first", "weather", TOOL_ARGUMENTS), ("call_second", "clock", "{}")]
    arguments = {0: "", 1: ""}
    names: dict[int, str] = {}
    reasons = set()
    stream = await client.chat.completions.create(
        model="mocked", messages=asking("weather"), tools=TOOLS, stream=True
    )
    async for chunk in stream:
        reasons.add(chunk.choices[0].finish_reason)
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.function is not None
            names[call.index] = call.function.name or names[call.index]
            arguments[call.index] += call.function.arguments or ""
    assert names == {0: "weather", 1: "clock"}
    assert arguments[1] == "{}"
    # aimock cuts between the halves of a surrogate pair here too.
    joined = arguments[0].encode("utf-16", "surrogatepass").decode("utf-16")
    assert joined == TOOL_ARGUMENTS
    assert reasons == {None, "tool_calls"}
    await running.ledger_holds()


class Capital(BaseModel):
    """What the structured answer is read into."""

    city: str
    inhabitants: int


async def test_a_structured_answer_is_read_by_the_sdk(running: Running, recorder: Recorder) -> None:
    client = running.openai(await running.key())
    answer = await client.chat.completions.parse(
        model="mocked", messages=asking("the capital of Norway"), response_format=Capital
    )
    assert answer.choices[0].message.parsed == Capital(city="Oslo", inhabitants=717_710)
    sent = json.loads(recorder.requests[-1].body)["response_format"]
    assert sent["json_schema"]["schema"]["required"] == ["city", "inhabitants"]
    assert sent["json_schema"]["strict"] is True
    await running.ledger_holds()


async def test_embeddings(running: Running) -> None:
    client = running.openai(await running.key())
    answer = await client.embeddings.create(model="mocked", input="hello world")
    assert answer.data[0].embedding == [0.5, -0.25, 0.125]
    assert (await running.last_record())["operation"] == "embedding"
    await running.ledger_holds()


@pytest.mark.parametrize(
    ("text", "expected", "code", "said"),
    [
        ("too fast", openai.RateLimitError, "upstream_rate_limited", "slow down"),
        ("too long", openai.BadRequestError, "context_length_exceeded", "the prompt is too long"),
        ("fall over", openai.InternalServerError, "upstream_error", "overloaded"),
        ("nobody knows", openai.InternalServerError, "upstream_error", "no fixture matched"),
    ],
)
async def test_each_failure_raises_the_right_class(
    running: Running, text: str, expected: type[openai.APIStatusError], code: str, said: str
) -> None:
    client = running.openai(await running.key())
    for stream in (False, True):
        with pytest.raises(expected) as caught:
            await client.chat.completions.create(
                model="mocked", messages=asking(text), stream=stream
            )
        assert caught.value.code == code
        assert said in caught.value.message
    await running.ledger_holds()


async def test_its_models_are_listed_for_the_administrator(running: Running) -> None:
    page = await running.admin("GET", "/providers/aimock/models")
    assert "gpt-4o" in {model["model"] for model in page["data"]}
    tested = await running.admin("POST", "/providers/aimock/test", status=200)
    assert tested["ok"] is True


# Unknown fields, an order of its own, numbers, escapes and spaces as no encoder would write them.
CLIENT_BODY = b"""{ "zeta": {"b": 1.10, "a": [1E2, -0.0, null, 12345678901234567890]},
  "temperature": 7.0e-1, "messages" : [{"content": "greet me \\u00e9\\/", "role":"user",
  "later": true}], "model": "mocked", "STREAM": 1, "seed": 9007199254740993,
  "stream": true, "alpha": "\xf0\x9f\x99\x82" }"""


class Number(str):
    """A number's text, told from a string."""

    __slots__ = ()


def exact(body: bytes) -> list[tuple[str, Any]]:
    """The fields in their order, with every number as it was written."""
    fields: list[tuple[str, Any]] = json.loads(
        body, object_pairs_hook=list, parse_float=Number, parse_int=Number
    )
    return fields


async def test_only_model_and_stream_options_are_replaced(
    running: Running, recorder: Recorder
) -> None:
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        data=CLIENT_BODY,
        headers={
            "authorization": f"Bearer {await running.key()}",
            "content-type": "application/json",
            "x-stainless-lang": "python",
            "cookie": "a=b",
        },
    ) as response:
        assert response.status == 200, await response.text()
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
    (request,) = recorder.requests
    expected = [
        (name, "gpt-4o") if name == "model" else (name, value) for name, value in exact(CLIENT_BODY)
    ]
    assert exact(request.body) == [*expected, ("stream_options", [("include_usage", True)])]
    assert b'"messages":[{"content": "greet me \\u00e9\\/", "role":"user",' in request.body
    assert request.head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert request.header("authorization") == f"Bearer {UPSTREAM_SECRET}"
    record = await running.last_record()
    (attempt,) = await running.attempts(record["id"])
    assert request.header("x-client-request-id") == attempt["id"]
    for private in ("cookie", "x-stainless-lang", "x-forwarded-for"):
        assert request.header(private) is None


async def test_stream_options_of_the_client_are_kept(running: Running, recorder: Recorder) -> None:
    client = running.openai(await running.key())
    stream = await client.chat.completions.create(
        model="mocked",
        messages=asking("greet me"),
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6
    assert exact(recorder.requests[-1].body)[-1] == (
        "stream_options",
        [("include_usage", True), ("include_obfuscation", False)],
    )
