"""Output items and the response object of OpenAI's responses, as a client reads them.

Source: the models of openai-python (types/responses/response.py and those that it names).
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import FinishReason, Usage
from conduit.gateway.dialects.openai_responses.usage import usage_to_responses

# Codes that the client's type of `response.error` knows; the others are one of these two.
_LIMITED: Final = "rate_limit_exceeded"
_BROKEN: Final = "server_error"

_SILENT: Final[Mapping[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What the original repeats of the request, where nothing is known of it."""


def response_object(
    head: Mapping[str, Any],
    output: list[dict[str, Any]],
    *,
    ended: FinishReason | None = None,
    usage: Usage | None = None,
    extras: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole answer; `head` has its id, model and time, and the status where it has not ended.

    `extras` are of this format's own provider.
    """
    status, details = status_of(ended)
    return {
        **head,
        "object": "response",
        "status": head.get("status", status),
        "error": head.get("error"),
        "incomplete_details": details,
        **_SILENT,
        **(extras or {}),
        "output": output,
        "usage": None if usage is None else usage_to_responses(usage),
    }


def status_of(reason: FinishReason | None) -> tuple[str, dict[str, Any] | None]:
    """(status, incomplete_details) of an answer that ended so."""
    match reason:
        case FinishReason.LENGTH:
            return "incomplete", {"reason": "max_output_tokens"}
        case FinishReason.CONTENT_FILTER | FinishReason.REFUSAL:
            return "incomplete", {"reason": "content_filter"}
        case _:
            return "completed", None


def failure(code: str, message: str) -> dict[str, Any]:
    """The error of a response that failed."""
    return {"code": _LIMITED if "rate_limit" in code else _BROKEN, "message": message}


def message_item(item_id: str, extras: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
        **extras,
    }


def call_item(item_id: str, call_id: str, name: str, extras: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "function_call",
        "status": "in_progress",
        "call_id": call_id,
        "name": name,
        "arguments": "",
        **extras,
    }


def reasoning_item(item_id: str, encrypted: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": []}
    return item if encrypted is None else item | {"encrypted_content": encrypted}


def text_content(text: str, logprobs: list[Any]) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": logprobs, "text": text}


def refusal_content(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}
