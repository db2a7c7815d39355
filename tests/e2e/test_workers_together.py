"""What several workers have in common: configuration, signals, one ledger, one port."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests import postgresql
from tests.e2e.processes import GatewayProcess, free_port
from tests.e2e.workers import COST_OF_ONE, Workers, running_workers

SOON_S = 2.0
"""A change is in force in every worker within it."""
PATIENCE_S = 30


@pytest.fixture
async def location() -> AsyncIterator[str]:
    async with postgresql.own_schema() as url:
        yield url


class Met:
    """Connections that stay open, one to each worker: what is asked on them meets that one."""

    def __init__(self, workers: Workers, sessions: dict[int, aiohttp.ClientSession]) -> None:
        self.workers = workers
        self.sessions = sessions

    async def ask(self, number: int, key: str, model: str = "fake") -> tuple[int, str]:
        body = {"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 10}
        async with self.sessions[number].post(
            f"{self.workers.process.url}/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            answer = await response.json()
            return response.status, answer["error"]["code"] if "error" in answer else ""

    async def admin(self, number: int, method: str, path: str, body: object = None) -> object:
        return await self.workers.process.admin(self.sessions[number], method, path, body)

    async def revision(self, number: int) -> object:
        return (await self.admin(number, "GET", "/status"))["revision"]  # type: ignore[index]

    async def until_all_answer(self, expected: tuple[int, str], key: str, model: str) -> None:
        """Within the time that a change may take."""
        async with asyncio.timeout(SOON_S):
            for number in self.sessions:
                while await self.ask(number, key, model) != expected:
                    await asyncio.sleep(0.01)


@asynccontextmanager
async def each_met(workers: Workers) -> AsyncIterator[Met]:
    async with AsyncExitStack() as stack:
        found: dict[int, aiohttp.ClientSession] = {}
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < 2:
                session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
                await stack.enter_async_context(session)
                status = await workers.process.admin(session, "GET", "/status")
                found.setdefault(status["worker"], session)
        yield Met(workers, found)


async def test_a_change_in_one_worker_is_in_force_in_all_of_them(
    location: str, tmp_path: Path
) -> None:
    async with running_workers(tmp_path, location) as workers, each_met(workers) as met:
        created = await met.admin(1, "POST", "/keys", {"name": "one"})
        key = str(created["secret"])  # type: ignore[index]
        # A key that was made a moment ago is known everywhere.
        assert await met.ask(2, key) == (200, "")
        # Mappings and providers
        target = {"provider": "fake", "model": "fake"}
        await met.admin(2, "POST", "/mappings", {"alias": "fast", "targets": [target]})
        await met.until_all_answer((200, ""), key, "fast")
        await met.admin(1, "DELETE", "/mappings/fast")
        await met.until_all_answer((404, "model_not_found"), key, "fast")
        # Prices: without one no key with a budget is served
        rich = await met.admin(1, "POST", "/keys", {"name": "rich", "budget": {"limit": "1"}})
        secret = str(rich["secret"])  # type: ignore[index]
        assert await met.ask(2, secret) == (200, "")
        await met.admin(2, "DELETE", "/prices/fake/*")
        await met.until_all_answer((400, "price_unknown"), secret, "fake")
        await met.admin(1, "PUT", "/prices/fake/*", {"input": "1", "output": "2"})
        await met.until_all_answer((200, ""), secret, "fake")
        # Budgets of a key that there is already
        made = {"scope": {"kind": "key", "id": "one"}, "limit": "0.000001"}
        await met.admin(2, "POST", "/budgets", made)
        await met.until_all_answer((429, "insufficient_quota"), key, "fake")
        (budget,) = (await met.admin(1, "GET", "/keys/one"))["budgets"]  # type: ignore[index]
        await met.admin(1, "PATCH", f"/budgets/{budget['id']}", {"limit": "1"})
        await met.until_all_answer((200, ""), key, "fake")
        await workers.settled()
        for number in (1, 2):
            (shown,) = (await met.admin(number, "GET", "/keys/one"))["budgets"]  # type: ignore[index]
            assert (shown["limit"], shown["held"]) == ("1.00", "0.00")
        spent = await met.admin(1, "POST", f"/budgets/{budget['id']}/reset-spend")
        assert spent["spent"] == "0.00"  # type: ignore[index]
        assert (await met.admin(2, "GET", f"/budgets/{budget['id']}"))["spent"] == "0.00"  # type: ignore[index]
        await met.admin(2, "DELETE", f"/budgets/{budget['id']}")
        await workers.check_ledger()
        # Settings
        await met.admin(1, "PATCH", "/config", {"values": {"body_limit_bytes": 2048}})
        async with asyncio.timeout(SOON_S):
            while "2048" not in str(await met.admin(2, "GET", "/config?limit=200")):
                await asyncio.sleep(0.01)
        # A key that is revoked stops in all of them
        await met.admin(2, "DELETE", "/keys/one")
        await met.until_all_answer((401, "invalid_api_key"), key, "fake")
        async with asyncio.timeout(SOON_S):  # of the last change the other hears a moment later
            while await met.revision(1) != await met.revision(2):
                await asyncio.sleep(0.01)


async def test_two_workers_charge_each_call_by_the_price_that_it_was_held_at(
    location: str, tmp_path: Path
) -> None:
    """One of them has another price while calls of both run: these end at the former one."""
    async with (
        running_workers(tmp_path, location) as workers,
        each_met(workers) as met,
        each_met(workers) as busy,
    ):
        created = await met.admin(1, "POST", "/keys", {"name": "one", "budget": {"limit": "1"}})
        key = str(created["secret"])  # type: ignore[index]
        slow = "fake-in12-out100-delay6000"
        running = [asyncio.create_task(busy.ask(number, key, slow)) for number in (1, 2)]
        async with asyncio.timeout(PATIENCE_S):
            while len(await workers.rows("SELECT 1 FROM ledger WHERE state = 'open'")) < 2:
                await asyncio.sleep(0.02)
        await met.admin(1, "PUT", "/prices/fake/*", {"input": "10", "output": "20"})
        assert not any(call.done() for call in running)
        dear = "SELECT 1 FROM ledger WHERE cost_nanodollars = 2120000"
        for number in (1, 2):  # which hears of it within two seconds
            before = len(await workers.rows(dear))
            async with asyncio.timeout(SOON_S):
                while len(await workers.rows(dear)) == before:
                    assert await met.ask(number, key, "fake-in12-out100") == (200, "")
                    await asyncio.sleep(0.1)
        assert await asyncio.gather(*running) == [(200, "")] * 2
        await workers.settled()
        rows = await workers.rows(
            "SELECT model, price_version, cost_nanodollars, count(*) FROM ledger GROUP BY 1, 2, 3"
        )
        costs = {(version, cost) for _, version, cost, _ in rows}
        assert len(costs) == len({version for version, _ in costs}) == 2  # no version, two costs
        former = next(version for version, cost in costs if cost == COST_OF_ONE)
        assert [row for row in rows if row[0] == slow] == [(slow, former, COST_OF_ONE, 2)]
        await workers.check_ledger()


async def test_a_reload_by_one_worker_is_one_of_all_and_the_log_tells_them_apart(
    location: str, tmp_path: Path
) -> None:
    async with running_workers(tmp_path, location) as workers, each_met(workers) as met:
        (workers.process.home / "gateway.toml").write_text("body_limit_bytes = 4096\n")
        reloaded = await met.admin(1, "POST", "/config/reload")
        assert reloaded["changed"] == ["body_limit_bytes"]  # type: ignore[index]
        assert reloaded["workers"] == 2  # type: ignore[index]
        async with asyncio.timeout(SOON_S):
            while "4096" not in str(await met.admin(2, "GET", "/config?limit=200")):
                await asyncio.sleep(0.01)
        log = (workers.process.home / "gateway.log").read_text()
        assert "worker 1 conduit.gateway.run: listening on" in log
        assert "worker 2 conduit.gateway.run: settings read again; changed: body_limit_b" in log
        assert "conduit.gateway.workers: 2 workers listen" in log


async def test_a_change_is_found_without_having_been_heard_of(
    location: str, tmp_path: Path
) -> None:
    async with running_workers(tmp_path, location) as workers, each_met(workers) as met:
        created = await met.admin(1, "POST", "/keys", {"name": "one"})
        key = str(created["secret"])  # type: ignore[index]
        assert [await met.ask(number, key) for number in (1, 2)] == [(200, "")] * 2
        # As the admin API does it, less what tells of it.
        await postgresql.execute(
            location,
            "UPDATE keys SET enabled = false, updated_at_ms ="
            " (extract(epoch FROM now()) * 1000)::bigint",
            "INSERT INTO revisions SELECT revision + 1, 0, 'test', NULL, NULL, 'test', 'key',"
            " 'one',"
            ' 1, NULL, false, \'[{"kind": "key", "name": "one", "before": {},'
            ' "after": {}}]\'::json FROM installation',
            "UPDATE installation SET revision = revision + 1",
        )
        async with asyncio.timeout(10):
            for number in (1, 2):
                while (await met.ask(number, key))[0] == 200:
                    await asyncio.sleep(0.05)


async def test_a_rate_limit_is_given_once_by_both_workers(location: str, tmp_path: Path) -> None:
    async with running_workers(tmp_path, location) as workers, each_met(workers) as met:
        limits = {"limits": [{"kind": "rpm", "limit": 10}]}
        key = await workers.key("limited", **limits)
        answers = [await met.ask(number, key) for number in (1, 2) for _ in range(10)]
        assert answers.count((200, "")) == 10
        shown = await workers.admin("GET", "/keys/limited")
        assert shown["limits"][0]["limit"] == 10


async def test_a_second_gateway_is_kept_away_from_the_database(
    location: str, tmp_path: Path
) -> None:
    async with running_workers(tmp_path, location):
        for count in ("1", "2"):
            foreign = GatewayProcess(
                tmp_path / f"other{count}",
                make_master_key(),
                free_port(),
                {"CONDUIT_DATABASE_URL": location, "CONDUIT_WORKERS": count},
            )
            (tmp_path / f"other{count}").mkdir()
            code, _, err = await foreign.cli("serve")
            assert (code, "another gateway" in err) == (2, True), err


async def test_signals_reach_the_workers_and_the_parent_waits_for_them(
    location: str, tmp_path: Path
) -> None:
    async with running_workers(tmp_path, location) as workers:
        key = await workers.key("calm")
        streaming = asyncio.create_task(
            workers.ask(key, model="fake-n20-gap50", stream=True, max_tokens=64)
        )
        async with asyncio.timeout(PATIENCE_S):
            while not sum(s["in_flight"] for s in (await workers.status_of_each()).values()):
                await asyncio.sleep(0.01)
        workers.process.send(signal.SIGHUP)
        workers.process.send(signal.SIGTERM)
        status, text = await streaming
        assert (status, text.endswith("data: [DONE]\n\n")) == (200, True)
        assert await workers.process.ended() == 0
        assert await workers.rows("SELECT 1 FROM ledger WHERE state = 'open'") == []
        # What one process left another kind of it takes up.
        alone = GatewayProcess(
            workers.process.home,
            workers.process.master_key,
            workers.process.port,
            {**workers.process.environment, "CONDUIT_WORKERS": "1"},
        )
        try:
            await alone.start(workers.session)
            assert (await workers.ask(key, max_tokens=10))[0] == 200
            status = await alone.admin(workers.session, "GET", "/status")
            assert (status["worker"], status["workers"]) == (1, 1)
            await workers.check_ledger()
        finally:
            await alone.kill()


async def test_a_second_signal_skips_the_waiting(location: str, tmp_path: Path) -> None:
    async with running_workers(tmp_path, location) as workers:
        key = await workers.key("slow")
        streaming = asyncio.create_task(
            workers.ask(key, model="fake-n1000-gap50", stream=True, max_tokens=2000)
        )
        async with asyncio.timeout(PATIENCE_S):
            while not sum(s["in_flight"] for s in (await workers.status_of_each()).values()):
                await asyncio.sleep(0.01)
        workers.process.send(signal.SIGTERM)
        log = workers.process.home / "gateway.log"
        async with asyncio.timeout(PATIENCE_S):
            while "waiting for 1 calls" not in log.read_text():
                await asyncio.sleep(0.02)
        workers.process.send(signal.SIGTERM)
        _, text = await streaming
        assert "server_shutting_down" in text
        assert await workers.process.ended() == 0
        assert await workers.rows("SELECT 1 FROM ledger WHERE state = 'open'") == []


async def test_workers_end_with_a_parent_that_is_killed(location: str, tmp_path: Path) -> None:
    async with running_workers(tmp_path, location) as workers:
        key = await workers.key("left")
        pids = [
            int((workers.process.home / f"data/workers/{n}/ledger.lock").read_text())
            for n in (1, 2)
        ]
        await workers.process.kill()
        async with asyncio.timeout(PATIENCE_S):
            while any(map(is_running, pids)):
                await asyncio.sleep(0.05)
        await workers.process.start(workers.session)
        assert (await workers.ask(key, max_tokens=10))[0] == 200
        await workers.check_ledger()


def is_running(pid: int) -> bool:
    """Whether there is a process that has not ended; one that nobody has waited for has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_what_a_worker_refuses_to_start_with_ends_the_parent(
    location: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "data/sealing.key").write_text("this is no key\n")
    os.chmod(home / "data/sealing.key", 0o600)
    gateway = GatewayProcess(
        home,
        make_master_key(),
        free_port(),
        {"CONDUIT_DATABASE_URL": location, "CONDUIT_WORKERS": "2"},
    )
    code, out, err = await gateway.cli("serve")
    assert (code, out) == (2, "")
    assert err.count("error: ") == 1
    assert "sealing" in err


def counted(exposition: str, worker: int) -> int:
    """The finished requests of a worker, as they are told."""
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in exposition.splitlines()
        if line.startswith("conduit_requests_total{") and f'worker="{worker}"' in line
    )


async def test_the_metrics_of_all_workers_are_told_by_each(location: str, tmp_path: Path) -> None:
    async with running_workers(tmp_path, location) as workers, each_met(workers) as met:
        key = await workers.key("counted")
        for number, calls in ((1, 3), (2, 5)):
            for _ in range(calls):
                assert await met.ask(number, key) == (200, "")
        async with asyncio.timeout(PATIENCE_S):
            for session in met.sessions.values():
                while True:
                    async with session.get(f"{workers.process.url}/metrics") as response:
                        told = await response.text()
                    if [counted(told, number) for number in (1, 2)] == [3, 5]:
                        break
                    await asyncio.sleep(0.1)
        assert told.count("# TYPE conduit_requests_total counter") == 1


async def test_a_threshold_is_told_of_once_by_all_workers(location: str, tmp_path: Path) -> None:
    async with running_workers(tmp_path, location) as workers, each_met(workers) as met:
        limit = {"limit": "0.0002", "mode": "soft", "period": "month", "timezone": "Europe/Berlin"}
        key = await workers.key("watched", budget=limit)
        for number in (1, 2):
            assert await met.ask(number, key) == (200, "")
        spent = "SELECT 1 FROM notifications WHERE kind = 'budget_threshold'"
        async with asyncio.timeout(PATIENCE_S):
            while not await workers.rows(spent):
                await met.ask(2, key)
                await asyncio.sleep(0.1)
            while not (await workers.admin("GET", "/keys?over_budget=true"))["data"]:
                await met.ask(1, key)
        await workers.settled()
        told = await workers.rows("SELECT dedupe, count(*) FROM notifications GROUP BY dedupe")
        assert {count for _, count in told} == {1}
