"""A whole gateway in the test's own loop, over real sockets, with our fake as its provider."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from conduit.core.keys import make_master_key
from conduit.core.settings_sources import SettingsSource
from conduit.gateway.app import edge_options, make_apps, master_access, open_gateway
from conduit.gateway.dialects.client_errors import encode_error
from conduit.gateway.parts import Gateway
from conduit.gateway.server import listening
from tests.canary import marked
from tests.fakes.certificates import Authority
from tests.fakes.upstream import FakeUpstream
from tests.migrated import migrated

UPSTREAM_SECRET = marked("upstream")
UPSTREAM_CLIENTS = ("http1", "aiohttp")
with_every_upstream_client = pytest.mark.parametrize(
    "upstream_client", UPSTREAM_CLIENTS, indirect=True
)


class Admin:
    """The admin API as a script uses it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, master_key: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"authorization": f"Bearer {master_key}"}

    async def __call__(
        self, method: str, path: str, body: object = None, *, status: int | None = None
    ) -> Any:
        async with self._session.request(
            method, f"{self._url}/admin{path}", json=body, headers=self._headers
        ) as response:
            answer = await response.json() if response.status != 204 else None
            expected = status or {"POST": 201, "DELETE": 204}.get(method, 200)
            assert response.status == expected, (response.status, answer)
            return answer


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that listens, with the hands to use it."""

    gateway: Gateway
    url: str
    admin: Admin
    http: aiohttp.ClientSession
    master_key: str
    admin_url: str
    clients: list[AsyncOpenAI] = field(default_factory=list)

    async def key(self, name: str = "test", **fields: Any) -> str:
        created = await self.admin("POST", "/keys", {"name": name, **fields})
        return str(created["secret"])

    def openai(self, key: str, **options: Any) -> AsyncOpenAI:
        client = AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, "timeout": 20} | options
        )
        self.clients.append(client)
        return client

    async def last_record(self) -> dict[str, Any]:
        """The newest request record, once everything written has been applied."""
        await self.gateway.ledger.caught_up()
        page = await self.admin("GET", "/requests?limit=1")
        record: dict[str, Any] = page["data"][0]
        return record

    async def attempts(self, request_id: str) -> list[dict[str, Any]]:
        detail = await self.admin("GET", f"/requests/{request_id}")
        rows: list[dict[str, Any]] = detail["attempt_list"]
        return rows

    async def ledger_holds(self) -> None:
        """Every invariant of the ledger holds, and no money is held any more."""
        report = await self.gateway.check_ledger()
        assert all(finding.ok for finding in report.findings), report.findings
        assert self.gateway.ledger.state().open_holds == 0


@asynccontextmanager
async def running_gateway(folder: Path, **overrides: object) -> AsyncIterator[Running]:
    """With an `authority` among the settings it speaks HTTPS under a certificate of it."""
    authority = overrides.pop("authority", None)
    trusted: ssl.SSLContext | bool = True
    if isinstance(authority, Authority):
        certificate, key = authority.pair("127.0.0.1")
        overrides = {"tls_certificate_file": certificate, "tls_key_file": key, **overrides}
        trusted = authority.client_context()
    master_key = make_master_key()
    file = folder / "data/conduit.db"
    if "database_url" not in overrides and not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await (await migrated(str(file))).dispose()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDUIT_HOME", str(folder))
        # The loop is the test's too: that it is late says nothing of the gateway.
        usual = {"master_key": master_key, "shed_loop_lag_ms": 0.0}
        read_settings = SettingsSource({**usual, **overrides})
        async with open_gateway(read_settings) as gateway:
            apps = make_apps(gateway, await master_access(gateway))
            options = edge_options(gateway)
            async with listening.running(apps, encode_error, options, shutdown_s=1) as runners:
                anywhere = gateway.settings.model_copy(update={"port": 0})
                at = await listening.listen(runners, anywhere, gateway.tls)
                url, admin_url = at.url, at.admin_url or at.url
                connector = aiohttp.TCPConnector(ssl=trusted)
                async with aiohttp.ClientSession(connector=connector) as http:
                    admin = Admin(http, admin_url, master_key)
                    found = Running(gateway, url, admin, http, master_key, admin_url)
                    yield found
                    for client in found.clients:
                        await client.close()


async def connect_fake(running: Running, fake: FakeUpstream, *, alias: str = "fake*") -> None:
    """The fake as provider `fake`, every name that begins with "fake" mapped to it, priced."""
    await running.admin(
        "POST",
        "/providers",
        {
            "name": "fake",
            "type": "openai_compatible",
            "base_url": fake.base_url,
            "credential": {"secret": UPSTREAM_SECRET},
        },
    )
    await running.admin(
        "POST", "/mappings", {"alias": alias, "targets": [{"provider": "fake", "model": "*"}]}
    )
    # 1 USD a million tokens in, 2 out: a token costs 1,000 and 2,000 nano-dollars.
    await running.admin("PUT", "/prices/fake/*", {"input": "1", "output": "2"})


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream_client(request: pytest.FixtureRequest) -> str:
    """Which HTTP client calls the providers: our own, unless the test wants it with every one."""
    return str(getattr(request, "param", UPSTREAM_CLIENTS[0]))


@pytest.fixture
async def running(
    tmp_path: Path, fake: FakeUpstream, upstream_client: str
) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path / "home", upstream_client=upstream_client) as gateway:
        await connect_fake(gateway, fake)
        yield gateway
