"""What the gateway itself asks of models is in the books, as every call is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.health.breaker import BreakerState
from conduit.gateway.health.deployments import Deployment
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

WITHIN_S = 30


@asynccontextmanager
async def left_out(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[tuple[Running, Deployment]]:
    """A gateway that asks models, once a call has opened the breaker of the fake's."""
    rules = {"breaker_failures": 1, "max_attempts": 1, "breaker_open_s": 3600.0}
    rules |= {"breaker_open_most_s": 86_400.0, "probe_interval_s": 0.05, "probe_calls": True}
    async with running_gateway(tmp_path / "home", **rules) as running:
        await connect_fake(running, fake)
        async with running.http.post(
            f"{running.url}/v1/chat/completions",
            json={"model": "fake", "messages": [{"role": "user", "content": "hello"}]},
            headers={"authorization": f"Bearer {await running.key()}"},
        ) as response:
            assert response.status == 502
        (deployment,) = running.gateway.health.deployments()
        yield running, deployment


async def probed(running: Running, model: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The view of a probe, its record, and its one attempt."""
    view = await running.admin("POST", "/providers/fake/probe", {"model": model}, status=200)
    record = await running.last_record()
    (attempt,) = await running.attempts(record["id"])
    return view, record, attempt


@pytest.mark.parametrize(
    ("model", "outcome", "is_charged"),
    [
        ("fake-in12-out34", "succeeded", True),
        ("fake-status500", "refused", False),
        ("fake-reset_before_head", "ambiguous", True),
        ("fake-unparsable", "ambiguous", True),
    ],
)
async def test_a_probe_is_held_settled_and_recorded(
    running: Running, fake: FakeUpstream, model: str, outcome: str, is_charged: bool
) -> None:
    view, record, attempt = await probed(running, model)
    assert view["ok"] is (outcome == "succeeded")
    assert (record["key"], record["alias"]) == ("system", f"fake/{model}")
    assert (attempt["outcome"], float(attempt["cost"]) > 0) == (outcome, is_charged)
    assert float(attempt["hold"]) > 0
    if outcome == "succeeded":
        assert record["cost"] == view["cost"] == attempt["billed"]
    assert len(fake.requests) == 1
    await running.ledger_holds()


async def test_a_gateway_that_has_spent_its_budget_probes_nothing(
    running: Running, fake: FakeUpstream
) -> None:
    made = {"scope": {"kind": "gateway"}, "limit": "0.000001", "mode": "hard"}
    await running.admin("POST", "/budgets", made)
    view = await running.admin("POST", "/providers/fake/probe", {"model": "fake"}, status=200)
    assert not view["ok"]
    assert "budget" in view["error"]
    assert fake.requests == []


async def test_a_model_that_is_left_out_is_asked_and_comes_back_once_it_answers(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    fake.default = Behaviour(status=500)  # its list of models is there all the same
    async with left_out(tmp_path, fake) as (running, deployment):
        health = running.gateway.health
        async with asyncio.timeout(WITHIN_S):
            while not str(deployment.last_error).startswith("probe:"):
                await asyncio.sleep(0.01)
        assert deployment.breaker.state(health.clock()) is BreakerState.OPEN
        fake.default = None
        async with asyncio.timeout(WITHIN_S):
            while deployment.breaker.state(health.clock()) is not BreakerState.HALF_OPEN:
                await asyncio.sleep(0.01)
        record = await running.last_record()
        assert (record["key"], record["outcome"]) == ("system", "succeeded")
        assert fake.requests[-1].json["max_tokens"] == 16
        await running.ledger_holds()


async def test_a_probe_holds_what_the_target_asks_for_in_all(
    running: Running, fake: FakeUpstream
) -> None:
    holds: list[float] = []
    for params in ({}, {"n": 4}):
        target = {"provider": "fake", "model": "fake-status500", "params": params}
        mapping = {"alias": f"asked-{len(holds)}", "targets": [target]}
        await running.admin("POST", "/mappings", mapping)
        await running.admin("POST", f"/mappings/{mapping['alias']}/test", {}, status=200)
        record = await running.last_record()
        (attempt,) = await running.attempts(record["id"])
        holds.append(float(attempt["hold"]))
    assert holds[1] > 1.5 * holds[0] > 0


async def test_a_model_that_does_not_take_the_question_was_reached(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    fake.script(Behaviour(status=500))
    fake.default = Behaviour(status=400)
    async with left_out(tmp_path, fake) as (running, deployment):
        health = running.gateway.health
        async with asyncio.timeout(WITHIN_S):
            while deployment.breaker.state(health.clock()) is not BreakerState.HALF_OPEN:
                await asyncio.sleep(0.01)
