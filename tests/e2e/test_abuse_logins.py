"""Wrong keys cost a hash and a look at memory, and hold up nobody who has a right one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
from sqlalchemy import event

from conduit.core.keys import make_master_key, make_virtual_key
from tests.e2e.attacks import GOOD
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.e2e.rawhttp import RawConnection, ask, connected, get, post
from tests.fakes.upstream import FakeUpstream

WRONG_KEYS = 1000


@pytest.fixture
async def behind_proxy(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    """A gateway that believes what this machine says of its clients' addresses."""
    async with running_gateway(tmp_path / "home", trusted_proxies="127.0.0.0/8, ::1") as gateway:
        await connect_fake(gateway, fake)
        yield gateway


@contextmanager
def statements(running: Running) -> Iterator[list[str]]:
    """Every statement that the gateway gives its database meanwhile."""
    given: list[str] = []

    def note(*arguments: object) -> None:
        given.append(str(arguments[2]))

    engine = running.gateway.database.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield given
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def status(connection: RawConnection, data: bytes) -> int:
    await connection.send(data)
    return (await connection.answer()).status


async def test_a_thousand_wrong_keys_read_nothing_and_lock_nobody_out(running: Running) -> None:
    key = await running.key()
    async with connected(running.url) as good, connected(running.url) as bad:
        assert await status(good, post(GOOD, key=key)) == 200
        await running.gateway.ledger.caught_up()
        answers = []
        with statements(running) as given:
            for number in range(WRONG_KEYS):
                answers.append(await status(bad, get("/v1/models", key=make_virtual_key())))
                if number % 100 == 0:
                    assert await status(good, get("/v1/models", key=key)) == 200
        reads = [each for each in given if "FROM keys" in each or "FROM budgets" in each]
        assert reads == []
        assert answers == [401] * 60 + [429] * (WRONG_KEYS - 60)
        assert await status(good, post(GOOD, key=key)) == 200
    await running.gateway.ledger.caught_up()
    page = await running.admin("GET", "/requests?limit=100")
    assert [record["status"] for record in page["data"]] == [200, 200]


async def test_what_is_put_off_is_told_so_in_the_shape_of_its_api(running: Running) -> None:
    async with connected(running.url) as bad:
        for _ in range(60):
            await status(bad, post(GOOD, key=make_virtual_key()))
        await bad.send(post(GOOD, key=make_virtual_key()))
        answer = await bad.answer()
        assert answer.status == 429
        assert answer.is_openai_refusal()
        assert answer.code == "too_many_failed_logins"
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert answer.headers["x-should-retry"] == "false"
        for _ in range(11):
            await bad.send(get("/admin/whoami", key=make_master_key()))
            answer = await bad.answer()
        assert (answer.status, answer.code) == (429, "too_many_failed_logins")
        assert 0 < int(answer.headers["retry-after"]) <= 300
        # The right key passes, and whoever sends it by the same way.
        assert await status(bad, get("/admin/whoami", key=running.master_key)) == 200
        assert await status(bad, get("/admin/whoami", key=make_master_key())) == 429


async def test_wrong_tokens_of_the_event_socket_count_with_the_admin_api(running: Running) -> None:
    for _ in range(11):
        listener = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        refusals: list[dict[str, Any]] = []
        listener.on("connect_error", refusals.append, namespace="/admin")
        with pytest.raises(socketio.exceptions.ConnectionError):
            await listener.connect(
                running.url,
                auth={"token": make_master_key()},
                namespaces=["/admin"],
                wait_timeout=30,
            )
        await listener.disconnect()
    assert refusals[-1]["data"] == {"code": "too_many_failed_logins"}
    assert (await ask(running.url, get("/admin/keys", key=make_master_key()))).status == 429
    await running.admin("GET", "/whoami")


async def test_failed_logins_are_counted_and_told_by_samples(running: Running) -> None:
    async with connected(running.url) as bad:
        for _ in range(200):
            await status(bad, get("/v1/models", key=make_virtual_key()))
    async with running.http.get(f"{running.url}/metrics") as response:
        text = await response.text()
    assert 'conduit_failed_logins_total{answer="refused",api="client"} 60.0' in text
    assert 'conduit_failed_logins_total{answer="limited",api="client"} 140.0' in text
    page = await running.admin("GET", "/events?kinds=auth.failed")
    told = [each["data"] for each in page["data"]]
    assert 1 <= len(told) < 200
    assert told[0]["client_ip"] == "127.0.0.1"
    assert sum(each["failures"] for each in told) <= 200
    assert "condt_" not in str(told)


async def test_behind_a_proxy_each_client_answers_for_itself(behind_proxy: Running) -> None:
    def wrong(address: bytes) -> bytes:
        # What the client wrote itself stands on the left, and counts for nothing.
        forwarded = b"x-forwarded-for: 203.0.113.1, " + address
        return get("/admin/whoami", forwarded, key=make_master_key())

    async with connected(behind_proxy.url) as proxy:
        for _ in range(10):
            assert await status(proxy, wrong(b"198.51.100.7")) == 401
        assert await status(proxy, wrong(b"198.51.100.7")) == 429
        assert await status(proxy, wrong(b"198.51.100.8")) == 401
        for number in range(10):
            assert await status(proxy, wrong(b"2001:db8:1:2::%d" % number)) == 401
        assert await status(proxy, wrong(b"2001:db8:1:2:ffff::")) == 429
        assert await status(proxy, wrong(b"2001:db8:1:3::1")) == 401


@pytest.mark.parametrize(("trusted", "shown"), [(None, "127.0.0.1"), ("127.0.0.1", "198.51.100.7")])
async def test_records_show_the_client_behind_a_trusted_proxy_alone(
    tmp_path: Path, fake: FakeUpstream, trusted: str | None, shown: str
) -> None:
    forwarded = b"x-forwarded-for: 203.0.113.1, 198.51.100.7"
    async with running_gateway(tmp_path / "home", trusted_proxies=trusted) as gateway:
        await connect_fake(gateway, fake)
        answer = await ask(gateway.url, post(GOOD, forwarded, key=await gateway.key()))
        assert answer.status == 200
        assert (await gateway.last_record())["client_ip"] == shown
