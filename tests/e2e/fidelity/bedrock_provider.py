"""Amazon Bedrock's Converse as a provider, with its binary stream of events."""

import json
from collections.abc import Iterable
from typing import Any, Final

from tests.e2e.fidelity.asked import Asked
from tests.e2e.fidelity.made import SIGNATURE, Made, halves
from tests.fakes import event_streams

_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def asked(body: Any) -> Asked:
    found = Asked(cap=(body.get("inferenceConfig") or {}).get("maxTokens"))
    found.system = "".join(block.get("text", "") for block in body.get("system") or ())
    names: dict[str, str] = {}
    for message in body["messages"]:
        for block in message["content"]:
            match block:
                case {"text": str(text)}:
                    found.said.append(("text", message["role"], text))
                case {"image": {"source": {"bytes": str(data)}}}:
                    found.said.append(("image", message["role"], data))
                case {"toolUse": call}:
                    names[call["toolUseId"]] = call["name"]
                    found.said.append(("call", call["name"], call["input"]))
                case {"toolResult": result}:
                    text = "".join(part["text"] for part in result["content"])
                    found.said.append(("result", names[result["toolUseId"]], text))
                case {"reasoningContent": {"reasoningText": thought}}:
                    found.signed.append(thought["signature"])
                case _:
                    pass
    config = body.get("toolConfig") or {}
    for tool in config.get("tools") or ():
        spec = tool["toolSpec"]
        found.tools[spec["name"]] = spec["inputSchema"]["json"]
    found.forced_tool = (config.get("toolChoice") or {}).get("tool", {}).get("name")
    wanted = ((body.get("outputConfig") or {}).get("textFormat") or {}).get("structure")
    if wanted is not None:
        found.schema = json.loads(wanted["jsonSchema"]["schema"])
    return found


def _usage(made: Made) -> Any:
    return {
        "inputTokens": made.input_tokens - made.cached_tokens,
        "cacheReadInputTokens": made.cached_tokens,
        "cacheWriteInputTokens": 0,
        "outputTokens": made.output_tokens,
        "totalTokens": made.input_tokens + made.output_tokens,
    }


def whole(made: Made) -> bytes:
    blocks: list[Any] = []
    if made.thinking:
        thought = {"text": made.thinking, "signature": SIGNATURE}
        blocks.append({"reasoningContent": {"reasoningText": thought}})
    if made.text:
        blocks.append({"text": made.text})
    for call in made.calls:
        # Claude names the type of its calls, though the reference has none for a client's.
        use = {"type": "tool_use", "toolUseId": call.id, "name": call.name}
        blocks.append({"toolUse": {**use, "input": json.loads(call.arguments)}})
    body = {
        "metrics": {"latencyMs": 812},
        "output": {"message": {"role": "assistant", "content": blocks}},
        "stopReason": _REASONS[made.finish],
        "usage": _usage(made),
    }
    return json.dumps(body).encode()


def _deltas(made: Made) -> Iterable[tuple[Any, list[Any]]]:
    """(what opens a block, its deltas)."""
    if made.thinking:
        pieces: list[Any] = [{"text": piece} for piece in halves(made.thinking)]
        signed = [*pieces, {"signature": SIGNATURE}]
        yield None, [{"reasoningContent": piece} for piece in signed]
    if made.text:
        yield None, [{"text": piece} for piece in made.pieces]
    for call in made.calls:
        use = {"toolUse": {"toolUseId": call.id, "name": call.name}}
        inputs = [{"toolUse": {"input": piece}} for piece in halves(call.arguments)]
        yield use, inputs


def stream(made: Made) -> bytes:
    events: list[tuple[str, Any]] = [("messageStart", {"role": "assistant", "p": "abcd"})]
    for index, (opened, deltas) in enumerate(_deltas(made)):
        at = {"contentBlockIndex": index}
        if opened is not None:  # blocks of text begin with their first delta
            events.append(("contentBlockStart", {**at, "start": opened}))
        events += [("contentBlockDelta", {**at, "delta": delta}) for delta in deltas]
        events.append(("contentBlockStop", at))
    events.append(("messageStop", {"stopReason": _REASONS[made.finish]}))
    events.append(("metadata", {"usage": _usage(made), "metrics": {"latencyMs": 941}}))
    return event_streams.stream(events)
