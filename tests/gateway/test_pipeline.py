"""The order of the steps, with plain functions in their places."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from conduit.core.errors import (
    AuthenticationError,
    InsufficientQuotaError,
    OverloadedError,
    UpstreamFailure,
)
from conduit.gateway.cache.terms import Caching
from conduit.gateway.config.snapshot import KeyGrant
from conduit.gateway.exchange import Attempt, Candidate, Exchange, Relay
from conduit.gateway.pipeline import Stages, run
from conduit.gateway.provider import Operation
from tests.gateway.exchanges import RATES, grant, snapshot, upstream


class Silent:
    """A relay that nobody listens to."""

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None: ...
    async def start(self, headers: Mapping[str, str]) -> None: ...
    async def write(self, data: bytes) -> None: ...
    def push(self, data: bytes) -> bool:
        return False


class Steps:
    """Stages that note their names; the step named `fails` raises."""

    def __init__(self, fails: str = "", error: Exception | None = None) -> None:
        self.seen: list[str] = []
        self._fails = fails
        self._error = error or UpstreamFailure("no")
        self.bearer = "condt_…"
        self.path = "/v1/chat/completions"
        self.headers: Mapping[str, str] = {}

    def step(self, name: str) -> None:
        self.seen.append(name)
        if name == self._fails:
            raise self._error

    async def body(self) -> bytes:
        self.step("body")
        return b""

    async def authenticate(self, bearer: str | None, address: str | None) -> KeyGrant:
        self.step("authenticate")
        return grant()

    async def limit(self, exchange: Exchange) -> None:
        self.step("limit")

    async def replay(self, exchange: Exchange, relay: Relay) -> Relay | None:
        self.step("replay")
        return None if exchange.idempotency_key == "known" else relay

    async def recall(self, exchange: Exchange, relay: Relay) -> bool:
        self.step("recall")
        return True

    async def next_attempt(self, exchange: Exchange) -> Attempt | None:
        if "settle" in self.seen:
            return None
        return Attempt(Candidate(upstream(), "m", {}, RATES), 1)

    async def hold(self, exchange: Exchange, attempt: Attempt) -> None:
        self.step("hold")

    @contextmanager
    def settled(self, exchange: Exchange, attempt: Attempt) -> Iterator[None]:
        try:
            yield
        finally:
            self.step("settle")

    async def call(self, exchange: Exchange, attempt: Attempt, relay: Relay) -> None:
        self.step("call")

    @contextmanager
    def recorded(self, exchange: Exchange) -> Iterator[None]:
        try:
            yield
        finally:
            self.step("record")

    def stages(self) -> Stages:
        return Stages(
            authenticate=self.authenticate,
            shed=lambda exchange: self.step("shed"),
            admit=lambda exchange: self.step("admit"),
            decode=lambda exchange, body: self.step("decode"),
            resolve=lambda exchange: self.step("resolve"),
            replay=self.replay,
            limit=self.limit,
            recall=self.recall,
            next_attempt=self.next_attempt,
            hold=self.hold,
            settled=self.settled,
            call=self.call,
            recorded=self.recorded,
        )


async def go(steps: Steps) -> None:
    await run(steps.stages(), Exchange(Operation.CHAT, snapshot([])), steps, Silent())


async def test_the_key_and_its_budget_come_before_the_body_and_the_hold_before_the_call() -> None:
    steps = Steps()
    await go(steps)
    assert steps.seen == [
        "authenticate",
        "admit",
        "body",
        "decode",
        "resolve",
        "hold",
        "call",
        "settle",
        "record",
    ]


async def test_what_is_answered_from_the_cache_holds_and_sends_nothing() -> None:
    steps, exchange = Steps(), Exchange(Operation.CHAT, snapshot([]))
    exchange.caching = Caching("fast", 60, shared=False, origin=b"")
    await run(steps.stages(), exchange, steps, Silent())
    assert steps.seen == ["authenticate", "admit", "body", "decode", "resolve", "recall", "record"]


async def test_what_was_replied_under_its_idempotency_key_needs_no_route() -> None:
    steps = Steps()
    known = Exchange(Operation.CHAT, snapshot([]), idempotency_key="known")
    await run(steps.stages(), known, steps, Silent())
    assert steps.seen == ["authenticate", "admit", "body", "decode", "replay", "record"]
    steps = Steps()
    new = Exchange(Operation.CHAT, snapshot([]), idempotency_key="new")
    await run(steps.stages(), new, steps, Silent())
    assert steps.seen[3:6] == ["decode", "replay", "resolve"]
    assert steps.seen[-3:] == ["call", "settle", "record"]


async def test_a_wrong_key_leaves_no_record_and_its_body_unread() -> None:
    steps = Steps("authenticate", AuthenticationError("no"))
    with pytest.raises(AuthenticationError):
        await go(steps)
    assert steps.seen == ["authenticate"]


async def test_what_came_to_a_crowded_gateway_may_be_shed_without_a_record_or_its_body() -> None:
    crowded = Exchange(Operation.CHAT, snapshot([]), crowded=True)
    steps = Steps("shed", OverloadedError("no"))
    with pytest.raises(OverloadedError):
        await run(steps.stages(), crowded, steps, Silent())
    assert steps.seen == ["authenticate", "shed"]
    steps = Steps()
    await run(steps.stages(), crowded, steps, Silent())
    assert steps.seen[:4] == ["authenticate", "shed", "admit", "body"]


@pytest.mark.parametrize("step", ["admit", "body", "decode", "resolve", "hold", "call"])
async def test_whatever_fails_is_recorded(step: str) -> None:
    steps = Steps(step)
    with pytest.raises(UpstreamFailure):
        await go(steps)
    assert steps.seen[-1] == "record"
    assert ("settle" in steps.seen) is (step in ("hold", "call"))


async def test_a_refused_hold_sends_nothing() -> None:
    steps = Steps("hold", InsufficientQuotaError("spent"))
    with pytest.raises(InsufficientQuotaError):
        await go(steps)
    assert "call" not in steps.seen
