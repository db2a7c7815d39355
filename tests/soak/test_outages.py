"""Dependencies that die under load: what is served meanwhile, and that nothing is missing after."""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conduit.core.keys import make_master_key, make_virtual_key
from tests.e2e.processes import GatewayProcess, fake_process, free_port
from tests.postgresql_server import own_server
from tests.soak.test_kill_nine import rows_of_ledger, seen_upstream, set_up

CLIENTS = 8
WITHIN_S = 60.0


class Steady:
    """Clients that ask at a steady pace until they are told to stop; every answer is counted."""

    def __init__(self, gateway: GatewayProcess, keys: list[str], session: aiohttp.ClientSession):
        self._gateway = gateway
        self._keys = keys
        self._session = session
        self.answers: Counter[tuple[int, str]] = Counter()
        self.slowest_s = 0.0

    async def run(self, number: int) -> None:
        streamed = number % 2 == 0
        asked = 0
        while True:
            began = time.monotonic()
            key = self._keys[(number + asked) % len(self._keys)]
            self.answers[await ask(self._gateway, self._session, key, streamed=streamed)] += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            asked += 1
            await asyncio.sleep(0.02)


async def ask(
    gateway: GatewayProcess, session: aiohttp.ClientSession, key: str, *, streamed: bool = False
) -> tuple[int, str]:
    body = {
        "model": "fake-n4-gap5" if streamed else "fake-delay5",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": streamed,
        "max_tokens": 64,
    }
    async with session.post(
        f"{gateway.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        text = await response.read()
        if response.status != 200:
            return response.status, str(json.loads(text)["error"]["code"])
        return 200, "cut" if streamed and not text.endswith(b"[DONE]\n\n") else ""


@asynccontextmanager
async def loaded(
    gateway: GatewayProcess, keys: list[str], session: aiohttp.ClientSession
) -> AsyncIterator[Steady]:
    load = Steady(gateway, keys, session)
    clients = [asyncio.create_task(load.run(number)) for number in range(CLIENTS)]
    try:
        yield load
        assert not any(client.done() for client in clients), [c.exception() for c in clients]
    finally:
        for client in clients:
            client.cancel()
        await asyncio.wait(clients)


async def readiness(
    gateway: GatewayProcess, session: aiohttp.ClientSession
) -> tuple[int, dict[str, Any]]:
    async with session.get(f"{gateway.url}/health/ready") as response:
        return response.status, await response.json()


async def until_ready_is(
    gateway: GatewayProcess, session: aiohttp.ClientSession, status: int
) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        while True:
            found, told = await readiness(gateway, session)
            if found == status:
                return told
            await asyncio.sleep(0.05)


async def nothing_is_missing(gateway: GatewayProcess, log: Path, url: str) -> int:
    """The invariants of the ledger hold, and each call upstream has its row; how many rows."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            code, out, err = await gateway.cli("doctor", "ledger", "--json")
            assert code == 0, (out, err)
            report = json.loads(out)
            assert report["ok"], report
            rows = await rows_of_ledger(url)
            if None not in rows.values():
                break
            await asyncio.sleep(0.1)  # calls that were hung up on are settled a moment later
    missing = seen_upstream(log) - rows.keys()
    assert not missing, f"{len(missing)} calls have no row"
    assert not set(rows.values()) & {"recovered"}
    return len(rows)


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_postgresql_that_is_stopped_under_load_costs_no_request_and_no_row(
    tmp_path: Path, soaking: bool
) -> None:
    away_s = 60.0 if soaking else 4.0
    log = tmp_path / "upstream.log"
    async with (
        own_server() as server,
        fake_process(log) as base_url,
        aiohttp.ClientSession() as session,
    ):
        environment = {"CONDUIT_DATABASE_URL": server.url}
        gateway = GatewayProcess(tmp_path / "home", make_master_key(), free_port(), environment)
        await gateway.start(session)
        try:
            used = [await set_up(gateway, session, base_url)]
            for name in ("second", "third"):
                made = await gateway.admin(session, "POST", "/keys", {"name": name})
                used.append(made["secret"])
            # Keys that nobody uses before the database is away, one of them disabled.
            idle, revoked = [
                (await gateway.admin(session, "POST", "/keys", {"name": name}))["secret"]
                for name in ("idle", "revoked")
            ]
            await gateway.admin(session, "PATCH", "/keys/revoked", {"enabled": False})
            async with loaded(gateway, used, session) as load:
                await asyncio.sleep(1.0)
                await server.stop()
                stopped = time.monotonic()
                told = await until_ready_is(gateway, session, 503)
                assert "the database does not answer" in told["reasons"][0]
                assert await ask(gateway, session, idle) == (200, "")
                assert await ask(gateway, session, revoked) == (401, "invalid_api_key")
                assert await ask(gateway, session, make_virtual_key()) == (401, "invalid_api_key")
                await asyncio.sleep(away_s - (time.monotonic() - stopped))
                await server.start()
                assert (await until_ready_is(gateway, session, 200))["reasons"] == []
                healed_s = time.monotonic() - stopped - away_s
                await asyncio.sleep(0.5)
            assert set(load.answers) == {(200, "")}, load.answers
            rows = await nothing_is_missing(gateway, log, server.url)
            made = await gateway.admin(session, "POST", "/keys", {"name": "after"})
            assert await ask(gateway, session, made["secret"]) == (200, "")
        finally:
            await gateway.kill()
    print(
        f"\nPostgreSQL away for {away_s:.0f} s: {load.answers.total()} answers to {CLIENTS} "
        f"clients, 0 failed, slowest {load.slowest_s * 1000:.0f} ms; ready {healed_s:.1f} s after "
        f"the start; {rows} rows, 0 lost"
    )


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_sqlite_file_that_is_locked_under_load_costs_no_request_and_no_row(
    tmp_path: Path, soaking: bool
) -> None:
    locked_s = 60.0 if soaking else 10.0
    log = tmp_path / "upstream.log"
    async with fake_process(log) as base_url, aiohttp.ClientSession() as session:
        gateway = GatewayProcess(tmp_path / "home", make_master_key(), free_port())
        file = gateway.home / "data/conduit.db"
        await gateway.start(session)
        try:
            key = await set_up(gateway, session, base_url)
            other = await gateway.admin(session, "POST", "/keys", {"name": "idle"})
            async with loaded(gateway, [key], session) as load:
                await asyncio.sleep(0.5)
                async with locked(file):
                    began = time.monotonic()
                    assert await ask(gateway, session, other["secret"]) == (200, "")
                    assert (await gateway.admin(session, "GET", "/keys"))["data"]
                    code, body = await change(gateway, session, {"name": "late"})
                    assert (code, body["error"]["code"]) == (503, "unavailable")
                    assert "locked" in body["error"]["message"]
                    async with asyncio.timeout(WITHIN_S):
                        while not (told := (await readiness(gateway, session))[1])["degraded"]:
                            await asyncio.sleep(0.05)
                    assert told["status"] == "ready"
                    assert "locked" in told["degraded"][0]
                    await asyncio.sleep(locked_s - (time.monotonic() - began))
                async with asyncio.timeout(WITHIN_S):
                    while (await readiness(gateway, session))[1]["degraded"]:
                        await asyncio.sleep(0.05)
                assert (await change(gateway, session, {"name": "late"}))[0] == 201
            assert set(load.answers) == {(200, "")}, load.answers
            rows = await nothing_is_missing(gateway, log, f"sqlite:///{file}")
        finally:
            await gateway.kill()
    print(
        f"\nSQLite locked for {locked_s:.0f} s: {load.answers.total()} answers, 0 failed, slowest "
        f"{load.slowest_s * 1000:.0f} ms; {rows} rows, 0 lost"
    )


_LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA busy_timeout = 30000")
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


@asynccontextmanager
async def locked(file: Path) -> AsyncIterator[None]:
    """Another process holds the file's write lock."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _LOCK,
        str(file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"locked\n"
        yield
    finally:
        process.stdin.close()
        await process.wait()


async def change(
    gateway: GatewayProcess, session: aiohttp.ClientSession, body: object
) -> tuple[int, Any]:
    """Make a key: the status and the answer, whatever they are."""
    async with session.post(
        f"{gateway.url}/admin/keys",
        json=body,
        headers={"authorization": f"Bearer {gateway.master_key}"},
    ) as response:
        return response.status, await response.json()


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["small disk", "limit"])
async def test_a_full_disk_stops_dispatching_and_loses_nothing(
    tmp_path: Path, soaking: bool, kind: str
) -> None:
    rounds = 10 if soaking else 2
    log = tmp_path / "upstream.log"
    disk: SmallDisk | SizeLimit = SmallDisk(tmp_path) if kind == "small disk" else SizeLimit()
    with disk:
        async with fake_process(log) as base_url, aiohttp.ClientSession() as session:
            gateway = GatewayProcess(disk.home(tmp_path), make_master_key(), free_port())
            file = gateway.home / "data/conduit.db"
            await gateway.start(session)
            try:
                key = await set_up(gateway, session, base_url)
                for _ in range(rounds):
                    await fill_and_empty(gateway, session, key, disk, log)
                rows = await nothing_is_missing(gateway, log, f"sqlite:///{file}")
            finally:
                await gateway.kill()
    print(f"\nDisk full {rounds} times ({kind}): {rows} rows, 0 lost")


async def fill_and_empty(
    gateway: GatewayProcess,
    session: aiohttp.ClientSession,
    key: str,
    disk: "SmallDisk | SizeLimit",
    log: Path,
) -> None:
    async with loaded(gateway, [key], session) as load:
        while (200, "") not in load.answers:
            await asyncio.sleep(0.01)
        disk.fill(gateway)
        told = await until_ready_is(gateway, session, 503)
        assert "the ledger is not available" in told["reasons"][0]
    assert set(load.answers) <= {(200, ""), (503, "ledger_unavailable")}, load.answers
    reached = await reached_at_rest(gateway, session, log)
    for streamed in (True, False):
        answer = await ask(gateway, session, key, streamed=streamed)
        assert answer == (503, "ledger_unavailable")
    assert len(seen_upstream(log)) == reached
    assert (await gateway.admin(session, "GET", "/status"))["ledger"]["available"] is False
    disk.empty(gateway)
    assert (await until_ready_is(gateway, session, 200))["reasons"] == []
    assert await ask(gateway, session, key) == (200, "")


async def reached_at_rest(
    gateway: GatewayProcess, session: aiohttp.ClientSession, log: Path
) -> int:
    """How many calls the provider has seen, once none is under way and it has told of all."""
    before = -1
    while True:
        running = (await gateway.admin(session, "GET", "/requests/in-flight"))["data"]
        reached = len(seen_upstream(log))
        if not running and reached == before:
            return reached
        before = reached
        await asyncio.sleep(0.2)


class SmallDisk:
    """A file system in memory of a few megabytes, which takes an administrator to make."""

    def __init__(self, folder: Path) -> None:
        self._mount = folder / "disk"

    def __enter__(self) -> None:
        self._mount.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", str(self._mount)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self._mount)], check=True)

    def home(self, _: Path) -> Path:
        return self._mount / "home"

    def fill(self, _: GatewayProcess) -> None:
        with suppress(OSError), (self._mount / "filling").open("wb", buffering=0) as filling:
            while True:
                filling.write(b"\0" * 4096)

    def empty(self, _: GatewayProcess) -> None:
        (self._mount / "filling").unlink()


class SizeLimit:
    """A limit of the size of files, which the process meets as it would a full disk."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def home(self, folder: Path) -> Path:
        return folder / "home"

    def fill(self, gateway: GatewayProcess) -> None:
        sizes = [path.stat().st_size for path in (gateway.home / "data/journal").glob("*.log")]
        self._limit(gateway, max(sizes))

    def empty(self, gateway: GatewayProcess) -> None:
        self._limit(gateway, resource.RLIM_INFINITY)

    @staticmethod
    def _limit(gateway: GatewayProcess, size: int) -> None:
        assert gateway.process is not None, "it runs"
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
