"""A gateway on PostgreSQL: requests, money, restarts, and a database that goes away."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from conduit.core.money import parse_usd
from conduit.gateway.ledger.lock import LedgerLockedError
from tests import postgresql
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.e2e.processes import GatewayProcess, free_port
from tests.fakes.relay import Relay
from tests.fakes.upstream import FakeUpstream

PROMPT = "hello " * 20
COST_OF_ONE = parse_usd("0.000212")  # 12 tokens in, 100 out
BUDGET = "0.0023"  # affords ten of them
LONG_S = 40.0


@pytest.fixture
async def location() -> AsyncIterator[str]:
    async with postgresql.own_schema() as url:
        yield url


@pytest.fixture
async def running(location: str, tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path / "home", database_url=location) as gateway:
        await connect_fake(gateway, fake)
        yield gateway


async def ask(running: Running, key: str, *, streamed: bool = False) -> tuple[int, str]:
    body = {
        "model": "fake-in12-out100-delay20",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 100,
        "stream": streamed,
    }
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        if response.status == 200:
            await response.read()
            return 200, ""
        return response.status, (await response.json())["error"]["code"]


async def ready(running: Running) -> tuple[int, list[str]]:
    async with running.http.get(f"{running.url}/health/ready") as response:
        return response.status, (await response.json())["reasons"]


async def until_ready_is(running: Running, status: int) -> list[str]:
    async with asyncio.timeout(LONG_S):
        while True:
            found, reasons = await ready(running)
            if found == status:
                return reasons
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("streamed", [False, True])
async def test_100_callers_at_once_do_not_overshoot(
    running: Running, fake: FakeUpstream, streamed: bool
) -> None:
    key = await running.key("poor", budget={"limit": BUDGET})
    answers = Counter(
        await asyncio.gather(*(ask(running, key, streamed=streamed) for _ in range(100)))
    )
    served = answers.pop((200, ""))
    assert 8 <= served <= 10
    assert {code for _, code in answers} <= {"insufficient_quota", "budget_held"}
    await running.ledger_holds()
    (budget,) = (await running.admin("GET", "/keys/poor"))["budgets"]
    assert parse_usd(budget["spent"]) == served * COST_OF_ONE <= parse_usd(BUDGET)
    assert len(fake.requests) == served


async def test_everything_is_there_after_a_restart(
    location: str, tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path / "home", database_url=location) as gateway:
        await connect_fake(gateway, fake)
        key = await gateway.key("kept", budget={"limit": "1"})
        assert await ask(gateway, key) == (200, "")
        before = await gateway.last_record()
    async with running_gateway(tmp_path / "home", database_url=location) as gateway:
        assert await gateway.last_record() == before
        (budget,) = (await gateway.admin("GET", "/keys/kept"))["budgets"]
        assert parse_usd(budget["spent"]) == COST_OF_ONE
        assert await ask(gateway, key) == (200, "")
        await gateway.ledger_holds()


async def test_a_second_gateway_is_refused_whatever_its_data_folder(
    running: Running, location: str, tmp_path: Path
) -> None:
    with pytest.raises(LedgerLockedError, match="another gateway"):
        async with running_gateway(tmp_path / "other", database_url=location):
            pass


async def test_calls_are_served_and_counted_while_the_database_is_away(
    location: str, tmp_path: Path, fake: FakeUpstream
) -> None:
    async with Relay(postgresql.address()) as relay:
        url = relay.instead_of(location)
        async with running_gateway(tmp_path / "home", database_url=url) as running:
            await connect_fake(running, fake)
            key = await running.key("patient", budget={"limit": BUDGET})
            assert await ask(running, key) == (200, "")
            await relay.refuse()
            relay.cut()
            reasons = await until_ready_is(running, 503)
            assert "the database does not answer" in reasons[0]
            answers = Counter([await ask(running, key) for _ in range(12)])
            assert answers == {(200, ""): 9, (429, "insufficient_quota"): 3}
            refused = await running.admin("GET", "/keys", status=503)
            assert refused["error"]["code"] == "unavailable"
            assert refused["error"]["retryable"]
            status = await running.admin("GET", "/status")
            assert status["ledger"]["available"]
            assert status["ledger"]["journal_bytes_unapplied"] > 0
            assert "in memory" in status["warnings"][-1]
            assert (status["providers"], status["mappings"], status["keys"]) == (1, 1, 1)
            await relay.accept()
            assert await until_ready_is(running, 200) == []
            await running.ledger_holds()
            (budget,) = (await running.admin("GET", "/keys/patient"))["budgets"]
            assert parse_usd(budget["spent"]) == 10 * COST_OF_ONE
            page = await running.admin("GET", "/requests?filter=status:200")
            assert len(page["data"]) == 10


async def test_a_gateway_that_lost_its_database_to_another_stops_holding_money(
    location: str, tmp_path: Path, fake: FakeUpstream
) -> None:
    async with Relay(postgresql.address()) as relay:
        url = relay.instead_of(location)
        async with running_gateway(tmp_path / "home", database_url=url) as first:
            await connect_fake(first, fake)
            key = await first.key("test")
            assert await ask(first, key) == (200, "")
            await first.gateway.ledger.caught_up()
            await relay.refuse()
            relay.cut()
            await until_ready_is(first, 503)
            other = tmp_path / "other"
            (other / "data").mkdir(parents=True)
            shutil.copy2(tmp_path / "home/data/sealing.key", other / "data")
            async with running_gateway(other, database_url=location) as second:
                assert await ask(second, key) == (200, "")
                await second.gateway.ledger.caught_up()
                assert await ask(first, key) == (200, "")  # it cannot know yet
                await relay.accept()
                async with asyncio.timeout(LONG_S):
                    while (await ask(first, key))[1] != "ledger_unavailable":
                        await asyncio.sleep(0.05)
                assert "another gateway" in str(first.gateway.ledger.state().reason)
                await second.ledger_holds()
    # What the first one served alone is in its journal, and counts once it starts again.
    async with running_gateway(tmp_path / "home", database_url=location) as first:
        assert first.gateway.ledger.recovery.replayed > 0
        await first.ledger_holds()


async def test_a_platforms_own_variable_counts_for_serve_alone(
    location: str, tmp_path: Path
) -> None:
    gateway = GatewayProcess(
        tmp_path / "home", make_master_key(), free_port(), {"DATABASE_URL": location}
    )
    async with aiohttp.ClientSession() as session:
        await gateway.start(session)
        try:
            status = await gateway.admin(session, "GET", "/status")
            assert status["database"].startswith("postgresql://")
            code, _, err = await gateway.cli("db", "status")
            assert (code, "there is no database" in err) == (2, True)
        finally:
            await gateway.kill()


async def test_start_up_without_the_server_is_one_clear_line(tmp_path: Path) -> None:
    await postgresql.skip_without_server()
    nobody = f"postgresql://someone:s3cret-word@127.0.0.1:{free_port()}/nothing"
    gateway = GatewayProcess(
        tmp_path / "home", make_master_key(), free_port(), {"CONDUIT_DATABASE_URL": nobody}
    )
    (tmp_path / "home").mkdir()
    code, out, err = await gateway.cli("serve")
    assert (code, out) == (2, "")
    assert "error: PostgreSQL at 127.0.0.1:" in err
    assert "cannot be used" in err
    assert "s3cret-word" not in err
    code, out, _ = await gateway.cli("config", "show", "--offline")
    assert code == 0
    assert "database_url" in out
    assert "s3cret-word" not in out
