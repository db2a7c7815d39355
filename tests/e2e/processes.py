"""The gateway and the fake upstream as processes of their own, for tests that kill them."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests import loaded

ROOT = Path(__file__).parents[2]
START_S = 60.0  # patience alone: how long a start takes is for the bench


@dataclass(eq=False)
class GatewayProcess:
    """`conduit serve` on a port and a home of its own, to be started more than once."""

    home: Path
    master_key: str
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        scheme = "https" if "CONDUIT_TLS_CERTIFICATE_FILE" in self.environment else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        port = self.environment.get("CONDUIT_ADMIN_PORT")
        return self.url if port is None else f"{self.url.rpartition(':')[0]}:{port}"

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "CONDUIT_HOME": str(self.home),
            "CONDUIT_MASTER_KEY": self.master_key,
            "CONDUIT_PORT": str(self.port),
            "CONDUIT_URL": self.url,
            "CONDUIT_ADMIN_URL": self.admin_url,
            **self.environment,
        }

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Start it and wait until it is ready."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "gateway.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "conduit.cli",
                "serve",
                cwd=ROOT,
                env=self.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(START_S):
            while not await self.is_ready(session):
                if self.process.returncode is not None:
                    raise AssertionError((self.home / "gateway.log").read_text())
                await asyncio.sleep(0.02)

    async def is_ready(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}/health/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def load_all(self, session: aiohttp.ClientSession) -> None:
        """Have it load now what it would load some time after its start."""
        for path in ("/openapi.json", "/socket.io/?EIO=4", "/admin/status"):
            async with session.get(self.admin_url + path) as response:
                await response.read()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None, "it runs"
        self.process.send_signal(number)

    async def ended(self, within_s: float = 30) -> int:
        """The exit code."""
        assert self.process is not None, "it was started"
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    async def cli(self, *arguments: str) -> tuple[int, str, str]:
        """Run the CLI against it: exit code, standard output, standard error."""
        finished = await asyncio.to_thread(loaded.call, arguments, env=self.env)
        return finished.returncode, finished.stdout.decode(), finished.stderr.decode()

    async def admin(
        self, session: aiohttp.ClientSession, method: str, path: str, body: object = None
    ) -> Any:
        async with session.request(
            method,
            f"{self.admin_url}/admin{path}",
            json=body,
            headers={"authorization": f"Bearer {self.master_key}"},
        ) as response:
            answer = await response.json() if response.status != 204 else None
            assert response.status < 300, (response.status, answer)
            return answer


@asynccontextmanager
async def fake_process(log: Path) -> AsyncIterator[str]:
    """The fake upstream as a process; yields its base URL. It logs each request to `log`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fakes.upstream",
        "--port",
        "0",
        "--log",
        str(log),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None, "it is a pipe"
    try:
        async with asyncio.timeout(START_S):
            base_url = (await process.stdout.readline()).decode().strip()
        yield base_url
    finally:
        process.terminate()
        await process.wait()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
