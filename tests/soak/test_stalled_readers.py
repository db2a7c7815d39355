"""Clients that stop reading cost the gateway little memory, and nothing once they are gone."""

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests.conftest import SOAKING
from tests.e2e.conftest import UPSTREAM_CLIENTS
from tests.e2e.processes import ROOT, START_S, GatewayProcess, free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

PATIENCE_S = 120.0
REPLY_BYTES = 160_000_000
MOST_A_READER = 600_000  # bytes of the gateway's memory: 60 MB for a hundred
LOADED_LATER = 8_000_000
FIRST_BYTES = 20_000
RECEIVE_BUFFER = 65_536
every_client = pytest.mark.parametrize(
    "client", UPSTREAM_CLIENTS if SOAKING else UPSTREAM_CLIENTS[:1]
)
ASKS: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hello"}]},
    "/v1/messages": {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100},
    "/v1/responses": {"input": "hello"},
}


@dataclass(frozen=True, slots=True)
class Flooded:
    """A gateway in a process of its own before an upstream that sends without end."""

    gateway: GatewayProcess
    session: aiohttp.ClientSession
    flood_url: str
    key: str

    @property
    def pid(self) -> int:
        assert self.gateway.process is not None, "it runs"
        return self.gateway.process.pid

    def rss(self) -> int:
        """Bytes of memory that are the gateway's at this moment."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) * 1024

    async def state(self) -> dict[str, int]:
        async with self.session.get(f"{self.flood_url}/state".replace("/v1", "")) as response:
            state: dict[str, int] = await response.json()
            return state

    async def sent(self) -> int:
        """Bytes that the provider got rid of."""
        return (await self.state())["sent_bytes"]

    async def stuck(self) -> None:
        """Wait until nothing moves any more."""
        before, now = -1, await self.sent()
        async with asyncio.timeout(PATIENCE_S):
            while before != now:
                await asyncio.sleep(1)
                before, now = now, await self.sent()

    async def free(self) -> float:
        """Wait until no answer runs at the provider; gives the seconds that took."""
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while (await self.state())["running"]:
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def settled(self) -> None:
        """Wait until no request runs; then every sum of the ledger has to agree."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.gateway.admin(self.session, "GET", "/requests/in-flight"))["data"]:
                await asyncio.sleep(0.05)
        code, out, err = await self.gateway.cli("doctor", "ledger", "--json")
        assert code == 0, (out, err)
        assert json.loads(out)["ok"], out

    async def ask(self, path: str, model: str, **fields: object) -> "Reader":
        reader = Reader(self.gateway.port)
        await reader.ask(path, self.key, {"model": model, **ASKS[path], **fields})
        return reader

    async def read(self, path: str, model: str, *, stream: bool) -> int:
        """Read an answer to its end; gives how long it was."""
        async with self.session.post(
            f"{self.gateway.url}{path}",
            json={"model": model, "stream": stream, **ASKS[path]},
            headers={"authorization": f"Bearer {self.key}"},
        ) as response:
            assert response.status == 200, await response.text()
            return sum([len(piece) async for piece in response.content.iter_any()])


class Reader:
    """A client that takes the beginning of an answer and no more, until it leaves."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.setblocking(False)
        self._port = port

    async def ask(self, path: str, key: str, body: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        payload = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
        )
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        await loop.sock_sendall(self._socket, head.encode() + payload)

    async def begin(self) -> None:
        got = await self.take(FIRST_BYTES)
        assert got.startswith(b"HTTP/1.1 200"), got[:500]

    async def take(self, count: int) -> bytes:
        """So many bytes, or fewer where the answer ends."""
        got = b""
        async with asyncio.timeout(PATIENCE_S):
            while len(got) < count:
                piece = await asyncio.get_running_loop().sock_recv(self._socket, count - len(got))
                if not piece:
                    break
                got += piece
        return got

    def leave(self) -> None:
        self._socket.close()


@asynccontextmanager
async def flood() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.flood", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None, "it is a pipe"
    try:
        async with asyncio.timeout(START_S):
            url = (await process.stdout.readline()).decode().strip()
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@asynccontextmanager
async def flooded(home: Path, **environment: str) -> AsyncIterator[Flooded]:
    async with flood() as url, aiohttp.ClientSession() as session:
        gateway = GatewayProcess(home, make_master_key(), free_port(), environment)
        await gateway.start(session)
        try:
            await gateway.load_all(session)  # it is no reader that costs it
            provider = {"name": "flood", "type": "openai_compatible", "base_url": url}
            await gateway.admin(session, "POST", "/providers", provider)
            targets = [{"provider": "flood", "model": "*"}]
            await gateway.admin(
                session, "POST", "/mappings", {"alias": "flood*", "targets": targets}
            )
            await gateway.admin(session, "PUT", "/prices/flood/*", {"input": "1", "output": "2"})
            key = {"name": "reader", "budget": {"limit": "100000"}}
            created = await gateway.admin(session, "POST", "/keys", key)
            yield Flooded(gateway, session, url, str(created["secret"]))
        finally:
            await gateway.kill()


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", list(ASKS))
@every_client
async def test_stalled_readers_of_streams_cost_little(
    tmp_path: Path, soaking: bool, path: str, client: str
) -> None:
    count = 100 if soaking else 20
    async with flooded(tmp_path / "home", CONDUIT_UPSTREAM_CLIENT=client) as scene:
        for _ in range(4):
            await scene.read(
                path, "flood-8000000", stream=True
            )  # what is allocated once is not counted
        before, sent_before = scene.rss(), await scene.sent()
        readers = [await scene.ask(path, f"flood-{REPLY_BYTES}", stream=True) for _ in range(count)]
        for reader in readers:
            await reader.begin()
        await scene.stuck()
        grown, sent = scene.rss() - before, await scene.sent() - sent_before
        assert (await scene.state())["running"] == count
        for reader in readers:
            reader.leave()
        free_s = await scene.free()
        await scene.settled()
        print(
            f"\n{path}: {count} stalled readers of {REPLY_BYTES / 1e6:.0f} MB each: memory grew by "
            f"{grown / 1e6:.1f} MB over {before / 1e6:.0f}, the provider got rid of "
            f"{sent / count / 1e6:.1f} MB a reader, and its sockets were free {free_s:.2f} s after "
            "the clients had left"
        )
    assert grown < count * MOST_A_READER


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", list(ASKS))
@pytest.mark.parametrize("size", [900_000, 3_000_000])
async def test_a_stream_keeps_nothing_of_its_prompt(
    tmp_path: Path, soaking: bool, path: str, size: int
) -> None:
    count = 50 if soaking else 10
    name = "input" if "input" in ASKS[path] else "messages"
    text = "x" * size
    prompt = {name: text if name == "input" else [{"role": "user", "content": text}]}
    # Large blocks are to go back to the system when they are let go, so that it shows.
    async with flooded(tmp_path / "home", MALLOC_MMAP_THRESHOLD_="262144") as scene:
        await scene.read(path, "flood-8000000", stream=True)
        warming = await scene.ask(path, f"flood-{REPLY_BYTES}", stream=True, **prompt)
        await warming.begin()
        before = scene.rss()
        readers = []
        for _ in range(count):
            readers.append(await scene.ask(path, f"flood-{REPLY_BYTES}", stream=True, **prompt))
            await readers[-1].begin()
        await scene.stuck()
        grown = scene.rss() - before
        for reader in (warming, *readers):
            reader.leave()
        await scene.settled()
        print(
            f"\n{path}: {count} streams of prompts of {size / 1e6:.1f} MB each: memory grew by "
            f"{grown / count / 1e6:.2f} MB a stream over {before / 1e6:.0f}"
        )
    assert grown < count * MOST_A_READER + LOADED_LATER


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", list(ASKS))
async def test_stalled_readers_of_whole_answers_cost_no_more_than_these(
    tmp_path: Path, soaking: bool, path: str
) -> None:
    count, size = (20 if soaking else 4), 4_000_000
    # Large blocks are to go back to the system when they are let go, so that it shows.
    async with flooded(tmp_path / "home", MALLOC_MMAP_THRESHOLD_="1048576") as scene:
        for _ in range(2):
            assert size < await scene.read(path, f"flood-{size}", stream=False) < size * 1.01
        before = scene.rss()
        readers = []
        for _ in range(count):
            readers.append(await scene.ask(path, f"flood-{size}"))
            await readers[-1].begin()
        grown = scene.rss() - before
        for reader in readers:
            reader.leave()
        await scene.settled()
        left = scene.rss() - before
        print(
            f"\n{path}: {count} stalled readers of whole answers of {size / 1e6:.0f} MB: memory "
            f"grew by {grown / 1e6:.1f} MB over {before / 1e6:.0f}; {left / 1e6:.1f} MB of it were "
            "kept after the clients had left"
        )
    # Less than two copies each, and what a gateway loads a second after its start.
    assert grown < count * size * 1.3 + LOADED_LATER


@pytest.mark.soak
async def test_a_reader_that_stops_is_cut_off_and_its_provider_with_it(tmp_path: Path) -> None:
    async with flooded(tmp_path / "home", CONDUIT_CLIENT_STALL_TIMEOUT_S="1") as scene:
        reader = await scene.ask("/v1/chat/completions", "flood", stream=True)
        await reader.begin()
        await scene.free()
        await scene.settled()
        page = await scene.gateway.admin(scene.session, "GET", "/requests?limit=1")
        (record,) = page["data"]
        assert (record["status"], record["outcome"]) == (499, "client_gone")
        assert float(record["cost"]) > 0
        reader.leave()
