"""Streams between two dialects that end badly: each client sees the ending of its own format."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.e2e.fidelity.breaks import ERRORS, SAID
from tests.e2e.fidelity.clients import CLIENTS, Client
from tests.e2e.fidelity.conversation import FIRST, HELLO
from tests.e2e.fidelity.gateway import Matrix, open_matrix
from tests.e2e.fidelity.made import Made
from tests.e2e.fidelity.providers import PROVIDERS, VENDORS, Provider
from tests.fakes.replay import Reply
from tests.fakes.scripted import End

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMED = replace(HELLO, stream=True)
MADE = Made(text="The capital of France is Paris.", calls=(FIRST,), finish="tool_calls")

every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: f"{client.name}")
every_provider = pytest.mark.parametrize(
    "provider", [*PROVIDERS, *VENDORS], ids=lambda each: each.type
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with open_matrix(tmp_path_factory.mktemp("faults")) as opened:
        yield opened


def cut(provider: Provider, end: End) -> Reply:
    found = provider.fixture("stream_cut")
    assert found is not None
    return replace(found[1], end=end)


async def settled_once(matrix: Matrix, outcome: str) -> None:
    """The one attempt has been settled, and nothing is held for it."""
    record = await matrix.running.last_record()
    assert (record["status"], record["outcome"]) == (200, outcome)
    (attempt,) = await matrix.running.attempts(record["id"])
    assert attempt["outcome"] == outcome
    assert attempt["cost"] == record["cost"]
    assert float(record["cost"]) > 0
    await matrix.running.ledger_holds()


@every_client
@every_provider
@pytest.mark.parametrize("end", [End.FIN, End.RST, End.KEEP])
async def test_a_stream_that_is_cut_ends_with_an_error(
    matrix: Matrix, client: Client, provider: Provider, end: End
) -> None:
    answered = await matrix.post(client, provider, STREAMED, cut(provider, end))
    assert answered.status == 200
    assert b"The" in answered.body
    assert client.stream_error(answered.body)
    assert not client.ends_well(answered.body)
    assert b"[DONE]" not in answered.body
    await settled_once(matrix, "cut")


@every_client
@every_provider
async def test_a_stream_that_tells_of_an_error_ends_with_it(
    matrix: Matrix, client: Client, provider: Provider
) -> None:
    reply = cut(provider, End.KEEP)
    begun = provider.stream(MADE)
    if provider.dialect == "bedrock_converse":
        begun = begun[: begun_length(begun)]
    else:
        end = rb"\n" if provider.dialect == "ollama_native" else rb"(?:\r?\n){2}"
        events = re.findall(rb".+?" + end, begun, re.DOTALL)
        begun = b"".join(events[: len(events) // 2])
    reply = replace(reply, pieces=(begun, ERRORS[provider.dialect]), last_late=True)
    answered = await matrix.post(client, provider, STREAMED, reply)
    assert answered.status == 200
    told(client.stream_error(answered.body) or "")
    assert not client.ends_well(answered.body)
    assert b"[DONE]" not in answered.body
    await settled_once(matrix, "cut")


def told(message: str) -> None:
    """The provider's own words, with one introduction."""
    assert message.endswith(SAID)
    assert message.count("The provider") == 1


def begun_length(stream: bytes, frames: int = 3) -> int:
    """How long the first frames of a binary stream are; each begins with its length."""
    at = 0
    for _ in range(frames):
        at += int.from_bytes(stream[at : at + 4], "big")
    return at


@every_client
@every_provider
async def test_a_client_that_hangs_up_ends_its_provider_s_work(
    matrix: Matrix, client: Client, provider: Provider
) -> None:
    await matrix.leave(client, provider, STREAMED, cut(provider, End.HANG))
    async with asyncio.timeout(5):
        await matrix.upstream.left.wait()
        while matrix.running.gateway.ledger.state().open_holds:
            await asyncio.sleep(0.01)
    record = await matrix.running.last_record()
    (attempt,) = await matrix.running.attempts(record["id"])
    assert attempt["outcome"] == record["outcome"]
    assert float(attempt["cost"]) > 0
    await matrix.running.ledger_holds()


@every_client
@every_provider
@pytest.mark.parametrize("end", [End.FIN, End.KEEP])
async def test_an_end_before_the_first_event_is_an_error_answer(
    matrix: Matrix, client: Client, provider: Provider, end: End
) -> None:
    reply = Reply(pieces=(), content_type=provider.stream_type, chunked=True, end=end)
    answered = await matrix.post(client, provider, STREAMED, reply)
    assert answered.status == 502
    message, _ = client.error(answered.json)
    assert message
    await matrix.running.ledger_holds()


@every_client
@every_provider
async def test_an_error_in_the_place_of_a_stream_is_an_error_answer(
    matrix: Matrix, client: Client, provider: Provider
) -> None:
    reply = replace(cut(provider, End.KEEP), pieces=(ERRORS[provider.dialect],))
    answered = await matrix.post(client, provider, STREAMED, reply)
    assert answered.status == 502
    told(client.error(answered.json)[0])
    await matrix.running.ledger_holds()
