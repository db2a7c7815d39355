import asyncio
import base64
import json
import math
import struct
from typing import Any

import pytest

from conduit.gateway.dialects.frames.sse import payloads_of
from conduit.gateway.provider import LocalProvider, Operation
from conduit.gateway.providers.simulator import INSTANT, MODELS, Pace, Simulator

SMALL = "simulated-small"
CITY = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
            "required": ["city", "days"],
        },
    },
}


def messages(text: str = "Why is the sky blue?") -> list[Any]:
    return [{"role": "user", "content": text}]


async def ask(operation: Operation = Operation.CHAT, **fields: Any) -> tuple[int, bytes]:
    body = {"model": SMALL} | ({"messages": messages()} if operation is Operation.CHAT else {})
    simulator = Simulator(INSTANT, clock=lambda: 1_700_000_000.0)
    answer = simulator.answer(operation, json.dumps(body | fields).encode())
    return answer.status, b"".join([piece async for piece in answer.pieces])


async def chat(**fields: Any) -> Any:
    status, body = await ask(**fields)
    assert status == 200, body
    return json.loads(body)


async def chunks(operation: Operation = Operation.CHAT, **fields: Any) -> list[Any]:
    status, body = await ask(operation, stream=True, **fields)
    assert status == 200
    *payloads, done = payloads_of(body)
    assert done == b"[DONE]"
    return [json.loads(payload) for payload in payloads if payload is not None]


def said(answer: Any, choice: int = 0) -> str:
    text = answer["choices"][choice]["message"]["content"]
    assert isinstance(text, str)
    return text


async def test_an_answer_says_that_it_is_simulated_and_what_was_asked() -> None:
    answer = await chat()
    assert "simulated" in said(answer)
    assert "Why is the sky blue?" in said(answer)
    assert answer["id"].startswith("chatcmpl-simulated-")
    assert answer["system_fingerprint"] == "fp_simulated"
    assert answer["model"] == SMALL
    assert answer["created"] == 1_700_000_000


async def test_the_same_request_gets_the_same_bytes() -> None:
    assert await ask(seed=1) == await ask(seed=1)
    assert await ask(stream=True) == await ask(stream=True)
    texts = {said(await chat(seed=seed)) for seed in range(12)}
    assert len(texts) > 1


async def test_the_larger_model_says_more() -> None:
    large = await chat(model="simulated-large")
    assert len(said(large)) > 2 * len(said(await chat()))


async def test_a_stream_says_what_the_whole_answer_says() -> None:
    whole = await chat()
    streamed = await chunks(stream_options={"include_usage": True})
    text = "".join(
        choice["delta"].get("content", "") for chunk in streamed for choice in chunk["choices"]
    )
    assert text == said(whole)
    assert streamed[-1]["choices"] == []
    assert streamed[-1]["usage"] == whole["usage"]
    assert {chunk["id"] for chunk in streamed} == {whole["id"]} or len(streamed) > 3


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_an_output_cap_is_honoured(name: str) -> None:
    answer = await chat(**{name: 5})
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_an_answer_stops_before_a_stop_sequence() -> None:
    answer = await chat(stop=["never said", " is built"])
    assert said(answer) == "This is a simulated answer: simulated-small"
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_several_choices_are_counted_together() -> None:
    answer = await chat(n=3)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert len({said(answer, choice) for choice in range(3)}) == 3
    one = await chat(n=1)
    assert answer["usage"]["completion_tokens"] > 2 * one["usage"]["completion_tokens"]


async def test_usage_adds_up() -> None:
    usage = (await chat())["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    longer = (await chat(messages=messages("why " * 500)))["usage"]
    assert longer["prompt_tokens"] > usage["prompt_tokens"] + 400


async def test_a_tool_is_called_with_valid_arguments_and_its_result_answered() -> None:
    answer = await chat(tools=[CITY])
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    assert call["function"]["name"] == "get_weather"
    assert arguments["days"] == 3
    assert isinstance(arguments["city"], str)
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    after = [
        *messages(),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "18 degrees"},
    ]
    assert "18 degrees" in said(await chat(tools=[CITY], messages=after))


async def test_a_streamed_tool_call_comes_in_pieces() -> None:
    streamed = await chunks(tools=[CITY])
    calls = [
        call
        for chunk in streamed
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert len(calls) > 3
    text = "".join(call["function"]["arguments"] for call in calls)
    assert json.loads(text)["days"] == 3


async def test_the_forced_tool_is_called() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    choice = {"type": "function", "function": {"name": "other"}}
    answer = await chat(tools=[CITY, other], tool_choice=choice)
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "other", "arguments": "{}"}
    assert said(await chat(tools=[CITY], tool_choice="none"))


async def test_a_schema_is_obeyed() -> None:
    schema = {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert json.loads(said(await chat(response_format=wanted))) == {"kind": "a"}
    answer = json.loads(said(await chat(response_format={"type": "json_object"})))
    assert answer["simulated"] is True


@pytest.mark.parametrize(
    ("operation", "fields", "status", "param"),
    [
        (Operation.CHAT, {"messages": []}, 400, "messages"),
        (Operation.CHAT, {"model": "gpt"}, 404, "model"),
        (Operation.CHAT, {"model": "simulated-embedding"}, 404, "model"),
        (
            Operation.CHAT,
            {"messages": [{"role": "user", "content": 5}]},
            400,
            "messages[0].content",
        ),
        (
            Operation.CHAT,
            {"tools": [CITY], "tool_choice": {"type": "function", "function": {"name": "\ud83d"}}},
            400,
            "tool_choice",
        ),
        (Operation.COMPLETION, {}, 400, "prompt"),
        (Operation.COMPLETION, {"prompt": "x", "stop": 5}, 400, "stop"),
        (Operation.EMBEDDING, {"model": "simulated-embedding"}, 400, "input"),
        (Operation.EMBEDDING, {"model": SMALL, "input": "x"}, 404, "model"),
        (
            Operation.EMBEDDING,
            {"model": "simulated-embedding", "input": "x", "encoding_format": "hex"},
            400,
            "encoding_format",
        ),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_malformed_request_gets_an_error_in_openai_s_shape(
    operation: Operation, fields: dict[str, Any], status: int, param: str, stream: bool
) -> None:
    found, body = await ask(operation, **fields, stream=stream)
    assert found == status
    assert json.loads(body)["error"]["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "hello"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 5}]}]},
            "messages[0].content[0].image_url",
        ),
        ({"messages": [*messages(), {"role": "tool", "content": "5"}]}, "messages[1]"),
        ({"messages": [*messages(), {"role": "assistant"}]}, "messages[1]"),
        ({"response_format": {"type": "rhyme"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"temperature": 9}, "temperature"),
        ({"metadata": 5}, "metadata"),
        ({"logit_bias": 5}, "logit_bias"),
        ({"store": "x"}, "store"),
    ],
)
async def test_what_is_no_chat_is_refused_with_its_place(
    fields: dict[str, Any], param: str
) -> None:
    status, body = await ask(**fields)
    error = json.loads(body)["error"]
    assert (status, error["param"]) == (400, param), error


async def test_completions_continue_every_prompt() -> None:
    status, body = await ask(Operation.COMPLETION, prompt=["a", "b"], n=2, max_tokens=4)
    answer = json.loads(body)
    assert status == 200
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["object"] == "text_completion"
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}


async def test_a_streamed_completion_is_the_same_text() -> None:
    fields = {"prompt": "Once", "max_tokens": 100, "echo": True, "stop": "asked"}
    _, body = await ask(Operation.COMPLETION, **fields)
    whole = json.loads(body)
    streamed = await chunks(Operation.COMPLETION, **fields, stream_options={"include_usage": True})
    text = "".join(choice["text"] for chunk in streamed for choice in chunk["choices"])
    assert text == whole["choices"][0]["text"]
    assert text.startswith("Once (a simulated")
    assert streamed[-1]["usage"] == whole["usage"]
    assert streamed[-2]["choices"][0]["finish_reason"] == "stop"


async def embed(**fields: Any) -> Any:
    status, body = await ask(Operation.EMBEDDING, model="simulated-embedding", **fields)
    assert status == 200
    return json.loads(body)


async def test_embeddings_are_unit_vectors_and_alike_for_alike_texts() -> None:
    texts = ["the red house on the hill", "the red house by the lake", "quantum tax law"]
    answer = await embed(input=texts)
    first, second, third = (item["embedding"] for item in answer["data"])
    assert len(first) == 256
    for vector in (first, second, third):
        assert math.isclose(math.hypot(*vector), 1.0)

    def likeness(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert likeness(first, second) > likeness(first, third)
    assert (await embed(input=texts))["data"] == answer["data"]
    assert answer["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("dimensions", [1, 8, 1536])
async def test_embeddings_have_the_dimensions_asked_for_in_either_encoding(
    dimensions: int,
) -> None:
    plain = (await embed(input=[1, 2, 3], dimensions=dimensions))["data"][0]["embedding"]
    assert len(plain) == dimensions
    coded = await embed(input=[1, 2, 3], dimensions=dimensions, encoding_format="base64")
    raw = base64.b64decode(coded["data"][0]["embedding"])
    assert struct.unpack(f"<{dimensions}f", raw) == pytest.approx(plain)


async def test_tokens_are_sent_one_by_one_in_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    now = asyncio.get_running_loop().time

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    simulator = Simulator(Pace(first_token_s=1000.0, tokens_per_s=0.001, whole_limit_s=5.0))
    body = json.dumps({"model": SMALL, "messages": messages(), "stream": True}).encode()
    answer = simulator.answer(Operation.CHAT, body)
    began = now()
    pieces = [piece async for piece in answer.pieces]
    assert len(pieces) == len(waits) > 20
    assert 700 < waits[0] < 1300
    assert waits[1] - waits[0] == pytest.approx(1000, abs=now() - began + 1)
    waits.clear()
    whole = simulator.answer(Operation.CHAT, body.replace(b'"stream": true', b'"stream": false'))
    assert [piece async for piece in whole.pieces]
    assert waits == [5.0]


async def test_every_kind_of_part_is_counted() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "image_url", "image_url": {"url": "https://x/z.png"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
    ]
    text = said(await chat(messages=[{"role": "user", "content": parts}]))
    assert "2 images and 1 audio clip and 1 file" in text
    assert "You sent no text." in text


async def test_a_pause_is_really_made() -> None:
    body = json.dumps({"model": SMALL, "messages": messages(), "max_tokens": 2}).encode()
    answer = Simulator(Pace(0.001, 1000.0)).answer(Operation.CHAT, body)
    assert answer.status == 200
    assert [piece async for piece in answer.pieces]


async def test_the_simulator_needs_no_credential() -> None:
    simulator = Simulator()
    assert isinstance(simulator, LocalProvider)
    assert simulator.type.simulated
    assert simulator.type.default_base_url == "simulator:"
    assert SMALL in MODELS
