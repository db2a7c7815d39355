"""Probes: the same questions of providers of every dialect, and what is made of the answers."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from conduit.gateway.config.snapshot import Credential
from conduit.gateway.probing.probe import Probed, Probing, Question, probe
from conduit.gateway.provider import Operation, OutgoingRequest, Provider
from conduit.gateway.reach.stored import Reach
from conduit.gateway.upstream import Endpoint
from tests.gateway.exchanges import upstream
from tests.gateway.providers.test_contract import folders

NUMBER = '{"number":7}'


class Scripted:
    """An endpoint that gives one answer, in pieces, and keeps what it was sent."""

    at_end = False

    def __init__(self, body: bytes, status: int = 200) -> None:
        self._body = body
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.sent: list[tuple[str, Any, Mapping[str, str]]] = []
        self.closed = 0

    async def send(
        self, path: str, body: bytes, headers: Mapping[str, str], deadlines: object
    ) -> Any:
        self.sent.append((path, json.loads(body), headers))
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), 50):
            yield self._body[start : start + 50]

    async def read(self, limit: int) -> bytes:
        return self._body

    def close(self) -> None:
        self.closed += 1


async def authorize(
    provider: Provider, credential: str | None, request: OutgoingRequest
) -> Mapping[str, str]:
    return {"x-signed": f"{request.method} {request.url} {len(request.body) > 0}"}


async def asked(
    scripted: Scripted, type_name: str = "openai", probing: Probing = Probing.TEXT
) -> Probed:
    one = upstream(type_name=type_name, credentials=(Credential("c", "default", "sk-secret-1"),))
    reach = Reach(one, cast(Endpoint, scripted), authorize)
    return await probe(reach, Question("m", Operation.CHAT, probing=probing))


def answer_of(type_name: str, case: str) -> bytes:
    folder = folders(type_name)[case]
    return next(folder.glob("answer.*")).read_bytes()


TYPES = ("openai", "anthropic", "gemini", "cohere", "perplexity", "vertex_anthropic", "bedrock")


@pytest.mark.parametrize("type_name", TYPES)
async def test_a_model_of_any_dialect_is_asked_in_its_own_words(type_name: str) -> None:
    scripted = Scripted(answer_of(type_name, "chat_basic"))
    probed = await asked(scripted, type_name)
    assert (probed.error, probed.settled, probed.found) == (None, True, "it answered")
    assert probed.usage is not None
    assert probed.usage.total_output_tokens > 0
    [(path, body, headers)] = scripted.sent
    assert headers["x-signed"] == f"POST http://127.0.0.1:1/v1{path} True"
    assert "ping" in json.dumps(body)
    assert "16" in json.dumps(body)  # the cap, wherever it stands
    assert scripted.closed == 1


@pytest.mark.parametrize("type_name", ["openai", "anthropic", "gemini", "cohere", "perplexity"])
async def test_a_stream_of_any_dialect_is_read_to_its_end(type_name: str) -> None:
    scripted = Scripted(answer_of(type_name, "chat_stream"))
    probed = await asked(scripted, type_name, Probing.STREAMING)
    assert probed.error is None
    assert probed.found.startswith("it streamed an answer of ")


@pytest.mark.parametrize("type_name", ["openai", "anthropic", "gemini", "cohere"])
async def test_a_stream_that_breaks_off_is_a_failure(type_name: str) -> None:
    scripted = Scripted(answer_of(type_name, "stream_cut"))
    probed = await asked(scripted, type_name, Probing.STREAMING)
    assert probed.error == "the stream was broken off"


@pytest.mark.parametrize("type_name", TYPES)
async def test_an_error_of_any_dialect_is_told(type_name: str) -> None:
    scripted = Scripted(answer_of(type_name, "error_401"), 401)
    probed = await asked(scripted, type_name)
    assert probed.error is not None
    assert "401" in probed.error


def openai_answer(message: Mapping[str, Any], reason: str = "stop") -> Scripted:
    body = {
        "id": "c",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }
    return Scripted(json.dumps(body).encode())


def called(name: str, arguments: str) -> Mapping[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}


@pytest.mark.parametrize(
    ("probing", "message", "reason", "settled", "found"),
    [
        ("tools", called("report_number", NUMBER), "tool_calls", True, "it called the tool"),
        ("tools", called("report_number", "{}"), "tool_calls", False, "arguments that do not fit"),
        ("tools", {"content": "seven"}, "stop", False, "did not call it"),
        ("tools", {"content": "Let me"}, "length", False, "cut off at 64 tokens"),
        ("schema", {"content": NUMBER}, "stop", True, "has the form of the schema"),
        ("schema", {"content": "seven"}, "stop", False, "has another form"),
        ("schema", {"content": '{"number"'}, "length", False, "cut off at 64 tokens"),
    ],
)
async def test_an_answer_is_judged_by_what_was_asked(
    probing: str, message: Mapping[str, Any], reason: str, settled: bool, found: str
) -> None:
    probed = await asked(openai_answer(message, reason), probing=Probing(probing))
    assert probed.error is None
    assert probed.settled is settled
    assert found in probed.found


async def test_a_schema_that_is_emulated_is_told_as_such() -> None:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "tool_use", "id": "t", "name": "answer", "input": {"number": 7}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    scripted = Scripted(json.dumps(body).encode())
    kind = upstream(type_name="anthropic").provider
    quirks = replace(kind.type.quirks, schema=False)

    class NoSchemas:
        type = replace(kind.type, quirks=quirks)
        path = kind.path
        authorize = kind.authorize

    one = upstream(provider=NoSchemas(), credentials=(Credential("c", "d", "s"),))
    question = Question("m", Operation.CHAT, probing=Probing.SCHEMA)
    reach = Reach(one, cast(Endpoint, scripted), authorize)
    await probe(reach, question)
    [tool] = scripted.sent[0][1]["tools"]
    body["content"][0]["name"] = tool["name"]  # type: ignore[index]
    scripted = Scripted(json.dumps(body).encode())
    probed = await probe(Reach(one, cast(Endpoint, scripted), authorize), question)
    assert probed.found == (
        "its answer has the form of the schema, emulated by the forced call of a tool"
    )


async def test_a_server_that_refuses_stream_options_is_asked_without() -> None:
    class Particular(Scripted):
        async def send(self, *given: Any) -> Any:
            await super().send(*given)
            refused = "stream_options" in self.sent[-1][1]
            self.status = 400 if refused else 200
            self._body = (
                b'{"error":{"message":"stream_options is not known"}}'
                if refused
                else answer_of("openai", "chat_stream")
            )
            return self

    scripted = Particular(b"")
    probed = await asked(scripted, probing=Probing.STREAMING)
    assert probed.error is None
    assert len(scripted.sent) == 2


async def test_an_answer_without_choices_or_a_stream_without_events_is_a_failure() -> None:
    probed = await asked(Scripted(b'{"id":"c","choices":[]}'), probing=Probing.TOOLS)
    assert probed.error is not None
    probed = await asked(Scripted(b""), probing=Probing.STREAMING)
    assert probed.error == "the stream was empty"


async def test_vectors_are_asked_for_in_the_provider_s_own_form() -> None:
    answer = Scripted(b'{"embeddings":[{"values":[0.5,0.25]}]}')
    credentials = (Credential("c", "default", "sk-secret-1"),)
    one = upstream(type_name="gemini", credentials=credentials)
    reach = Reach(one, cast(Endpoint, answer), authorize)
    found = await probe(reach, Question("text-vectors", Operation.EMBEDDING))
    assert found.error is None
    (path, body, _), *more = answer.sent
    assert not more
    assert path.endswith("/models/text-vectors:batchEmbedContents")
    assert body["requests"][0]["content"] == {"parts": [{"text": "ping"}]}
