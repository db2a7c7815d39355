"""The four dialects that clients speak: how each asks, and how each reads its answer.

Written from the documentation of each, apart from the gateway's own reading and writing of them.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.e2e.fidelity import gemini_client, responses_client
from tests.e2e.fidelity.anthropic_client import anthropic_body, anthropic_stream, anthropic_whole
from tests.e2e.fidelity.conversation import ANSWER_SCHEMA, PIXEL, TOOL_SCHEMA, Answer, Ask, Call
from tests.e2e.fidelity.frames import data_of


@dataclass(frozen=True, slots=True)
class Client:
    """One dialect of clients. `ends_well` tells whether a stream has the end of its format."""

    name: str
    path: Callable[[str, bool], str]
    body: Callable[[Ask, str], Any]
    whole: Callable[[Any], Answer]
    stream: Callable[[bytes], Answer]
    error: Callable[[Any], tuple[str, str]]
    """(message, the word by which clients tell errors apart)."""
    ends_well: Callable[[bytes], bool]
    stream_error: Callable[[bytes], str | None]
    """The message of the error that ends a stream."""


def _chat_turns(ask: Ask) -> Iterable[Any]:
    if ask.system is not None:
        yield {"role": "system", "content": ask.system}
    for turn in ask.turns:
        if turn.raw is not None:
            yield turn.raw
        elif turn.results:
            for call, text in turn.results:
                yield {"role": "tool", "tool_call_id": call.id, "content": text}
        elif turn.calls:
            calls = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in turn.calls
            ]
            yield {"role": "assistant", "content": turn.text or None, "tool_calls": calls}
        elif turn.image:
            url = f"data:image/png;base64,{PIXEL}"
            parts = [
                {"type": "text", "text": turn.text},
                {"type": "image_url", "image_url": {"url": url}},
            ]
            yield {"role": turn.role, "content": parts}
        else:
            yield {"role": turn.role, "content": turn.text}


def chat_body(ask: Ask, model: str) -> Any:
    body: dict[str, Any] = {
        "model": model,
        "messages": list(_chat_turns(ask)),
        "max_completion_tokens": ask.cap,
    }
    if ask.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if ask.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": name, "parameters": TOOL_SCHEMA}}
            for name in ask.tools
        ]
    if ask.schema:
        schema = {"name": "city", "schema": ANSWER_SCHEMA, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if ask.think:
        body["reasoning_effort"] = "low"
    return body


def _chat_answer(message: Any, finish: str, usage: Any) -> Answer:
    calls = tuple(
        Call(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    )
    return Answer(
        text=message.get("content") or "",
        thinking=message.get("reasoning_content") or "",
        calls=calls,
        finish=finish,
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        refusal=message.get("refusal") or "",
        whole=message,
    )


def chat_whole(value: Any) -> Answer:
    assert value["object"] == "chat.completion"
    assert value["usage"]["total_tokens"] == (
        value["usage"]["prompt_tokens"] + value["usage"]["completion_tokens"]
    )
    (choice,) = value["choices"]
    return _chat_answer(choice["message"], choice["finish_reason"], value["usage"])


def chat_stream(body: bytes) -> Answer:
    *chunks, end = data_of(body)
    assert end == "[DONE]"
    message: dict[str, Any] = {"role": "assistant"}
    calls: dict[int, Any] = {}
    finish, usage = "", None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    _add_calls(calls, value)
                elif name != "role" and isinstance(value, str):
                    message[name] = message.get(name, "") + value
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    message.setdefault("content", None)
    return _chat_answer(message, finish, usage)


def _add_calls(calls: dict[int, Any], deltas: Any) -> None:
    for delta in deltas:
        call = calls.setdefault(delta["index"], {"function": {"name": "", "arguments": ""}})
        function = delta.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
        rest = {name: each for name, each in delta.items() if name not in ("index", "function")}
        call |= {name: each for name, each in rest.items() if each is not None}


def _chat_error(value: Any) -> tuple[str, str]:
    assert set(value["error"]) == {"message", "type", "param", "code"}
    return value["error"]["message"], value["error"]["type"]


def _chat_stream_error(body: bytes) -> str | None:
    last = data_of(body)[-1]
    return last["error"]["message"] if isinstance(last, dict) and "error" in last else None


def _anthropic_error(value: Any) -> tuple[str, str]:
    assert value["type"] == "error"
    return value["error"]["message"], value["error"]["type"]


def _anthropic_stream_error(body: bytes) -> str | None:
    event = body.rstrip(b"\n").rpartition(b"\n\n")[2]
    if not event.startswith(b"event: error\n"):
        return None
    return _anthropic_error(json.loads(event.partition(b"data: ")[2]))[0]


CLIENTS = (
    Client(
        "openai_chat",
        lambda model, stream: "/v1/chat/completions",
        chat_body,
        chat_whole,
        chat_stream,
        _chat_error,
        lambda body: body.endswith(b"data: [DONE]\n\n"),
        _chat_stream_error,
    ),
    Client(
        "openai_responses",
        lambda model, stream: "/v1/responses",
        responses_client.body,
        responses_client.whole,
        responses_client.stream,
        _chat_error,
        lambda body: b'"type":"response.completed"' in body,
        responses_client.stream_error,
    ),
    Client(
        "anthropic_messages",
        lambda model, stream: "/v1/messages",
        anthropic_body,
        anthropic_whole,
        anthropic_stream,
        _anthropic_error,
        lambda body: b"event: message_stop\n" in body,
        _anthropic_stream_error,
    ),
    Client(
        "gemini",
        gemini_client.path,
        gemini_client.body,
        gemini_client.whole,
        gemini_client.stream,
        gemini_client.error,
        lambda body: b'"finishReason"' in body,
        gemini_client.stream_error,
    ),
)
