"""How a client of Anthropic's API puts a stream together, by the rules of the official SDK."""

import json
from typing import Any


def events_of(body: bytes) -> list[Any]:
    """The events of a stream, each named like its type, pings left out."""
    events = []
    for written in body.decode().replace("\r\n", "\n").split("\n\n"):
        if not written.strip():
            continue
        name, data = written.split("\n", 1)
        event = json.loads(data.removeprefix("data:"))
        assert name == f"event: {event['type']}"
        if event["type"] != "ping":
            events.append(event)
    return events


def accumulated(events: list[Any]) -> Any:
    """The message; an assertion fails where the grammar of the stream is broken."""
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    message = json.loads(json.dumps(events[0]["message"]))
    assert message["content"] == []
    inputs: dict[int, str] = {}
    is_open: int | None = None
    for event in events[1:-1]:
        match event["type"]:
            case "content_block_start":
                assert is_open is None
                is_open = event["index"]
                assert is_open == len(message["content"])
                message["content"].append(event["content_block"])
            case "content_block_delta":
                assert event["index"] == is_open
                _add(message["content"][event["index"]], event, inputs)
            case "content_block_stop":
                assert event["index"] == is_open
                is_open = None
            case "message_delta":
                assert is_open is None
                message |= event["delta"]
                usage = {name: value for name, value in event["usage"].items() if value is not None}
                message["usage"] |= usage
            case kind:
                raise AssertionError(kind)
    for index, text in inputs.items():
        message["content"][index]["input"] = json.loads(text)
    return message


def _add(block: Any, event: Any, inputs: dict[int, str]) -> None:
    delta = event["delta"]
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        case "input_json_delta":
            if delta["partial_json"]:
                inputs[event["index"]] = inputs.get(event["index"], "") + delta["partial_json"]
        case kind:
            raise AssertionError(kind)
