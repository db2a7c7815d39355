"""Any conversation that Gemini's format can express comes back as it was, but for these losses:

- the provider's side of a conversation in another dialect: names of messages, cache marks,
  citations, `detail` and file names, empty texts, thinking that Gemini did not sign, signatures of
  calls by others (with a substitute in their place); consecutive messages of the assistant become
  one, late instructions stand first, a refusal is text;
- a tool's result: JSON in one text is read as an object and written compactly, what stands alone
  under `output` or `error` in it is taken for all of it;
- a client's request: the role of instructions, schemas in the older form (said as JSON Schema);
- the format of an answer: its name and strictness; the effort in words that are no level;
- an answer for a client: citations and log probabilities in their own form, a refusal is text,
  ids of log probabilities, the time of its making.
"""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conduit.core.errors import InvalidRequestError
from conduit.gateway.conversation import (
    AnswerFormat,
    Audio,
    ChatRequest,
    ChatResponse,
    Choice,
    File,
    FinishReason,
    Image,
    Message,
    Part,
    Reasoning,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Usage,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.gemini.dialect import (
    StreamDecoder,
    StreamEncoder,
    decode_count_request,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from conduit.gateway.dialects.gemini.read_stream import StreamDecoder as Decoder
from conduit.gateway.dialects.target import Target

MODEL = "gemini-3-pro"
WORD = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NAME = st.sampled_from(["f", "g", "look_up"])
BASE64 = st.sampled_from(["AAAA", "AA==", "+/8="])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | WORD,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORD, inner, max_size=2),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(WORD, VALUES, max_size=3).map(
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
)
MEDIA: st.SearchStrategy[Part] = st.one_of(
    BASE64.map(lambda data: Image(f"data:image/png;base64,{data}")),
    BASE64.map(lambda data: Audio(data, "wav")),
    BASE64.map(lambda data: File(data=f"data:application/pdf;base64,{data}")),
    st.sampled_from([Image("https://x/y.png"), File(url="https://x/y.pdf")]),
)
TEXTS: st.SearchStrategy[Part] = WORD.map(Text)
SIGNED = st.builds(Thinking, WORD, st.none() | st.just("c2ln"), signed_by=st.just("gemini"))
PARTS: st.SearchStrategy[list[Part]] = st.lists(TEXTS | MEDIA, min_size=1, max_size=3)
USER = PARTS.map(lambda parts: [Message("user", tuple(parts))])
RESULT_TEXT = WORD.filter(lambda text: not text.startswith("{")).map(Text)


@st.composite
def calls_and_results(draw: st.DrawFn) -> list[Message]:
    """A turn of the assistant, and the results of its calls."""
    number = draw(st.integers(0, 10**9))
    said = draw(st.lists(SIGNED | TEXTS, max_size=2))
    names = draw(st.lists(NAME, min_size=0 if said else 1, max_size=3))
    ids = [f"call_{number}_{index}" for index in range(len(names))]
    calls = [
        ToolCall(call_id, name, draw(ARGUMENTS), signature="c2ln", signed_by="gemini")
        for call_id, name in zip(ids, names, strict=True)
    ]
    results = [
        Message(
            "tool",
            (
                ToolResult(
                    call_id,
                    tuple(draw(st.lists(RESULT_TEXT, min_size=1, max_size=2))),
                    is_error=draw(st.booleans()),
                ),
            ),
        )
        for call_id in ids
    ]
    return [Message("assistant", (*said, *calls)), *results]


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    turns = draw(st.lists(USER | calls_and_results(), min_size=1, max_size=4))
    system = draw(st.lists(TEXTS, max_size=2))
    tools = draw(st.lists(st.builds(Tool, NAME, st.none() | WORD), max_size=2))
    return ChatRequest(
        MODEL,
        (
            *([Message("system", tuple(system))] if system else []),
            *(message for turn in turns for message in turn),
        ),
        sampling=draw(SAMPLING),
        reasoning=draw(REASONING),
        tools=tuple(tools),
        tool_choice=draw(st.none() | st.just(ToolChoice("auto"))) if tools else None,
        answer_format=draw(FORMATS),
        dialect="gemini",
    )


SAMPLING = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 100),
    seed=st.none() | st.integers(-(2**31), 2**31 - 1),
    stop=st.lists(WORD, max_size=2).map(tuple),
    max_output_tokens=st.none() | st.integers(1, 10**6),
    choices=st.integers(1, 8),
    presence_penalty=st.none() | st.floats(-2, 2),
    frequency_penalty=st.none() | st.floats(-2, 2),
)
REASONING = st.one_of(
    st.builds(Reasoning, effort=st.sampled_from([None, "low", "medium", "high"])),
    st.builds(
        Reasoning,
        enabled=st.just(True),
        budget_tokens=st.integers(1, 9999),
        shown=st.none() | st.booleans(),
    ),
)
FORMATS = st.sampled_from(
    [
        AnswerFormat("text"),
        AnswerFormat("json_object"),
        AnswerFormat("json_schema", schema={"type": "object", "properties": {}}),
    ]
)


@given(requests())
@settings(max_examples=60, deadline=None)
def test_a_request_of_this_dialect_comes_back_as_it_was(request: ChatRequest) -> None:
    sent = encode_request(request, Target(MODEL))
    assert decode_request(sent.body, model=MODEL, stream=False) == request
    assert (sent.dropped, sent.emulated) == ((), ())
    assert encode_request(request, Target(MODEL)).body == sent.body


@given(requests())
@settings(max_examples=60, deadline=None)
def test_a_request_of_another_dialect_says_the_same(request: ChatRequest) -> None:
    foreign = replace(request, dialect="openai_chat")
    sent = encode_request(foreign, Target(MODEL))
    found = decode_request(sent.body, model=MODEL, stream=False)
    assert (sent.dropped, sent.emulated) == ((), ())
    assert parts_of(found) == parts_of(request)
    assert replace(found, messages=()) == replace(request, messages=())


def parts_of(request: ChatRequest) -> list[tuple[str, Part]]:
    """Whatever is said, by whom; the borders of messages may have moved."""
    return [(message.role, part) for message in request.messages for part in message.parts]


USAGES = st.builds(
    Usage,
    st.integers(0, 99),
    st.integers(0, 99),
    output_tokens=st.integers(0, 99),
    reasoning_tokens=st.integers(0, 99),
)
FOREIGN = st.builds(Thinking, WORD, WORD, signed_by=st.just("anthropic_messages"))
SAID = st.lists(
    TEXTS
    | FOREIGN
    | BASE64.map(lambda data: Image(f"data:image/png;base64,{data}"))
    | st.builds(ToolCall, st.sampled_from(["a", "b"]), NAME, ARGUMENTS),
    min_size=1,
    max_size=5,
)


def joined(parts: list[Part]) -> tuple[Part, ...]:
    """Texts that follow each other are one to a reader of this format."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, Text) and isinstance(last, Text):
            found[-1] = Text(last.text + part.text)
        else:
            found.append(part)
    return tuple(found)


@given(SAID, st.none() | USAGES)
@settings(max_examples=60, deadline=None)
def test_an_answer_of_another_provider_is_read_as_it_was(
    parts: list[Part], usage: Usage | None
) -> None:
    choice = Choice(0, tuple(parts), FinishReason.STOP)
    response = ChatResponse("id", "m", 0, (choice,), usage, dialect="anthropic_messages")
    read = json.loads(encode_response(response))
    # What a client sends back of it is what it got.
    body = json.dumps({"contents": [read["candidates"][0]["content"]]}).encode()
    (message,) = decode_request(body, model="m", stream=False).messages
    assert message.parts == tuple(parts)
    found = decode_response(encode_response(response))
    assert (found.id, found.model) == ("id", "m")
    if usage is not None:
        assert found.usage is not None
        assert found.usage.total_output_tokens == usage.total_output_tokens
        assert found.usage.cache_read_tokens == usage.cache_read_tokens


@given(st.lists(TEXTS | st.builds(ToolCall, st.just("a"), NAME, ARGUMENTS), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_stream_says_what_the_whole_answer_does(parts: list[Part]) -> None:
    choice = Choice(0, joined(parts), FinishReason.STOP, raw_reason="STOP")
    response = ChatResponse("id", "m", 0, (choice,), Usage(1), dialect="gemini")
    decoder, encoder, again = Decoder(), StreamEncoder(), StreamDecoder()
    events = decoder.feed(b"data: " + encode_response(response) + b"\n\n") + decoder.finish()
    body = b"".join(map(encoder.encode, events)) + encoder.finish()
    (found,) = collect(again.feed(body) + again.finish()).choices
    assert found.parts == choice.parts


FIELDS = (
    *("contents", "role", "parts", "text", "thought", "thoughtSignature", "functionCall", "name"),
    *("args", "functionResponse", "response", "inlineData", "mimeType", "data", "fileData"),
    *("fileUri", "systemInstruction", "tools", "functionDeclarations", "parameters", "toolConfig"),
    *("functionCallingConfig", "mode", "allowedFunctionNames", "generationConfig", "topK", "seed"),
    *("responseMimeType", "responseSchema", "thinkingConfig", "thinkingLevel", "stop_sequences"),
)
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(BODIES, st.sampled_from(["", "contents", "parts", "generationConfig", "tools"]))
@settings(max_examples=200, deadline=None)
def test_no_body_breaks_the_reading_of_a_request(value: Any, place: str) -> None:
    user: list[Any] = [{"parts": [{"text": "x"}]}]
    body = {"contents": [{"parts": value}] if place == "parts" else user}
    if place in ("contents", "generationConfig", "tools"):
        body[place] = value
    for text in (json.dumps(body if place else value).encode(), json.dumps(value).encode()[1:]):
        with suppress(InvalidRequestError):
            request = decode_request(text, model=MODEL, stream=True)
            encode_request(request, Target(MODEL))
        with suppress(InvalidRequestError):
            decode_count_request(text, model=MODEL)


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_bytes_break_the_reading_of_a_request(body: bytes) -> None:
    with suppress(InvalidRequestError):
        decode_request(body, model=MODEL, stream=False)
