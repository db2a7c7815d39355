"""Administration on a listener of its own, and who may come to it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from conduit.core.keys import make_master_key
from tests import postgresql
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.e2e.processes import GatewayProcess, free_port
from tests.e2e.workers import running_workers
from tests.fakes.certificates import Authority
from tests.fakes.upstream import FakeUpstream

WITHIN_S = 60.0
EXIT_USAGE = 2
CHAT = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
OF_CLIENTS = ("/v1/models", "/v1beta/models")
OF_ADMINISTRATION = ("/admin/keys", "/admin/status", "/metrics", "/socket.io/?EIO=4")
OF_BOTH = ("/health/live", "/health/ready", "/openapi.json")


@pytest.fixture
async def apart(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path / "home", admin_port=0) as gateway:
        await connect_fake(gateway, fake)
        yield gateway


async def statuses(running: Running, url: str, paths: tuple[str, ...], token: str) -> set[int]:
    headers, found = {"authorization": f"Bearer {token}"}, set()
    for path in paths:
        async with running.http.get(url + path, headers=headers) as response:
            found.add(response.status)
    return found


async def test_each_listener_serves_what_is_its_own(apart: Running) -> None:
    assert apart.url != apart.admin_url
    key, master = await apart.key(), apart.master_key
    assert await statuses(apart, apart.url, OF_CLIENTS, key) == {200}
    assert await statuses(apart, apart.admin_url, OF_CLIENTS, key) == {404}
    assert await statuses(apart, apart.url, OF_ADMINISTRATION, master) == {404}
    assert await statuses(apart, apart.admin_url, OF_ADMINISTRATION, master) == {200}
    for url in (apart.url, apart.admin_url):
        assert await statuses(apart, url, OF_BOTH, "") == {200}
    headers = {"authorization": f"Bearer {key}"}
    for url, status in ((apart.url, 200), (apart.admin_url, 404)):
        path = f"{url}/v1/chat/completions"
        async with apart.http.post(path, json=CHAT, headers=headers) as response:
            assert response.status == status
    await apart.ledger_holds()


async def test_wrong_keys_are_counted_and_settings_change_on_both(apart: Running) -> None:
    headers = {"authorization": "Bearer wrong"}
    found = []
    for _ in range(12):
        async with apart.http.get(f"{apart.admin_url}/admin/keys", headers=headers) as response:
            found.append(response.status)
    assert found == [401] * 10 + [429] * 2
    lists = {"admin_allowed_ips": "127.0.0.1, 203.0.113.7"}
    await apart.admin("PATCH", "/config", {"values": lists})
    assert await statuses(apart, apart.admin_url, ("/admin/keys",), apart.master_key) == {200}


async def test_live_events_come_from_administration_alone(apart: Running) -> None:
    client, told = socketio.AsyncClient(http_session=apart.http), asyncio.Event()
    client.on("events", lambda _: told.set(), namespace="/admin")
    options: Any = {"auth": {"token": apart.master_key}, "namespaces": ["/admin"]}
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(apart.url, transports=["websocket"], retry=False, **options)
    await client.connect(apart.admin_url, transports=["websocket"], **options)
    await client.call("subscribe", {"kinds": ["request.finished"]}, namespace="/admin")
    headers = {"authorization": f"Bearer {await apart.key()}"}
    async with apart.http.post(
        f"{apart.url}/v1/chat/completions", json=CHAT, headers=headers
    ) as response:
        assert response.status == 200
    await asyncio.wait_for(told.wait(), WITHIN_S)
    await client.disconnect()


async def test_administrators_show_a_certificate_and_clients_need_none(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    authority, theirs = Authority(tmp_path), tmp_path / "theirs"
    theirs.mkdir()
    administrators = Authority(theirs)
    settings = {
        "authority": authority,
        "admin_port": 0,
        "admin_client_ca_file": administrators.file,
    }
    async with running_gateway(tmp_path / "home", **settings) as running:
        headers = {"authorization": f"Bearer {running.master_key}"}
        strangers = theirs / "strangers"
        strangers.mkdir()
        for pair, good in (
            (None, False),
            (Authority(strangers).pair("admin"), False),
            (administrators.pair("admin"), True),
        ):
            trusted = authority.client_context()
            if pair is not None:
                trusted.load_cert_chain(*pair)
            connector = aiohttp.TCPConnector(ssl=trusted)
            async with aiohttp.ClientSession(connector=connector) as session:
                async with session.get(f"{running.url}/health/live") as response:
                    assert response.status == 200
                try:
                    async with session.get(
                        f"{running.admin_url}/admin/status", headers=headers
                    ) as response:
                        served = response.status == 200
                except (aiohttp.ClientError, ssl.SSLError):
                    served = False
            assert served is good


async def test_commands_show_the_certificate_of_their_context_or_variables(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.pair("127.0.0.1")
    mine, my_key = authority.pair("operator")
    settings = {
        "CONDUIT_TLS_CERTIFICATE_FILE": str(certificate),
        "CONDUIT_TLS_KEY_FILE": str(key),
        "CONDUIT_ADMIN_PORT": str(free_port()),
        "CONDUIT_ADMIN_CLIENT_CA_FILE": str(authority.file),
        "CONDUIT_CA_FILE": str(authority.file),
        "CONDUIT_DRAIN_ACCEPT_S": "0",
    }
    gateway = GatewayProcess(tmp_path / "home", make_master_key(), free_port(), settings)
    connector = aiohttp.TCPConnector(ssl=authority.client_context())
    async with aiohttp.ClientSession(connector=connector) as session:
        await gateway.start(session)
        try:
            code, _, err = await gateway.cli("status")
            assert code != 0
            assert "it wants a client certificate" in err
            shown = {
                "CONDUIT_CLIENT_CERTIFICATE_FILE": str(mine),
                "CONDUIT_CLIENT_KEY_FILE": str(my_key),
            }
            gateway.environment = {**settings, **shown}
            assert (await gateway.cli("status"))[0] == 0
            gateway.environment = settings
            flags = ("--client-certificate-file", str(mine), "--client-key-file", str(my_key))
            added = await gateway.cli(
                *("context", "add", "apart", "--url", gateway.url, "--ca-file"),
                *(str(authority.file), "--admin-url", gateway.admin_url, *flags),
            )
            assert added[0] == 0, added
            for words in (("keys", "list"), ("doctor",), ("context", "test")):
                code, out, err = await gateway.cli("-C", "apart", *words)
                assert code == 0, (words, out, err)
        finally:
            await gateway.kill()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"CONDUIT_ADMIN_CLIENT_CA_FILE": "/x"}, "admin_client_ca_file needs admin_port and tls"),
        ({"CONDUIT_HOST": "127.0.0.1", "CONDUIT_ADMIN_PORT": "{port}"}, "port of the clients"),
    ],
)
async def test_what_cannot_be_meant_stops_the_start(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    port = free_port()
    given = {name: value.format(port=port) for name, value in settings.items()}
    gateway = GatewayProcess(tmp_path / "home", make_master_key(), port, given)
    code, _, err = await gateway.cli("serve")
    assert code == EXIT_USAGE
    assert said in err


async def test_an_authority_that_is_none_stops_the_start(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).pair("127.0.0.1")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no PEM")
    settings = {
        "CONDUIT_TLS_CERTIFICATE_FILE": str(certificate),
        "CONDUIT_TLS_KEY_FILE": str(key),
        "CONDUIT_ADMIN_PORT": "0",
    }
    for file, reason in (
        (rubbish, "it holds no certificate in PEM"),
        (tmp_path / "none.pem", "No such file or directory"),
    ):
        more = {**settings, "CONDUIT_ADMIN_CLIENT_CA_FILE": str(file)}
        gateway = GatewayProcess(tmp_path / "home", make_master_key(), free_port(), more)
        code, _, err = await gateway.cli("serve")
        assert code == EXIT_USAGE
        assert f"error: admin_client_ca_file {file}: {reason}" in err


async def test_workers_share_both_listeners(tmp_path: Path) -> None:
    port = free_port()
    async with (
        postgresql.own_schema() as location,
        running_workers(tmp_path, location, CONDUIT_ADMIN_PORT=str(port)) as workers,
    ):
        key = await workers.key("ci")
        assert (await workers.ask(key))[0] == 200
        async with workers.session.get(f"{workers.process.url}/admin/keys") as response:
            assert response.status == 404
