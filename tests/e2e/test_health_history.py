"""What became of providers, as an operator sees it after a restart."""

from pathlib import Path
from typing import Any

from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

TARGET = {"provider": "fake", "model": "fake-status503"}
HISTORY = "/health/history"


async def changes(running: Running, query: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await running.admin("GET", HISTORY + query))["data"]
    return rows


async def ask(running: Running, key: str, model: str) -> int:
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "x"}]},
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        await response.read()
        return response.status


async def test_the_history_outlives_a_restart(tmp_path: Path, fake: FakeUpstream) -> None:
    home = tmp_path / "home"
    async with running_gateway(home, breaker_failures=1, max_attempts=1) as running:
        await connect_fake(running, fake)
        key = await running.key()
        assert await ask(running, key, "fake-status503") >= 500
        await running.admin("POST", "/breakers/close", TARGET, status=200)
        before = await changes(running)
        assert [row["after"] for row in before] == ["closed", "open"]
    async with running_gateway(home, breaker_failures=1, max_attempts=1) as running:
        assert running.gateway.health_history.waiting == 0
        assert await changes(running) == before
        assert await ask(running, key, "fake-status503") >= 500
        newest, *rest = await changes(running)
        assert (newest["model"], newest["after"], rest) == ("fake-status503", "open", before)
        assert await changes(running, "?provider=other") == []
