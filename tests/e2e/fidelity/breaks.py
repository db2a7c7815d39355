"""How each provider tells of an error in the midst of its stream."""

import json
from typing import Any, Final

from tests.fakes import event_streams

SAID: Final = "The server had a bad moment."


def _event(kind: str, value: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps(value).encode())


ERRORS: Final[dict[str, bytes]] = {
    "openai_chat": b"data: %b\n\n"
    % json.dumps(
        {"error": {"message": SAID, "type": "server_error", "param": None, "code": None}}
    ).encode(),
    "openai_responses": _event(
        "error",
        {
            "type": "error",
            "code": "server_error",
            "message": SAID,
            "param": None,
            "sequence_number": 9,
        },
    ),
    "anthropic_messages": _event(
        "error", {"type": "error", "error": {"type": "overloaded_error", "message": SAID}}
    ),
    "gemini": b"data: %b\r\n\r\n"
    % json.dumps({"error": {"code": 503, "message": SAID, "status": "UNAVAILABLE"}}).encode(),
    "cohere_v2": _event(
        "message-end",
        {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": SAID}},
    ),
    "bedrock_converse": event_streams.exception("modelStreamErrorException", {"message": SAID}),
    "ollama_native": b"%b\n" % json.dumps({"error": SAID}).encode(),
}
