"""Dependencies that die under load: what is served meanwhile, and that nothing is missing after."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
