"""From where the gateway is used and administered, through real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import socketio

from conduit.client.errors import ApiError
from conduit.client.live import tail_events
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

BODY = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
INSIDE, OUTSIDE = "203.0.113.9", "198.51.100.1"


async def status_of(
    running: Running, path: str, token: str, address: str, body: object = None
) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {token}", "x-forwarded-for": address}
    method = "GET" if body is None else "POST"
    async with running.http.request(
        method, running.url + path, json=body, headers=headers
    ) as response:
        told = {} if response.status == 200 else await response.json()
        return response.status, told.get("error", {}).get("code", "")


async def test_the_gateway_is_administered_from_its_addresses_alone(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    lists = {"admin_allowed_ips": "203.0.113.0/24, 127.0.0.1", "trusted_proxies": "127.0.0.1"}
    async with running_gateway(tmp_path, **lists) as running:
        await connect_fake(running, fake)
        key, master = await running.key(), running.master_key
        assert (await status_of(running, "/admin/keys", master, INSIDE))[0] == 200
        for token in (master, "wrong"):
            for path in ("/admin/keys", "/admin/nothing", "/socket.io/?EIO=4&transport=polling"):
                refused = (403, "permission_denied")
                assert await status_of(running, path, token, OUTSIDE) == refused, path
        for path in ("/health/ready", "/metrics", "/openapi.json"):
            async with running.http.get(
                running.url + path, headers={"x-forwarded-for": OUTSIDE}
            ) as response:
                assert response.status == 200, path
        answered = await status_of(running, "/v1/chat/completions", key, OUTSIDE, BODY)
        assert answered[0] == 200


async def test_nobody_listens_from_elsewhere(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, admin_allowed_ips="203.0.113.7") as running:
        client = socketio.AsyncClient(http_session=running.http, reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(
                running.url,
                auth={"token": running.master_key},
                namespaces=["/admin"],
                transports=["websocket"],
            )


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize(
    ("name", "shutting_out"),
    [("admin_allowed_ips", "127.0.0.1, 203.0.113.0/24"), ("denied_ips", "198.51.100.0/24")],
)
async def test_a_change_of_the_lists_ends_the_connections_that_it_shuts_out(
    tmp_path: Path, transport: str, name: str, shutting_out: str
) -> None:
    async with (
        running_gateway(tmp_path, trusted_proxies="127.0.0.1") as running,
        listener(running, OUTSIDE, transport) as outside,
        listener(running, INSIDE, transport) as inside,
    ):
        await running.admin("PATCH", "/config", {"values": {name: shutting_out}})
        async with asyncio.timeout(10):
            await outside.wait()
        assert outside.connected is False
        assert inside.connected is True
        await running.admin("PATCH", "/config", {"values": {name: None}})


@asynccontextmanager
async def listener(
    running: Running, address: str, transport: str
) -> AsyncIterator[socketio.AsyncClient]:
    client = socketio.AsyncClient(http_session=running.http, reconnection=False)
    await client.connect(
        running.url,
        headers={"x-forwarded-for": address},
        auth={"token": running.master_key},
        namespaces=["/admin"],
        transports=[transport],
    )
    try:
        yield client
    finally:
        await client.disconnect()


async def test_a_tail_that_is_shut_out_ends_and_says_why(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as running:
        heard = asyncio.Event()
        tail = tail_events(running.url, running.master_key)

        async def follow() -> None:
            async with aclosing(tail):
                async for _ in tail:
                    heard.set()

        following = asyncio.create_task(follow())
        async with asyncio.timeout(20):
            await heard.wait()
            (tmp_path / "gateway.toml").write_text('admin_allowed_ips = "203.0.113.0/24"')
            running.gateway.reload_settings()
            with pytest.raises(ApiError, match="not administered from this address") as refused:
                await following
        assert refused.value.status == 403


async def test_nothing_is_served_to_addresses_that_are_denied(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    lists = {"denied_ips": "198.51.100.0/24", "trusted_proxies": "127.0.0.1"}
    async with running_gateway(tmp_path, **lists) as running:
        await connect_fake(running, fake)
        key = await running.key()
        for path, token, body in (
            ("/v1/chat/completions", key, BODY),
            ("/v1/messages", key, {**BODY, "max_tokens": 5}),
            ("/v1/models", key, None),
            ("/v1/models", "wrong", None),
            ("/admin/keys", running.master_key, None),
            ("/metrics", "", None),
        ):
            answered = await status_of(running, path, token, OUTSIDE, body)
            assert answered[0] == 403, path
        assert not fake.requests
        assert (await status_of(running, "/health/live", "", OUTSIDE))[0] == 200
        assert (await status_of(running, "/v1/chat/completions", key, INSIDE, BODY))[0] == 200


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("admin_allowed_ips", "203.0.113.7", "127.0.0.0/8, 203.0.113.7"),
        ("denied_ips", "127.0.0.0/8", "203.0.113.7"),
    ],
)
async def test_lists_are_changed_while_it_runs_but_for_those_that_lock_out(
    running: Running, name: str, bad: str, good: str
) -> None:
    refused = await running.admin("PATCH", "/config", {"values": {name: bad}}, status=422)
    assert "it would shut out 127.0.0.1" in refused["error"]["message"]
    changed = await running.admin("PATCH", "/config", {"values": {name: good}})
    assert changed["changed"] == [name]
    await running.admin("PATCH", "/config", {"values": {name: "no network"}}, status=422)
    await running.admin("PATCH", "/config", {"values": {name: None}})
