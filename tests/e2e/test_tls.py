"""The gateway's own TLS, through real sockets: every way of a request, and a new certificate."""

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from conduit.core.keys import make_master_key
from tests import postgresql
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.e2e.processes import GatewayProcess, fake_process, free_port
from tests.e2e.workers import running_workers
from tests.fakes.certificates import Authority
from tests.fakes.upstream import FakeUpstream

WITHIN_S = 60.0
EXIT_USAGE = 2
HOST = "127.0.0.1"
HELLO: Any = [{"role": "user", "content": "hello"}]
SILENT = 200


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def secured(
    tmp_path: Path, fake: FakeUpstream, authority: Authority
) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path / "home", authority=authority) as gateway:
        await connect_fake(gateway, fake)
        yield gateway


def sdk(url: str, key: str, authority: Authority) -> AsyncOpenAI:
    client = DefaultAsyncHttpxClient(verify=authority.client_context(), timeout=WITHIN_S)
    return AsyncOpenAI(base_url=f"{url}/v1", api_key=key, http_client=client, max_retries=0)


async def stream_of(client: AsyncOpenAI, model: str) -> str:
    text = ""
    async for chunk in await client.chat.completions.create(
        model=model, messages=HELLO, stream=True
    ):
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    return text


def settings_of(authority: Authority) -> dict[str, str]:
    certificate, key = authority.pair(HOST)
    return {"CONDUIT_TLS_CERTIFICATE_FILE": str(certificate), "CONDUIT_TLS_KEY_FILE": str(key)}


def trusting(authority: Authority) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=authority.client_context()),
        timeout=aiohttp.ClientTimeout(total=WITHIN_S),
    )


@asynccontextmanager
async def serving(
    folder: Path, authority: Authority, **environment: str
) -> AsyncIterator[tuple[GatewayProcess, aiohttp.ClientSession]]:
    """`conduit serve` with the fake as its provider, as a process of its own: on uvloop."""
    settings = {**settings_of(authority), "CONDUIT_DRAIN_ACCEPT_S": "0", **environment}
    gateway = GatewayProcess(folder / "home", make_master_key(), free_port(), settings)
    async with fake_process(folder / "upstream.log") as fake, trusting(authority) as session:
        await gateway.start(session)
        try:
            provider = {"name": "fake", "type": "openai_compatible", "base_url": fake}
            mapping = {"alias": "fake*", "targets": [{"provider": "fake", "model": "*"}]}
            await gateway.admin(session, "POST", "/providers", provider)
            await gateway.admin(session, "POST", "/mappings", mapping)
            yield gateway, session
        finally:
            await gateway.kill()


async def number_shown(gateway: GatewayProcess, authority: Authority) -> object:
    """The number of the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection(
        HOST, gateway.port, ssl=authority.client_context(), server_hostname=HOST
    )
    found: Mapping[str, object] = writer.get_extra_info("peercert")
    writer.close()
    return found["serialNumber"]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.02)


async def test_answers_streams_and_large_bodies_go_over_tls(
    secured: Running, authority: Authority
) -> None:
    assert secured.url.startswith("https://")
    key = await secured.key()
    client = sdk(secured.url, key, authority)
    answer = await client.chat.completions.create(model="fake", messages=HELLO)
    assert answer.choices[0].message.content
    assert len((await stream_of(client, "fake-n500-size200000")).encode()) >= 200_000
    large: Any = [{"role": "user", "content": "x" * (4 << 20)}]
    assert (await client.chat.completions.create(model="fake", messages=large)).choices
    answer = await client.chat.completions.create(model="fake-size4000000", messages=HELLO)
    assert len(answer.choices[0].message.content or "") >= 4_000_000
    streams = [stream_of(client, "fake-n50-gap10") for _ in range(20)]
    assert all(await asyncio.gather(*streams))
    await client.close()
    await secured.ledger_holds()


async def test_a_client_that_hangs_up_under_tls_ends_its_call(
    secured: Running, fake: FakeUpstream
) -> None:
    key = await secured.key()
    body = {"model": "fake-n2000-gap20", "messages": HELLO, "stream": True}
    headers = {"authorization": f"Bearer {key}"}
    async with secured.http.post(
        f"{secured.url}/v1/chat/completions", json=body, headers=headers
    ) as response:
        assert await response.content.readany()
        response.close()
    await until(lambda: not len(secured.gateway.live))
    record = await secured.last_record()
    assert record["outcome"] == "client_gone"
    await secured.ledger_holds()


async def test_every_kind_of_answer_tells_to_stay_with_https(secured: Running) -> None:
    key = await secured.key()
    chat = {"model": "fake", "messages": HELLO}
    calls: tuple[tuple[str, str, str, object], ...] = (
        ("POST", "/v1/chat/completions", key, chat),
        ("POST", "/v1/chat/completions", key, {**chat, "stream": True}),
        ("POST", "/v1/chat/completions", "wrong", chat),
        ("POST", "/v1/chat/completions", key, {**chat, "model": "none"}),
        ("GET", "/v1/models", key, None),
        ("GET", "/v1/nothing", key, None),
        ("GET", "/admin/keys", secured.master_key, None),
        ("GET", "/admin/keys", "wrong", None),
        ("GET", "/health/live", "", None),
        ("GET", "/metrics", "", None),
        ("GET", "/openapi.json", "", None),
        ("GET", "/socket.io/?EIO=4&transport=polling", "", None),
    )
    for method, path, token, body in calls:
        async with secured.http.request(
            method, secured.url + path, json=body, headers={"authorization": f"Bearer {token}"}
        ) as response:
            await response.read()
            assert response.headers["strict-transport-security"] == "max-age=31536000", path


async def test_events_come_over_tls(secured: Running) -> None:
    client, made = socketio.AsyncClient(http_session=secured.http), asyncio.Event()

    def listen(events: list[dict[str, Any]]) -> None:
        if any(event["kind"] == "key.created" for event in events):
            made.set()

    client.on("events", listen, namespace="/admin")
    await client.connect(
        secured.url,
        auth={"token": secured.master_key},
        namespaces=["/admin"],
        transports=["websocket"],
    )
    await client.call("subscribe", {"kinds": ["key.created"]}, namespace="/admin")
    await secured.key("seen")
    await asyncio.wait_for(made.wait(), WITHIN_S)
    await client.disconnect()


async def test_nothing_is_said_in_the_clear_or_in_old_versions(
    secured: Running, authority: Authority
) -> None:
    port = int(secured.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(WITHIN_S):
        assert b"HTTP" not in await reader.read()
    writer.close()
    old = authority.client_context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(HOST, port, ssl=old, server_hostname=HOST)


async def test_a_new_certificate_is_shown_after_a_signal_and_a_wrong_one_never(
    tmp_path: Path, authority: Authority
) -> None:
    async with serving(tmp_path, authority) as (gateway, session):
        made = await gateway.admin(session, "POST", "/keys", {"name": "ci"})
        client = sdk(gateway.url, made["secret"], authority)
        large: Any = [{"role": "user", "content": "x" * (4 << 20)}]
        answer = await client.chat.completions.create(model="fake-size4000000", messages=large)
        assert len(answer.choices[0].message.content or "") >= 4_000_000
        streams = [stream_of(client, "fake-n200-size200000") for _ in range(20)]
        assert all(len(text) >= 200_000 for text in await asyncio.gather(*streams))
        first = await number_shown(gateway, authority)
        open_before = await session.get(f"{gateway.url}/health/live")
        certificate, key = authority.pair(HOST)
        gateway.send(signal.SIGHUP)
        async with asyncio.timeout(WITHIN_S):
            while (second := await number_shown(gateway, authority)) == first:
                await asyncio.sleep(0.02)
        key.write_bytes(authority.pair("other.test")[1].read_bytes())
        gateway.send(signal.SIGHUP)
        log = gateway.home / "gateway.log"
        said = f"the certificate stays as it is: tls_key_file {key}: it is not the key of"
        await until(lambda: said in log.read_text())
        assert await number_shown(gateway, authority) == second
        assert await open_before.text()
        assert await stream_of(client, "fake-n5")
        await client.close()
        assert certificate.exists()
        gateway.send(signal.SIGTERM)
        assert await gateway.ended() == 0


async def test_silent_clients_hold_no_sockets(tmp_path: Path, authority: Authority) -> None:
    async with serving(tmp_path, authority, CONDUIT_HEAD_TIMEOUT_S="2") as (gateway, session):
        silent = [socket.create_connection((HOST, gateway.port)) for _ in range(SILENT)]
        try:
            await asyncio.wait_for(asyncio.gather(*(_closed(each) for each in silent)), WITHIN_S)
            assert await gateway.is_ready(session)
        finally:
            for each in silent:
                each.close()


async def test_of_too_many_handshakes_the_oldest_are_ended(
    tmp_path: Path, authority: Authority
) -> None:
    most = 10
    flood = {"CONDUIT_MAX_INCOMPLETE_HEADS": str(most), "CONDUIT_HEAD_TIMEOUT_S": "600"}
    async with serving(tmp_path, authority, **flood) as (gateway, _):
        silent = [socket.create_connection((HOST, gateway.port)) for _ in range(SILENT)]
        try:
            oldest = silent[: SILENT - most]
            await asyncio.wait_for(asyncio.gather(*(_closed(each) for each in oldest)), WITHIN_S)
            async with trusting(authority) as other:  # on a connection of its own
                assert await gateway.is_ready(other)
        finally:
            for each in silent:
                each.close()


async def _closed(raw: socket.socket) -> None:
    """Wait until the gateway has ended the connection, without having said anything."""
    raw.setblocking(False)
    with suppress(ConnectionResetError):
        assert await asyncio.get_running_loop().sock_recv(raw, 100) == b""


async def test_files_that_cannot_be_used_stop_the_start(
    tmp_path: Path, authority: Authority
) -> None:
    wrong = {
        **settings_of(authority),
        "CONDUIT_TLS_KEY_FILE": str(authority.pair("other.test")[1]),
    }
    for more in ({}, {"CONDUIT_WORKERS": "2", "CONDUIT_DATABASE_URL": "postgresql://127.0.0.1/x"}):
        gateway = GatewayProcess(
            tmp_path / "home", make_master_key(), free_port(), {**wrong, **more}
        )
        code, out, err = await gateway.cli("serve")
        assert (code, out) == (EXIT_USAGE, "")
        assert [line for line in err.splitlines() if "it is not the key of" in line] == [
            line for line in err.splitlines() if line.startswith("error: ")
        ]


async def test_each_worker_speaks_tls_and_shows_a_new_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    async with (
        postgresql.own_schema() as location,
        running_workers(
            tmp_path, location, 2, authority.client_context(), **settings_of(authority)
        ) as workers,
    ):
        key = await workers.key("ci")
        assert (await workers.ask(key, stream=True))[0] == 200
        first = await number_shown(workers.process, authority)
        authority.pair(HOST)
        workers.process.send(signal.SIGHUP)
        async with asyncio.timeout(WITHIN_S):
            same = 0
            while same < 20:  # whichever of them accepts
                shown = await number_shown(workers.process, authority)
                same = 0 if shown == first else same + 1
        assert len(await workers.status_of_each()) == 2
