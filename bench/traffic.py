"""A real Conduit gateway with the bench's traffic, which can be killed and started again."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from measure import HERE, upstream_command

MODEL = "mock-size1000"
_READY_WITHIN_S = 60.0


@dataclass
class Traffic:
    """One home; the gateway in it, and requests at a fixed rate."""

    home: Path
    http: aiohttp.ClientSession
    upstream: str
    port: int
    gateway: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def master_key(self) -> str:
        return (self.home / "master-key").read_text()

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "BENCH_UPSTREAM": self.upstream,
            "CONDUIT_HOME": str(self.home),
            "CONDUIT_PORT": str(self.port),
            "CONDUIT_MASTER_KEY_FILE": str(self.home / "master-key"),
            "CONDUIT_DRAIN_ACCEPT_S": "0",
            "CONDUIT_LOG_LEVEL": "warning",
        }

    async def start(self) -> None:
        """Start the gateway and wait until it is ready."""
        serve = (sys.executable, "-m", "conduit.cli", "serve")
        self.gateway = await asyncio.create_subprocess_exec(*serve, env=self.env, stderr=DEVNULL)
        async with asyncio.timeout(_READY_WITHIN_S):
            while not await self._is_ready():  # nobody announces it
                if self.gateway.returncode is not None:
                    raise SystemExit(f"the gateway on port {self.port} does not start")
                await asyncio.sleep(0.01)

    async def _is_ready(self) -> bool:
        try:
            async with self.http.get(f"{self.url}/health/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def kill(self) -> None:
        assert self.gateway is not None, "it was started"
        self.gateway.kill()
        await self.gateway.wait()

    @asynccontextmanager
    async def load(self, per_s: int) -> AsyncIterator[None]:
        """So many requests a second, until the block is left."""
        key = (self.home / "key").read_text()
        load = await asyncio.create_subprocess_exec(
            *(sys.executable, str(HERE / "load.py"), "rate", "--url", f"{self.url}/v1"),
            *("--key", key, "--model", MODEL, "--rate", str(per_s), "--seconds", "600"),
            stdout=DEVNULL,
        )
        try:
            yield
        finally:
            load.kill()
            await load.wait()


def free_port() -> int:
    """A port that nobody listens on; a gateway that is started again must find the same one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@asynccontextmanager
async def traffic(home: Path, http: aiohttp.ClientSession) -> AsyncIterator[Traffic]:
    """A configured gateway that runs, and the mock behind it."""
    mock = await asyncio.create_subprocess_exec(*upstream_command(), stdout=PIPE)
    assert mock.stdout is not None, "it is a pipe"
    upstream = (await mock.stdout.readline()).decode().strip()
    if not upstream:
        raise SystemExit("the mock does not listen: its error stands above")
    found = Traffic(home / "gateway", http, upstream, free_port())
    try:
        prepare = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "subjects" / "conduit_home.py"), env=found.env, cwd=HERE
        )
        if await prepare.wait():
            raise SystemExit("the gateway could not be configured")
        await found.start()
        yield found
    finally:
        if found.gateway is not None and found.gateway.returncode is None:
            await found.kill()
        mock.kill()
        await mock.wait()
