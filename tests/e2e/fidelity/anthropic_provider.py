"""Anthropic as a provider."""

import json
from collections.abc import Iterable
from typing import Any, Final

from tests.e2e.fidelity.asked import Asked
from tests.e2e.fidelity.made import SIGNATURE, Made, halves
from tests.e2e.fidelity.openai_providers import text_of

_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def anthropic_asked(body: Any) -> Asked:
    asked = Asked(cap=body["max_tokens"], system=text_of(body.get("system")))
    names: dict[str, str] = {}
    for message in body["messages"]:
        content = message["content"]
        blocks: Any = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            match block["type"]:
                case "text":
                    asked.said.append(("text", message["role"], block["text"]))
                case "image":
                    asked.said.append(("image", message["role"], block["source"]["data"]))
                case "tool_use":
                    names[block["id"]] = block["name"]
                    asked.said.append(("call", block["name"], block["input"]))
                case "tool_result":
                    said = ("result", names[block["tool_use_id"]], text_of(block["content"]))
                    asked.said.append(said)
                case "thinking":
                    asked.signed.append(block["signature"])
                case _:
                    pass
    asked.tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools") or ()}
    wanted = (body.get("output_config") or {}).get("format") or {}
    asked.schema = wanted.get("schema")
    if (body.get("tool_choice") or {}).get("type") == "tool":
        asked.forced_tool = body["tool_choice"]["name"]
    return asked


def _blocks(made: Made) -> list[Any]:
    blocks: list[Any] = []
    if made.thinking:
        block = {"type": "thinking", "thinking": made.thinking, "signature": SIGNATURE}
        blocks.append(block)
    if made.text:
        blocks.append({"type": "text", "text": made.text})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in made.calls
    ]
    return blocks


def _message(made: Made, **changes: Any) -> Any:
    usage = {
        "input_tokens": made.input_tokens - made.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": made.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": made.output_tokens,
        "service_tier": "standard",
    }
    message = {
        "id": "msg_made",
        "type": "message",
        "role": "assistant",
        "model": "served-model",
        "content": _blocks(made),
        "stop_reason": _REASONS[made.finish],
        "stop_sequence": None,
        "usage": usage,
    }
    return message | changes


def anthropic_whole(made: Made) -> bytes:
    return json.dumps(_message(made)).encode()


def _events(made: Made) -> Iterable[Any]:
    message = _message(made, content=[], stop_reason=None)
    message["usage"]["output_tokens"] = 1
    yield {"type": "message_start", "message": message}
    yield {"type": "ping"}
    texts = [call.arguments for call in made.calls]
    for index, block in enumerate(_blocks(made)):
        opened: Any
        deltas: list[Any]
        match block["type"]:
            case "thinking":
                opened = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [
                    {"type": "thinking_delta", "thinking": piece} for piece in halves(made.thinking)
                ]
                deltas.append({"type": "signature_delta", "signature": SIGNATURE})
            case "text":
                opened = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in made.pieces]
            case _:
                opened = {**block, "input": {}}
                pieces = ["", *halves(texts.pop(0))]
                deltas = [{"type": "input_json_delta", "partial_json": text} for text in pieces]
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": _REASONS[made.finish], "stop_sequence": None}
    usage = {"output_tokens": made.output_tokens}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def anthropic_stream(made: Made) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())
        for event in _events(made)
    )
