"""What an operator is told by a running gateway, once, whatever is restarted."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

WITHIN_S = 30.0
MODEL = "fake-in12-out100"  # an answer costs 212,000 nano-dollars


async def ask(running: Running, key: str, model: str = MODEL) -> int:
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={
            "model": model,
            "messages": [{"role": "user", "content": "x"}],
            "max_tokens": 100,
        },
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        await response.read()
        return response.status


async def told(running: Running, count: int) -> list[dict[str, Any]]:
    """All notifications, the newest first, once there are so many."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            rows: list[dict[str, Any]] = (await running.admin("GET", "/notifications?state=all"))[
                "data"
            ]
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.02)


async def raised(running: Running) -> list[str]:
    """The ids in the events, which follow what is stored."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            events = await running.admin("GET", "/events?kinds=notification.raised")
            if found := [event["data"]["id"] for event in events["data"]]:
                return found
            await asyncio.sleep(0.02)


def thresholds(rows: list[dict[str, Any]]) -> list[int]:
    return [row["details"]["threshold_percent"] for row in rows]


async def test_a_budget_raises_notifications_that_a_restart_does_not_repeat(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    home = tmp_path / "home"
    async with running_gateway(home) as running:
        await connect_fake(running, fake)
        key = await running.key("poor", budget={"limit": "0.000424"})  # affords two
        assert await ask(running, key) == 200
        (first,) = await told(running, 1)
        assert first["message"].startswith('key "poor" has reached 50 % of its budget')
        assert await raised(running) == [first["id"]]
    async with running_gateway(home) as running:
        await running.gateway.notifications.look()
        assert await told(running, 1) == [first]
        budgets = (await running.admin("GET", "/budgets"))["data"]
        await running.admin("PATCH", f"/budgets/{budgets[0]['id']}", {"limit": "0.00021"})
        assert thresholds(await told(running, 4)) == [100, 90, 75, 50]
    async with running_gateway(home) as running:
        await running.gateway.notifications.look()
        assert thresholds(await told(running, 4)) == [100, 90, 75, 50]


async def test_what_was_spent_last_is_told_of_before_the_end(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    home = tmp_path / "home"
    async with running_gateway(home) as running:
        await connect_fake(running, fake)
        key = await running.key("poor", budget={"limit": "0.0003", "mode": "soft"})
        assert await ask(running, key) == 200
        assert await ask(running, key) == 200
    async with running_gateway(home) as running:
        assert thresholds(await told(running, 4)) == [100, 90, 75, 50]


async def test_a_refused_credential_and_an_expiring_key_are_told_of(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    home = tmp_path / "home"
    soon = datetime.now(UTC) + timedelta(hours=5)
    async with running_gateway(home, max_attempts=1) as running:
        await connect_fake(running, fake)
        key = await running.key("brief", expires_at=soon.isoformat())
        assert await ask(running, key, "fake-status401") >= 400
        (row,) = await told(running, 1)
        assert row["kind"] == "credential_failed"
        assert row["subject"] == {"kind": "credential", "id": "fake/default", "name": "default"}
        await running.admin("POST", f"/notifications/{row['id']}/acknowledge", status=200)
    async with running_gateway(home) as running:
        expiring, failed = await told(running, 2)
        assert (expiring["kind"], expiring["subject"]["name"]) == ("key_expiring", "brief")
        assert failed["acknowledged_by"] == "master key"
        answer = await running.admin("POST", "/notifications/acknowledge", status=200)
        assert answer == {"acknowledged": 1}
        await running.gateway.notifications.look_at_keys()
        assert (await running.admin("GET", "/notifications"))["data"] == []
