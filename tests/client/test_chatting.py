"""The chat over aiohttp: text as it comes, errors as they are, hanging up."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conduit.client.chat import ChatRequest, Patience
from conduit.client.chat_answer import AnswerReader, Usage
from conduit.client.chatting import asked, asked_again
from conduit.client.errors import ApiError, ProviderFailed, Unreachable
from conduit.client.replay import Replay
from tests.fakes.answering import REQUEST_ID, AnsweringServer, answering

REQUEST = ChatRequest(
    model="gpt-4o",
    messages=[{"role": "user", "content": "hello"}],
    key="condt_x",
    stream=True,
    parameters={"temperature": 0.2},
)


@pytest.fixture
async def server() -> AsyncIterator[AnsweringServer]:
    async with answering() as found:
        yield found


async def test_text_comes_as_it_is_written_and_usage_at_its_end(server: AnsweringServer) -> None:
    async with asked(server.url, REQUEST, patience=Patience()) as answer:
        pieces = answer.text()
        server.say("first", end=False)
        assert await anext(pieces) == "first"
        server.say(" second")
        assert [piece async for piece in pieces] == [" second"]
        assert answer.reader.usage == Usage(12, 34)
        assert answer.request_id == REQUEST_ID
    assert server.asked[0]["temperature"] == 0.2
    assert server.asked[0]["stream_options"] == {"include_usage": True}


async def test_leaving_hangs_up(server: AnsweringServer) -> None:
    async with asked(server.url, REQUEST, patience=Patience()) as answer:
        server.say("half", end=False)
        assert await anext(answer.text()) == "half"
    async with asyncio.timeout(20):
        await server.hung_up.wait()


async def test_a_refusal_keeps_its_code(server: AnsweringServer) -> None:
    server.refusal = 429
    with pytest.raises(ApiError) as refused:
        async with asked(server.url, REQUEST, patience=Patience()):
            pass
    assert (refused.value.code, refused.value.status) == ("insufficient_quota", 429)


async def test_silence_is_an_end_that_is_told(server: AnsweringServer) -> None:
    async with asked(server.url, REQUEST, patience=Patience(gap_s=0.05)) as answer:
        with pytest.raises(ProviderFailed, match="fell silent"):
            await anext(answer.text())


async def test_no_gateway_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        async with asked("http://127.0.0.1:9", REQUEST, patience=Patience()):
            pass


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_text_is_the_same_however_the_bytes_are_cut(size: int) -> None:
    stream = (
        b': comment\r\n\r\ndata: {"choices": [{"delta": {"content": "a\\u00e9"}}]}\r\n\r\n'
        b'data: {"choices": [{"delta": {"content": "b"}, "finish_reason": "stop"}]}\n\n'
        b'data: {"choices": [],\ndata:  "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\n'
        b"data: [DONE]\n\n"
    )
    reader = AnswerReader({})
    blocks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert "".join(piece for block in blocks for piece in reader.feed(block)) == "a\u00e9b"
    assert (reader.usage, reader.finish_reason, reader.ended) == (Usage(1, 2), "stop", True)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (b'data: {"error": {"message": "cut", "code": "upstream_error"}}\n\n', "cut"),
        (b"data: {nonsense\n\n", "not JSON"),
        (b"data: []\n\n", "no object"),
    ],
)
def test_a_stream_that_is_none_is_a_failure_of_the_provider(event: bytes, said: str) -> None:
    with pytest.raises(ProviderFailed, match=said):
        list(AnswerReader({}).feed(event))


async def test_a_kept_request_is_asked_again_and_read_to_its_end(server: AnsweringServer) -> None:
    again = Replay("/v1/chat/completions", b'{"model": "fast"}', {"openai-beta": "x"}, "fast")
    server.say("because")
    answer = await asked_again(server.url, again, "condt_x", patience=Patience())
    assert server.asked == [{"model": "fast"}]
    assert server.keys == ["Bearer condt_x"]
    assert (answer.status, answer.headers["x-request-id"]) == (200, REQUEST_ID)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    server.say("half", end=False)
    with pytest.raises(Unreachable, match="fell silent"):
        await asked_again(server.url, again, "condt_x", patience=Patience(gap_s=0.05))
    server.refusal = 429
    with pytest.raises(ApiError, match="spent its budget"):
        await asked_again(server.url, again, "condt_x", patience=Patience())
