"""`kill -9` under load: after each restart every upstream call has its row and all sums agree."""

import asyncio
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests import postgresql
from tests.e2e.processes import GatewayProcess, fake_process, free_port
from tests.gateway import raw_checks

CLIENTS = 20
ANSWERS_BEFORE_THE_KILL = 60
PROMPT = "Say hello to everybody who is waiting for an answer of yours, please."
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
USAGE_NANODOLLARS = 12 * 1_000 + 34 * 2_000
"""What the fake's usual usage costs at $1 and $2 a million tokens."""

ASKED: tuple[dict[str, Any], ...] = (
    {"model": "fake-n12-gap15", "stream": True},
    {"model": "fake-delay20"},
    {"model": "fake-tools", "tools": [WEATHER]},
    {"model": "retried"},  # whose first target fails, so that each request makes two calls
    {"model": "fake-n12-gap15", "stream": True, "max_tokens": None},  # tops up, or holds a block
    {"model": "retried", "stream": True},
)
"""What the clients ask by turns. All but one set a cap."""

BUDGETS: dict[str, dict[str, str]] = {
    "roomy": {"limit": "1000"},
    "daily": {"limit": "500", "period": "day", "timezone": "America/St_Johns"},
    "tight": {"limit": "0.0015", "period": "month"},  # spent after some twenty answers
}


class Load:
    """Clients that ask on and on, with all keys; a budget that is spent refuses them."""

    def __init__(
        self, gateway: GatewayProcess, keys: Mapping[str, str], session: aiohttp.ClientSession
    ) -> None:
        self._gateway = gateway
        self._keys = list(keys.values())
        self._session = session
        self.answers = 0
        self.refused = 0
        self.streams = 0
        self.enough = asyncio.Event()

    async def run(self, number: int) -> None:
        for turn in itertools.count(number):
            with suppress(aiohttp.ClientError, ConnectionError):
                await self._ask(ASKED[turn % len(ASKED)], self._keys[turn % len(self._keys)])

    async def _ask(self, asked: Mapping[str, Any], key: str) -> None:
        body: dict[str, Any] = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 64}
        body.update(asked)
        async with self._session.post(
            f"{self._gateway.url}/v1/chat/completions",
            json={name: value for name, value in body.items() if value is not None},
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            text = await response.text()
            if response.status == 429:
                assert "insufficient_quota" in text or "budget_held" in text, text
                self.refused += 1
                await asyncio.sleep(0.01)
                return
            if response.status in (
                502,
                503,
            ):  # more retries at once than the budget of retries allows
                assert asked["model"] == "retried", text
                return
            assert response.status == 200, text
        self.answers += 1
        self.streams += bool(asked.get("stream"))
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


async def set_up_retries_and_budgets(
    gateway: GatewayProcess, session: aiohttp.ClientSession, base_url: str
) -> dict[str, str]:
    """That, an alias whose first target fails, and keys with budgets; gives them by their names."""
    await set_up(gateway, session, base_url)
    failing = {"provider": "fake", "model": "fake-status503", "order": 0}
    serving = {"provider": "fake", "model": "fake-n6-gap5", "order": 1}
    mapping = {"alias": "retried", "targets": [failing, serving], "policy": {"breakers": False}}
    await gateway.admin(session, "POST", "/mappings", mapping)
    keys = {}
    for name, budget in BUDGETS.items():
        made = await gateway.admin(session, "POST", "/keys", {"name": name, "budget": budget})
        keys[name] = str(made["secret"])
    whole = {"scope": {"kind": "gateway"}, "limit": "100000", "period": "week"}
    await gateway.admin(session, "POST", "/budgets", whole)
    return keys


async def load_until_killed(gateway: GatewayProcess, keys: Mapping[str, str]) -> Load:
    """Ask until there were enough answers, then kill the gateway amid the rest."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        load = Load(gateway, keys, session)
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
        return load


def seen_upstream(log: Path) -> set[str]:
    """The attempt ids of all requests that reached the provider."""
    rows = (json.loads(line) for line in log.read_text().splitlines())
    return {row["client_request_id"] for row in rows if row.get("client_request_id")}


async def rows_of_ledger(url: str) -> dict[str, tuple[str, int]]:
    """Outcome and cost of each attempt by its id, read from the database itself."""
    statement = "select attempt_id, outcome, cost_nanodollars from ledger"
    if url.startswith("sqlite:///"):
        file = url.removeprefix("sqlite:///")
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return {row[0]: (row[1], row[2]) for row in database.execute(statement)}
    return {row[0]: (row[1], row[2]) for row in await postgresql.execute(url, statement)}


async def overspent(gateway: GatewayProcess, session: aiohttp.ClientSession) -> list[str]:
    """The budgets that have spent and hold more than their limit."""
    found = await gateway.admin(session, "GET", "/budgets")
    return [
        f"{each['id']}: {each['spent']} and {each['held']} of {each['limit']}"
        for each in found["data"]
        if Decimal(each["spent"]) + Decimal(each["held"]) > Decimal(each["limit"])
    ]


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("engine", "few"), [("sqlite", 3), ("postgresql", 2)])
async def test_nothing_is_lost_by_kill_nine(
    tmp_path: Path, soaking: bool, engine: str, few: int
) -> None:
    kills = 100 if soaking else few
    log = tmp_path / "upstream.log"
    answers = refused = 0
    async with (
        postgresql.database_url(engine, tmp_path / "ledger.db") as url,
        fake_process(log) as base_url,
        aiohttp.ClientSession() as session,
    ):
        environment = {"CONDUIT_DATABASE_URL": url}
        gateway = GatewayProcess(tmp_path / "home", make_master_key(), free_port(), environment)
        await gateway.start(session)
        try:
            keys = await set_up_retries_and_budgets(gateway, session, base_url)
            for _ in range(kills):
                load = await load_until_killed(gateway, keys)
                answers += load.answers
                refused += load.refused
                await gateway.start(session)
                code, out, err = await gateway.cli("doctor", "ledger", "--json")
                assert code == 0, (out, err)
                report = json.loads(out)
                assert report["ok"], report
                if engine == "sqlite":  # the same said a second time, without the program
                    assert raw_checks.broken(tmp_path / "ledger.db") == []
                upstream, rows = seen_upstream(log), await rows_of_ledger(url)
                missing = upstream - rows.keys()
                assert not missing, f"{len(missing)} calls of {len(upstream)} have no row"
                outcomes = Counter(outcome for outcome, _ in rows.values())
                assert None not in outcomes, "a hold was left open"
                assert not await overspent(gateway, session)
        finally:
            await gateway.kill()
    recovered = [cost for outcome, cost in rows.values() if outcome == "recovered"]
    print(
        f"\n{engine}: {kills} kills under {CLIENTS} clients: {len(upstream)} upstream calls, "
        f"{len(rows)} ledger rows, {len(recovered)} recovered, {outcomes['refused']} failed ones "
        f"tried again, {answers} whole answers, {refused} refused for their budget, 0 lost"
    )
    assert recovered
    # On one side: never below what the provider's whole answer would have cost.
    assert min(recovered) >= USAGE_NANODOLLARS
    assert refused, "the tight budget was not reached"
