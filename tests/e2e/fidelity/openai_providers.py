"""Providers of OpenAI's two formats."""

import json
from collections.abc import Iterable
from typing import Any

from tests.e2e.fidelity.asked import Asked
from tests.e2e.fidelity.made import SIGNATURE, Made, halves

_HEAD = {"id": "chatcmpl-made", "created": 1763600000, "model": "served-model"}


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content or () if "text" in part)


def chat_asked(body: Any) -> Asked:
    asked = Asked(cap=body.get("max_completion_tokens") or body.get("max_tokens"))
    names: dict[str, str] = {}
    for message in body["messages"]:
        content = message.get("content")
        match message["role"]:
            case "system" | "developer":
                asked.system += text_of(content)
                continue
            case "tool":
                asked.said.append(("result", names[message["tool_call_id"]], text_of(content)))
                continue
            case _:
                pass
        if text_of(content):
            asked.said.append(("text", message["role"], text_of(content)))
        for part in content if isinstance(content, list) else ():
            if part["type"] == "image_url":
                url = part["image_url"]["url"]
                asked.said.append(("image", "user", url.removeprefix("data:image/png;base64,")))
        for call in message.get("tool_calls") or ():
            function = call["function"]
            names[call["id"]] = function["name"]
            asked.said.append(("call", function["name"], json.loads(function["arguments"])))
    asked.tools = {
        tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools") or ()
    }
    if wanted := body.get("response_format"):
        asked.schema = wanted["json_schema"]["schema"]
    return asked


def _chat_usage(made: Made) -> Any:
    return {
        "prompt_tokens": made.input_tokens,
        "completion_tokens": made.output_tokens,
        "total_tokens": made.input_tokens + made.output_tokens,
        "prompt_tokens_details": {"cached_tokens": made.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": made.reasoning_tokens},
    }


def _chat_call(call: Any) -> Any:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def chat_whole(made: Made) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": made.text or None, "refusal": None}
    if made.thinking:
        message["reasoning_content"] = made.thinking
    if made.calls:
        message["tool_calls"] = [_chat_call(call) for call in made.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": made.finish}
    body = {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _chat_usage(made)}
    return json.dumps(body).encode()


def _chat_deltas(made: Made) -> Iterable[Any]:
    yield {"role": "assistant", "content": "", "refusal": None}
    for piece in halves(made.thinking):
        yield {"reasoning_content": piece}
    for piece in made.pieces:
        yield {"content": piece}
    for index, call in enumerate(made.calls):
        opened = _chat_call(call)
        opened["function"]["arguments"] = ""
        yield {"tool_calls": [{"index": index, **opened}]}
        for piece in halves(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def chat_stream(made: Made) -> bytes:
    chunks: list[Any] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in _chat_deltas(made)
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": made.finish}]})
    chunks.append({"choices": [], "usage": _chat_usage(made)})
    head = {**_HEAD, "object": "chat.completion.chunk"}
    frames = [b"data: %b\n\n" % json.dumps({**head, **chunk}).encode() for chunk in chunks]
    return b"".join([*frames, b"data: [DONE]\n\n"])


def responses_asked(body: Any) -> Asked:
    asked = Asked(cap=body.get("max_output_tokens"), system=body.get("instructions") or "")
    names: dict[str, str] = {}
    for item in body["input"] if isinstance(body["input"], list) else ():
        match item.get("type", "message"):
            case "message":
                _add_message(asked, item)
            case "function_call":
                names[item["call_id"]] = item["name"]
                asked.said.append(("call", item["name"], json.loads(item["arguments"])))
            case "function_call_output":
                result = ("result", names[item["call_id"]], text_of(item["output"]))
                asked.said.append(result)
            case "reasoning":
                asked.signed.append(item["encrypted_content"])
            case _:
                pass
    if isinstance(body["input"], str):
        asked.said.append(("text", "user", body["input"]))
    asked.tools = {tool["name"]: tool["parameters"] for tool in body.get("tools") or ()}
    wanted = (body.get("text") or {}).get("format") or {}
    asked.schema = wanted.get("schema")
    return asked


def _add_message(asked: Asked, item: Any) -> None:
    content = item["content"]
    if item["role"] in ("system", "developer"):
        asked.system += text_of(content)
        return
    if text_of(content):
        asked.said.append(("text", item["role"], text_of(content)))
    for part in content if isinstance(content, list) else ():
        if part["type"] == "input_image":
            url = part["image_url"]
            asked.said.append(("image", "user", url.removeprefix("data:image/png;base64,")))


def _responses_items(made: Made) -> list[Any]:
    items: list[Any] = []
    if made.thinking:
        summary = [{"type": "summary_text", "text": made.thinking}]
        items.append(
            {
                "id": "rs_made",
                "type": "reasoning",
                "summary": summary,
                "encrypted_content": SIGNATURE,
            }
        )
    if made.text:
        part = {"type": "output_text", "text": made.text, "annotations": [], "logprobs": []}
        status = "incomplete" if made.finish == "length" else "completed"
        items.append(
            {
                "id": "msg_made",
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [part],
            }
        )
    items += [
        {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "arguments": call.arguments,
            "call_id": call.id,
            "name": call.name,
        }
        for call in made.calls
    ]
    return items


def _response(made: Made | None, output: list[Any]) -> Any:
    body: dict[str, Any] = {
        "id": "resp_made",
        "object": "response",
        "created_at": 1763600000,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "served-model",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }
    if made is None:
        return body
    body["status"] = "completed"
    if made.finish == "length":
        body |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    body["usage"] = {
        "input_tokens": made.input_tokens,
        "input_tokens_details": {"cached_tokens": made.cached_tokens},
        "output_tokens": made.output_tokens,
        "output_tokens_details": {"reasoning_tokens": made.reasoning_tokens},
        "total_tokens": made.input_tokens + made.output_tokens,
    }
    return body


def responses_whole(made: Made) -> bytes:
    return json.dumps(_response(made, _responses_items(made))).encode()


def _responses_events(made: Made) -> Iterable[Any]:
    yield {"type": "response.created", "response": _response(None, [])}
    yield {"type": "response.in_progress", "response": _response(None, [])}
    items = _responses_items(made)
    for index, item in enumerate(items):
        yield from _item_events(index, item)
    kind = "response.incomplete" if made.finish == "length" else "response.completed"
    yield {"type": kind, "response": _response(made, items)}


def _item_events(index: int, item: Any) -> Iterable[Any]:
    at = {"item_id": item["id"], "output_index": index}
    empty: Any = {
        "message": {"content": []},
        "reasoning": {"summary": []},
        "function_call": {"arguments": ""},
    }[item["type"]]
    opened = {**item, **empty}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    match item:
        case {"type": "message", "content": [part]}:
            place = {**at, "content_index": 0}
            yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
            for piece in halves(part["text"]):
                yield {
                    "type": "response.output_text.delta",
                    **place,
                    "delta": piece,
                    "logprobs": [],
                }
            yield {"type": "response.output_text.done", **place, "text": part["text"]}
            yield {"type": "response.content_part.done", **place, "part": part}
        case {"type": "reasoning", "summary": [part]}:
            place = {**at, "summary_index": 0}
            yield {
                "type": "response.reasoning_summary_part.added",
                **place,
                "part": {**part, "text": ""},
            }
            for piece in halves(part["text"]):
                yield {"type": "response.reasoning_summary_text.delta", **place, "delta": piece}
            yield {
                "type": "response.reasoning_summary_text.done",
                **place,
                "text": part["text"],
            }
            yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
        case {"type": "function_call", "arguments": arguments}:
            for piece in halves(arguments):
                yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
            yield {
                "type": "response.function_call_arguments.done",
                **at,
                "arguments": arguments,
                "name": item["name"],
            }
        case _:
            pass
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def responses_stream(made: Made) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n"
        % (event["type"].encode(), json.dumps({**event, "sequence_number": number}).encode())
        for number, event in enumerate(_responses_events(made))
    )
