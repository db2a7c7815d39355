"""`kill -9` after the answer was delivered: whoever sends it again gets the reply for nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests import postgresql
from tests.conftest import SOAKING
from tests.e2e.processes import GatewayProcess, fake_process, free_port

ROUNDS = 20 if SOAKING else 2
CLIENTS = 8
CANARY = "canary words that nobody may read"


@asynccontextmanager
async def serving(
    folder: Path, engine: str
) -> AsyncIterator[tuple[GatewayProcess, aiohttp.ClientSession, str]]:
    """A gateway over the fake, each a process; the key of a client."""
    async with (
        postgresql.database_url(engine, folder / "conduit.db") as url,
        fake_process(folder / "upstream.jsonl") as base_url,
        aiohttp.ClientSession() as session,
    ):
        gateway = GatewayProcess(
            folder / "home", make_master_key(), free_port(), {"CONDUIT_DATABASE_URL": url}
        )
        await gateway.start(session)
        try:
            provider = {"name": "fake", "type": "openai_compatible", "base_url": base_url}
            mapping = {"alias": "fake*", "targets": [{"provider": "fake", "model": "*"}]}
            await gateway.admin(session, "POST", "/providers", provider)
            await gateway.admin(session, "POST", "/mappings", mapping)
            await gateway.admin(session, "PUT", "/prices/fake/*", {"input": "1", "output": "2"})
            created = await gateway.admin(session, "POST", "/keys", {"name": "client"})
            yield gateway, session, created["secret"]
        finally:
            await gateway.kill()


async def ask(
    gateway: GatewayProcess, session: aiohttp.ClientSession, key: str, named: str
) -> tuple[int, bool, bytes]:
    """Status, whether it is a replay, and the body; half of the names are of streams."""
    body = {
        "model": "fake-echo",
        "stream": named.endswith("stream"),
        "messages": [{"role": "user", "content": CANARY + named}],
    }
    headers = {"authorization": f"Bearer {key}", "Idempotency-Key": named}
    url = f"{gateway.url}/v1/chat/completions"
    async with session.post(url, json=body, headers=headers) as answer:
        return answer.status, "idempotent-replayed" in answer.headers, await answer.read()


@pytest.mark.parametrize("engine", postgresql.ENGINES)
async def test_no_reply_that_was_delivered_is_asked_for_twice(tmp_path: Path, engine: str) -> None:
    async with serving(tmp_path, engine) as (gateway, session, key):
        for number in range(ROUNDS):
            delivered = await killed_in_the_midst(gateway, session, key, number)
            calls = (tmp_path / "upstream.jsonl").read_bytes().count(b"\n")
            await gateway.start(session)
            for named, body in delivered.items():
                assert await ask(gateway, session, key, named) == (200, True, body), named
            assert (tmp_path / "upstream.jsonl").read_bytes().count(b"\n") == calls
        checked = await gateway.admin(session, "GET", "/ledger/check")
        assert checked["ok"], checked
        assert sealed(tmp_path)


def sealed(folder: Path) -> bool:
    """Whether no file, database and journal included, has the words of a prompt or an answer."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return not [path for path in files if CANARY.encode() in path.read_bytes()]


async def killed_in_the_midst(
    gateway: GatewayProcess, session: aiohttp.ClientSession, key: str, number: int
) -> dict[str, bytes]:
    """Kill the gateway the moment an answer is there; all that was delivered by then."""
    delivered: dict[str, bytes] = {}
    enough = asyncio.Event()

    async def client(each: int) -> None:
        for count in range(10_000):
            named = f"{number}-{each}-{count}-{'stream' if count % 2 else 'whole'}"
            status, replayed, body = await ask(gateway, session, key, named)
            assert (status, replayed) == (200, False)
            if named.endswith("whole") or body.endswith(b"data: [DONE]\n\n"):
                delivered[named] = body
            if len(delivered) >= 5 * CLIENTS:
                enough.set()

    clients = [asyncio.create_task(client(each)) for each in range(CLIENTS)]
    async with asyncio.timeout(60):
        await enough.wait()
    await gateway.kill()
    ended = await asyncio.gather(*clients, return_exceptions=True)
    assert not [each for each in ended if isinstance(each, AssertionError)]
    return delivered
