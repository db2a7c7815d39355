"""Requests of another dialect, encoded for Anthropic."""

import json
from typing import Any

from conduit.gateway.conversation import ChatRequest, Message, Text, Tool
from conduit.gateway.dialects.anthropic.dialect import encode_request
from conduit.gateway.dialects.target import EncodedRequest, Target

MARK = {"type": "ephemeral"}
OLD = "claude-3-5-haiku-20241022"
BUDGETED = "claude-haiku-4-5-20251001"
ADAPTIVE = "claude-opus-4-8"
USER = Message("user", (Text("x"),))
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "object", "properties": {}}},
    "additionalProperties": False,
}
F = Tool("f", parameters={"type": "object", "properties": {}})


def encoded(
    *messages: Message, model: str = BUDGETED, most: int | None = None, **fields: Any
) -> EncodedRequest:
    request = ChatRequest("alias", messages or (USER,), dialect="openai_chat", **fields)
    return encode_request(request, Target(model, max_output_tokens=most))


def written(*messages: Message, **fields: Any) -> Any:
    return json.loads(encoded(*messages, **fields).body)
