"""What Azure and Vertex AI insist on before a model is asked: path, credential, form of the body.

Their paths are those of the pages that the fixtures of each name.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.fakes.replay import Received, Reply

AZURE_KEY: Final = "0123456789abcdef0123456789abcdef"
GOOGLE_TOKEN: Final = "ya29.fidelity-0123456789"
PROJECT: Final = "/v1/projects/conduit-test/locations/us-central1"

_CHAT_FIELDS: Final = frozenset(
    {"messages", "model", "stream", "stream_options", "tools", "tool_choice", "response_format"}
    | {"max_completion_tokens", "reasoning_effort", "parallel_tool_calls", "temperature"}
)
_GEMINI_FIELDS: Final = frozenset(
    {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"}
)
_CLAUDE_FIELDS: Final = frozenset(
    {"anthropic_version", "messages", "system", "max_tokens", "stream", "tools", "tool_choice"}
    | {"thinking", "output_config", "temperature"}
)

Rule = Callable[[str, Any], str | None]
"""What is wrong with a target below the vendor's base URL and a body; None where nothing is."""


def _azure(target: str, body: Any) -> str | None:
    if target != "/chat/completions":
        return "path"
    if body.get("model") != "chat-1":
        return "no deployment of that name"
    return _unknown(body, _CHAT_FIELDS)


def _azure_deployments(target: str, body: Any) -> str | None:
    path, _, query = target.partition("?")
    if path != "/deployments/chat-1/chat/completions":
        return "path"
    if re.fullmatch(r"api-version=\d{4}-\d\d-\d\d", query) is None:
        return "path"  # Azure says 404 where the version is missing
    return _unknown(body, _CHAT_FIELDS)


def _vertex(target: str, body: Any) -> str | None:
    start = "/publishers/google/models/gemini-2.5-flash:"
    if target not in (f"{start}generateContent", f"{start}streamGenerateContent?alt=sse"):
        return "path"
    if any(content.get("role") not in ("user", "model") for content in body["contents"]):
        return "Please use a valid role: user, model."
    return _unknown(body, _GEMINI_FIELDS)


def _vertex_anthropic(target: str, body: Any) -> str | None:
    method = re.fullmatch(r"/publishers/anthropic/models/claude-sonnet-4-5@20250929:(\w+)", target)
    if method is None or method[1] not in ("rawPredict", "streamRawPredict"):
        return "path"
    if body.get("anthropic_version") != "vertex-2023-10-16":
        return "anthropic_version: Field required"
    if (method[1] == "streamRawPredict") is not bool(body.get("stream")):
        return "stream: the method says otherwise"
    if not isinstance(body.get("max_tokens"), int):
        return "max_tokens: Field required"
    return _unknown(body, _CLAUDE_FIELDS)


def _vertex_openai(target: str, body: Any) -> str | None:
    if target != "/endpoints/openapi/chat/completions":
        return "path"
    if body.get("model") != "meta/llama-4-maverick":
        return "malformed publisher model"
    return _unknown(body, _CHAT_FIELDS | {"max_tokens"})


def _unknown(body: Mapping[str, Any], known: frozenset[str]) -> str | None:
    others = sorted(body.keys() - known)
    return f"Unknown name: {', '.join(others)}" if others else None


ROOTS: Final[Mapping[str, str]] = {
    "azure": "/openai/v1",
    "azure_deployments": "/openai",
    "vertex": PROJECT,
    "vertex_anthropic": PROJECT,
    "vertex_openai": PROJECT,
}
"""Where the base URL of each ends."""

_RULES: Final[Mapping[str, Rule]] = {
    "azure": _azure,
    "azure_deployments": _azure_deployments,
    "vertex": _vertex,
    "vertex_anthropic": _vertex_anthropic,
    "vertex_openai": _vertex_openai,
}


class Doors:
    """Lets requests in that a vendor would; the credentials that it takes are in `logins`.

    A login is the one header that authenticates, with its value. The first part of a path is the
    vendor's type; what has another one is let in. `refused` tells what was not.
    """

    def __init__(self) -> None:
        azure = {("api-key", AZURE_KEY)}
        google = {("authorization", f"Bearer {GOOGLE_TOKEN}")}
        self.logins = {
            vendor: set(azure if vendor.startswith("azure") else google) for vendor in _RULES
        }
        self.refused: list[str] = []

    def __call__(self, received: Received) -> Reply | None:
        method, target, _ = received.line.split(" ")
        _, vendor, below = target.split("/", 2)
        if vendor not in _RULES:
            return None
        wrong = self._wrong(vendor, method, "/" + below, received)
        if wrong is None:
            return None
        self.refused.append(f"{vendor}: {wrong} ({target})")
        status = {"path": 404, "credential": 401}.get(wrong, 400)
        return _refusal(vendor, status, wrong)

    def _wrong(self, vendor: str, method: str, target: str, received: Received) -> str | None:
        root = ROOTS[vendor]
        if method != "POST" or not target.startswith(root):
            return "path"
        given = {
            (name, value)
            for name, value in received.headers.items()
            if name in ("authorization", "api-key", "x-goog-api-key", "x-api-key")
        }
        if len(given) != 1 or not given <= self.logins[vendor]:
            return "credential"
        return _RULES[vendor](target.removeprefix(root), received.json)


def _refusal(vendor: str, status: int, message: str) -> Reply:
    error = {"code": status, "message": message}
    if vendor.startswith("azure"):
        body: Any = {"error": {**error, "code": str(status)}}
    else:
        word = {404: "NOT_FOUND", 401: "UNAUTHENTICATED"}.get(status, "INVALID_ARGUMENT")
        body = [{"error": {**error, "status": word}}]
    return Reply(status, (json.dumps(body).encode(),))
