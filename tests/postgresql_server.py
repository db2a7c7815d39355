"""A PostgreSQL server of a test's own, to be stopped and started while a gateway uses it.

The one that all tests share must stay up. This one is made anew in a folder of its own, by the
programs that the system has; tests are skipped where there are none.
"""

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.processes import free_port

_PROGRAMS = Path("/usr/lib/postgresql")
_ACCOUNT = "postgres"
_SETTINGS = "-c fsync=off -c shared_buffers=16MB -c unix_socket_directories="


class PostgresqlServer:
    """Belongs to the folder that it is made in."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._port = free_port()
        self._runs = False
        self.url = f"postgresql://{_ACCOUNT}@127.0.0.1:{self._port}/postgres"

    async def make(self) -> None:
        if os.getuid() == 0:
            shutil.chown(self._folder, _ACCOUNT)
        options = ("-U", _ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-sync")
        await self._run("initdb", "-D", str(self._folder), *options)

    async def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self._port} {_SETTINGS}"
        log = str(self._folder / "server.log")
        await self._run("pg_ctl", "-D", str(self._folder), "-w", "-l", log, "-o", options, "start")
        self._runs = True

    async def stop(self, mode: str = "immediate") -> None:
        """`immediate` is what a crash is: connections are cut and nothing is put in order."""
        if self._runs:
            self._runs = False
            await self._run("pg_ctl", "-D", str(self._folder), "-w", "-m", mode, "stop")

    async def _run(self, program: str, *arguments: str) -> None:
        # The server refuses to run as root.
        user = _ACCOUNT if os.getuid() == 0 else None
        process = await asyncio.create_subprocess_exec(
            str(self._programs / program),
            *arguments,
            cwd=self._folder,
            user=user,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,  # a server that is started keeps it open
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await process.wait() == 0, f"{program} has failed"


@asynccontextmanager
async def own_server() -> AsyncIterator[PostgresqlServer]:
    """A running server with an empty database."""
    programs = _programs()
    # Not in pytest's folders, which only their owner may enter.
    with tempfile.TemporaryDirectory(prefix="conduit-postgresql-") as folder:
        server = PostgresqlServer(programs, Path(folder))
        await server.make()
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


def _programs() -> Path:
    found = sorted(path.parent for path in _PROGRAMS.glob("*/bin/initdb"))
    if not found:
        pytest.skip(f"no PostgreSQL server is installed in {_PROGRAMS}")
    if os.getuid() == 0:
        try:
            pwd.getpwnam(_ACCOUNT)
        except KeyError:
            pytest.skip(f"there is no account {_ACCOUNT} that a server could run as")
    return found[-1]
