"""The dialects that providers speak: how each answers, and what it was asked.

Answers have the shapes of the fixtures in `tests/fixtures/providers`, which name their sources.
"""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tests.e2e.fidelity import (
    bedrock_provider,
    cohere_provider,
    gemini_provider,
    ollama_provider,
)
from tests.e2e.fidelity import openai_providers as openai
from tests.e2e.fidelity.anthropic_provider import anthropic_asked, anthropic_stream, anthropic_whole
from tests.e2e.fidelity.asked import Asked
from tests.e2e.fidelity.made import Made
from tests.e2e.fidelity.vendors import AZURE_KEY, GOOGLE_TOKEN, ROOTS
from tests.fakes.replay import Reply

FIXTURES: Final = Path(__file__).parents[2] / "fixtures" / "providers"
EVENTS: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Provider:
    """One dialect of providers, by a provider type that speaks it.

    `exact` tells whether it gives the arguments of a call as text; otherwise they are an object.
    `signs` tells whether its thinking is signed, `caches` whether what is billed has a bucket of
    cached tokens. `root` is the path in its base URL.
    """

    dialect: str
    type: str
    asked: Callable[[Any], Asked]
    whole: Callable[[Made], bytes]
    stream: Callable[[Made], bytes]
    stream_path: str
    stream_type: str = EVENTS
    credential: str = field(default="sk-fidelity", repr=False)
    fixtures: str | None = None
    exact: bool = True
    signs: bool = True
    caches: bool = True
    model: str = "model-1"
    root: str = ""

    def reply(self, made: Made, *, stream: bool) -> Reply:
        if not stream:
            return Reply(pieces=(self.whole(made),))
        return streamed(self.stream(made), self.stream_type)

    def fixture(self, case: str) -> tuple[Any, Reply] | None:
        """What is expected of a case of the provider's fixtures, and the answer to replay."""
        folder = self._cases().get(case)
        if folder is None:
            return None
        exchange = json.loads((folder / "exchange.json").read_text())
        (file,) = folder.glob("answer.*")
        body = b64decode(file.read_bytes()) if file.suffix == ".b64" else file.read_bytes()
        if exchange["request"].get("stream") and exchange["status"] == 200:
            return exchange, streamed(body, self.stream_type)
        kind = "text/html" if file.suffix == ".html" else "application/json"
        return exchange, Reply(exchange["status"], (body,), kind, exchange["headers"])

    def cases(self) -> list[str]:
        return sorted(self._cases())

    def _cases(self) -> dict[str, Path]:
        """The folder of each case, its own before those of the provider that it is the same as."""
        folder = FIXTURES / (self.fixtures or self.type)
        found: dict[str, Path] = {}
        while True:
            found = {
                path.parent.name: path.parent for path in folder.glob("*/exchange.json")
            } | found
            link = folder / "same_as"
            if not link.is_file():
                return found
            folder = FIXTURES / link.read_text().strip()


def streamed(body: bytes, kind: str = EVENTS, size: int = 61) -> Reply:
    """A stream in pieces that end anywhere."""
    pieces = tuple(body[at : at + size] for at in range(0, len(body), size))
    return Reply(pieces=pieces, content_type=kind, chunked=True)


PROVIDERS: Final = (
    Provider(
        "openai_chat",
        "openai_compatible",
        openai.chat_asked,
        openai.chat_whole,
        openai.chat_stream,
        "/chat/completions",
        fixtures="openai",
        signs=False,
    ),
    Provider(
        "openai_chat",
        "ollama",
        openai.chat_asked,
        openai.chat_whole,
        openai.chat_stream,
        "/chat/completions",
        fixtures="openai",
        signs=False,
    ),
    Provider(
        "openai_responses",
        "perplexity",
        openai.responses_asked,
        openai.responses_whole,
        openai.responses_stream,
        "/responses",
    ),
    Provider(
        "anthropic_messages",
        "anthropic",
        anthropic_asked,
        anthropic_whole,
        anthropic_stream,
        "/messages",
        model="claude-sonnet-4-5",
    ),
    Provider(
        "gemini",
        "gemini",
        gemini_provider.asked,
        gemini_provider.whole,
        gemini_provider.stream,
        "/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        exact=False,
        model="gemini-2.5-flash",
    ),
    Provider(
        "cohere_v2",
        "cohere",
        cohere_provider.asked,
        cohere_provider.whole,
        cohere_provider.stream,
        "/v2/chat",
        signs=False,
        caches=False,
        model="command-a-reasoning-08-2025",
    ),
    Provider(
        "bedrock_converse",
        "bedrock",
        bedrock_provider.asked,
        bedrock_provider.whole,
        bedrock_provider.stream,
        "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
        stream_type="application/vnd.amazon.eventstream",
        model="anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    Provider(
        "ollama_native",
        "ollama_native",
        ollama_provider.asked,
        ollama_provider.whole,
        ollama_provider.stream,
        "/api/chat",
        stream_type="application/x-ndjson",
        exact=False,
        signs=False,
        caches=False,
        model="qwen3",
    ),
)
"""One type of provider for each dialect, and two of OpenAI's chat."""

_BY_DIALECT: Final = {provider.dialect: provider for provider in reversed(PROVIDERS)}


def _vendor(dialect: str, type_: str, credential: str, **fields: Any) -> Provider:
    made = replace(_BY_DIALECT[dialect], type=type_, credential=credential, root=ROOTS[type_])
    return replace(made, **{"fixtures": type_, **fields})


VENDORS: Final = (
    _vendor("openai_chat", "azure", AZURE_KEY, model="chat-1"),
    _vendor(
        "openai_chat",
        "azure_deployments",
        AZURE_KEY,
        model="chat-1",
        stream_path="/deployments/chat-1/chat/completions?api-version=2024-10-21",
    ),
    _vendor(
        "gemini",
        "vertex",
        GOOGLE_TOKEN,
        stream_path="/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
    ),
    _vendor(
        "anthropic_messages",
        "vertex_anthropic",
        GOOGLE_TOKEN,
        model="claude-sonnet-4-5@20250929",
        stream_path="/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
    ),
    _vendor(
        "openai_chat",
        "vertex_openai",
        GOOGLE_TOKEN,
        model="meta/llama-4-maverick",
        stream_path="/endpoints/openapi/chat/completions",
    ),
)
"""Vendors that speak one of these dialects behind doors of their own (`vendors.py`)."""
