"""The link over real sockets: it fills the store, and nothing is lost in silence."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conduit.client.api import Record
from conduit.client.errors import ApiError, Unreachable
from conduit.client.live import Backoff, Connected, Disconnected, Events, Gap
from conduit.core.keys import make_master_key
from conduit.tui.state.connectivity import Phase
from conduit.tui.state.gateway import GatewayLink, Refused
from conduit.tui.state.session import Target
from conduit.tui.state.store import Store
from conduit.tui.state.traffic import Finished, Mark
from tests.e2e.conftest import Running, running_gateway
from tests.e2e.processes import GatewayProcess, free_port
from tests.tui.events import recorded, request_events
from tests.tui.support import NOW_MS

PATIENCE_S = 60.0
QUICK = Backoff(first_s=0.05, longest_s=0.2, connect_s=5.0)


def target(url: str, master_key: str, *, read_only: bool = False) -> Target:
    return Target(
        name="test", admin_url=url, core_url=url, master_key=master_key, read_only=read_only
    )


class AnsweringLink(GatewayLink):
    """Answers `requests.list` by a function, and everything else with nothing."""

    def __init__(self, listed: Callable[..., dict[str, object]]) -> None:
        super().__init__(target("http://x", "key"), Store(), on_error=lambda what, error: None)
        self._listed = listed

    async def call(self, name: str, *names: str, query: Any = None, body: Any = None) -> Record:
        return self._listed(query=query) if name == "requests.list" else {}


@asynccontextmanager
async def linked(to: Target, *, backoff: Backoff = QUICK) -> AsyncIterator[GatewayLink]:
    """A started link; a fault of its tasks fails the test."""
    faults: list[BaseException] = []
    link = GatewayLink(
        to, Store(), on_error=lambda what, error: faults.append(error), backoff=backoff
    )
    link.start()
    try:
        yield link
    finally:
        await link.stop()
    assert not faults


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def requests_of(store: Store) -> list[Finished]:
    return [entry for entry in store.traffic if isinstance(entry, Finished)]


def marks_of(store: Store) -> list[Mark]:
    return [entry for entry in store.traffic if isinstance(entry, Mark)]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path / "home") as found:
        yield found


async def test_it_becomes_live_measures_the_way_and_reads_the_state(gateway: Running) -> None:
    async with linked(target(gateway.url, gateway.master_key)) as link:
        store = link.store
        await until(lambda: store.connectivity.is_live and store.status is not None)
        assert store.connectivity.latency_ms is not None
        assert store.status is not None
        assert store.status["boot"] == store.boot


async def test_only_the_tables_that_are_looked_at_are_loaded(gateway: Running) -> None:
    await gateway.key("ci")
    async with linked(target(gateway.url, gateway.master_key)) as link:
        link.watch({"keys"})
        await until(lambda: link.store.table("keys").rows)
        assert not link.store.table("providers").is_loaded
        assert link.store.table("keys").find("ci")


async def test_a_change_by_somebody_else_arrives_by_itself(gateway: Running) -> None:
    async with linked(target(gateway.url, gateway.master_key)) as link:
        link.watch({"keys"})
        await until(lambda: link.store.table("keys").is_loaded and link.store.connectivity.is_live)
        await gateway.key("later")
        await until(lambda: link.store.table("keys").find("later"))


async def test_a_refused_key_is_told_and_not_tried_again_until_asked(gateway: Running) -> None:
    async with linked(target(gateway.url, make_master_key())) as link:
        await until(lambda: link.store.connectivity.phase is Phase.REFUSED)
        with pytest.raises(Refused, match="refused the master key"):
            await link.change("keys.create", body={"name": "ci"})
        link.reconnect()
        await asyncio.sleep(0)
        await until(lambda: link.store.connectivity.phase is Phase.REFUSED)


async def test_without_a_gateway_nothing_is_changed_and_the_reason_is_said() -> None:
    to = target(f"http://127.0.0.1:{free_port()}", make_master_key())
    async with linked(to) as link:
        link.watch({"keys"})
        await until(lambda: link.store.connectivity.phase is Phase.LOST)
        await until(lambda: link.store.table("keys").error)
        with pytest.raises(Refused, match="not sent: not connected"):
            await link.change("keys.create", body={"name": "ci"})
        with pytest.raises(Unreachable):
            await link.call("status.show")


async def test_a_read_only_context_reads_and_changes_nothing(gateway: Running) -> None:
    async with linked(target(gateway.url, gateway.master_key, read_only=True)) as link:
        await until(lambda: link.store.connectivity.is_live)
        with pytest.raises(Refused, match="'test' is read-only"):
            await link.change("keys.create", body={"name": "ci"})
        assert (await link.call("keys.list"))["data"] == []


async def test_a_change_is_sent_and_an_error_of_the_gateway_comes_back(gateway: Running) -> None:
    async with linked(target(gateway.url, gateway.master_key)) as link:
        await until(lambda: link.store.connectivity.is_live)
        created = await link.change("keys.create", body={"name": "ci"})
        assert created["secret"].startswith("condt_")
        with pytest.raises(ApiError) as refused:
            await link.change("keys.create", body={"name": "ci"})
        assert refused.value.status == 409


def own_tasks() -> list[str]:
    """Tasks of the link and of its sockets; the gateway of the test runs in the same loop."""
    names = [f"{task.get_name()} {task.get_coro()!r}" for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("link-") or "AsyncClient" in name]


async def test_stopping_leaves_no_task_behind(gateway: Running) -> None:
    async with linked(target(gateway.url, gateway.master_key)) as link:
        await until(lambda: link.store.connectivity.is_live)
        assert own_tasks()
    await until(lambda: not own_tasks())


async def test_a_killed_gateway_is_seen_and_after_its_restart_nothing_is_missing(
    tmp_path: Path,
) -> None:
    process = GatewayProcess(tmp_path / "home", make_master_key(), free_port())
    async with aiohttp.ClientSession() as session:
        try:
            await process.start(session)
            async with linked(target(process.url, process.master_key)) as link:
                store = link.store
                link.watch({"keys"})
                await until(lambda: store.connectivity.is_live and store.table("keys").is_loaded)
                boot = store.boot
                process.send(signal.SIGKILL)
                await process.ended()
                await until(lambda: store.connectivity.phase is Phase.LOST)
                assert store.connectivity.why_no_change()

                await process.start(session)
                # Two things that no event told: a key, and a request that was refused.
                await process.admin(session, "POST", "/keys", {"name": "meanwhile"})
                await until(lambda: store.connectivity.is_live and store.boot != boot)
                await until(lambda: store.table("keys").find("meanwhile"))
                await until(lambda: [mark for mark in marks_of(store) if mark.kind == "restarted"])
        finally:
            await process.kill()


async def test_after_a_gap_the_records_are_read_back_to_its_beginning() -> None:
    pages: dict[object, dict[str, object]] = {
        None: {"data": [recorded(number) for number in (9, 8, 7)], "next_cursor": "older"},
        "older": {"data": [recorded(number) for number in (6, 5, 4)], "next_cursor": None},
    }
    asked: list[dict[str, object]] = []

    def listed(*, query: dict[str, object]) -> dict[str, object]:
        asked.append(dict(query))
        return pages[query.get("cursor")]

    link = AnsweringLink(listed)
    link._take(Connected("boot", 0))
    await link._catch_up()
    assert [query.get("since") for query in asked] == [None]

    asked.clear()
    link._take(Events(tuple(request_events(3))))
    link._take(Disconnected(NOW_MS, "gone", 0.1))
    link._take(Gap(4, None))
    await link._catch_up()
    # Ten minutes before the last event: a request is listed by its beginning.
    assert [query["since"] for query in asked] == ["2026-11-20T21:51:14+00:00"] * 2
    keys = [entry.key for entry in requests_of(link.store)]
    assert keys == [f"req_{number:026}" for number in range(3, 10)]

    asked.clear()
    await link._catch_up()
    assert [query.get("since") for query in asked] == [None], "nothing is missing any more"
