"""Cohere's chat, version 2, as a provider."""

import json
from collections.abc import Iterable
from typing import Any, Final

from tests.e2e.fidelity.asked import Asked
from tests.e2e.fidelity.made import Made, halves
from tests.e2e.fidelity.openai_providers import chat_asked

_REASONS: Final = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}


def asked(body: Any) -> Asked:
    """Its requests are near to OpenAI's; what an assistant says before calls is a plan."""
    wanted = body.get("response_format")
    rest = {name: value for name, value in body.items() if name != "response_format"}
    rest["messages"] = [
        {**message, "content": message["tool_plan"]} if "tool_plan" in message else message
        for message in body["messages"]
    ]
    found = chat_asked(rest)
    if wanted is not None:
        assert wanted["type"] == "json_object"
        found.schema = wanted["json_schema"]
    return found


def _call(call: Any, arguments: str) -> Any:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _usage(made: Made) -> Any:
    """What is billed has no cached tokens among it; the tokens of the template come on top."""
    billed = {"input_tokens": made.input_tokens, "output_tokens": made.output_tokens}
    seen = {
        "input_tokens": made.input_tokens + 57,
        "output_tokens": made.output_tokens,
        "reasoning_tokens": made.reasoning_tokens,
    }
    return {"billed_units": billed, "tokens": seen, "cached_tokens": 32}


def _content(made: Made) -> list[Any]:
    content = [{"type": "thinking", "thinking": made.thinking}] if made.thinking else []
    return content + ([{"type": "text", "text": made.text}] if made.text else [])


def whole(made: Made) -> bytes:
    message: dict[str, Any] = {"role": "assistant"}
    if content := _content(made):
        message["content"] = content
    if made.calls:
        message["tool_calls"] = [_call(call, call.arguments) for call in made.calls]
    body = {
        "id": "made",
        "finish_reason": _REASONS[made.finish],
        "message": message,
        "usage": _usage(made),
    }
    return json.dumps(body).encode()


def _events(made: Made) -> Iterable[Any]:
    opened = {
        "role": "assistant",
        "content": [],
        "tool_plan": "",
        "tool_calls": [],
        "citations": [],
    }
    yield {"type": "message-start", "id": "made", "delta": {"message": opened}}
    for index, block in enumerate(_content(made)):
        kind = block["type"]
        start: Any = {"content": {"type": kind, kind: ""}}
        yield {"type": "content-start", "index": index, "delta": {"message": start}}
        for piece in halves(block[kind]):
            delta: Any = {"message": {"content": {kind: piece}}}
            yield {"type": "content-delta", "index": index, "delta": delta}
        yield {"type": "content-end", "index": index}
    for index, call in enumerate(made.calls):
        start = {"tool_calls": _call(call, "")}
        yield {"type": "tool-call-start", "index": index, "delta": {"message": start}}
        for piece in halves(call.arguments):
            delta = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            yield {"type": "tool-call-delta", "index": index, "delta": delta}
        yield {"type": "tool-call-end", "index": index}
    end = {"finish_reason": _REASONS[made.finish], "usage": _usage(made)}
    yield {"type": "message-end", "delta": end}


def stream(made: Made) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())
        for event in _events(made)
    )
