"""`kill -9` under load: after each restart every upstream call has its row and all sums agree."""

import asyncio
import json
import random
import sqlite3
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests import postgresql
from tests.e2e.processes import GatewayProcess, fake_process, free_port

CLIENTS = 20
ANSWERS_BEFORE_THE_KILL = 60


class Load:
    """Clients that ask on and on; half of them stream."""

    def __init__(self, gateway: GatewayProcess, key: str, session: aiohttp.ClientSession) -> None:
        self._gateway = gateway
        self._headers = {"authorization": f"Bearer {key}"}
        self._session = session
        self._chance = random.Random(9)
        self.answers = 0
        self.streams = 0
        self.enough = asyncio.Event()

    async def run(self, number: int) -> None:
        streamed = number % 2 == 0
        while True:
            with suppress(aiohttp.ClientError, ConnectionError):
                await self._ask(streamed=streamed)

    async def _ask(self, *, streamed: bool) -> None:
        model = "fake-n12-gap15" if streamed else f"fake-delay{self._chance.randrange(5, 40)}"
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "hello"}],
            "stream": streamed,
            "max_tokens": 64,
        }
        async with self._session.post(
            f"{self._gateway.url}/v1/chat/completions", json=body, headers=self._headers
        ) as response:
            await response.read()
            assert response.status == 200, await response.text()
        self.answers += 1
        self.streams += streamed
        if self.answers >= ANSWERS_BEFORE_THE_KILL and self.streams:
            self.enough.set()


async def set_up(gateway: GatewayProcess, session: aiohttp.ClientSession, base_url: str) -> str:
    """Provider, mapping, price and a key with a budget; gives the key."""
    provider = {"name": "fake", "type": "openai_compatible", "base_url": base_url}
    mapping = {"alias": "fake*", "targets": [{"provider": "fake", "model": "*"}]}
    await gateway.admin(session, "POST", "/providers", provider)
    await gateway.admin(session, "POST", "/mappings", mapping)
    await gateway.admin(session, "PUT", "/prices/fake/*", {"input": "1", "output": "2"})
    created = await gateway.admin(
        session, "POST", "/keys", {"name": "load", "budget": {"limit": "1000"}}
    )
    return str(created["secret"])


async def load_until_killed(gateway: GatewayProcess, key: str) -> int:
    """Ask until there were enough answers, then kill the gateway amid the rest."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        load = Load(gateway, key, session)
        clients = [asyncio.create_task(load.run(number)) for number in range(CLIENTS)]
        try:
            async with asyncio.timeout(60):
                waiting = asyncio.create_task(load.enough.wait())
                await asyncio.wait([waiting, *clients], return_when=asyncio.FIRST_COMPLETED)
            assert load.enough.is_set(), [task.exception() for task in clients if task.done()]
            await gateway.kill()
        finally:
            for client in clients:
                client.cancel()
            await asyncio.wait(clients)
        return load.answers


def seen_upstream(log: Path) -> set[str]:
    """The attempt ids of all requests that reached the provider."""
    rows = (json.loads(line) for line in log.read_text().splitlines())
    return {row["client_request_id"] for row in rows if row.get("client_request_id")}


async def rows_of_ledger(url: str) -> dict[str, str]:
    """Outcome of each attempt by its id, read from the database itself."""
    statement = "select attempt_id, outcome from ledger"
    if url.startswith("sqlite:///"):
        file = url.removeprefix("sqlite:///")
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return dict(database.execute(statement))
    return {row[0]: row[1] for row in await postgresql.execute(url, statement)}


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("engine", "few"), [("sqlite", 3), ("postgresql", 2)])
async def test_nothing_is_lost_by_kill_nine(
    tmp_path: Path, soaking: bool, engine: str, few: int
) -> None:
    kills = 25 if soaking else few
    log = tmp_path / "upstream.log"
    answers = 0
    async with (
        postgresql.database_url(engine, tmp_path / "ledger.db") as url,
        fake_process(log) as base_url,
        aiohttp.ClientSession() as session,
    ):
        environment = {"CONDUIT_DATABASE_URL": url}
        gateway = GatewayProcess(tmp_path / "home", make_master_key(), free_port(), environment)
        await gateway.start(session)
        try:
            key = await set_up(gateway, session, base_url)
            for _ in range(kills):
                answers += await load_until_killed(gateway, key)
                await gateway.start(session)
                code, out, err = await gateway.cli("doctor", "ledger", "--json")
                assert code == 0, (out, err)
                report = json.loads(out)
                assert report["ok"], report
                upstream, rows = seen_upstream(log), await rows_of_ledger(url)
                missing = upstream - rows.keys()
                assert not missing, f"{len(missing)} calls of {len(upstream)} have no row"
                assert None not in rows.values(), "a hold was left open"
        finally:
            await gateway.kill()
    recovered = sum(outcome == "recovered" for outcome in rows.values())
    print(
        f"\n{engine}: {kills} kills under {CLIENTS} clients: {len(upstream)} upstream calls, "
        f"{len(rows)} ledger rows, {recovered} recovered, {answers} whole answers, 0 lost"
    )
    assert recovered
