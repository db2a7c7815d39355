"""Asking a model of a provider for a few words, to see whether it serves; costs a few tokens.

A question is a call of OpenAI's format, and goes the way of a client's: through the bridge to the
provider's dialect and back.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from conduit.core.errors import (
    ConduitError,
    InvalidRequestError,
    UnsupportedParameterError,
    UpstreamFailure,
    UpstreamRejectedError,
)
from conduit.gateway.conversation import ChatResponse, Choice, FinishReason, Text, ToolCall, Usage
from conduit.gateway.dialects.bridges.choice import bridge_between
from conduit.gateway.dialects.bridges.protocol import Bridge, Sending
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai.errors import refuses_stream_usage
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.target import EncodedRequest
from conduit.gateway.provider import Operation
from conduit.gateway.reach.stored import Reach
from conduit.gateway.upstream import Deadlines, TransportError, UpstreamResponse

PROBE_OUTPUT_TOKENS: Final = 16  # some models refuse a smaller cap
_CALL_OUTPUT_TOKENS: Final = 64  # the call of a tool with one argument, or JSON with one field
_LIMIT_BYTES: Final = 1024 * 1024
_PATIENCE: Final = Deadlines(pool_s=1, connect_s=3, first_event_s=20, gap_s=10, total_s=25)
_TOOL: Final = "report_number"
_OBJECT: Final = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
    "additionalProperties": False,
}


class Probing(StrEnum):
    """What a chat is asked to do."""

    TEXT = "text"
    STREAMING = "streaming"
    TOOLS = "tools"
    SCHEMA = "schema"


_CHATS: Final[Mapping[Probing, Mapping[str, Any]]] = {
    Probing.TEXT: {"messages": [{"role": "user", "content": "ping"}]},
    Probing.STREAMING: {"messages": [{"role": "user", "content": "ping"}], "stream": True},
    Probing.TOOLS: {
        "messages": [{"role": "user", "content": f"Call {_TOOL} with the number 7."}],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": _TOOL,
                    "description": "Report a number.",
                    "parameters": _OBJECT,
                },
            }
        ],
    },
    Probing.SCHEMA: {
        "messages": [{"role": "user", "content": "Answer in JSON with the number 7."}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": _OBJECT, "strict": True},
        },
    },
}
_OTHERS: Final[Mapping[Operation, Mapping[str, Any]]] = {
    Operation.COMPLETION: {"prompt": "ping"},
    Operation.EMBEDDING: {"input": "ping"},
}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of which model; `params` are those of a mapping's target."""

    model: str
    operation: Operation
    params: Mapping[str, Any] = field(default_factory=dict)
    probing: Probing = Probing.TEXT

    @property
    def call(self) -> ClientCall:
        asked = _CHATS[self.probing] if self.operation is Operation.CHAT else None
        asked = asked or _OTHERS[self.operation]
        return decode_call(self.operation, msgspec.json.encode({"model": self.model, **asked}))

    @property
    def output_cap(self) -> int:
        calls = self.probing in (Probing.TOOLS, Probing.SCHEMA)
        return _CALL_OUTPUT_TOKENS if calls else PROBE_OUTPUT_TOKENS


@dataclass(frozen=True, slots=True)
class Probed:
    """How a provider answered; `error` is None where it did what was asked.

    Where it answered and did something else, `settled` is False and `found` says what: it may be
    able to all the same. An error is `unsure` where the provider may have worked, and bill it, and
    `rejected` where it was there and did not take the question.
    """

    latency_ms: int
    usage: Usage | None = None
    error: str | None = None
    found: str = ""
    settled: bool = True
    unsure: bool = False
    rejected: bool = False


class _SpoiltError(UpstreamFailure):
    """An answer had come, and was none: it may be billed."""


@dataclass(frozen=True, slots=True)
class _Answer:
    usage: Usage | None
    found: str = "it answered"
    settled: bool = True


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question on its way."""

    call: ClientCall
    bridge: Bridge
    sending: Sending
    encoded: EncodedRequest


async def probe(reach: Reach, question: Question) -> Probed:
    """Ask once, without a second try; what is told of a failure holds no secret."""
    started = time.monotonic()

    def elapsed_ms() -> int:
        return round((time.monotonic() - started) * 1000)

    try:
        answer = await _ask(reach, question)
    except TransportError as error:
        return Probed(elapsed_ms(), error=reach.hidden(str(error)), unsure=error.sent)
    except ConduitError as error:
        return Probed(
            elapsed_ms(),
            error=error.message,
            unsure=isinstance(error, _SpoiltError),
            rejected=isinstance(error, UpstreamRejectedError),
        )
    return Probed(elapsed_ms(), answer.usage, found=answer.found, settled=answer.settled)


async def _ask(reach: Reach, question: Question) -> _Answer:
    kind = reach.upstream.provider.type
    if question.operation not in kind.operations:
        raise InvalidRequestError(f"the provider does not offer {question.operation.value}")
    if reach.upstream.lacks_credential:
        raise UpstreamFailure("the provider has no usable credential")
    call = question.call
    asks_usage = call.stream and kind.quirks.asks_stream_usage
    try:
        return await _send(reach, question, call, ask_stream_usage=asks_usage)
    except ConduitError as error:
        if not asks_usage or not refuses_stream_usage(error):
            raise
    return await _send(reach, question, call, ask_stream_usage=False)


async def _send(
    reach: Reach, question: Question, call: ClientCall, *, ask_stream_usage: bool
) -> _Answer:
    provider = reach.upstream.provider
    bridge = bridge_between(openai_chat.NAME, provider.type.dialect, question.operation)
    sending = Sending(
        question.model,
        question.params,
        provider.type.quirks,
        ask_stream_usage,
        question.output_cap,
    )
    try:
        encoded = bridge.encode(call, sending)
    except UnsupportedParameterError as error:
        raise UnsupportedParameterError(f"the provider cannot be asked: {error.message}") from error
    path = provider.path(question.operation, question.model, stream=call.stream)
    headers = {
        "content-type": "application/json",
        **await reach.headers("POST", path, encoded.body),
    }
    response = await reach.endpoint.send(path, encoded.body, headers, _PATIENCE)
    try:
        if not 200 <= response.status < 300:
            raise await reach.refusal(response, _LIMIT_BYTES)
        asked = _Asked(call, bridge, sending, encoded)
        try:
            if call.stream:
                return await _streamed(reach, asked, response)
            return _judged(reach, question, asked, await response.read(_LIMIT_BYTES))
        except UpstreamFailure as error:
            raise _SpoiltError(error.message) from error
    finally:
        response.close()


async def _streamed(reach: Reach, asked: _Asked, response: UpstreamResponse) -> _Answer:
    """Reads a stream to its end. Raises UpstreamFailure where it is none, or is broken off."""
    stream = asked.bridge.stream(asked.call, asked.encoded, asked.sending, reach.hidden)
    size = 0
    async for piece in response:
        size += len(piece)
        failure = stream.feed(piece).failure
        if failure is not None:
            raise failure
        if stream.done or size > _LIMIT_BYTES:
            break
    else:
        failure = stream.finish().failure
        if failure is not None:
            raise failure
    if not stream.started:
        raise UpstreamFailure("the stream was empty")
    if not stream.complete:
        raise UpstreamFailure("the stream was broken off")
    pieces = stream.output.deltas
    counted = f"{pieces} piece" if pieces == 1 else f"{pieces} pieces"
    return _Answer(stream.usage, f"it streamed an answer of {counted}")


def _judged(reach: Reach, question: Question, asked: _Asked, body: bytes) -> _Answer:
    read = asked.bridge.whole(asked.call, asked.encoded, body, reach.hidden)
    if question.operation is not Operation.CHAT or question.probing is Probing.TEXT:
        return _Answer(read.usage)
    answer = openai_chat.decode_response(read.body)  # as its client would read it
    if question.probing is Probing.TOOLS:
        settled, found = _called(answer)
    else:
        settled, found = _in_form(answer)
        if settled and asked.encoded.emulated:
            found += ", emulated by the forced call of a tool"
    return _Answer(read.usage, found, settled)


def _called(answer: ChatResponse) -> tuple[bool, str]:
    choice = _choice(answer)
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    if any(each.name == _TOOL and _fits(each.arguments) for each in calls):
        return True, "it called the tool, with fitting arguments"
    if choice.finish_reason is FinishReason.LENGTH:
        return False, f"it was cut off at {_CALL_OUTPUT_TOKENS} tokens before it called the tool"
    if calls:
        return False, "it called a tool, with arguments that do not fit"
    return False, "it took the tool and did not call it"


def _in_form(answer: ChatResponse) -> tuple[bool, str]:
    choice = _choice(answer)
    text = "".join(part.text for part in choice.parts if isinstance(part, Text))
    if _fits(text):
        return True, "its answer has the form of the schema"
    if choice.finish_reason is FinishReason.LENGTH:
        return False, f"it was cut off at {_CALL_OUTPUT_TOKENS} tokens before its answer was whole"
    return False, "it took the schema, and its answer has another form"


def _choice(answer: ChatResponse) -> Choice:
    if not answer.choices:
        raise UpstreamFailure("the answer holds no choice")
    return answer.choices[0]


def _fits(text: str) -> bool:
    value = read_json(text.encode(errors="replace"))
    return isinstance(value, dict) and type(value.get("number")) is int
