"""Secrets of a whole gateway: its master key, its sealing key, its providers' credentials."""

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from conduit.core.keys import make_master_key
from conduit.core.settings import SettingsError
from conduit.core.settings_sources import SettingsSource, load
from conduit.gateway.app import open_gateway
from conduit.gateway.config.sealing import SealingKey, SealingKeyError
from conduit.gateway.first_start import ensure_master_key
from conduit.gateway.run import reloading_on_hangup
from tests.e2e.conftest import UPSTREAM_SECRET, Admin, Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

NEXT_SECRET = "Next~secret.of~a~file/0123456789"
PATIENCE_S = 60


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDUIT_HOME", str(folder))
        yield folder


@pytest.fixture
async def stored_key(home: Path) -> str:
    """The master key of a gateway that keeps its own, as `up` leaves one."""
    async with open_gateway(SettingsSource({})) as gateway:
        key = await ensure_master_key(gateway.database)
    assert key is not None
    return key


async def chat(running: Running, key: str, model: str = "fake") -> tuple[int, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
    headers = {"authorization": f"Bearer {key}"}
    url = f"{running.url}/v1/chat/completions"
    async with running.http.post(url, json=body, headers=headers) as response:
        return response.status, await response.json()


async def ready(running: Running) -> tuple[int, Any]:
    async with running.http.get(f"{running.url}/health/ready") as response:
        return response.status, await response.json()


async def status_of(running: Running, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    async with running.http.get(f"{running.url}/admin/whoami", headers=headers) as response:
        return response.status


# The master key


async def test_a_rotated_master_key_counts_at_once_and_after_a_restart(
    home: Path, stored_key: str
) -> None:
    async with running_gateway(home, master_key=None) as running:
        admin = Admin(running.http, running.url, stored_key)
        rotated = await admin("POST", "/auth/rotate-master", {"grace_s": 3600}, status=200)
        new = rotated["secret"]
        assert [await status_of(running, key) for key in (stored_key, new)] == [200, 200]
    async with running_gateway(home, master_key=None) as running:
        assert [await status_of(running, key) for key in (stored_key, new)] == [200, 200]
        admin = Admin(running.http, running.url, new)
        last = await admin("POST", "/auth/rotate-master", {"grace_s": 0}, status=200)
        keys = (stored_key, new, last["secret"])
        assert [await status_of(running, key) for key in keys] == [401, 401, 200]


async def test_who_listens_with_a_key_that_has_ended_is_sent_away(
    home: Path, stored_key: str
) -> None:
    async with running_gateway(home, master_key=None) as running:
        client, gone = socketio.AsyncClient(reconnection=False), asyncio.Event()
        client.on("disconnect", lambda *_: gone.set(), namespace="/admin")
        await client.connect(running.url, namespaces=["/admin"], auth={"token": stored_key})
        try:
            admin = Admin(running.http, running.url, stored_key)
            await admin("POST", "/auth/rotate-master", {"grace_s": 0}, status=200)
            async with asyncio.timeout(PATIENCE_S):
                await gone.wait()
        finally:
            await client.disconnect()


async def test_a_supplied_master_key_is_not_rotated(home: Path) -> None:
    async with running_gateway(home) as running:
        refused = await running.admin("POST", "/auth/rotate-master", {}, status=409)
        assert "the setting master_key (flag --master-key)" in refused["error"]["message"]


@pytest.mark.parametrize(
    "weak",
    [
        "short",
        "a" * 40,
        "changeme" * 5,
        "Change-Me-change-me-secret-password",
        "0101010101010101010101010101010101",
        "with a space in it, though it is long",
        "schlüssel-schlüssel-schlüssel-schlüssel",
    ],
)
def test_a_weak_master_key_refuses_the_start(weak: str, tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_text(weak)
    with pytest.raises(SettingsError) as raised:
        load({"master_key": weak})
    assert weak not in str(raised.value)
    with pytest.raises(SettingsError) as raised:
        load({"master_key_file": str(path)})[0].supplied_master_key()
    assert weak not in str(raised.value)


@pytest.mark.parametrize(
    "strong",
    [make_master_key(), os.urandom(16).hex(), "Tr0ub4dor&3" * 3],
    ids=["ours", "hexadecimal", "words"],
)
def test_a_master_key_of_ones_own_may_be_any_long_text(strong: str) -> None:
    assert load({"master_key": strong})[0].supplied_master_key() == strong


# The sealing key


@pytest.fixture
async def with_sealed(home: Path, fake: FakeUpstream) -> str:
    """A home in which a credential is sealed; gives a virtual key."""
    async with running_gateway(home) as running:
        await connect_fake(running, fake)
        return await running.key()


@pytest.mark.parametrize("fault", ["missing", "another"])
async def test_without_its_sealing_key_a_gateway_is_sealed_and_can_be_mended(
    home: Path, fake: FakeUpstream, with_sealed: str, fault: str
) -> None:
    path = home / "data" / "sealing.key"
    path.unlink()
    if fault == "another":
        path.touch(mode=0o600)
        path.write_text(SealingKey.of(b"x" * 32).written())
    async with running_gateway(home) as running:
        async with running.http.get(f"{running.url}/health/live") as response:
            assert response.status == 200
        status, body = await ready(running)
        assert (status, body["status"]) == (503, "not_ready")
        assert body["reasons"][0].startswith("sealed: ")
        status, body = await chat(running, with_sealed)
        assert (status, body["error"]["code"]) == (503, "sealed")
        assert fake.requests == []
        headers = {"authorization": f"Bearer {with_sealed}"}
        async with running.http.get(f"{running.url}/v1/models", headers=headers) as response:
            assert response.status == 503
            assert response.headers["x-should-retry"] == "false"
        state = await running.admin("GET", "/status")
        assert any("restore" in warning for warning in state["warnings"])
        if fault == "another":  # there is a key: what is entered again is sealed with it
            change = {"secret": UPSTREAM_SECRET}
            await running.admin("PATCH", "/providers/fake/credentials/default", change)
        else:
            await running.admin("DELETE", "/providers/fake/credentials/default")
        assert (await ready(running))[0] == 200
        await chat(running, with_sealed)
        sent = fake.requests[-1].headers.get("authorization")
        assert sent == (f"Bearer {UPSTREAM_SECRET}" if fault == "another" else None)


async def test_the_right_key_put_back_opens_everything(
    home: Path, fake: FakeUpstream, with_sealed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "data" / "sealing.key"
    monkeypatch.setenv("CONDUIT_SEALING_KEY", path.read_text().strip())
    path.unlink()
    async with running_gateway(home) as running:
        assert (await chat(running, with_sealed))[0] == 200
        shown = {
            row["name"]: row for row in (await running.admin("GET", "/config?limit=100"))["data"]
        }
        assert shown["sealing_key"]["value"] == "***"
    assert not path.exists()


async def test_an_exposed_sealing_key_refuses_the_start(home: Path, with_sealed: str) -> None:
    (home / "data" / "sealing.key").chmod(0o640)
    with pytest.raises(SealingKeyError, match="chmod 600"):
        async with running_gateway(home):
            pass


# Credentials of providers


@pytest.fixture
async def other(fake: FakeUpstream) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        yield upstream


async def test_a_new_host_gets_no_credential_until_it_is_entered_again(
    running: Running, fake: FakeUpstream, other: FakeUpstream
) -> None:
    key = await running.key()
    changed = {"base_url": other.base_url, "allow_private": True}
    provider = await running.admin("PATCH", "/providers/fake", changed)
    assert [each["state"] for each in provider["credentials"]] == ["wrong_host"]
    status, answer = await chat(running, key)
    assert (status, answer["error"]["code"]) == (503, "no_healthy_deployment")
    assert other.requests == []
    change = {"secret": NEXT_SECRET}
    credential = await running.admin("PATCH", "/providers/fake/credentials/default", change)
    assert credential["state"] == "ready"
    assert (await chat(running, key))[0] == 200
    assert other.requests[-1].headers["authorization"] == f"Bearer {NEXT_SECRET}"
    assert fake.requests == []


@pytest.fixture
async def by_file(running: Running, fake: FakeUpstream, tmp_path: Path) -> Path:
    """The file that provider `filed`, behind the alias of its name, has its secret from."""
    path = tmp_path / "secret"
    path.write_text(UPSTREAM_SECRET)
    provider = {
        "name": "filed",
        "type": "openai_compatible",
        "base_url": fake.base_url,
        "allow_private": True,
        "credential": {"file": str(path)},
    }
    await running.admin("POST", "/providers", provider)
    target = {"provider": "filed", "model": "fake"}
    await running.admin("POST", "/mappings", {"alias": "filed", "targets": [target]})
    return path


async def test_a_changed_file_counts_after_a_reload(
    running: Running, fake: FakeUpstream, by_file: Path
) -> None:
    key = await running.key()
    await chat(running, key, "filed")
    by_file.write_text(NEXT_SECRET)
    await chat(running, key, "filed")
    await running.admin("POST", "/config/reload", status=200)
    await chat(running, key, "filed")
    sent = [received.headers["authorization"] for received in fake.requests]
    assert sent == [f"Bearer {UPSTREAM_SECRET}"] * 2 + [f"Bearer {NEXT_SECRET}"]


async def test_a_changed_file_counts_after_a_hangup(
    running: Running, fake: FakeUpstream, by_file: Path
) -> None:
    key = await running.key()
    by_file.write_text(NEXT_SECRET)
    before = running.gateway.configuration.standings
    async with reloading_on_hangup(running.gateway):
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            while running.gateway.configuration.standings is before:
                await asyncio.sleep(0.01)
    await chat(running, key, "filed")
    assert fake.requests[-1].headers["authorization"] == f"Bearer {NEXT_SECRET}"


async def test_a_credential_in_use_is_taken_out_of_whatever_leaves(running: Running) -> None:
    """Another provider's secret, which no list of looks knows, in a place nobody thought of."""
    name = base64.urlsafe_b64encode(os.urandom(24)).decode().strip("-_")
    running.gateway.secrets.hold("test", [name])
    key = await running.key()
    status, body = await chat(running, key, f"{name}")
    assert status == 404
    assert "[redacted]" in body["error"]["message"]
    assert name not in str(body)
    events = await running.admin("GET", "/events?limit=1000")
    assert name not in str(events)
    assert "[redacted]" in str(events)
    headers = {"authorization": f"Bearer {running.master_key}"}
    url = f"{running.url}/admin/keys/{name}"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        assert response.status == 404
        assert name not in await response.text()
