"""Every registered provider answers for the same list of cases, from its own fixture folder.

A folder `tests/fixtures/providers/<type>/<case>/` holds `exchange.json` (the client's request, the
answer's status and headers, and what must come of it) and the answer's bytes (`answer.b64` as
base64, where they are no text); a case without them is answered by the provider itself, which must
then be a local one. A file `same_as` names the
folder whose cases a provider shares because it speaks that wire format; its own cases come first.
`sent` is what the provider must get where its quirks change the request, and `dropped` what is
reported as left out; README.md names the pages that say so.

A client's request is in OpenAI's format everywhere.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conduit.core import errors
from conduit.gateway.conversation import (
    ChatResponse,
    Failed,
    Refusal,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    Usage,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.frames.sse import payloads_of
from conduit.gateway.dialects.openai.errors import decode_error
from conduit.gateway.dialects.openai.relayed_answer import decode_answer
from conduit.gateway.dialects.openai.relayed_stream import StreamReader
from conduit.gateway.dialects.openai.wire import decode_call, encode_call
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.openai_chat.decode_stream import StreamDecoder
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.dialects.target import Target
from conduit.gateway.provider import LocalProvider, Operation, OutgoingRequest, Provider
from conduit.gateway.providers import registry
from conduit.gateway.providers.simulator import INSTANT, Simulator

FIXTURES = Path(__file__).parents[2] / "fixtures" / "providers"
REQUIRED = (
    "chat_basic",
    "chat_stream",
    "tool_call",
    "tool_result",
    "stream_usage",
    "structured_output",
    "vision",
    "error_400",
    "error_401",
    "error_429",
    "error_500",
    "stream_cut",
)
TYPES = [type_.name for type_ in registry.types()]


@dataclass(frozen=True)
class Case:
    provider: str
    folder: Path

    @property
    def exchange(self) -> Any:
        return json.loads((self.folder / "exchange.json").read_text())

    @property
    def request_body(self) -> bytes:
        return json.dumps(self.exchange["request"]).encode()

    @property
    def expect(self) -> Any:
        return self.exchange["expect"]

    @property
    def dialect(self) -> str:
        return registry.provider_of(self.provider).type.dialect

    @property
    def module(self) -> Any:
        """The dialect, by the interface that all share."""
        return DIALECTS[self.dialect]

    @property
    def streams(self) -> bool:
        return bool(self.exchange["request"].get("stream")) and self.exchange["status"] == 200

    async def answer(self) -> tuple[int, bytes]:
        for file in self.folder.glob("answer.*"):
            body = file.read_bytes()
            return self.exchange["status"], b64decode(body) if file.suffix == ".b64" else body
        provider: Provider = registry.provider_of(self.provider)
        assert isinstance(provider, LocalProvider)
        local = Simulator(INSTANT).answer(Operation.CHAT, self.request_body)
        return local.status, b"".join([piece async for piece in local.pieces])


def folders(provider: str) -> dict[str, Path]:
    """The cases of a provider by name, those of its base included."""
    root = FIXTURES / provider
    link = root / "same_as"
    base = folders(link.read_text().strip()) if link.exists() else {}
    return base | {file.parent.name: file.parent for file in root.glob("*/exchange.json")}


OPENAI = openai_chat.NAME


def cases(*, errors_only: bool, streamed: bool = False, openai: bool = True) -> list[Any]:
    """The cases of providers of OpenAI's chat format, or of all others."""
    return [
        pytest.param(case, id=f"{case.provider}-{case.folder.name}")
        for provider in TYPES
        for _, folder in sorted(folders(provider).items())
        for case in [Case(provider, folder)]
        if ("error" in case.expect) == errors_only
        and case.streams == streamed
        and (case.dialect == OPENAI) == openai
    ]


def sums(usage: Usage | None) -> dict[str, int] | None:
    if usage is None:
        return None
    names = (
        "total_input_tokens",
        "total_output_tokens",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "output_tokens",
        "reasoning_tokens",
    )
    return {name: getattr(usage, name) for name in names}


def check_usage(usage: Usage | None, expected: dict[str, int] | None) -> None:
    if expected is None:
        assert usage is None
        return
    found = sums(usage)
    assert found is not None
    assert found | expected == found
    assert usage is not None
    raw = usage.raw or {}
    if raw.get("total_tokens") is not None:
        assert usage.total_input_tokens + usage.total_output_tokens == raw["total_tokens"]


def check_response(response: ChatResponse, expect: Any) -> None:
    (choice,) = response.choices
    texts: dict[type, str] = {Text: "", Thinking: "", Refusal: ""}
    for part in choice.parts:
        if isinstance(part, Text | Thinking | Refusal):
            texts[type(part)] += part.text
    assert texts[Text] == expect["text"]
    assert texts[Thinking] == expect.get("thinking", "")
    assert texts[Refusal] == expect.get("refusal", "")
    calls = [
        [part.id, part.name, part.arguments] for part in choice.parts if isinstance(part, ToolCall)
    ]
    assert calls == expect.get("tool_calls", [])
    reasons = [] if choice.finish_reason is None else [choice.finish_reason.value]
    assert reasons == expect["finish_reasons"]
    assert response.model == expect["model"]


@pytest.mark.parametrize("provider", TYPES)
def test_every_provider_has_every_required_case(provider: str) -> None:
    assert (FIXTURES / provider).is_dir(), f"no fixture folder for provider type {provider}"
    assert set(REQUIRED) <= folders(provider).keys()


@pytest.mark.parametrize("provider", TYPES)
def test_every_folder_names_its_sources(provider: str) -> None:
    assert "https://" in (FIXTURES / provider / "README.md").read_text()


def test_every_fixture_folder_belongs_to_a_provider() -> None:
    assert {folder.name for folder in FIXTURES.iterdir()} == set(TYPES)


@pytest.mark.parametrize("case", cases(errors_only=False))
async def test_a_whole_answer_is_understood(case: Case) -> None:
    status, body = await case.answer()
    assert status == 200
    answer = decode_answer(Operation.CHAT, body)
    assert list(answer.finish_reasons.values()) == case.expect["finish_reasons"]
    assert answer.model == case.expect["model"]
    assert answer.output.bytes >= len(case.expect["text"].encode())
    check_usage(answer.usage, case.expect["usage"])
    response = openai_chat.decode_response(body)
    check_response(response, case.expect)
    check_usage(response.usage, case.expect["usage"])


@pytest.mark.parametrize("case", cases(errors_only=False, streamed=True))
@pytest.mark.parametrize("size", [1, 7, 64, 1_000_000])
async def test_a_stream_is_understood_however_it_is_cut(case: Case, size: int) -> None:
    expect = case.expect
    _, body = await case.answer()
    reader = StreamReader(strip_usage=False)
    pieces = [reader.feed(body[at : at + size]).data for at in range(0, len(body), size)]
    relayed = b"".join([*pieces, reader.finish().data])
    assert body.startswith(relayed)
    if "failure" in expect:
        assert reader.failure is not None
        assert reader.failure.message == expect["failure"]
        return
    assert reader.failure is None
    assert reader.complete is expect.get("complete", True)
    assert reader.model == expect["model"]
    assert list(reader.finish_reasons.values()) == expect["finish_reasons"]
    check_usage(reader.usage, expect.get("usage"))
    whole = [payload for payload in payloads_of(relayed) if payload is not None]
    check_response(collect(openai_chat.decode_stream(whole)), expect)


@pytest.mark.parametrize("case", cases(errors_only=False, streamed=True))
async def test_a_client_that_asked_for_no_usage_gets_no_chunk_of_it(case: Case) -> None:
    _, body = await case.answer()
    reader = StreamReader(strip_usage=True)
    relayed = reader.feed(body).data
    for payload in payloads_of(relayed):
        if payload is not None and payload != b"[DONE]":
            chunk = json.loads(payload)
            assert chunk["choices"] or not chunk.get("usage")


@pytest.mark.parametrize("case", cases(errors_only=True))
async def test_an_error_answer_is_mapped_and_leaks_nothing(case: Case) -> None:
    status, body = await case.answer()
    error = decode_error(status, case.exchange["headers"], body)
    expect = dict(case.expect)
    assert type(error) is getattr(errors, expect.pop("error"))
    assert {name: getattr(error, name) for name in expect} == expect
    shown = openai_chat.encode_error(error) + (error.hint or "").encode()
    assert b"sk-canary" not in shown
    assert b"<html" not in shown
    assert set(json.loads(openai_chat.encode_error(error))["error"]) == {
        "message",
        "type",
        "param",
        "code",
    }


@pytest.mark.parametrize("case", cases(errors_only=False, openai=False))
async def test_a_whole_answer_of_another_dialect_is_understood(case: Case) -> None:
    _, body = await case.answer()
    response = case.module.decode_response(body)
    check_response(response, case.expect)
    check_usage(response.usage, case.expect["usage"])


@pytest.mark.parametrize("case", cases(errors_only=False, streamed=True, openai=False))
@pytest.mark.parametrize("size", [1, 64, 1_000_000])
async def test_a_stream_of_another_dialect_is_understood(case: Case, size: int) -> None:
    _, body = await case.answer()
    decoder = case.module.StreamDecoder()
    events = []
    for at in range(0, len(body), size):
        events += decoder.feed(body[at : at + size])
    events += decoder.finish()
    if "failure" in case.expect:
        failed = events[-1]
        assert isinstance(failed, Failed)
        assert failed.message == case.expect["failure"]
        return
    assert decoder.complete is case.expect.get("complete", True)
    if not decoder.complete:
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert text == case.expect["text"]
        return
    response = collect(events)
    check_response(response, case.expect)
    check_usage(response.usage, case.expect["usage"])


@pytest.mark.parametrize("case", cases(errors_only=True, openai=False))
async def test_an_error_answer_of_another_dialect_is_mapped(case: Case) -> None:
    status, body = await case.answer()
    error = case.module.decode_error(status, case.exchange["headers"], body)
    expect = dict(case.expect)
    assert type(error) is getattr(errors, expect.pop("error"))
    assert {name: getattr(error, name) for name in expect} == expect


def every_request(*, openai: bool) -> list[Any]:
    """Every case that says what is sent, and every one that a provider must have."""
    return [
        pytest.param(case, id=f"{case.provider}-{name}")
        for provider in TYPES
        for name, folder in sorted(folders(provider).items())
        for case in [Case(provider, folder)]
        if (name in REQUIRED or "sent" in case.exchange)
        and (case.dialect == OPENAI) == openai
        and case.expect.get("code") != "invalid_request"  # what the gateway itself refuses
    ]


def sent_to(provider: str, request: Any) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    quirks = registry.provider_of(provider).type.quirks
    call = decode_call(Operation.CHAT, json.dumps(request).encode())
    encoded = encode_call(
        call,
        model="their-model",
        params={},
        ask_stream_usage=True,
        output_cap=300,
        quirks=quirks,
    )
    return json.loads(encoded.body), encoded.dropped


@pytest.mark.parametrize("case", every_request(openai=True))
def test_a_request_reaches_the_provider_as_its_quirks_want_it(case: Case) -> None:
    client = case.exchange["request"]
    call = decode_call(Operation.CHAT, case.request_body)
    assert call.units.images == case.expect.get("images", 0)
    sent, dropped = sent_to(case.provider, client)
    if "sent" in case.exchange and (FIXTURES / case.provider) in case.folder.parents:
        assert sent == case.exchange["sent"]
        assert dropped == tuple(case.exchange["dropped"])
        return
    quirks = registry.provider_of(case.provider).type.quirks
    renamed = quirks.fields.renamed if quirks.fields else {}
    cap = next((key for key in client if key.startswith("max_")), quirks.output_cap_field)
    wanted = client | {"model": "their-model", cap: 300}
    wanted.pop("stream_options", None)
    if client.get("stream") and quirks.asks_stream_usage:
        wanted["stream_options"] = {"include_usage": True}
    assert sent == {renamed.get(name, name): value for name, value in wanted.items()}
    assert dropped == ()


@pytest.mark.parametrize("case", every_request(openai=False))
def test_a_request_can_be_said_in_the_dialect_of_the_provider(case: Case) -> None:
    module = case.module
    request = openai_chat.decode_request(case.request_body)
    target = Target(
        "their-model",
        max_output_tokens=4096,
        quirks=registry.provider_of(case.provider).type.quirks,
    )
    body = module.encode_request(request, target).body
    assert body == module.encode_request(request, target).body
    assert isinstance(json.loads(body), dict)


@pytest.mark.parametrize("provider", TYPES)
async def test_a_credential_goes_into_one_header_alone(provider: str) -> None:
    found = registry.provider_of(provider)
    request = OutgoingRequest(
        "POST", f"https://example.com{found.path(Operation.CHAT, 'm')}", b"{}"
    )
    with_it = dict(await found.authorize("secret", request))
    without = dict(await found.authorize(None, request))
    assert without.items() <= with_it.items()
    holding = [name for name, value in with_it.items() if "secret" in value]
    assert len(holding) == (0 if isinstance(found, LocalProvider) else 1)


@pytest.mark.parametrize("provider", TYPES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_path_begins_with_a_slash_and_keeps_a_model_in_its_segment(
    provider: str, stream: bool
) -> None:
    found = registry.provider_of(provider)
    path = found.path(Operation.CHAT, "a/../b?c#d", stream=stream)
    assert path.startswith("/")
    assert "#" not in path
    assert "/../" not in path
    assert path.split("?")[0].count("/") == found.path(Operation.CHAT, "m").split("?")[0].count("/")


def test_a_decoder_reports_an_event_that_is_no_json() -> None:
    (failed,) = StreamDecoder().feed(b"data: nonsense\n\n")
    assert failed.__class__.__name__ == "Failed"
