"""All limits of a call together: checked first, then taken, and given back at its end."""

from collections.abc import Mapping
from contextlib import suppress
from copy import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from conduit.core.errors import RateLimitedError, TokensExceedLimitError
from conduit.core.limits import Limit
from conduit.gateway.limits.limiter import Counted, Fate, Limiter, Permit, Scope
from conduit.gateway.limits.meters import Now


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> Now:
        return Now(self.ms * 10**6, self.ms)


class Books:
    """What a key has used today, and how often that was asked."""

    def __init__(self, requests: int = 0, tokens: int = 0) -> None:
        self.counted = Counted(requests, tokens)
        self.asked = 0

    async def __call__(self, of: Scope, since_ms: int, model: str | None) -> Counted:
        self.asked += 1
        return self.counted


def scope(*limits: Limit, name: str = "key_1") -> Scope:
    return Scope(name, f'the key "{name}"', limits)


def remaining(limiter: Limiter, of: Scope) -> Mapping[str, int]:
    return {each.limit.kind: each.remaining for each, _ in limiter.standings(of)}


async def test_a_call_that_is_refused_takes_nothing_of_any_limit() -> None:
    limiter, own = Limiter(Books(), clock=Clock()), scope(Limit("rpm", 10), Limit("tpm", 100))
    await limiter.take((own,), 90)
    with pytest.raises(RateLimitedError, match="100 tokens a minute") as refused:
        await limiter.take((own,), 20)
    assert remaining(limiter, own) == {"rpm": 9, "tpm": 10}
    assert refused.value.retry_after_s == pytest.approx(6)
    assert refused.value.headers["x-ratelimit-remaining-tokens"] == "10"
    assert refused.value.should_retry is None
    assert "key_1" in refused.value.message


async def test_the_limit_that_takes_longest_is_the_one_that_is_told() -> None:
    limiter, own = Limiter(Books(), clock=Clock()), scope(Limit("rpm", 60, 1), Limit("rpd", 1))
    await limiter.take((own,), 0)
    with pytest.raises(RateLimitedError, match="1 requests a day"):
        await limiter.take((own,), 0)


async def test_the_limits_of_a_key_and_its_group_are_taken_together_or_not_at_all() -> None:
    limiter, own = Limiter(Books(), clock=Clock()), scope(Limit("rpm", 60, 1))
    group = Scope("grp_1", 'the group "team"', (Limit("rpm", 60, 2), Limit("rpd", 9)), "group")
    permit = await limiter.take((own, group), 0)
    assert permit.headers()["x-ratelimit-remaining-requests"] == "0"  # the key's is the tightest
    with pytest.raises(RateLimitedError, match='the key "key_1"'):
        await limiter.take((own, group), 0)
    assert remaining(limiter, group) == {"rpm": 1, "rpd": 8}
    await limiter.take((scope(Limit("rpm", 60), name="key_2"), group), 0)
    with pytest.raises(RateLimitedError, match='the group "team" may have 60 requests') as refused:
        await limiter.take((scope(Limit("rpm", 60), name="key_2"), group), 0)
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(RateLimitedError, match='the group "team"'):
        limiter.check((scope(name="key_3"), group))


async def test_the_books_are_asked_for_the_scope_whose_day_it_is() -> None:
    asked: list[tuple[str, str]] = []

    async def books(of: Scope, since_ms: int, model: str | None) -> Counted:
        asked.append((of.kind, of.id))
        return Counted(2, 0)

    limiter = Limiter(books, clock=Clock())
    group = Scope("grp_1", 'the group "team"', (Limit("rpd", 3),), "group")
    await limiter.take((scope(Limit("rpd", 9)), group), 0)
    assert asked == [("key", "key_1"), ("group", "grp_1")]
    with pytest.raises(RateLimitedError, match="3 requests a day"):
        await limiter.take((scope(), group), 0)


async def test_a_call_larger_than_a_limit_is_told_that_waiting_is_in_vain() -> None:
    limiter = Limiter(Books(), clock=Clock())
    with pytest.raises(TokensExceedLimitError) as refused:
        await limiter.take((scope(Limit("tpm", 100)),), 101)
    assert (refused.value.status, refused.value.code) == (400, "tokens_exceed_limit")
    with pytest.raises(TokensExceedLimitError, match="50 of them at once"):
        await limiter.take((scope(Limit("tpm", 100, burst=50), name="key_2"),), 60)


async def test_what_is_only_guessed_makes_no_call_too_large() -> None:
    limiter, own = Limiter(Books(), clock=Clock()), scope(Limit("tpm", 100))
    permit = await limiter.take((own,), 40, guessed=1_000)
    assert remaining(limiter, own) == {"tpm": 0}
    permit.end(50)
    assert remaining(limiter, own) == {"tpm": 50}


async def test_what_a_call_used_takes_the_place_of_what_it_took_once() -> None:
    limiter, own = Limiter(Books(), clock=Clock()), scope(Limit("tpm", 100), Limit("concurrent", 1))
    permit = await limiter.take((own,), 80)
    with pytest.raises(RateLimitedError, match="1 requests at once"):
        limiter.check((own,))
    permit.end(30)
    permit.end(30)
    assert remaining(limiter, own) == {"tpm": 70, "concurrent": 1}


async def test_a_shadow_counts_and_refuses_nothing() -> None:
    seen: list[tuple[str, bool]] = []
    limiter = Limiter(
        Books(), clock=Clock(), exceeded=lambda limit, refused: seen.append((limit.kind, refused))
    )
    own = scope(Limit("rpm", 1, shadow=True), Limit("tpm", 10, shadow=True))
    for _ in range(3):
        await limiter.take((own,), 50)
    assert seen == [("tpm", False), ("rpm", False), ("tpm", False), ("rpm", False), ("tpm", False)]
    assert [exceeded for _, exceeded in limiter.standings(own)] == [2, 3]
    # What it would have refused is not counted against what comes after it.
    assert remaining(limiter, own) == {"rpm": 0, "tpm": 10}


async def test_a_look_takes_nothing_and_leaves_days_alone_that_are_not_counted_yet() -> None:
    books = Books(requests=5)
    limiter, own = Limiter(books, clock=Clock()), scope(Limit("rpm", 1), Limit("rpd", 5))
    limiter.check((own,))
    limiter.check((own,))
    assert books.asked == 0
    with pytest.raises(RateLimitedError, match="5 requests a day"):
        await limiter.take((own,), 0)
    with pytest.raises(RateLimitedError, match="5 requests a day"):
        limiter.check((own,))
    assert books.asked == 1


async def test_a_day_goes_on_from_what_the_books_hold() -> None:
    books = Books(requests=2, tokens=70)
    limiter, own = Limiter(books, clock=Clock()), scope(Limit("rpd", 4), Limit("tpd", 100))
    (await limiter.take((own,), 20)).end(10)
    assert remaining(limiter, own) == {"rpd": 1, "tpd": 20}
    assert books.asked == 2


async def test_meters_that_stand_at_nothing_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conduit.gateway.limits.limiter._MOST_IDLE", 10)
    clock = Clock()
    limiter = Limiter(Books(), clock=clock)
    for number in range(100):
        (await limiter.take((scope(Limit("rpm", 60), name=f"key_{number}"),), 0)).end(0)
        clock.ms += 1_100
    assert len(limiter._meters) <= 20


async def test_meters_that_are_forgotten_while_the_books_are_asked_are_counted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("conduit.gateway.limits.limiter._MOST_IDLE", 0)
    own = scope(Limit("concurrent", 1), Limit("rpd", 5), Limit("rpm", 9))

    async def slow_books(of: Scope, since_ms: int, model: str | None) -> Counted:
        limiter.check((scope(Limit("rpm", 1), name="somebody else"),))  # which forgets what is idle
        return Counted(0, 0)

    limiter = Limiter(slow_books, clock=Clock())
    permit = await limiter.take((own,), 0)
    assert remaining(limiter, own) == {"concurrent": 0, "rpd": 4, "rpm": 8}
    permit.end(0)
    assert remaining(limiter, own)["concurrent"] == 1


async def test_a_look_at_an_older_limit_leaves_the_newer_one_in_force() -> None:
    limiter = Limiter(Books(), clock=Clock())
    older, newer = scope(Limit("rpm", 1)), scope(Limit("rpm", 2))
    await limiter.take((newer,), 0)
    assert remaining(limiter, older) == {"rpm": 0}
    await limiter.take((newer,), 0)
    with pytest.raises(RateLimitedError, match="2 requests a minute"):
        limiter.check((newer,))


async def test_a_limit_that_becomes_a_shadow_is_counted_once_from_then_on() -> None:
    limiter = Limiter(Books(), clock=Clock())
    await limiter.take((scope(Limit("rpm", 1)),), 0)
    shadow = scope(Limit("rpm", 1, shadow=True))
    limiter.check((shadow,))
    await limiter.take((shadow,), 0)
    assert [exceeded for _, exceeded in limiter.standings(shadow)] == [1]


async def test_a_shadow_that_becomes_a_limit_refuses_before_anything_is_read() -> None:
    limiter = Limiter(Books(), clock=Clock())
    await limiter.take((scope(Limit("rpm", 1, shadow=True)),), 0)
    with pytest.raises(RateLimitedError):
        limiter.check((scope(Limit("rpm", 1)),))


async def test_what_is_looked_at_is_not_remembered() -> None:
    limiter = Limiter(Books(), clock=Clock())
    for _ in range(10):
        limiter.standings(scope(Limit("rpm", 1)))
    assert not limiter._known


class Machine(RuleBasedStateMachine):
    """Any order of calls, ends and time: slots and tokens are those of the calls that run."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.limiter = Limiter(Books(), clock=self.clock)
        self.own = scope(Limit("concurrent", 3), Limit("tpd", 10_000))
        self.running: list[tuple[Permit, int]] = []
        self.used = 0

    @rule(tokens=st.integers(1, 3_000))
    def take(self, tokens: int) -> None:
        takes = self.limiter.take((self.own,), tokens)
        with suppress(RateLimitedError):
            try:
                takes.send(None)  # the books answer at once
            except StopIteration as ended:
                self.running.append((ended.value, tokens))

    @rule(index=st.integers(0, 9), tokens=st.integers(0, 5_000))
    def end(self, index: int, tokens: int) -> None:
        if self.running:
            permit, _ = self.running.pop(index % len(self.running))
            permit.end(tokens)
            self.used += tokens

    @invariant()
    def every_limit_is_what_runs_and_what_was_used(self) -> None:
        left = remaining(self.limiter, self.own)
        assert left["concurrent"] == 3 - len(self.running) >= 0
        held = sum(tokens for _, tokens in self.running)
        assert left["tpd"] == max(0, 10_000 - self.used - held)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, stateful_step_count=30)


REQUESTS = (Limit("rpm", 6, 3), Limit("rpd", 8), Limit("concurrent", 3))
LOWERED = (Limit("rpm", 4, 2), Limit("rpd", 5), Limit("concurrent", 2))


class Asking(RuleBasedStateMachine):
    """Any order of calls of two keys of a group, ends, refusals, time and changes of limits: what
    has no room is refused before anything is read, and nothing else is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.limiter = Limiter(Books(), clock=self.clock)
        self.running: list[Permit] = []
        self.change(lowered=False, shadow=False)

    @rule(lowered=st.booleans(), shadow=st.booleans())
    def change(self, *, lowered: bool, shadow: bool) -> None:
        limits = LOWERED if lowered else REQUESTS
        group = Scope("grp_1", 'the group "team"', (Limit("rpd", 12, shadow=shadow),), "group")
        self.keys = [(scope(*limits, name=name), group) for name in ("key_1", "key_2")]

    @rule(key=st.integers(0, 1))
    def take(self, key: int) -> None:
        takes = self.limiter.take(self.keys[key], 0)
        with suppress(RateLimitedError):
            try:
                takes.send(None)  # the books answer at once
            except StopIteration as ended:
                self.running.append(ended.value)

    @rule(index=st.integers(0, 9), fate=st.sampled_from(Fate))
    def end(self, index: int, fate: Fate) -> None:
        if self.running:
            self.running.pop(index % len(self.running)).end(0, fate)

    @rule(ms=st.integers(0, 40_000))
    def wait(self, ms: int) -> None:
        self.clock.ms += ms

    @invariant()
    def what_has_no_room_is_refused(self) -> None:
        for scopes in self.keys:
            limits = [(each, limit) for each in scopes for limit in each.limits]
            if all(self.has_room(of, limit) for of, limit in limits if not limit.shadow):
                self.limiter.check(scopes)
            else:
                with pytest.raises(RateLimitedError):
                    self.limiter.check(scopes)

    def has_room(self, of: Scope, limit: Limit) -> bool:
        """Not through the limiter, which would look at its meters anew by that."""
        meter = self.limiter._meters.get((of.id, limit.name))
        if meter is None or not meter.is_known:
            return True
        meter = copy(meter)
        meter.limit = limit
        return not meter.wait_s(1, self.clock())


TestAsking = Asking.TestCase
TestAsking.settings = settings(max_examples=100, stateful_step_count=40)


@pytest.mark.parametrize(
    ("fate", "left"),
    [
        (Fate.SENT, {"rpm": 8, "tpm": 70, "rpd": 8, "tpd": 70, "concurrent": 9}),
        (Fate.KEPT, {"rpm": 8, "tpm": 100, "rpd": 9, "tpd": 100, "concurrent": 9}),
        (Fate.REFUSED, {"rpm": 9, "tpm": 100, "rpd": 9, "tpd": 100, "concurrent": 9}),
    ],
)
async def test_what_a_call_has_used_goes_by_what_became_of_it(
    fate: Fate, left: dict[str, int]
) -> None:
    clock = Clock()
    requests = (Limit("rpm", 9), Limit("rpd", 9), Limit("concurrent", 9))
    own = scope(*requests, Limit("tpm", 100), Limit("tpd", 100))
    limiter = Limiter(Books(), clock=clock)
    permit = await limiter.take((own,), 50)
    assert limiter.standings(own)[0][0].remaining == 8
    permit.end(30 if fate is Fate.SENT else 0, fate)
    permit.end(50)  # nothing more becomes of it
    found = {each.limit.kind: each.remaining for each, _ in limiter.standings(own)}
    assert found == left
