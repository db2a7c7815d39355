"""Twice the load that the slots allow: who is served, who is refused, and that nothing is lost."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests.e2e.processes import GatewayProcess, fake_process, free_port
from tests.soak.test_kill_nine import set_up
from tests.soak.test_outages import nothing_is_missing

SLOTS = 50
ORDINARY = 40
TAKES_MS = 500  # the cap is to be the limit, not the processor
TAKES_S = TAKES_MS / 1000
A_SECOND = ORDINARY / TAKES_S
LEAST_SHARE = 0.8
ADMIN_PATHS = ("/status", "/keys", "/requests?limit=20")


@dataclass(slots=True)
class Answered:
    """What came of a request, and when, in seconds since its round began."""

    at_s: float
    status: int
    code: str | None
    retry_after_s: int | None


@dataclass(slots=True)
class Load:
    """Rounds of one rate. `served` are the answers of whole periods once the slots had filled."""

    times: int
    served: int = 0
    counted_s: float = 0.0
    answers: list[Answered] = field(default_factory=list)
    admin_s: list[float] = field(default_factory=list)
    priority: Counter[int] = field(default_factory=Counter)

    @property
    def goodput(self) -> float:
        """Requests answered with 200, a second."""
        return self.served / self.counted_s

    def told(self) -> str:
        took, total = sorted(self.admin_s), len(self.answers)
        refused = sum(each.status == 503 for each in self.answers)
        return (
            f"{self.times}x: {total} requests, {refused / total:.1%} refused, goodput "
            f"{self.goodput:.1f}/s of {A_SECOND:.0f}/s; admin API, {len(took)} requests: "
            f"p50 {_ms(took, 50)}, p99 {_ms(took, 99)}, slowest {took[-1] * 1000:.1f} ms"
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway with few slots before a provider whose answers all take the same time."""

    gateway: GatewayProcess
    session: aiohttp.ClientSession
    key: str
    priority_key: str

    async def ask(self, key: str, began_s: float) -> Answered:
        async with self.session.post(
            f"{self.gateway.url}/v1/chat/completions",
            json={
                "model": f"fake-delay{TAKES_MS}",
                "messages": [{"role": "user", "content": "hello"}],
                "max_tokens": 64,
            },
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            text = await response.read()
            code = None if response.status == 200 else json.loads(text)["error"]["code"]
            after = response.headers.get("retry-after")
            at_s = time.monotonic() - began_s
            return Answered(at_s, response.status, code, int(after) if after else None)

    async def round(self, load: Load, periods: int) -> None:
        """Ask at an even pace, whatever becomes of those before, and wait for all answers.

        In the first period the slots fill; so many whole ones after it are counted.
        """
        began_s = time.monotonic()
        a_second = load.times * A_SECOND
        asked = []
        for number in range(round((periods + 1) * TAKES_S * a_second)):
            await asyncio.sleep(began_s + number / a_second - time.monotonic())
            asked.append(asyncio.create_task(self.ask(self.key, began_s)))
        answers = await asyncio.gather(*asked)
        load.answers += answers
        load.counted_s += periods * TAKES_S
        load.served += sum(
            each.status == 200 and TAKES_S <= each.at_s < (periods + 1) * TAKES_S
            for each in answers
        )

    async def look(self, load: Load) -> None:
        """Administration, at a steady pace."""
        for path in ADMIN_PATHS:
            began_s = time.monotonic()
            await self.gateway.admin(self.session, "GET", path)
            load.admin_s.append(time.monotonic() - began_s)
            await asyncio.sleep(0.01)

    async def go_first(self, load: Load) -> None:
        """One request after the other, with the key that has priority."""
        answered = await self.ask(self.priority_key, time.monotonic())
        load.priority[answered.status] += 1


@asynccontextmanager
async def repeated(step: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Meanwhile a step is done again and again; what it has begun, it ends."""
    ended = asyncio.Event()

    async def go() -> None:
        while not ended.is_set():
            await step()

    async with asyncio.TaskGroup() as group:
        group.create_task(go())
        yield
        ended.set()


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    environment = {
        "CONDUIT_MAX_IN_FLIGHT": str(SLOTS),
        "CONDUIT_SHED_LOOP_LAG_MS": "0",  # of a machine that others use too
    }
    async with (
        fake_process(folder / "upstream.log") as base_url,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        gateway = GatewayProcess(folder / "home", make_master_key(), free_port(), environment)
        await gateway.start(session)
        try:
            key = await set_up(gateway, session, base_url)
            wanted = {"name": "first", "priority": True}
            first = await gateway.admin(session, "POST", "/keys", wanted)
            yield Scene(gateway, session, key, str(first["secret"]))
        finally:
            await gateway.kill()


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_twice_the_load_is_served_as_much_as_the_slots_allow_and_else_refused(
    tmp_path: Path, soaking: bool
) -> None:
    rounds, periods = (3, 20) if soaking else (1, 4)
    once, twice = Load(1), Load(2)
    async with scene(tmp_path) as under:
        for _ in range(rounds):  # in turn, as the machine is busier at some times than at others
            for load in (once, twice):
                go_first = repeated(partial(under.go_first, load))
                first = go_first if load is twice else nullcontext()
                async with repeated(partial(under.look, load)), first:
                    await under.round(load, periods)
        database = f"sqlite:///{tmp_path / 'home/data/conduit.db'}"
        rows = await nothing_is_missing(under.gateway, tmp_path / "upstream.log", database)
        state = await under.gateway.admin(under.session, "GET", "/status")
    answers = [*once.answers, *twice.answers]
    served = sum(each.status == 200 for each in answers) + twice.priority.total()
    refused = [each for each in answers if each.status != 200]
    print(f"\n{once.told()}\n{twice.told()}\n{rows} rows; priority {dict(twice.priority)}")
    assert twice.goodput >= LEAST_SHARE * once.goodput
    assert {(each.status, each.code) for each in refused} == {(503, "overloaded")}
    assert all(each.retry_after_s and 1 <= each.retry_after_s <= 5 for each in refused)
    assert set(twice.priority) == {200}
    assert state["shedding"]["refused"]["in_flight"] == len(refused)
    assert (state["in_flight"], state["ledger"]["open_holds"]) == (0, 0)
    assert rows == served


def _ms(ordered_s: list[float], percent: int) -> str:
    return f"{ordered_s[len(ordered_s) * percent // 100] * 1000:.1f} ms"
