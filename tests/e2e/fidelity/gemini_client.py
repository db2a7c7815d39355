"""Gemini's methods as a client writes and reads them."""

import json
from collections.abc import Iterable
from typing import Any, Final

from tests.e2e.fidelity.conversation import ANSWER_SCHEMA, PIXEL, TOOL_SCHEMA, Answer, Ask, Call
from tests.e2e.fidelity.frames import data_of

_FINISH: Final = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}


def path(model: str, stream: bool) -> str:
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{model}:{method}"


def _contents(ask: Ask) -> Iterable[Any]:
    for turn in ask.turns:
        if turn.raw is not None:
            yield turn.raw
            continue
        parts: list[Any] = [{"text": turn.text}] if turn.text else []
        if turn.image:
            parts.append({"inlineData": {"mimeType": "image/png", "data": PIXEL}})
        parts += [
            {
                "functionCall": {
                    "id": call.id,
                    "name": call.name,
                    "args": json.loads(call.arguments),
                }
            }
            for call in turn.calls
        ]
        parts += [
            {"functionResponse": {"id": call.id, "name": call.name, "response": {"result": text}}}
            for call, text in turn.results
        ]
        yield {"role": "user" if turn.role == "user" else "model", "parts": parts}


def body(ask: Ask, model: str) -> Any:
    config: dict[str, Any] = {"maxOutputTokens": ask.cap}
    written: dict[str, Any] = {"contents": list(_contents(ask)), "generationConfig": config}
    if ask.system is not None:
        written["systemInstruction"] = {"parts": [{"text": ask.system}]}
    if ask.tools:
        declared = [{"name": name, "parametersJsonSchema": TOOL_SCHEMA} for name in ask.tools]
        written["tools"] = [{"functionDeclarations": declared}]
    if ask.schema:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = ANSWER_SCHEMA
    if ask.think:
        config["thinkingConfig"] = {"thinkingBudget": 1024, "includeThoughts": True}
        config["maxOutputTokens"] = 4000
    return written


def _answer(parts: list[Any], finish: str, usage: Any) -> Answer:
    texts = {False: "", True: ""}
    calls = []
    for part in parts:
        if "text" in part:
            texts[bool(part.get("thought"))] += part["text"]
        if "functionCall" in part:
            call = part["functionCall"]
            calls.append(Call(call.get("id", ""), call["name"], json.dumps(call.get("args", {}))))
    thoughts = usage.get("thoughtsTokenCount") or 0
    written = (usage.get("candidatesTokenCount") or 0) + thoughts
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + written
    ended = _FINISH[finish]
    return Answer(
        text=texts[False],
        thinking=texts[True],
        calls=tuple(calls),
        finish="tool_calls" if calls and ended == "stop" else ended,
        input_tokens=usage["promptTokenCount"],
        output_tokens=written,
        cached_tokens=usage.get("cachedContentTokenCount") or 0,
        whole={"role": "model", "parts": parts},
    )


def whole(value: Any) -> Answer:
    (candidate,) = value["candidates"]
    parts = candidate.get("content", {}).get("parts") or []
    return _answer(parts, candidate["finishReason"], value["usageMetadata"])


def stream(body: bytes) -> Answer:
    parts: list[Any] = []
    finish = ""
    usage: Any = None
    for value in data_of(body):
        usage = value.get("usageMetadata") or usage
        for candidate in value.get("candidates") or ():
            assert not finish or not candidate.get("content", {}).get("parts")
            parts += candidate.get("content", {}).get("parts") or []
            finish = candidate.get("finishReason") or finish
    return _answer(parts, finish, usage)


def error(value: Any) -> tuple[str, str]:
    assert isinstance(value["error"]["code"], int)
    return value["error"]["message"], value["error"]["status"]


def stream_error(body: bytes) -> str | None:
    """Google's SDK reads JSON without `data: ` in a stream as an error."""
    last = body.replace(b"\r\n", b"\n").rstrip().rpartition(b"\n\n")[2].strip()
    if not last.startswith(b"{"):
        return None
    return error(json.loads(last))[0]
