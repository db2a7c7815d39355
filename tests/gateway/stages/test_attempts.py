"""What follows a failure, and what does not."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from conduit.core.errors import (
    ConduitError,
    InvalidRequestError,
    NoTargetError,
    UnsupportedParameterError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from conduit.gateway.config.snapshot import AliasMapping, Credential, Fallback, Target
from conduit.gateway.exchange import Assumed, Attempt, Candidate, Decision, Exchange
from conduit.gateway.health.deployments import Effect
from conduit.gateway.health.registry import Health
from conduit.gateway.ledger.entries import AttemptOutcome
from conduit.gateway.stages.attempts import Attempts
from conduit.gateway.stages.retries import RetryRules
from conduit.gateway.stages.settle import observe
from tests.gateway.exchanges import RATES, exchange, snapshot, upstream


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class World:
    """Attempts over candidates that do as they are told, without anything being sent."""

    def __init__(
        self, *models: str, credentials: tuple[Credential, ...] = (), **rules: Any
    ) -> None:
        self.clock = Clock()
        self.health = Health(clock=self.clock, draw=lambda: 0.5)
        self.aliases: dict[str, Decision] = {}
        self.credentials = credentials
        self.add("fast", *models)
        self.attempts = Attempts(
            RetryRules(**rules),
            self.health,
            lambda exchange, alias: self.aliases.get(alias),
            lambda exchange, candidate: None,
            sleep=self.clock.sleep,
            draw=lambda: 0.5,
        )
        self.seen: list[Attempt] = []

    def add(self, alias: str, *models: str, fallbacks: tuple[Fallback, ...] = ()) -> None:
        targets = tuple(Target(model, model) for model in models)
        mapping = AliasMapping(f"map_{alias}", alias, "simple", targets, fallbacks, 0)
        candidates = tuple(
            Candidate(upstream(model, credentials=self.credentials), model, {}, RATES)
            for model in models
        )
        self.aliases[alias] = Decision(alias, candidates, (), mapping)

    def asked(self) -> Exchange:
        made = exchange(snapshot([]))
        made.decision = self.aliases["fast"]
        return made

    async def run(
        self, *errors: ConduitError | None, made: Exchange | None = None, **failing: Any
    ) -> list[str]:
        """Models in the order tried, each attempt failing with its error."""
        waiting = list(errors)
        made = self.asked() if made is None else made
        tried = []
        while (attempt := await self.attempts(made)) is not None:
            assert attempt.deployment is not None
            begun = self.health.begin(
                attempt.deployment, attempt.credential, is_retry=attempt.is_retry
            )
            made.attempts.append(attempt)
            self.seen.append(attempt)
            tried.append(attempt.candidate.model)
            end(attempt, waiting.pop(0), **failing)
            observe(self.health, made, attempt, begun)
        return tried


def end(
    attempt: Attempt,
    error: ConduitError | None,
    outcome: AttemptOutcome = AttemptOutcome.REFUSED,
    assumed: Assumed = Assumed.NOTHING,
) -> None:
    if error is None:
        attempt.outcome = AttemptOutcome.SUCCEEDED
    else:
        attempt.failed(error, outcome, assumed)


@pytest.mark.parametrize(
    "kind", [UpstreamFailure, UpstreamAuthError, UpstreamRateLimitedError, UpstreamTimeoutError]
)
async def test_a_failure_of_the_provider_moves_on_at_once(kind: type[UpstreamFailure]) -> None:
    world = World("a", "b", "c")
    assert await world.run(kind("no"), None) == ["a", "b"]
    assert world.clock.slept == []


@pytest.mark.parametrize("kind", [UpstreamRejectedError, InvalidRequestError])
async def test_a_request_that_is_wrong_is_final(kind: type[ConduitError]) -> None:
    with pytest.raises(kind):
        await World("a", "b").run(kind("no"), None)


async def test_what_one_format_cannot_say_another_one_may() -> None:
    assert await World("a", "b").run(UnsupportedParameterError("no"), None) == ["a", "b"]


async def test_the_last_error_is_raised_and_says_that_a_retry_is_no_use() -> None:
    with pytest.raises(UpstreamFailure, match="third") as caught:
        await World("a", "b", "c").run(*map(UpstreamFailure, ("first", "second", "third")))
    assert caught.value.should_retry is False


async def test_a_rate_limit_may_be_tried_again_by_the_client() -> None:
    errors = map(UpstreamRateLimitedError, ("first", "second", "third"))
    with pytest.raises(UpstreamRateLimitedError) as caught:
        await World("a", "b", "c").run(*errors)
    assert caught.value.should_retry is None


async def test_a_rate_limit_without_a_time_gets_that_of_the_pause_that_it_makes() -> None:
    world = World("a", "b")
    errors = map(UpstreamRateLimitedError, ("first", "second", "third"))
    with pytest.raises(UpstreamRateLimitedError) as caught:
        await world.run(*errors)
    # The first target has met it once, and the second one, asked again after a second, twice.
    assert caught.value.retry_after_s == pytest.approx(1.0, abs=0.01)


async def test_who_has_waited_for_all_that_there_was_need_not_ask_again() -> None:
    world = World("a", "b")
    made = world.asked()
    made.ends_at = made.began + 0.5
    with pytest.raises(UpstreamTimeoutError) as caught:
        await world.run(UpstreamTimeoutError("late"), made=made)
    assert caught.value.should_retry is False


async def test_an_error_that_says_when_to_come_again_is_not_said_to_be_final() -> None:
    with pytest.raises(UpstreamFailure) as caught:
        await World("a").run(UpstreamFailure("busy", retry_after_s=30))
    assert (caught.value.should_retry, caught.value.retry_after_s) == (None, 30)


async def test_no_more_is_tried_than_the_limit() -> None:
    world = World("a", "b", "c", max_attempts=2)
    with pytest.raises(UpstreamFailure, match="second"):
        await world.run(UpstreamFailure("first"), UpstreamFailure("second"), None)
    assert len(world.seen) == 2


async def test_nothing_follows_once_a_byte_has_left() -> None:
    world = World("a", "b")
    made = world.asked()
    attempt = await world.attempts(made)
    assert attempt is not None
    attempt.answering = True
    attempt.failed(UpstreamFailure("cut"), AttemptOutcome.CUT, Assumed.COUNTED)
    assert await world.attempts(made) is None


async def test_a_call_that_may_be_running_still_is_repeated_once_only() -> None:
    world = World("a", "b", "c")
    reset = [UpstreamFailure("reset") for _ in range(3)]
    with pytest.raises(UpstreamFailure):
        await world.run(*reset, outcome=AttemptOutcome.AMBIGUOUS, assumed=Assumed.HOLD)
    assert len(world.seen) == 2


async def test_a_field_that_we_added_is_left_out_at_the_same_target() -> None:
    world = World("a", "b")
    made = world.asked()
    first = await world.attempts(made)
    assert first is not None
    made.attempts.append(first)
    first.ask_again = True
    first.failed(UpstreamRejectedError("no"), AttemptOutcome.REFUSED, Assumed.NOTHING)
    second = await world.attempts(made)
    assert second is not None
    assert second.candidate.model == "a"


async def test_a_single_target_is_tried_again_after_a_random_pause_that_doubles() -> None:
    world = World("a")
    assert await world.run(UpstreamFailure("1"), UpstreamFailure("2"), None) == ["a", "a", "a"]
    assert world.clock.slept == [0.125, 0.25]


async def test_a_rate_limit_is_waited_for_where_nothing_else_is_left() -> None:
    world = World("a")
    assert await world.run(UpstreamRateLimitedError("x", retry_after_s=4), None) == ["a", "a"]
    assert world.clock.slept == [pytest.approx(4.0, abs=0.01)]


async def test_a_rate_limit_that_lasts_too_long_is_passed_on_with_its_time() -> None:
    world = World("a")
    with pytest.raises(UpstreamRateLimitedError) as caught:
        await world.run(UpstreamRateLimitedError("x", retry_after_s=11), None)
    assert caught.value.retry_after_s == 11
    assert world.clock.slept == []


async def test_who_comes_after_a_rate_limit_waits_a_little_or_is_told_when() -> None:
    world = World("a")
    with pytest.raises(UpstreamRateLimitedError):
        await world.run(UpstreamRateLimitedError("x", retry_after_s=11))
    with pytest.raises(UpstreamRateLimitedError, match="at its limit") as caught:
        await world.run(None)
    assert caught.value.retry_after_s == pytest.approx(11)
    world.clock.now += 10
    assert await world.run(None) == ["a"]
    assert world.clock.slept == [pytest.approx(1.0)]
    assert world.seen[-1].after_s == pytest.approx(1.0)


async def test_the_queue_of_those_who_wait_is_bounded() -> None:
    world = World("a", queue_length=0)
    with pytest.raises(UpstreamRateLimitedError):
        await world.run(UpstreamRateLimitedError("x", retry_after_s=11))
    world.clock.now += 10
    with pytest.raises(UpstreamRateLimitedError):
        await world.run(None)


async def test_a_refused_credential_is_out_and_another_one_is_used() -> None:
    pair = (Credential("c1", "first", "s1"), Credential("c2", "spare", "s2", position=1))
    world = World("a", "b", credentials=pair)
    assert await world.run(UpstreamAuthError("401"), None) == ["a", "a"]
    assert [each.credential.name for each in world.seen if each.credential] == ["first", "spare"]
    assert await world.run(None) == ["a"]  # the refused one is left out from now on
    assert world.seen[-1].credential is pair[1]


async def test_where_all_credentials_are_refused_nothing_is_sent() -> None:
    world = World("a")
    with pytest.raises(UpstreamAuthError):
        await world.run(UpstreamAuthError("401"))
    with pytest.raises(UpstreamAuthError, match="takes the gateway's credential"):
        await world.run(None)
    world.clock.now += 10.1
    assert await world.run(None) == ["a"]  # tried again after a while, and taken back


def open_breakers(world: World, *models: str) -> None:
    for deployment in world.health.deployments():
        if deployment.model in models:
            world.health.open_breaker(deployment, 30.0)


async def test_all_open_is_refused_at_once_with_the_time_of_the_next_probe() -> None:
    world = World("a", "b")
    assert await world.run(UpstreamFailure("x"), None) == ["a", "b"]
    open_breakers(world, "a", "b")
    with pytest.raises(NoTargetError) as caught:
        await world.run(None)
    assert (caught.value.status, caught.value.code) == (503, "no_healthy_deployment")
    assert caught.value.retry_after_s == pytest.approx(30)
    assert world.clock.slept == []


async def test_an_open_breaker_is_passed_over() -> None:
    world = World("a", "b")
    await world.run(None)
    open_breakers(world, "a")
    assert await world.run(None) == ["b"]


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        ("error", UpstreamFailure("500")),
        ("timeout", UpstreamTimeoutError("slow")),
        ("rate_limit", UpstreamRateLimitedError("429")),
        ("context_window", UpstreamRejectedError("no", code="context_length_exceeded")),
        ("context_window", UpstreamRejectedError("prompt is too long: 9 tokens > 8 maximum")),
        ("content_filter", UpstreamRejectedError("no", code="content_filter")),
    ],
)
async def test_each_cause_has_its_own_fallback(cause: str, error: ConduitError) -> None:
    world = World()
    world.add("fast", "a", fallbacks=(Fallback(cause, "other"),))
    world.add("other", "z")
    assert await world.run(error, None) == ["a", "z"]
    assert world.seen[-1].because == cause


async def test_a_fallback_gets_one_of_the_attempts_however_many_targets_fail() -> None:
    world = World()
    world.add("fast", "a", "b", "c", fallbacks=(Fallback("error", "other"),))
    world.add("other", "z")
    assert await world.run(UpstreamFailure("1"), UpstreamFailure("2"), None) == ["a", "b", "z"]


async def test_a_fallback_of_another_cause_is_not_used() -> None:
    world = World()
    world.add("fast", "a", fallbacks=(Fallback("content_filter", "other"),))
    world.add("other", "z")
    with pytest.raises(UpstreamRejectedError):
        await world.run(UpstreamRejectedError("no", code="context_length_exceeded"), None)


async def test_fallbacks_go_on_from_alias_to_alias() -> None:
    world = World()
    world.add("fast", "a", fallbacks=(Fallback("error", "second"),))
    world.add("second", "b", fallbacks=(Fallback("error", "third"),))
    world.add("third", "c")
    assert await world.run(UpstreamFailure("1"), UpstreamFailure("2"), None) == ["a", "b", "c"]


async def test_retries_in_flight_keep_within_their_budget() -> None:
    world = World("a", "b", budget_floor=1)
    held = world.asked()
    attempt = await world.attempts(held)
    assert attempt is not None
    assert attempt.deployment is not None
    world.health.begin(attempt.deployment, None, is_retry=True)  # one is in flight already
    with pytest.raises(UpstreamFailure):
        await world.run(UpstreamFailure("x"), None)
    assert len(world.seen) == 1


async def test_how_much_time_an_attempt_needs_is_a_setting() -> None:
    world = World("a", "b", shortest_s=0.1)
    made = world.asked()
    made.ends_at = made.began + 0.5
    assert await world.run(UpstreamFailure("x"), None, made=made) == ["a", "b"]


async def test_nothing_is_begun_with_less_than_a_second_left() -> None:
    world = World("a", "b")
    made = world.asked()
    made.ends_at = made.began + 0.5
    with pytest.raises(UpstreamFailure):
        await world.run(UpstreamFailure("x"), None, made=made)
    assert len(world.seen) == 1


@pytest.mark.parametrize("cap", [Credential("c", "c", "s", max_in_flight=1)])
async def test_a_full_credential_lets_the_next_one_in_when_a_call_ends(cap: Credential) -> None:
    world = World("a", credentials=(cap,))
    first = await world.attempts(world.asked())
    assert first is not None
    assert first.deployment is not None
    begun = world.health.begin(first.deployment, cap, is_retry=False)

    waiting = asyncio.ensure_future(world.attempts(world.asked()))
    while not first.deployment.credential.waiting:
        await asyncio.sleep(0)
    assert not waiting.done()
    end(first, None)
    observe(world.health, world.asked(), first, begun)
    second = await waiting
    assert second is not None
    assert first.deployment.credential.in_flight == 0


async def test_a_fallback_from_an_open_breaker_is_no_retry_and_takes_all_the_load() -> None:
    world = World()
    world.add("fast", "a", fallbacks=(Fallback("error", "other"),))
    world.add("other", "z")
    await world.attempts(world.asked())
    open_breakers(world, "a")
    for _ in range(20):  # which stay in flight
        made = world.asked()
        attempt = await world.attempts(made)
        assert attempt is not None
        assert attempt.deployment is not None
        assert (attempt.candidate.model, attempt.because) == ("z", "error")
        assert not attempt.is_retry
        world.health.begin(attempt.deployment, None, is_retry=attempt.is_retry)


async def test_an_answer_after_two_calls_that_may_be_running_is_not_to_be_asked_for_again() -> None:
    world = World("a", "b", "c")
    reset = [UpstreamFailure("reset") for _ in range(3)]
    with pytest.raises(UpstreamFailure) as caught:
        await world.run(*reset, outcome=AttemptOutcome.AMBIGUOUS, assumed=Assumed.HOLD)
    assert caught.value.should_retry is False


async def test_the_wait_is_for_the_credential_that_is_full_whichever_it_is() -> None:
    bad = Credential("bad", "bad", "s1", max_in_flight=1)
    full = Credential("full", "full", "s2", max_in_flight=1)
    world = World("a", credentials=(bad, full))
    upstream_of_a = world.aliases["fast"].candidates[0].upstream
    refused = world.health.of(upstream_of_a, bad, "a")
    world.health.end(
        world.health.begin(refused, bad, is_retry=False), Effect.INVALID_KEY, error="401"
    )
    busy = world.health.begin(world.health.of(upstream_of_a, full, "a"), full, is_retry=False)
    waiting = asyncio.ensure_future(world.attempts(world.asked()))
    while not busy.deployment.credential.waiting:
        await asyncio.sleep(0)
    world.health.end(busy, Effect.WELL)
    attempt = await waiting
    assert attempt is not None
    assert attempt.credential is full


async def test_turns_are_counted_by_mapping_not_by_what_clients_ask_for() -> None:
    world = World("a", "b")
    mapping = AliasMapping("m", "any*", "round-robin", (), (), 0)
    for number in range(50):
        made = world.asked()
        made.decision = replace(world.aliases["fast"], alias=f"any{number}", mapping=mapping)
        await world.attempts(made)
    assert world.attempts.rotation.upcoming(world.aliases["fast"]) == 0
    decision = Decision("any", (), (), mapping)
    assert world.attempts.rotation.upcoming(decision) == 50
