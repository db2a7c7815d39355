"""A provider inside the process, so that a first chat needs neither an account nor a network.

It answers from conversation stream events through OpenAI's encoder, as a real provider of another
dialect would be answered through it, and says in every answer that it is simulated.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from conduit.core.errors import InvalidRequestError, ModelNotFoundError, RequestError
from conduit.gateway.conversation import (
    ArgumentsDelta,
    ChatRequest,
    Finished,
    FinishReason,
    PartFinished,
    PartStarted,
    Started,
    StreamEvent,
    TextDelta,
    Usage,
    Used,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.openai.errors import encode_error
from conduit.gateway.dialects.openai.http import PATHS
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.openai_chat.decode_request import request_from
from conduit.gateway.dialects.strict_json import read_object
from conduit.gateway.provider import (
    LocalAnswer,
    Operation,
    OutgoingRequest,
    Provider,
    ProviderType,
)
from conduit.gateway.providers._simulated_json import instance_of
from conduit.gateway.providers._simulated_legacy import (
    completion_body,
    completion_chunks,
    completion_texts,
    embeddings_body,
)
from conduit.gateway.providers._simulated_text import (
    asked_of,
    excerpt,
    fingerprint,
    input_tokens,
    reply,
    tokens_of,
)

CHAT_MODELS: Final = ("simulated-large", "simulated-small")
EMBEDDING_MODELS: Final = ("simulated-embedding",)
MODELS: Final = tuple(sorted(CHAT_MODELS + EMBEDDING_MODELS))
SYSTEM_FINGERPRINT: Final = "fp_simulated"

_JSON: Final[Mapping[str, str]] = {"content-type": "application/json"}
_EVENTS: Final[Mapping[str, str]] = {"content-type": "text/event-stream; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an answer comes: the first token after `first_token_s`, then `tokens_per_s`.

    The first token's time varies by half of itself with the request. `whole_limit_s` bounds the
    wait for an answer that is not streamed.
    """

    first_token_s: float = 0.2
    tokens_per_s: float = 60.0
    whole_limit_s: float = 2.0


INSTANT: Final = Pace(first_token_s=0.0, tokens_per_s=1e9, whole_limit_s=0.0)


class Simulator:
    """The built-in provider; `pace` and `clock` are for tests."""

    type: Final = ProviderType(
        name="simulator",
        title="Simulator (built in)",
        dialect=openai_chat.NAME,
        default_base_url="simulator:",
        needs_credential=False,
        prices="simulator",
        simulated=True,
    )
    models: Final = MODELS

    def __init__(self, pace: Pace | None = None, clock: Callable[[], float] = time.time) -> None:
        self._pace = pace or Pace()
        self._clock = clock

    def path(self, operation: Operation, model: str, *, stream: bool = False) -> str:
        return PATHS[operation]

    async def authorize(
        self, credential: str | None, request: OutgoingRequest
    ) -> Mapping[str, str]:
        return {}

    def answer(self, operation: Operation, body: bytes) -> LocalAnswer:
        """The answer to an encoded request body; a malformed one gets a 4xx in OpenAI's shape."""
        try:
            call = decode_call(operation, body)
            _check_model(operation, call.model)
            match operation:
                case Operation.CHAT:
                    return self._chat(_checked(read_object(body).values))
                case Operation.COMPLETION:
                    return self._completion(read_object(body).values)
                case Operation.EMBEDDING:
                    return self._whole(embeddings_body(read_object(body).values), tokens=0)
                case _:
                    raise InvalidRequestError(f"the simulator knows no {operation.value}")
        except (RequestError, ModelNotFoundError) as error:
            return LocalAnswer(error.status, _JSON, _at_once(encode_error(error)))

    def _chat(self, request: ChatRequest) -> LocalAnswer:
        _tool_to_call(request)  # refuses a bad choice now, not in the middle of the answer
        events = chat_events(request, created_s=int(self._clock()))
        if not request.stream:
            response = collect(events)
            usage = response.usage
            tokens = usage.total_output_tokens if usage else 0
            return self._whole(openai_chat.encode_response(response), tokens)
        chunks = openai_chat.encode_stream(events, include_usage=request.wants_stream_usage)
        return self._streamed(chunks, fingerprint(asked_of(request)))

    def _completion(self, fields: Mapping[str, Any]) -> LocalAnswer:
        texts = completion_texts(fields)
        created_s = int(self._clock())
        if not fields.get("stream"):
            tokens = sum(len(text.tokens) for text in texts)
            return self._whole(completion_body(fields, texts, created_s), tokens)
        chunks = completion_chunks(fields, texts, created_s)
        return self._streamed(chunks, fingerprint(fields.get("prompt")))

    def _whole(self, body: bytes, tokens: int) -> LocalAnswer:
        pace = self._pace
        wait_s = min(pace.whole_limit_s, pace.first_token_s + tokens / pace.tokens_per_s)
        return LocalAnswer(200, _JSON, _after(wait_s, body))

    def _streamed(self, chunks: Iterable[bytes], name: str) -> LocalAnswer:
        first_token_s = self._pace.first_token_s * (0.75 + int(name[:4], 16) / 0x1FFFF)
        pieces = _in_time(chunks, replace(self._pace, first_token_s=first_token_s))
        return LocalAnswer(200, _EVENTS, pieces)


PROVIDERS: Final[tuple[Provider, ...]] = (Simulator(),)


def _checked(fields: Mapping[str, Any]) -> ChatRequest:
    # Deferred: a start need not wait for it where there is a real provider.
    from conduit.gateway.providers._simulated_checks import check_chat  # noqa: PLC0415

    request = request_from(fields)
    check_chat(fields)
    return request


def chat_events(request: ChatRequest, *, created_s: int) -> Iterator[StreamEvent]:
    """The events of a simulated answer."""
    tools = [tool.name for tool in request.tools]
    turns = len(request.messages)
    name = fingerprint(request.model, asked_of(request), turns, request.sampling.seed, tools)
    yield Started(
        id=f"chatcmpl-simulated-{name[:24]}",
        model=request.model,
        created_s=created_s,
        extras={"system_fingerprint": SYSTEM_FINGERPRINT},
        dialect=openai_chat.NAME,
    )
    written = 0
    for choice in range(request.sampling.choices):
        for event in _choice_events(request, choice, name):
            if isinstance(event, TextDelta | ArgumentsDelta):
                written += 1
            yield event
    yield Used(Usage(input_tokens=input_tokens(request), output_tokens=written))


def _choice_events(request: ChatRequest, choice: int, name: str) -> Iterator[StreamEvent]:
    tool = _tool_to_call(request)
    if tool is not None:
        arguments = write_json(instance_of(_parameters(request, tool), _filling(request))).decode()
        tokens, reason = _capped(request, arguments, FinishReason.TOOL_CALLS)
        call_id = f"call_simulated_{fingerprint(name, choice)[:16]}"
        yield PartStarted(0, "tool_call", choice, tool_call_id=call_id, tool_name=tool)
        for token in tokens:
            yield ArgumentsDelta(0, token, choice)
    else:
        tokens, reason = _capped(request, _text(request, choice), FinishReason.STOP)
        yield PartStarted(0, "text", choice)
        for token in tokens:
            yield TextDelta(0, token, choice)
    yield PartFinished(0, choice)
    yield Finished(reason, choice)


def _text(request: ChatRequest, choice: int) -> str:
    wanted = request.answer_format
    if wanted.kind == "json_schema":
        return write_json(instance_of(wanted.schema, _filling(request))).decode()
    if wanted.kind == "json_object":
        value = {"simulated": True, "model": request.model, "you_asked": excerpt(asked_of(request))}
        return write_json(value).decode()
    text = reply(request, choice)
    ends = [at for stop in request.sampling.stop if stop and (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def _capped(
    request: ChatRequest, text: str, reason: FinishReason
) -> tuple[list[str], FinishReason]:
    tokens = tokens_of(text)
    cap = request.sampling.max_output_tokens
    if cap is None or len(tokens) <= cap:
        return tokens, reason
    return tokens[:cap], FinishReason.LENGTH


def _tool_to_call(request: ChatRequest) -> str | None:
    """The tool that was forced, or the first one until its result is there."""
    choice = request.tool_choice
    if not request.tools or (choice is not None and choice.mode == "none"):
        return None
    if choice is not None and choice.mode == "named":
        names = [tool.name for tool in request.tools]
        if choice.name not in names:
            raise InvalidRequestError(
                f'"tool_choice" names no tool of this request: "{choice.name}"', param="tool_choice"
            )
        return choice.name
    return None if request.messages[-1].role == "tool" else request.tools[0].name


def _parameters(request: ChatRequest, name: str) -> Mapping[str, Any]:
    found = next(tool.parameters for tool in request.tools if tool.name == name)
    return {"type": "object"} | dict(found or {})


def _filling(request: ChatRequest) -> str:
    return f"simulated: {excerpt(asked_of(request))}"


def _check_model(operation: Operation, model: str) -> None:
    served = EMBEDDING_MODELS if operation is Operation.EMBEDDING else CHAT_MODELS
    if model not in served:
        raise ModelNotFoundError(
            f'The simulator has no model "{model}" for this operation; it has {", ".join(served)}',
            param="model",
        )


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _after(wait_s: float, body: bytes) -> AsyncIterator[bytes]:
    if wait_s > 0:
        await asyncio.sleep(wait_s)
    yield body


async def _in_time(chunks: Iterable[bytes], pace: Pace) -> AsyncIterator[bytes]:
    """Each piece at its own moment, counted from the start so that delays do not add up."""
    loop = asyncio.get_running_loop()
    due = loop.time() + pace.first_token_s
    for chunk in chunks:
        wait_s = due - loop.time()
        await asyncio.sleep(max(wait_s, 0.0))
        yield chunk
        due += 1 / pace.tokens_per_s
