"""Ollama by its own API as a provider: lines of JSON, calls of tools whole, as objects."""

import json
from collections.abc import Iterable
from typing import Any, Final

from tests.e2e.fidelity.asked import Asked
from tests.e2e.fidelity.made import Made, halves

_HEAD: Final = {"model": "served-model", "created_at": "2026-01-05T10:00:00.123456Z"}


def asked(body: Any) -> Asked:
    """A result is known by the name of its tool, which the server writes into the prompt."""
    found = Asked(cap=(body.get("options") or {}).get("num_predict"), schema=body.get("format"))
    for message in body["messages"]:
        match message["role"]:
            case "system":
                found.system += message["content"]
            case "tool":
                found.said.append(("result", message["tool_name"], message["content"]))
            case role:
                found.said += _said(role, message)
    found.tools = {
        tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools") or ()
    }
    return found


def _said(role: str, message: Any) -> Iterable[tuple[Any, ...]]:
    if message["content"]:
        yield "text", role, message["content"]
    for image in message.get("images") or ():
        yield "image", role, image
    for call in message.get("tool_calls") or ():
        yield "call", call["function"]["name"], call["function"]["arguments"]


def _calls(made: Made) -> list[Any]:
    return [
        {
            "id": call.id,
            "function": {
                "index": index,
                "name": call.name,
                "arguments": json.loads(call.arguments),
            },
        }
        for index, call in enumerate(made.calls)
    ]


def _end(made: Made) -> Any:
    """It says "stop" after calls too, and counts neither cached tokens nor those of thinking."""
    return {
        "done": True,
        "done_reason": "length" if made.finish == "length" else "stop",
        "total_duration": 1200000000,
        "load_duration": 90000000,
        "prompt_eval_count": made.input_tokens,
        "prompt_eval_duration": 110000000,
        "eval_count": made.output_tokens,
        "eval_duration": 800000000,
    }


def whole(made: Made) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": made.text}
    if made.thinking:
        message["thinking"] = made.thinking
    if made.calls:
        message["tool_calls"] = _calls(made)
    return json.dumps({**_HEAD, "message": message, **_end(made)}).encode()


def _messages(made: Made) -> Iterable[Any]:
    for piece in halves(made.thinking):
        yield {"content": "", "thinking": piece}
    for piece in made.pieces:
        yield {"content": piece}
    for call in _calls(made):
        yield {"content": "", "tool_calls": [call]}


def stream(made: Made) -> bytes:
    lines = [
        {**_HEAD, "message": {"role": "assistant", **message}, "done": False}
        for message in _messages(made)
    ]
    lines.append({**_HEAD, "message": {"role": "assistant", "content": ""}, **_end(made)})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
