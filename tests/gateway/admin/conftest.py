"""An admin API on a real socket, over a real database and a real ledger."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from conduit.core.events import EventKind
from conduit.core.keys import digest_of, make_master_key
from conduit.core.resources.status import SettingsReload, SettingView
from conduit.gateway.admin import table
from conduit.gateway.admin.access import MasterAccess, MasterDigest
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.bodies.store import BodyStore, Retention
from conduit.gateway.cache.answers import AnswerCache
from conduit.gateway.cache.store import Limits
from conduit.gateway.config.configuration import Configuration
from conduit.gateway.config.sealing import load_or_make_sealing_key
from conduit.gateway.day_counts import day_counts
from conduit.gateway.dialects.client_errors import encode_error
from conduit.gateway.events.bus import Bus
from conduit.gateway.health.registry import Health
from conduit.gateway.health_history import HealthHistory
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.keys.keyring import Keyring
from conduit.gateway.ledger.entries import Finding
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.opening import open_ledger
from conduit.gateway.limits.limiter import Limiter
from conduit.gateway.notifications.watch import NotificationWatch
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.pricing.installed import InstalledBook
from conduit.gateway.pricing.lookup import rates_for
from conduit.gateway.providers.registry import provider_of
from conduit.gateway.reach.access_tokens import AccessTokens, fetch_through
from conduit.gateway.reach.endpoints import Endpoints
from conduit.gateway.server.errors import error_middleware
from conduit.gateway.server.headers import finish_headers
from conduit.gateway.server.logins import FailedLogins
from conduit.gateway.state import GatewayState, LedgerReport
from conduit.gateway.storage.engine import Database
from conduit.gateway.upstream.http1 import Http1Upstreams
from tests.gateway.admin.calls import AdminApi

BOOK = PriceBook.load()
SETTINGS = {"port": 5000, "log_bodies": False, "log_bodies_retention_days": 7}


@pytest.fixture
def environment() -> dict[str, str]:
    """The variables in which credentials are looked for."""
    return {}


@pytest.fixture
def published() -> list[tuple[EventKind, Mapping[str, Any]]]:
    """The events that were published, oldest first."""
    return []


@pytest.fixture
def bus(published: list[tuple[EventKind, Mapping[str, Any]]]) -> Bus:
    made = Bus("boot")
    made.subscribe(lambda kind, _, facts: published.append((kind, facts)))
    return made


@pytest.fixture
def live() -> LiveExchanges:
    return LiveExchanges()


@pytest.fixture
def cache() -> AnswerCache:
    return AnswerCache(Limits(total_bytes=100_000, entry_bytes=10_000, entries=10))


@pytest.fixture
async def ledger(database: Database, tmp_path: Path) -> AsyncIterator[LocalLedger]:
    opened = await open_ledger(database, tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def configuration(
    database: Database, tmp_path: Path, environment: dict[str, str]
) -> Configuration:
    key = load_or_make_sealing_key(tmp_path / "sealing.key")
    made = Configuration(database, provider_of, key, environment)
    await made.reload()
    return made


@pytest.fixture
async def keyring(database: Database) -> Keyring:
    made = Keyring(database)
    await made.load()
    return made


async def _check_ledger() -> LedgerReport:
    finding = Finding("I1", "spent is the sum of costs", ok=False, detail="off", violations=("b",))
    return LedgerReport([finding], {"attempts": 3})


async def _change_settings(
    changes: Mapping[str, object], expected: Mapping[str, object]
) -> SettingsReload:
    return SettingsReload(changed=list(changes), restart_needed=[])


def _state() -> GatewayState:
    return GatewayState(
        version="0.1.0",
        boot="boot",
        started_at_ms=1_700_000_000_000,
        ready=True,
        draining=False,
        in_flight=2,
        event_seq=7,
        database="sqlite",
        warnings=("look here",),
    )


@pytest.fixture
async def context(
    database: Database,
    configuration: Configuration,
    keyring: Keyring,
    ledger: LocalLedger,
    bus: Bus,
    live: LiveExchanges,
    cache: AnswerCache,
    master_key: str,
    tmp_path: Path,
) -> AsyncIterator[AdminContext]:
    upstreams = Http1Upstreams()
    endpoints = Endpoints(upstreams)
    tokens = AccessTokens(fetch_through(endpoints))
    bodies = BodyStore(tmp_path / "bodies", lambda: Retention(7, 2**30), str)
    bodies.start()
    health, history = Health(), HealthHistory(database, lambda: 30, str)
    health.changed = history.note
    history.start()
    yield AdminContext(
        database=database,
        configuration=configuration,
        keyring=keyring,
        ledger=ledger,
        book=BOOK,
        book_file=InstalledBook(tmp_path),
        cache=cache,
        master=MasterAccess([MasterDigest(digest_of(master_key))]),
        bus=bus,
        live=live,
        bodies=bodies,
        limiter=Limiter(day_counts(database, ledger)),
        health=health,
        health_history=history,
        notifications=NotificationWatch(database, ledger.spent_past, bus.publish),
        logins=FailedLogins(bus.publish, lambda api, put_off: None),
        price_of=lambda rates, provider, vendor, model: rates_for(
            rates, BOOK, provider, vendor, model
        ),
        endpoint_of=endpoints.of,
        tokens=tokens,
        settings=lambda: [
            SettingView(name=name, value=value, origin="default", description="")
            for name, value in SETTINGS.items()
        ],
        reload_settings=lambda: SettingsReload(changed=[], restart_needed=[]),
        change_settings=_change_settings,
        state=_state,
        check_ledger=_check_ledger,
        client_ip=lambda request: request.remote or "",
    )
    await history.close()
    await bodies.close()
    await tokens.close()
    await upstreams.close()


@pytest.fixture
def master_key() -> str:
    return make_master_key()


@pytest.fixture
async def client(context: AdminContext) -> AsyncIterator[TestClient[Any, Any]]:
    app = web.Application(middlewares=[error_middleware(encode_error)])
    app.on_response_prepare.append(finish_headers)
    app.add_routes(table.routes(context))
    server = TestServer(app)
    await server.start_server(access_log=None)  # as the gateway's own, which would tell of queries
    async with TestClient(server) as opened:
        yield opened


@pytest.fixture
def api(client: TestClient[Any, Any], master_key: str) -> AdminApi:
    """The admin API as the holder of the master key sees it."""
    return AdminApi(client, master_key)


@pytest.fixture
def kinds(published: list[tuple[EventKind, Mapping[str, Any]]]) -> Callable[[], list[str]]:
    """The kinds of the events that were published."""
    return lambda: [kind.value for kind, _ in published]
