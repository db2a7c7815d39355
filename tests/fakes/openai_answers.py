"""Bodies of an OpenAI-compatible server: whole answers, stream events, errors."""

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from tests.fakes.behaviour import Behaviour, Body, StreamOptions, Usage

VECTOR = [0.25, -0.5, 0.125]
CREATED_S = 1_700_000_000
TOOL_ARGUMENTS = '{"city": "Oslo"}'
DONE = b"data: [DONE]\n\n"


def _encoded(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def event(value: object) -> bytes:
    return b"data: %b\n\n" % _encoded(value)


def error_body(status: int, message: str, *, param: str | None = None) -> bytes:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": f"fake_{status}"}
    return _encoded({"error": error})


def answer_text(behaviour: Behaviour, request: Mapping[str, Any]) -> str:
    if behaviour.text is not None:
        return behaviour.text
    if behaviour.echo:
        return last_text(request)
    if behaviour.size:
        return "x" * behaviour.size
    return " ".join(f"word{i}" for i in range(behaviour.chunks))


def last_text(request: Mapping[str, Any]) -> str:
    """The text of the last message, or the prompt, as one string."""
    messages = request.get("messages")
    content = messages[-1].get("content") if messages else request.get("prompt", "")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def usage_of(behaviour: Behaviour) -> dict[str, Any] | None:
    if behaviour.usage is Usage.NONE:
        return None
    zero = behaviour.usage is Usage.ZERO
    given, made = (0, 0) if zero else (behaviour.input_tokens, behaviour.output_tokens)
    if behaviour.usage is Usage.NEGATIVE:
        made = -made
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def _with_usage(answer: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    usage = usage_of(behaviour)
    if behaviour.usage is Usage.GROQ:
        return {**answer, "x_groq": {"id": "req_groq", "usage": usage}}
    return answer if usage is None else {**answer, "usage": usage}


def _tool_calls() -> list[dict[str, Any]]:
    function = {"name": "weather", "arguments": TOOL_ARGUMENTS}
    return [{"id": "call_fake_1", "type": "function", "function": function}]


def chat_body(behaviour: Behaviour, request: Mapping[str, Any], number: int) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": answer_text(behaviour, request)}
    reason = "stop"
    if behaviour.tools:
        message = {"role": "assistant", "content": None, "tool_calls": _tool_calls()}
        reason = "tool_calls"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return _encoded(_with_usage(_envelope("chat.completion", request, number, [choice]), behaviour))


def completion_body(behaviour: Behaviour, request: Mapping[str, Any], number: int) -> bytes:
    text = answer_text(behaviour, request)
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
    return _encoded(_with_usage(_envelope("text_completion", request, number, [choice]), behaviour))


def embedding_body(behaviour: Behaviour, request: Mapping[str, Any]) -> bytes:
    given = request.get("input", "")
    count = len(given) if isinstance(given, list) else 1
    vector: list[float] | str = VECTOR
    if request.get("encoding_format") == "base64":  # which OpenAI's own SDKs ask for
        vector = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()
    rows = [{"object": "embedding", "index": i, "embedding": vector} for i in range(count)]
    answer: dict[str, Any] = {"object": "list", "model": request.get("model"), "data": rows}
    if behaviour.usage is not Usage.NONE:
        tokens = 0 if behaviour.usage is Usage.ZERO else behaviour.input_tokens
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encoded(answer)


def rerank_body(behaviour: Behaviour, request: Mapping[str, Any]) -> bytes:
    """The documents in their order, each half as relevant as the one before it."""
    count = min(len(request["documents"]), request.get("top_n") or 1_000)
    rows = [{"index": index, "relevance_score": 0.5**index} for index in range(count)]
    tokens = behaviour.input_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encoded({"id": "rank-1", "model": request["model"], "results": rows, "usage": usage})


def moderation_body(request: Mapping[str, Any]) -> bytes:
    given = request["input"]
    rows = [
        {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.25}}
        for _ in range(1 if isinstance(given, str) else len(given))
    ]
    return _encoded({"id": "modr-1", "model": request["model"], "results": rows})


def models_body(models: tuple[str, ...]) -> bytes:
    rows = [
        {"id": name, "object": "model", "created": CREATED_S, "owned_by": "fake"} for name in models
    ]
    return _encoded({"object": "list", "data": rows})


def odd_body(kind: Body) -> tuple[str, bytes]:
    """Content type and bytes of a body that is not what was asked for."""
    match kind:
        case Body.HTML:
            page = b"<html><body><h1>502 Bad Gateway</h1><p>secret-internal-host</p></body></html>"
            return "text/html", page
        case Body.UNPARSABLE:
            return "application/json", b'{"id": "chatcmpl-1", "choices": [{"message": '
        case Body.HUGE:
            return "application/json", b'{"pad": "' + b"x" * (80 << 20) + b'"}'


def _envelope(
    kind: str, request: Mapping[str, Any], number: int, choices: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number:012d}",
        "object": kind,
        "created": CREATED_S,
        "model": request.get("model"),
        "choices": choices,
    }


def wants_usage(behaviour: Behaviour, request: Mapping[str, Any]) -> bool:
    options = request.get("stream_options") or {}
    honoured = behaviour.stream_options is StreamOptions.HONOUR
    return honoured and options.get("include_usage") is True


def stream_events(
    behaviour: Behaviour, request: Mapping[str, Any], number: int, *, legacy: bool
) -> list[bytes]:
    """All events of a stream without its end mark: texts or a tool call, the reason, the usage."""
    kind = "text_completion" if legacy else "chat.completion.chunk"

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        inner = {"text": delta.get("content", "")} if legacy else {"delta": delta}
        choice = {"index": 0, **inner, "logprobs": None, "finish_reason": reason}
        return _envelope(kind, request, number, [choice])

    events = [event(chunk(delta)) for delta in _deltas(behaviour, request)]
    ending = chunk({}, "tool_calls" if behaviour.tools else "stop")
    usage = usage_of(behaviour)
    if behaviour.usage is Usage.GROQ:
        ending["x_groq"] = {"id": "req_groq", "usage": usage}
    events.append(event(ending))
    if usage and behaviour.usage is not Usage.GROQ and wants_usage(behaviour, request):
        events.append(event({**_envelope(kind, request, number, []), "usage": usage}))
    return events


def _deltas(behaviour: Behaviour, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    if behaviour.tools:
        return _tool_deltas()
    text = answer_text(behaviour, request)
    pieces = text.split(" ") if not behaviour.size else [text]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": pieces[0]}]
    return deltas + [{"content": f" {piece}"} for piece in pieces[1:]]


def _tool_deltas() -> list[dict[str, Any]]:
    half = len(TOOL_ARGUMENTS) // 2
    opening = _tool_calls()[0] | {"index": 0, "function": {"name": "weather", "arguments": ""}}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None, "tool_calls": [opening]}]
    for piece in (TOOL_ARGUMENTS[:half], TOOL_ARGUMENTS[half:]):
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    return deltas
