"""OpenAI's responses as a client writes and reads them; it keeps the conversation itself."""

from collections.abc import Iterable
from typing import Any

from tests.e2e.fidelity.conversation import ANSWER_SCHEMA, PIXEL, TOOL_SCHEMA, Answer, Ask, Call
from tests.e2e.fidelity.frames import data_of, joined


def _items(ask: Ask) -> Iterable[Any]:
    for turn in ask.turns:
        if turn.raw is not None:
            yield from turn.raw
            continue
        if turn.text:
            kind = "input_text" if turn.role == "user" else "output_text"
            parts: list[Any] = [{"type": kind, "text": turn.text}]
            if turn.image:
                url = f"data:image/png;base64,{PIXEL}"
                parts.append({"type": "input_image", "detail": "auto", "image_url": url})
            yield {"type": "message", "role": turn.role, "content": parts}
        for call in turn.calls:
            yield {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
        for call, text in turn.results:
            yield {"type": "function_call_output", "call_id": call.id, "output": text}


def body(ask: Ask, model: str) -> Any:
    written: dict[str, Any] = {
        "model": model,
        "input": list(_items(ask)),
        "max_output_tokens": ask.cap,
        "store": False,
    }
    if ask.system is not None:
        written["instructions"] = ask.system
    if ask.stream:
        written["stream"] = True
    if ask.tools:
        written["tools"] = [
            {"type": "function", "name": name, "parameters": TOOL_SCHEMA, "strict": False}
            for name in ask.tools
        ]
    if ask.schema:
        kind = {"type": "json_schema", "name": "city", "schema": ANSWER_SCHEMA, "strict": True}
        written["text"] = {"format": kind}
    if ask.think:
        written["reasoning"] = {"effort": "low", "summary": "auto"}
        written["include"] = ["reasoning.encrypted_content"]
    return written


def whole(value: Any) -> Answer:
    assert value["object"] == "response"
    assert value["error"] is None
    texts = {"output_text": "", "refusal": ""}
    thinking = ""
    calls = []
    for item in value["output"]:
        match item["type"]:
            case "message":
                for part in item["content"]:
                    texts[part["type"]] += part.get("text", part.get("refusal"))
            case "reasoning":
                thinking += "".join(part["text"] for part in item["summary"])
                thinking += "".join(part["text"] for part in item.get("content") or ())
            case "function_call":
                calls.append(Call(item["call_id"], item["name"], item["arguments"]))
            case _:
                pass
    usage = value["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_tokens_details"]["reasoning_tokens"] <= usage["output_tokens"]
    return Answer(
        text=texts["output_text"],
        thinking=thinking,
        calls=tuple(calls),
        finish=_finish(value, calls=bool(calls)),
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cached_tokens=usage["input_tokens_details"]["cached_tokens"],
        refusal=texts["refusal"],
        whole=value["output"],
    )


def _finish(value: Any, *, calls: bool) -> str:
    if value["status"] == "incomplete":
        reason = value["incomplete_details"]["reason"]
        return "length" if reason == "max_output_tokens" else str(reason)
    assert value["status"] == "completed"
    return "tool_calls" if calls else "stop"


def stream(body: bytes) -> Answer:
    """The last event has the answer whole; what came before must add up to it."""
    events = [event for event in data_of(body) if event != "[DONE]"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    answer = whole(events[-1]["response"])
    texts = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert joined(texts) == joined([answer.text])
    arguments = [event["delta"] for event in events if event["type"].endswith("arguments.delta")]
    assert joined(arguments) == joined(call.arguments for call in answer.calls)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    # An item is done before it is known that the answer was cut at its cap.
    assert [_without_status(item) for item in done] == [
        _without_status(item) for item in answer.whole
    ]
    return answer


def _without_status(item: Any) -> Any:
    return {name: value for name, value in item.items() if name != "status"}


def stream_error(body: bytes) -> str | None:
    last = data_of(body)[-1]
    match last:
        case {"type": "error", "message": str(message)}:
            return message
        case {"type": "response.failed", "response": {"error": {"message": str(message)}}}:
            return message
        case _:
            pass
    return None
