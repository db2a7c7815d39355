"""The Redis of the tests: one that is there anyway, or a server of a test's own.

`CONDUIT_TEST_REDIS_URL` names another one. Tests are skipped where none can be reached.
"""

import asyncio
import functools
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from conduit.gateway.limits.limiter import Limiter
from conduit.gateway.limits.shared import SharedLimiter
from tests.e2e.processes import free_port

# Read when this is imported: later the tests have an environment without such variables.
SERVER = os.environ.get("CONDUIT_TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
_PATIENCE_S = 30


@functools.cache
def _unreachable_because() -> str | None:
    with Redis.from_url(SERVER, socket_timeout=5) as client:
        try:
            client.ping()
        except RedisError as error:
            return str(error) or type(error).__name__
    return None


@contextmanager
def own_prefix() -> Iterator[str]:
    """A beginning of keys that nobody else has; what begins so is deleted in the end."""
    reason = _unreachable_because()
    if reason is not None:
        pytest.skip(f"no Redis at {SERVER.rpartition('@')[2]}: {reason}")
    prefix = f"conduit_test_{os.getpid()}_{secrets.token_hex(4)}:"
    try:
        yield prefix
    finally:
        with Redis.from_url(SERVER) as client:
            for key in client.scan_iter(f"{prefix}*", count=1000):
                client.delete(key)


class RedisServer:
    """A server that a test stops and starts; it keeps nothing on disk."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._port = free_port()
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        options = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            *("--port", str(self._port), *options, "--dir", str(self._folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        with Redis.from_url(self.url) as client:
            async with asyncio.timeout(_PATIENCE_S):
                while not _answers(client):
                    await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """As a crash: nothing is kept."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            await process.wait()


@asynccontextmanager
async def own_redis() -> AsyncIterator[RedisServer]:
    """A running server with nothing in it."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server is installed")
    with tempfile.TemporaryDirectory(prefix="conduit-redis-") as folder:
        server = RedisServer(program, Path(folder))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


def _answers(client: "Redis") -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def be_patient(limiter: Limiter) -> None:
    """How exact it is, and not how long Redis may take on a machine that is busy."""
    if isinstance(limiter, SharedLimiter):
        limiter.store._timeout_s = 30.0
