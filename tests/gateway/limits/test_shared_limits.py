"""Limits that are kept in Redis: the same decisions as in one process, over any number of them."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conduit.core.errors import (
    LimiterUnavailableError,
    RateLimitedError,
    TokensExceedLimitError,
)
from conduit.core.limits import KINDS, Limit, LimitKind
from conduit.gateway.limits.counters import SharedPlace
from conduit.gateway.limits.limiter import Counted, Limiter, Permit, Scope, present
from conduit.gateway.limits.meters import Now
from conduit.gateway.limits.shared import SharedLimiter
from conduit.gateway.limits.store import Redis, Store
from tests.e2e.processes import ROOT
from tests.e2e.test_limit_floods import Served, too_few, too_many
from tests.redis_server import SERVER, own_prefix, own_redis

PATIENT_S = 30.0  # for what is not about how long Redis may take
NOON_US = 1_795_953_600_000_000


class Clock:
    """Both clocks of a test, in whole microseconds as Redis counts."""

    def __init__(self) -> None:
        self.us = NOON_US

    def __call__(self) -> Now:
        return Now(self.us * 1000, self.us // 1000)

    def now_us(self) -> int:
        return self.us


async def nothing_yet(of: Scope, since_ms: int, model: str | None) -> Counted:
    return Counted(0, 0)


@pytest.fixture
def prefix() -> Iterator[str]:
    with own_prefix() as found:
        yield found


@asynccontextmanager
async def shared(
    prefix: str, *, url: str = SERVER, timeout_s: float = PATIENT_S, **options: Any
) -> AsyncIterator[SharedLimiter]:
    store = Store(Redis(url), timeout_s=timeout_s)
    books = options.pop("books", nothing_yet)
    clock = options.pop("clock", present)
    limiter = SharedLimiter(store, books, clock=clock, place=SharedPlace(prefix, **options))
    try:
        yield limiter
    finally:
        await limiter.close()


@asynccontextmanager
async def running(limiter: SharedLimiter) -> AsyncIterator[None]:
    """With what it does beside the calls."""
    task = asyncio.create_task(limiter.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


def scope(*limits: Limit, name: str = "key_1") -> Scope:
    return Scope(name, f'the key "{name}"', limits)


async def remaining(limiter: Limiter, of: Scope) -> Mapping[str, int]:
    return {each.limit.kind: each.remaining for each, _ in (await limiter.look(of))[of.id]}


async def served(limiter: Limiter, of: Scope, tokens: int = 0) -> int:
    """How many calls are let by at once."""
    count = 0
    while True:
        try:
            await limiter.take((of,), tokens)
        except RateLimitedError:
            return count
        count += 1


async def test_what_one_gateway_takes_another_one_has_not(prefix: str) -> None:
    own = scope(Limit("rpm", 6), Limit("tpm", 1_000), Limit("rpd", 50), Limit("concurrent", 9))
    async with shared(prefix) as first, shared(prefix) as second:
        permit = await first.take((own,), 400)
        await second.take((own,), 400)
        left = await remaining(first, own)
        assert (left["rpm"], left["rpd"], left["concurrent"]) == (4, 48, 7)
        assert 200 <= left["tpm"] < 300
        with pytest.raises(RateLimitedError, match="1,000 tokens a minute") as refused:
            await first.take((own,), 400)
        assert refused.value.headers["x-ratelimit-limit-tokens"] == "1000"
        assert (await remaining(second, own))["rpd"] == 48  # which the refusal has left alone
        permit.end(100)
        await first.take((own,), 400)
        assert permit.headers()["x-ratelimit-remaining-requests"] == "3"  # as it is by then


async def test_all_scopes_are_taken_or_none(prefix: str) -> None:
    own = scope(Limit("rpm", 60, 2))
    group = Scope("grp_1", 'the group "team"', (Limit("rpm", 60, 1),), "group")
    async with shared(prefix) as limiter:
        await limiter.take((own, group), 0)
        with pytest.raises(RateLimitedError, match='the group "team" may have 60 requests'):
            await limiter.take((own, group), 0)
        assert await remaining(limiter, own) == {"rpm": 1}


async def test_a_refusal_is_remembered_until_there_can_be_room(prefix: str) -> None:
    own = scope(Limit("rpm", 1), Limit("concurrent", 1))
    async with shared(prefix) as limiter, shared(prefix) as other:
        limiter.check((own,))
        (await other.take((own,), 0)).end(0)
        limiter.check((own,))  # it does not know yet
        with pytest.raises(RateLimitedError):
            await limiter.take((own,), 0)
        with pytest.raises(RateLimitedError, match="1 requests a minute"):
            limiter.check((own,))


async def test_a_day_goes_on_from_what_the_books_hold(prefix: str) -> None:
    asked: list[str] = []

    async def books(of: Scope, since_ms: int, model: str | None) -> Counted:
        asked.append(of.id)
        return Counted(2, 70)

    own = scope(Limit("rpd", 4), Limit("tpd", 100))
    async with shared(prefix, books=books) as first, shared(prefix, books=books) as second:
        assert await remaining(first, own) == {"rpd": 2, "tpd": 30}
        asked.clear()
        (await first.take((own,), 20)).end(10)
        assert asked == ["key_1", "key_1"]
        assert await remaining(first, own) == {"rpd": 1, "tpd": 20}
        await second.take((own,), 20)
        assert len(asked) == 2  # Redis knows by now
        with pytest.raises(RateLimitedError, match="a day"):
            await first.take((own,), 1)


async def test_a_slot_of_a_gateway_that_died_is_free_after_its_lease(prefix: str) -> None:
    own, clock = scope(Limit("concurrent", 1)), Clock()
    async with (
        shared(prefix, clock=clock, now_us=clock.now_us) as dead,
        shared(prefix, clock=clock, now_us=clock.now_us) as alive,
    ):
        await dead.take((own,), 0)
        clock.us += 59_999_999
        with pytest.raises(RateLimitedError, match="1 requests at once"):
            await alive.take((own,), 0)
        clock.us += 1
        await alive.take((own,), 0)


async def test_the_lease_of_a_call_that_runs_is_renewed(prefix: str) -> None:
    own = scope(Limit("concurrent", 1))
    async with shared(prefix, lease_s=0.6) as first, shared(prefix) as second, running(first):
        permit = await first.take((own,), 0)
        ends_at = time.monotonic() + 2.0
        while time.monotonic() < ends_at:
            with pytest.raises(RateLimitedError):
                await second.take((own,), 0)
            await asyncio.sleep(0.05)
        permit.end(0)
        await until(lambda: _is_let_by(second, own))


async def _is_let_by(limiter: Limiter, own: Scope) -> bool:
    try:
        (await limiter.take((own,), 0)).end(0)
    except RateLimitedError:
        return False
    return True


async def test_a_caller_that_hangs_up_while_redis_is_asked_keeps_no_slot(prefix: str) -> None:
    own = scope(Limit("concurrent", 1))
    async with shared(prefix) as limiter:
        await limiter.take((scope(name="warm"), scope(Limit("rpm", 9), name="other")), 0)
        asking = asyncio.create_task(limiter.take((own,), 0))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: _is_let_by(limiter, own))


CALLS = st.lists(
    st.tuples(
        st.sampled_from(("take", "take", "take", "end")),
        st.integers(0, 2_000),  # tokens
        st.integers(0, 2_000),  # guessed, or used
        st.one_of(st.just(0), st.integers(0, 90_000_000), st.integers(0, 200_000_000_000)),
    ),
    min_size=1,
    max_size=25,
)


@st.composite
def limits(draw: st.DrawFn) -> tuple[Limit, ...]:
    found = []
    for kind in draw(st.lists(st.sampled_from(KINDS), unique=True, max_size=5)):
        large = draw(st.sampled_from((3, 40, 5_000, 10**12)))
        limit = draw(st.integers(1, large))
        burst = None
        if kind in ("rpm", "tpm"):
            burst = draw(st.one_of(st.none(), st.integers(1, limit)))
        zone = draw(st.sampled_from(("UTC", "Europe/Berlin", "America/New_York")))
        found.append(Limit(kind, limit, burst, shadow=draw(st.booleans()), timezone=zone))
    return tuple(found)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(of_key=limits(), of_group=limits(), calls=CALLS)
def test_redis_decides_as_one_process_does(
    prefix: str, of_key: tuple[Limit, ...], of_group: tuple[Limit, ...], calls: list[Any]
) -> None:
    asyncio.run(_compare(prefix, of_key, of_group, calls))


async def _compare(
    prefix: str, of_key: tuple[Limit, ...], of_group: tuple[Limit, ...], calls: list[Any]
) -> None:
    clock = Clock()
    name = f"{time.monotonic_ns()}"
    scopes = (scope(*of_key, name=f"key_{name}"), Scope(f"grp_{name}", "g", of_group, "group"))
    local = Limiter(nothing_yet, clock=clock)
    async with (
        # The lease is out of the way: one process gives no slot back before a call ends.
        shared(prefix, clock=clock, now_us=clock.now_us, lease_s=10**7) as first,
        shared(prefix, clock=clock, now_us=clock.now_us, lease_s=10**7) as second,
    ):
        open_calls: list[tuple[Permit, Permit]] = []
        for number, (step, tokens, more, gap_us) in enumerate(calls):
            clock.us += gap_us
            if step == "end" and open_calls:
                for permit in open_calls.pop(tokens % len(open_calls)):
                    permit.end(more)
                # Told at this moment, and not at that of the next call.
                await first._counters.send([], [])
                await second._counters.send([], [])
                continue
            limiter = (first, second)[number % 2]
            expected = await _outcome(local, scopes, tokens, more)
            found = await _outcome(limiter, scopes, tokens, more)
            if isinstance(expected, Permit):
                assert isinstance(found, Permit), found
                assert found.headers() == expected.headers()
                open_calls.append((expected, found))
            else:
                assert found == expected
            for each in scopes:
                assert (await limiter.look(each))[each.id] == [
                    (standing, exceeded)
                    for (standing, _), (_, exceeded) in zip(
                        local.standings(each), limiter.standings(each), strict=True
                    )
                ]


async def _outcome(
    limiter: Limiter, scopes: tuple[Scope, ...], tokens: int, guessed: int
) -> Permit | tuple[Any, ...]:
    try:
        return await limiter.take(scopes, tokens, guessed)
    except RateLimitedError as error:
        return error.message, error.retry_after_s, dict(error.headers)
    except TokensExceedLimitError as error:
        return (error.message,)


FLOOD = """
import asyncio, json, sys, time
from conduit.core.errors import RateLimitedError
from conduit.core.limits import Limit
from conduit.gateway.limits.counters import SharedPlace
from conduit.gateway.limits.limiter import Counted, Scope
from conduit.gateway.limits.shared import SharedLimiter
from conduit.gateway.limits.store import Redis, Store

url, prefix, seconds, start = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])

async def nothing(of, since_ms, model):
    return Counted(0, 0)

async def main():
    limiter = SharedLimiter(Store(Redis(url), timeout_s=30), nothing, place=SharedPlace(prefix))
    own = Scope("key_1", "the key", (Limit("rpm", 600, burst=20),))
    allowed, asked = [], 0
    await limiter.look(own)  # connected, and the script loaded
    await asyncio.sleep(max(0.0, start - time.time()))
    room = True
    while time.time() < start + seconds or room:  # until there is none once more
        asked += 1
        sent = time.time()
        try:
            await limiter.take((own,), 0)
        except RateLimitedError:
            room = False
            await asyncio.sleep(0)
        else:
            room = True
            allowed.append((sent, time.time()))
    await limiter.close()
    print(json.dumps({"allowed": allowed, "asked": asked}))

asyncio.run(main())
"""


@pytest.mark.soak
async def test_four_processes_that_flood_one_key_get_what_one_would(
    prefix: str, soaking: bool
) -> None:
    seconds, processes = (10.0 if soaking else 2.0), 4
    start = time.time() + 3.0
    flooding = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", FLOOD, SERVER, prefix, str(seconds), str(start)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(processes)
    ]
    told = [json.loads((await each.communicate())[0]) for each in flooding]
    served = [Served(*moments) for each in told for moments in each["allowed"]]
    missing, over = too_few(served), too_many(served)
    asked = sum(each["asked"] for each in told)
    print(
        f"{processes} processes, {seconds:g} s: allowed {len(served)} of {asked}; "
        f"{missing:.2f} fewer and {over:.2f} more than the ideal"
    )
    assert missing <= 1
    assert over <= 1
    assert asked > len(served)


async def test_while_redis_is_down_each_gateway_serves_its_share(prefix: str) -> None:
    own = scope(Limit("rpm", 600, burst=40), Limit("concurrent", 1_000))
    async with (
        own_redis() as server,
        shared(prefix, url=server.url, timeout_s=1.0) as first,
        shared(prefix, url=server.url, timeout_s=1.0) as second,
        running(first),
        running(second),
    ):
        await until(lambda: _knows_nodes(first, 2))
        await until(lambda: _knows_nodes(second, 2))
        await server.stop()
        permits = [await first.take((own,), 0)]
        counts = [1 + await served(first, own), await served(second, own)]
        assert all(20 <= count <= 22 for count in counts)
        assert first.store.failed > 0
        await server.start()
        await until(lambda: _is_up(first))
        permits[0].end(0)
        # Redis knows of the calls that began without it.
        assert (await remaining(first, own))["rpm"] == 40
        await until(lambda: _runs(first, own, counts[0] + counts[1] - 1))


async def _knows_nodes(limiter: SharedLimiter, nodes: int) -> bool:
    return limiter.alone.nodes == nodes


async def _is_up(limiter: SharedLimiter) -> bool:
    return limiter.store.up and await _answers(limiter)


async def _answers(limiter: SharedLimiter) -> bool:
    failed = limiter.store.failed
    await limiter.look(scope(Limit("rpm", 1), name="probe"))
    return limiter.store.up and limiter.store.failed == failed


async def _runs(limiter: SharedLimiter, own: Scope, count: int) -> bool:
    return (await remaining(limiter, own))["concurrent"] == 1_000 - count


async def test_a_closed_limit_serves_nothing_while_redis_is_down(prefix: str) -> None:
    own = scope(Limit("rpm", 600, on_store_down="closed"))
    shadow = scope(Limit("rpm", 600, shadow=True, on_store_down="closed"), name="key_2")
    async with own_redis() as server, shared(prefix, url=server.url) as limiter:
        await limiter.take((own,), 0)
        await server.stop()
        with pytest.raises(LimiterUnavailableError) as refused:
            await limiter.take((own,), 0)
        assert (refused.value.status, refused.value.code) == (503, "limiter_unavailable")
        assert refused.value.retry_after_s
        await limiter.take((shadow,), 0)
        await server.start()
        await limiter.take((own,), 0)


async def test_what_a_day_used_while_redis_was_down_is_told_to_it(prefix: str) -> None:
    """Redis cannot be reached for a while and has lost nothing."""
    own = scope(Limit("rpd", 100), Limit("tpd", 1_000))
    async with shared(prefix) as limiter, shared(prefix) as other:
        await limiter.take((own,), 100)
        limiter.alone.nodes = 2
        reached = limiter.store._evaluate
        limiter.store._evaluate = _Unreachable()
        permit = await limiter.take((own,), 200)
        assert permit.headers()["x-ratelimit-limit-tokens"] == "550"  # 100 and half of the rest
        await limiter.take((own,), 50)
        permit.end(150)
        limiter.store._evaluate = reached
        await limiter.take((own,), 0)
        await limiter._counters.send([], [])
        assert await remaining(other, own) == {"rpd": 96, "tpd": 700}


class _Unreachable:
    async def __call__(self, keys: Any, ask: bytes) -> Any:
        raise OSError("no route to host")

    async def close(self) -> None: ...


async def test_redis_is_left_alone_for_a_while_after_five_failures() -> None:
    changes: list[bool] = []
    now = 0.0
    asked = 0

    class Counting(_Unreachable):
        async def __call__(self, keys: Any, ask: bytes) -> Any:
            nonlocal asked
            asked += 1
            return await super().__call__(keys, ask)

    store = Store(Counting(), changed=changes.append, clock=lambda: now)
    limiter = SharedLimiter(store, nothing_yet)
    own = scope(Limit("rpm", 600))
    for _ in range(9):
        await limiter.take((own,), 0)
    assert (asked, store.up, changes) == (5, False, [False])
    now = 5.0
    await asyncio.gather(*(limiter.take((own,), 0) for _ in range(9)))
    assert asked == 6  # one of them finds out for all
    with own_prefix() as prefix:
        async with shared(prefix) as other:
            store._evaluate = other.store._evaluate
            now = 10.0
            await limiter.take((own,), 0)
            assert (store.up, changes) == (True, [False, True])


async def test_redis_that_does_not_answer_in_time_is_not_waited_for() -> None:
    class Silent(_Unreachable):
        async def __call__(self, keys: Any, ask: bytes) -> Any:
            await asyncio.Event().wait()

    store = Store(Silent())
    await SharedLimiter(store, nothing_yet).take((scope(Limit("rpm", 6)),), 0)
    assert store.failed == 1
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_share_of_a_limit_is_a_part_of_it(kind: LimitKind) -> None:
    limiter = SharedLimiter(Store(_Unreachable()), nothing_yet)
    limiter.alone.nodes = 3
    assert await served(limiter, scope(Limit(kind, 8)), 1) == 2
    least = 0 if kind in ("rpd", "tpd") else 1  # nothing comes back of a day
    assert await served(limiter, scope(Limit(kind, 1), name="key_2"), 1) == least


async def test_a_call_larger_than_the_share_waits_until_all_of_that_is_free() -> None:
    limiter = SharedLimiter(Store(_Unreachable()), nothing_yet)
    limiter.alone.nodes = 3
    large = scope(Limit("tpm", 90))
    await limiter.take((large,), 80)
    with pytest.raises(RateLimitedError) as refused:
        await limiter.take((large,), 80)
    assert refused.value.retry_after_s == pytest.approx(160, abs=1)


async def test_limits_of_one_kind_for_different_models_have_counters_of_their_own(
    prefix: str,
) -> None:
    every, one = Limit("rpm", 3), Limit("rpm", 1, model="gpt-4o")
    daily = Limit("rpd", 2, model="gpt-*")
    asked: list[str | None] = []

    async def books(of: Scope, since_ms: int, model: str | None) -> Counted:
        asked.append(model)
        return Counted(1, 0)

    async with shared(prefix, books=books) as first, shared(prefix, books=books) as second:
        (await first.take((scope(every, one, daily),), 0)).end(0)
        assert asked == ["gpt-*"]  # of which one is in the books already
        with pytest.raises(RateLimitedError, match="for the model gpt-4o"):
            await second.take((scope(every, one),), 0)
        with pytest.raises(RateLimitedError, match=r"2 requests a day for the model gpt-\*"):
            await second.take((scope(every, daily),), 0)
        for _ in range(2):
            (await second.take((scope(every),), 0)).end(0)
        with pytest.raises(RateLimitedError, match="3 requests a minute;"):
            await first.take((scope(every),), 0)
