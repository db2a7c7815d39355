"""Clients that take their time: heads, bodies and answers, while a good client is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests.e2e.attacks import BODIES, FRAMED, GOOD, HEADS, LARGEST_BODY
from tests.e2e.processes import GatewayProcess, fake_process, free_port
from tests.e2e.rawhttp import PATIENCE_S, RawConnection, ask, connected, get, post

SLOW = 200
HEAD_S = "2"
BODY_S = "2"
MOST_GROWTH_KIB = 15 * 1024


class Abused:
    """A gateway in a process of its own, with a key to use it and what to read of it."""

    def __init__(self, process: GatewayProcess, session: aiohttp.ClientSession, key: str) -> None:
        self._process = process
        self._session = session
        self.key = key
        self.url = process.url

    async def serves_well(self) -> None:
        """One request of the good client."""
        async with self._session.post(
            f"{self.url}/v1/chat/completions",
            data=GOOD,
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
        ) as response:
            assert response.status == 200, await response.text()
            assert (await response.json())["choices"]

    def resident_kib(self) -> int:
        process = self._process.process
        assert process is not None, "it runs"
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1])


@asynccontextmanager
async def abused_gateway(home: Path, **environment: str) -> AsyncIterator[Abused]:
    settings = {
        "CONDUIT_HEAD_TIMEOUT_S": HEAD_S,
        "CONDUIT_BODY_TIMEOUT_S": BODY_S,
        "CONDUIT_BODY_LIMIT_BYTES": str(LARGEST_BODY),
        "CONDUIT_DRAIN_ACCEPT_S": "0",
    } | environment
    process = GatewayProcess(home, make_master_key(), free_port(), settings)
    async with (
        fake_process(home.with_suffix(".log")) as upstream,
        aiohttp.ClientSession() as session,
    ):
        try:
            await process.start(session)
            for path, fields in (
                (
                    "/providers",
                    {"name": "fake", "type": "openai_compatible", "base_url": upstream},
                ),
                (
                    "/mappings",
                    {"alias": "fake", "targets": [{"provider": "fake", "model": "fake"}]},
                ),
            ):
                await process.admin(session, "POST", path, fields)
            made = await process.admin(session, "POST", "/keys", {"name": "good"})
            await process.load_all(session)  # it is no abuse that costs it
            yield Abused(process, session, made["secret"])
        finally:
            await process.kill()


@asynccontextmanager
async def many(url: str, data: bytes) -> AsyncIterator[list[RawConnection]]:
    """So many connections that have sent these bytes and send no more."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connected(url)) for _ in range(SLOW)]
        for connection in connections:
            await connection.send(data)
        yield connections


async def served_until(gateway: Abused, done: "asyncio.Future[list[int]]") -> tuple[int, list[int]]:
    """Serve the good client until the others have what they get: how often, and their statuses."""
    times = 0
    while not done.done():
        await gateway.serves_well()
        times += 1
    return times, await done


async def statuses(connections: list[RawConnection]) -> list[int]:
    return [(await connection.answer()).status for connection in connections]


async def test_slow_heads_are_ended_and_a_good_client_is_served(tmp_path: Path) -> None:
    async with abused_gateway(tmp_path / "home") as gateway:
        await gateway.serves_well()
        for data in (b"", b"GET", get("/v1/models")[:-2]):
            async with many(gateway.url, data) as slow:
                done = asyncio.ensure_future(statuses(slow))
                times, ended = await served_until(gateway, done)
            assert ended == [0] * SLOW
            assert times > 0


async def test_slow_bodies_are_answered_and_a_good_client_is_served(tmp_path: Path) -> None:
    async with abused_gateway(tmp_path / "home") as gateway:
        half = post(GOOD[:20], key=gateway.key, length=len(GOOD))
        async with many(gateway.url, half) as slow:
            done = asyncio.ensure_future(statuses(slow))
            times, ended = await served_until(gateway, done)
        assert ended == [408] * SLOW
        assert times > 0
        stranger = post(GOOD[:20], key="condt_wrong", length=len(GOOD))
        async with many(gateway.url, stranger) as slow:
            done = asyncio.ensure_future(statuses(slow))
            _, ended = await served_until(gateway, done)
        assert set(ended) <= {401, 429}  # before a byte of its body was waited for


async def test_beyond_the_most_the_oldest_head_goes_and_the_newest_is_served(
    tmp_path: Path,
) -> None:
    limits = {"CONDUIT_MAX_INCOMPLETE_HEADS": "50", "CONDUIT_HEAD_TIMEOUT_S": "600"}
    async with (
        abused_gateway(tmp_path / "home", **limits) as gateway,
        many(gateway.url, b"GET") as slow,
    ):
        assert await statuses(slow[: SLOW - 50]) == [0] * (SLOW - 50)
        await gateway.serves_well()
        last = slow[-1]
        await last.send(get("/v1/models", key=gateway.key).removeprefix(b"GET"))
        assert (await last.answer()).status == 200


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
async def test_the_memory_does_not_grow_with_the_abuse(tmp_path: Path) -> None:
    async with abused_gateway(tmp_path / "home") as gateway:
        for _ in range(20):
            await gateway.serves_well()
        before = gateway.resident_kib()
        for data in (
            *(attack.data for attack in HEADS.values()),
            *(post(body, key=gateway.key) for body, _ in BODIES.values()),
            *(post(body, *headers, key=gateway.key) for body, headers, _ in FRAMED.values()),
        ):
            await ask(gateway.url, data)
        for data in (b"GET", post(GOOD[:20], key=gateway.key, length=len(GOOD))):
            async with many(gateway.url, data) as slow:
                await statuses(slow)
        await gateway.serves_well()
        assert gateway.resident_kib() - before < MOST_GROWTH_KIB
