"""Anthropic's messages as a client writes and reads them."""

import json
from collections.abc import Iterable
from typing import Any, Final

from tests.e2e.fidelity.conversation import ANSWER_SCHEMA, PIXEL, TOOL_SCHEMA, Answer, Ask, Call
from tests.e2e.fidelity.frames import data_of

_FINISH: Final = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def _turns(ask: Ask) -> Iterable[Any]:
    for turn in ask.turns:
        if turn.raw is not None:
            yield turn.raw
            continue
        blocks: list[Any] = [{"type": "text", "text": turn.text}] if turn.text else []
        if turn.image:
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            blocks.append({"type": "image", "source": source})
        blocks += [
            {
                "type": "tool_use",
                "id": call.id,
                "name": call.name,
                "input": json.loads(call.arguments),
            }
            for call in turn.calls
        ]
        blocks += [
            {"type": "tool_result", "tool_use_id": call.id, "content": text}
            for call, text in turn.results
        ]
        yield {"role": turn.role, "content": blocks}


def anthropic_body(ask: Ask, model: str) -> Any:
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": 4000 if ask.think else ask.cap,
        "messages": list(_turns(ask)),
    }
    if ask.system is not None:
        body["system"] = ask.system
    if ask.stream:
        body["stream"] = True
    if ask.tools:
        body["tools"] = [{"name": name, "input_schema": TOOL_SCHEMA} for name in ask.tools]
    if ask.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": ANSWER_SCHEMA}}
    if ask.think:
        body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    return body


def anthropic_whole(value: Any) -> Answer:
    assert (value["type"], value["role"]) == ("message", "assistant")
    texts = {"text": "", "thinking": ""}
    calls = []
    for block in value["content"]:
        match block["type"]:
            case "text" | "thinking" as kind:
                texts[kind] += block[kind]
            case "tool_use":
                calls.append(Call(block["id"], block["name"], json.dumps(block["input"])))
            case _:
                pass
    usage = value["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    return Answer(
        text=texts["text"],
        thinking=texts["thinking"],
        calls=tuple(calls),
        finish=_FINISH[value["stop_reason"]],
        input_tokens=usage["input_tokens"] + cached + written,
        output_tokens=usage["output_tokens"],
        cached_tokens=cached,
        whole={"role": "assistant", "content": value["content"]},
    )


def anthropic_stream(body: bytes) -> Answer:
    """Accumulates as the official SDK does; the order of the events is checked."""
    first, *events = [event for event in data_of(body) if event["type"] != "ping"]
    assert first["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    message = first["message"]
    assert message["content"] == []
    pieces = ""
    opened = None
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert opened is None
                opened = event["index"]
                assert opened == len(message["content"])
                message["content"].append(event["content_block"])
                pieces = ""
            case "content_block_delta":
                assert event["index"] == opened
                pieces = _add(message["content"][-1], event["delta"], pieces)
            case "content_block_stop":
                assert event["index"] == opened
                if message["content"][-1]["type"] == "tool_use":
                    message["content"][-1]["input"] = json.loads(pieces or "{}")
                opened = None
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= {
                    name: count for name, count in event["usage"].items() if count is not None
                }
            case _:
                pass
    assert opened is None
    return anthropic_whole(message)


def _add(block: Any, delta: Any, pieces: str) -> str:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = (block.get("signature") or "") + delta["signature"]
        case "input_json_delta":
            return str(pieces + delta["partial_json"])
        case _:
            pass
    return pieces
