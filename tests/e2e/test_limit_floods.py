"""As many requests as can come for some seconds: what is served is what the limit allows.

Over real sockets, by one gateway that counts in its memory and by two that count in one Redis.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import SOAKING
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.e2e.test_rate_limits import ask
from tests.fakes.upstream import FakeUpstream
from tests.redis_server import be_patient, own_redis

LIMITS = "rpm=600,burst=20"  # ten a second
BURST, A_SECOND = 20, 10
CLIENTS = 16
SECONDS = 10.0 if SOAKING else 2.0


class Served(NamedTuple):
    """Monotonic seconds: the limiter decided between these two moments."""

    sent: float
    answered: float


@pytest.fixture(params=["memory", "redis"])
async def gateways(
    request: pytest.FixtureRequest, tmp_path: Path, fake: FakeUpstream
) -> AsyncIterator[list[Running]]:
    """With the limit that all requests share; who shares a Redis shares that."""
    async with AsyncExitStack() as stack:
        names, settings = ["one"], {}
        if request.param == "redis":
            server = await stack.enter_async_context(own_redis())
            names, settings = ["one", "two"], {"redis_url": server.url}
        found = []
        for name in names:
            gateway = running_gateway(tmp_path / name, rate_limits=LIMITS, **settings)
            running = await stack.enter_async_context(gateway)
            await connect_fake(running, fake)
            be_patient(running.gateway.limiter)
            found.append(running)
        yield found


def failures(gateways: list[Running]) -> list[int]:
    """How often each has not been answered by Redis."""
    return [running.gateway.limiter.state().failures for running in gateways]


@pytest.mark.soak
async def test_a_flood_gets_what_the_limit_allows(
    gateways: list[Running], fake: FakeUpstream
) -> None:
    """Give or take one of the ideal, which is all that a bucket has room for that is never full.

    A decision lies between the moment at which a request was sent and that of its answer, so that
    the ideal is known as exactly as these two are apart.
    """
    keys = [await running.key("flood") for running in gateways]
    failed_before = failures(gateways)
    served: list[Served] = []
    answers: Counter[int] = Counter()
    end = time.monotonic() + SECONDS

    async def knock(number: int) -> None:
        running, key = gateways[number % len(gateways)], keys[number % len(gateways)]
        status = 0
        # Until there has been no room for more than the last of each, and is none once more.
        while time.monotonic() < end or answers[429] <= CLIENTS or status != 429:
            sent = time.monotonic()
            status, _, _ = await ask(running, key)
            answers[status] += 1
            if status == 200:
                served.append(Served(sent, time.monotonic()))

    await asyncio.gather(*(knock(number) for number in range(CLIENTS)))
    assert set(answers) == {200, 429}
    assert failures(gateways) == failed_before
    assert len(fake.requests) == answers[200] == len(served)
    missing, over = too_few(served), too_many(served)
    print(
        f"\n{len(gateways)} gateways, {SECONDS:g} s: served {answers[200]}, refused "
        f"{answers[429]}; {missing:.2f} fewer and {over:.2f} more than the ideal"
    )
    assert missing <= 1
    assert over <= 1


def too_many(served: list[Served]) -> float:
    """By how many the limit was passed, in that span of time where it was by most."""
    return max(
        sum(first.sent <= each.sent and each.answered <= last.answered for each in served)
        - (BURST + (last.answered - first.sent) * A_SECOND)
        for first in served
        for last in served
        if first.sent <= last.sent
    )


def too_few(served: list[Served]) -> float:
    """How many more could have been served since the bucket was last empty.

    A machine that stands still after the first request empties it once more, so that when this
    was is not known: it is the moment by which the fewest are missing.
    """
    last_sent = max(each.sent for each in served)
    return min(
        BURST
        + (last_sent - first.answered) * A_SECOND
        - sum(first.sent <= each.answered for each in served)
        for first in served
    )
