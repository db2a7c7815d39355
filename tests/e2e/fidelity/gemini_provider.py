"""Gemini as a provider; it gives the calls of tools whole, as objects."""

import json
from typing import Any, Final

from tests.e2e.fidelity.asked import Asked
from tests.e2e.fidelity.made import SIGNATURE, Made, halves

_REASONS: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}


def asked(body: Any) -> Asked:
    config = body.get("generationConfig") or {}
    found = Asked(cap=config.get("maxOutputTokens"), schema=config.get("responseJsonSchema"))
    system = (body.get("systemInstruction") or {}).get("parts") or ()
    found.system = "".join(part["text"] for part in system)
    for content in body["contents"]:
        role = "assistant" if content["role"] == "model" else "user"
        for part in content["parts"]:
            if "thoughtSignature" in part:
                found.signed.append(part["thoughtSignature"])
            match part:
                case {"thought": True}:
                    pass
                case {"text": str(text)}:
                    if text:
                        found.said.append(("text", role, text))
                case {"inlineData": {"data": str(data)}}:
                    found.said.append(("image", role, data))
                case {"functionCall": call}:
                    found.said.append(("call", call["name"], call["args"]))
                case {"functionResponse": answer}:
                    found.said.append(("result", answer["name"], json.dumps(answer["response"])))
                case _:
                    pass
    found.tools = {
        tool["name"]: tool["parametersJsonSchema"]
        for each in body.get("tools") or ()
        for tool in each["functionDeclarations"]
    }
    return found


def _parts(made: Made) -> list[Any]:
    parts: list[Any] = [{"text": piece, "thought": True} for piece in halves(made.thinking)]
    parts += [{"text": piece} for piece in made.pieces]
    calls: list[Any] = [
        {"functionCall": {"id": call.id, "name": call.name, "args": json.loads(call.arguments)}}
        for call in made.calls
    ]
    if made.thinking and (calls or parts):
        (calls[0] if calls else parts[-1])["thoughtSignature"] = SIGNATURE
    return parts + calls


def _body(made: Made, parts: list[Any], reason: str | None) -> Any:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {
        "promptTokenCount": made.input_tokens,
        "cachedContentTokenCount": made.cached_tokens,
        "candidatesTokenCount": made.output_tokens - made.reasoning_tokens,
        "thoughtsTokenCount": made.reasoning_tokens,
        "totalTokenCount": made.input_tokens + made.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": made.input_tokens}],
    }
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": "served-model",
        "responseId": "made",
    }


def whole(made: Made) -> bytes:
    return json.dumps(_body(made, _parts(made), _REASONS[made.finish])).encode()


def stream(made: Made) -> bytes:
    *first, last = _parts(made)
    bodies = [_body(made, [part], None) for part in first]
    bodies.append(_body(made, [last], _REASONS[made.finish]))
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(body).encode() for body in bodies)
