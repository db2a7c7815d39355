"""An answer with everything in it, as a provider of another dialect would give it."""

from collections.abc import Sequence
from typing import Any, Final

import httpx2
from openai import OpenAI

from conduit.gateway.conversation import (
    ArgumentsDelta,
    Citation,
    CitationDelta,
    Finished,
    FinishReason,
    Image,
    Opaque,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Unplaced,
    Usage,
    Used,
    WholePart,
)

OTHER: Final = "anthropic_messages"
PIXEL: Final = "data:image/png;base64,iVBORw0KGgo="

EVENTS: Final[Sequence[StreamEvent]] = (
    Started("msg_1", "their-model", 1_700_000_000, {"type": "message"}, OTHER),
    PartStarted(0, "thinking"),
    ThinkingDelta(0, "first "),
    ThinkingDelta(0, "thought"),
    SignatureDelta(0, "Sig", signed_by=OTHER),
    SignatureDelta(0, "One=", signed_by=OTHER),
    PartFinished(0),
    PartStarted(1, "thinking", redacted="Hidden==", signed_by=OTHER),
    PartFinished(1),
    PartStarted(2, "thinking"),
    ThinkingDelta(2, "second"),
    SignatureDelta(2, "SigTwo=", signed_by=OTHER),
    PartFinished(2),
    PartStarted(3, "text", extras={"their": "own"}),
    TextDelta(3, "Hello "),
    TextDelta(3, "world"),
    CitationDelta(3, Citation(OTHER, {"type": "x"}, url="https://x/1", title="One")),
    CitationDelta(3, Citation(OTHER, {"type": "char_location"}, cited_text="no address")),
    PartFinished(3),
    PartStarted(4, "text"),
    TextDelta(4, ", again"),
    CitationDelta(4, Citation(OTHER, {"type": "x"}, url="https://x/2", start=2, end=7)),
    PartFinished(4),
    PartStarted(
        5,
        "tool_call",
        tool_call_id="toolu_1",
        tool_name="f",
        signature="CallSig=",
        signed_by="gemini",
        extras={"their": "own"},
    ),
    ArgumentsDelta(5, '{"a"'),
    PartStarted(6, "tool_call", tool_name="g"),
    ArgumentsDelta(5, ": 1}"),
    ArgumentsDelta(6, "{}"),
    PartFinished(5),
    PartFinished(6),
    WholePart(7, Image(PIXEL)),
    WholePart(8, Opaque(OTHER, "content", {"type": "server_tool_use"})),
    Unplaced({"container": {"id": "c"}}),
    Unplaced({"more": 1}, 0),
    Used(Usage(input_tokens=1)),
    Finished(FinishReason.TOOL_CALLS, raw_reason="tool_use"),
    Used(Usage(input_tokens=5, cache_read_tokens=2, output_tokens=7, reasoning_tokens=3)),
)


def client_of(body: bytes, *, status: int = 200, streamed: bool = False) -> OpenAI:
    """OpenAI's own client, before a server that answers with `body` to everything."""
    kind = "text/event-stream" if streamed else "application/json"

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": kind}, content=body)

    transport = httpx2.MockTransport(answer)
    return OpenAI(
        api_key="x",
        base_url="http://127.0.0.1/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    )


def dumped(model: Any) -> Any:
    """What a client sends back of a message that it got."""
    return model.model_dump(exclude_unset=True)
