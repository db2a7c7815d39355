"""One of three providers dies under load, and all of them: who notices, and for how long."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conduit.gateway.health.breaker import BreakerState
from conduit.gateway.system import machine
from tests.conftest import SOAKING
from tests.e2e.conftest import UPSTREAM_CLIENTS, Running, running_gateway
from tests.fakes.toxic import ToxicProxy
from tests.fakes.upstream import FakeUpstream

NAMES = ("first", "second", "third")
A_SECOND = 50
OPEN_S = 2.0
# Of what `make test` runs with one of them, the matrix of faults shows that both do the same.
every_client = pytest.mark.parametrize(
    "client", UPSTREAM_CLIENTS if SOAKING else UPSTREAM_CLIENTS[:1]
)


@dataclass(slots=True)
class Fleet:
    """Three providers of one alias behind proxies, and what clients got."""

    running: Running
    upstreams: list[FakeUpstream]
    proxies: list[ToxicProxy]
    key: str
    answers: Counter[int] = field(default_factory=Counter)
    asked: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self) -> None:
        async with self.running.http.post(
            f"{self.running.url}/v1/chat/completions",
            json={"model": "fleet", "messages": [{"role": "user", "content": "hello"}]},
            headers={"authorization": f"Bearer {self.key}"},
        ) as response:
            await response.read()
            self.answers[response.status] += 1

    async def load(self, seconds: float) -> None:
        """`A_SECOND` new requests a second, whatever becomes of those before."""
        for _ in range(int(seconds * A_SECOND)):
            task = asyncio.create_task(self.ask())
            self.asked.add(task)
            task.add_done_callback(self.asked.discard)
            await asyncio.sleep(1 / A_SECOND)

    async def done(self) -> None:
        while self.asked:
            await asyncio.gather(*self.asked)

    @property
    def calls(self) -> int:
        """Connections that reached a proxy or were refused cannot be told: attempts can."""
        return sum(each.calls for each in self.running.gateway.health.deployments())

    def state(self, name: str) -> BreakerState:
        health = self.running.gateway.health
        found = next(each for each in health.deployments() if each.credential.provider == name)
        return found.breaker.state(health.clock())


@asynccontextmanager
async def fleet(folder: Path, strategy: str, client: str) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FakeUpstream()) for _ in NAMES]
        proxies = [
            await stack.enter_async_context(ToxicProxy(("127.0.0.1", upstream.port)))
            for upstream in upstreams
        ]
        running = await stack.enter_async_context(
            running_gateway(
                folder, breaker_open_s=OPEN_S, probe_interval_s=1.0, upstream_client=client
            )
        )
        for name, upstream, proxy in zip(NAMES, upstreams, proxies, strict=True):
            provider = {
                "name": name,
                "type": "openai_compatible",
                "base_url": proxy.instead_of(upstream.base_url),
                "credential": {"secret": f"sk-{name}-credential"},
            }
            await running.admin("POST", "/providers", provider)
            await running.admin("PUT", f"/prices/{name}/*", {"input": "1", "output": "2"})
        targets = [{"provider": name, "model": "fake"} for name in NAMES]
        mapping = {"alias": "fleet", "strategy": strategy, "targets": targets}
        await running.admin("POST", "/mappings", mapping)
        yield Fleet(running, upstreams, proxies, await running.key("load"))


@pytest.mark.soak
@pytest.mark.timeout(300)
@every_client
async def test_one_of_three_providers_dies_under_load_and_comes_back(
    tmp_path: Path, soaking: bool, client: str
) -> None:
    dead_s = 60 if soaking else 4
    async with fleet(tmp_path / "home", "round-robin", client) as under:
        await under.load(2)
        await under.proxies[0].down()
        under.proxies[0].reset()
        await under.load(dead_s)
        assert under.state("first") is not BreakerState.CLOSED
        seen = len(under.upstreams[0].requests)
        await under.proxies[0].up()
        restored = time.monotonic()
        while under.state("first") is not BreakerState.CLOSED:
            await under.load(0.1)
            assert time.monotonic() < restored + 60
        back_s = time.monotonic() - restored
        await under.done()
        assert len(under.upstreams[0].requests) > seen
        total = under.answers.total()
        succeeded = under.answers[200] / total
        ratio = under.calls / total
        print(
            f"\n{dead_s} s dead under {A_SECOND}/s: {total} requests, {succeeded:.4%} succeeded, "
            f"{ratio:.3f} upstream calls for each, closed again after {back_s:.1f} s"
        )
        assert succeeded >= 0.999
        assert ratio <= 1.2
        await under.running.ledger_holds()


@pytest.mark.soak
@pytest.mark.timeout(300)
@every_client
async def test_all_down_is_refused_at_once_without_a_queue(
    tmp_path: Path, soaking: bool, client: str
) -> None:
    async with fleet(tmp_path / "home", "simple", client) as under:
        for proxy in under.proxies:
            await proxy.down()
        health = under.running.gateway.health
        while not health.deployments() or any(
            each.breaker.state(health.clock()) is BreakerState.CLOSED
            for each in health.deployments()
        ):
            await under.ask()
        for deployment in health.deployments():
            health.open_breaker(deployment, 60.0)  # no probe may come between
        refused_before = under.answers[503]
        calls = under.calls
        took = []
        resident = machine.resident_bytes()
        for _ in range(2_000 if soaking else 100):
            began = time.monotonic()
            await under.ask()
            took.append(time.monotonic() - began)
        took.sort()
        grown = (machine.resident_bytes() or 0) - (resident or 0)
        print(
            f"\nall down: {len(took)} answers, memory {grown / 1e6:+.1f} MB, "
            f"p50 {took[len(took) // 2] * 1000:.1f} ms, "
            f"p99 {took[len(took) * 99 // 100] * 1000:.1f} ms, slowest {took[-1] * 1000:.1f} ms"
        )
        assert under.answers[503] - refused_before == len(took)
        assert under.calls == calls
        assert took[len(took) // 2] < 0.05
        assert grown < 16e6
        assert len(under.running.gateway.live) == 0
        assert sum(each.waiters for each in health.deployments()) == 0
        async with under.running.http.post(
            f"{under.running.url}/v1/chat/completions",
            json={"model": "fleet", "messages": [{"role": "user", "content": "hello"}]},
            headers={"authorization": f"Bearer {under.key}"},
        ) as response:
            answer = await response.json()
            assert int(response.headers["retry-after"]) >= 1
        assert answer["error"]["code"] == "no_healthy_deployment"
        await under.running.ledger_holds()
