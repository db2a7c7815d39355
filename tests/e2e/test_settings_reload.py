"""Settings that change while the gateway runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream


def write_settings(folder: Path, **settings: object) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "gateway.toml").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
async def settled(home: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    """A gateway whose settings come from a file that the test may rewrite."""
    write_settings(home, body_limit_bytes=1024, port=5000)
    async with running_gateway(home) as running:
        await connect_fake(running, fake)
        yield running


async def large_call(running: Running, key: str) -> int:
    body = {"model": "fake", "messages": [{"role": "user", "content": "x" * 2000}]}
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        await response.read()
        return response.status


async def test_the_next_request_sees_a_changed_setting(settled: Running, home: Path) -> None:
    key = await settled.key()
    assert await large_call(settled, key) == 413
    write_settings(home, body_limit_bytes=10_000, port=5000)
    answer = await settled.admin("POST", "/config/reload", status=200)
    assert answer == {"changed": ["body_limit_bytes"], "restart_needed": [], "workers": 1}
    assert await large_call(settled, key) == 200
    shown = {row["name"]: row for row in (await settled.admin("GET", "/config?limit=1000"))["data"]}
    assert shown["body_limit_bytes"]["value"] == 10_000
    assert shown["body_limit_bytes"]["origin"].startswith("file ")


async def test_settings_that_are_wrong_change_nothing(settled: Running, home: Path) -> None:
    write_settings(home, body_limit_bytes=10_000, max_attempts="many")
    answer = await settled.admin("POST", "/config/reload", status=422)
    assert "max_attempts" in answer["error"]["message"]
    assert answer["error"]["param"] == "max_attempts"
    assert await large_call(settled, await settled.key()) == 413


async def test_what_counts_at_the_start_waits_for_a_restart(settled: Running, home: Path) -> None:
    write_settings(home, body_limit_bytes=1024, port=6000)
    answer = await settled.admin("POST", "/config/reload", status=200)
    assert answer == {"changed": [], "restart_needed": ["port"], "workers": 1}
    shown = {row["name"]: row for row in (await settled.admin("GET", "/config?limit=1000"))["data"]}
    assert shown["port"]["value"] == 5000


async def test_a_stream_runs_on_through_a_change(
    settled: Running, home: Path, fake: FakeUpstream
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=4, gate=gate))
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}], "stream": True}
    async with settled.http.post(
        f"{settled.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {await settled.key()}"},
    ) as response:
        await response.content.readany()
        write_settings(home, body_limit_bytes=2048, port=5000)
        await settled.admin("POST", "/config/reload", status=200)
        gate.set()
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")
    await settled.ledger_holds()
