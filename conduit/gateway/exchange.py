"""All that is known of one request on its way through the pipeline.

What is made for every request is a msgspec struct: it is made in a fifth of a dataclass's time.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

import msgspec

from conduit.core.errors import ConduitError
from conduit.core.ids import new_id, now_ms
from conduit.gateway.bodies.gathering import GatheredCall
from conduit.gateway.cache.answers import Recall
from conduit.gateway.cache.terms import Caching
from conduit.gateway.capabilities import Capabilities, capabilities_of
from conduit.gateway.config.snapshot import (
    AliasMapping,
    Credential,
    KeyGrant,
    Policy,
    Snapshot,
    Upstream,
)
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.bridges.protocol import AnswerStream
from conduit.gateway.dialects.chat_call import ReadCall
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.prompt import Prompt
from conduit.gateway.dialects.target import EncodedRequest
from conduit.gateway.health.deployments import Deployment
from conduit.gateway.health.registry import Blocked
from conduit.gateway.health.registry import Call as HealthCall
from conduit.gateway.ledger.entries import AttemptOutcome, Hold, UsageSource
from conduit.gateway.limits.limiter import Permit, Scope
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.cost import Bound
from conduit.gateway.provider import Operation, Quirks

if TYPE_CHECKING:  # it knows the database, which a translation offline has no use for
    from conduit.gateway.idempotency.turns import Turn

CLIENT_GONE_STATUS = 499
"""The status recorded for a caller that left before its answer; never sent."""


_NO_POLICY: Final = Policy()


class Incoming(Protocol):
    """A client's request as the pipeline sees it: the head at once, the body on demand."""

    @property
    def bearer(self) -> str | None: ...

    @property
    def path(self) -> str:
        """Without its query."""
        ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def body(self) -> bytes: ...


class Relay(Protocol):
    """The way back to the client. Writing raises ClientGone once nobody reads any more."""

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Give a whole answer."""
        ...

    async def start(self, headers: Mapping[str, str]) -> None:
        """Begin a stream of events."""
        ...

    async def write(self, data: bytes) -> None: ...

    def push(self, data: bytes) -> bool:
        """Write without waiting; False where that cannot be: nothing was written then."""
        ...


class ClientGone(Exception):
    """The caller hung up, or takes no bytes any more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that may serve the request, with its provider and prices at this moment.

    `overrides` are the operator's words on what the model can do. `quirks` are the provider's, as
    they are for this model.
    """

    upstream: Upstream
    model: str
    params: Mapping[str, Any]
    rates: Rates
    overrides: Mapping[str, Any] = field(default_factory=dict)
    order: int = 0
    weight: int = 1
    name: str = field(init=False, compare=False, repr=False)
    bound: Bound = field(init=False, compare=False, repr=False)
    can: Capabilities = field(init=False, compare=False, repr=False)
    quirks: Quirks = field(init=False, compare=False, repr=False)
    places: "Places" = field(default_factory=lambda: Places(), compare=False, repr=False)

    def __post_init__(self) -> None:
        kind = self.upstream.provider.type
        can = capabilities_of(kind, self.model, self.rates, self.overrides)
        quirks = replace(kind.quirks, schema=False) if can.schema is False else kind.quirks
        object.__setattr__(self, "name", f"{self.upstream.name}/{self.model}")
        object.__setattr__(self, "bound", Bound(self.rates))
        object.__setattr__(self, "can", can)
        object.__setattr__(self, "quirks", quirks)


class Place(NamedTuple):
    """Where a call to a candidate goes out: the deployment, with the credential that it is by."""

    deployment: Deployment
    credential: Credential | None


class Places:
    """The places of a candidate, as far as they have been looked up; `token` is of what knew them.

    A candidate lives as long as its snapshot, and so it is looked up once and not for each request.
    """

    __slots__ = ("found", "token", "traced", "traced_alone", "traced_around")

    def __init__(self) -> None:
        # A trace that is always the same, and pieces of one, see routing/trace.py.
        self.traced_alone: str | None = None
        self.traced: str | None = None
        self.traced_around: tuple[str, str] | None = None
        self.token: object = None
        self.found: list[Place] = []


@dataclass(frozen=True, slots=True)
class WhyNot:
    """A target that was left out, and the reason an operator reads."""

    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What routing made of an alias: candidates in order, and why others are not among them.

    `caching` is how answers of the alias are kept, None where they are not. `refusal` is what a
    client is told that asks for it, where no candidate can do what the request needs.
    """

    alias: str
    candidates: tuple[Candidate, ...]
    why_nots: tuple[WhyNot, ...]
    mapping: AliasMapping | None = None
    caching: Caching | None = None
    scopes: tuple[Scope, ...] = ()  # of the mapping and the gateway, where they have rate limits
    refusal: ConduitError | None = None
    too_long: bool = False  # no candidate has room for the prompt, and another alias may have
    smallest_window: int | None = field(init=False, compare=False)  # in tokens, of those known
    policy: Policy = field(init=False, compare=False)
    strategy: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        mapping = self.mapping
        object.__setattr__(self, "policy", _NO_POLICY if mapping is None else mapping.policy)
        object.__setattr__(self, "strategy", "simple" if mapping is None else mapping.strategy)
        windows = [each.can.context_tokens for each in self.candidates]
        smallest = min((each for each in windows if each is not None), default=None)
        object.__setattr__(self, "smallest_window", smallest)


class Ranked(msgspec.Struct, eq=False):
    """A candidate in the order in which it is tried; `score` is its strategy's, the lowest first.

    `blocked` is why it takes no call at the moment of ranking.
    """

    candidate: Candidate
    score: float = 0.0
    blocked: Blocked | None = None
    usable: list[Place] | None = None  # at the moment of ranking


class Leg(msgspec.Struct, eq=False):
    """One alias on a request's way: the one it asked for, or one that it fell back to.

    `because` is the cause of the fallback.
    """

    decision: Decision
    ranked: list[Ranked]
    because: str | None = None
    session: str | None = None


class Course(msgspec.Struct, eq=False):
    """How far the row of attempts of an exchange has come.

    `waiting` are the candidates that have not been tried, `tried` those that have.
    """

    legs: list[Leg]
    waiting: list[Ranked]
    tried: list[Ranked] = msgspec.field(default_factory=list)
    last: "Attempt | None" = None
    counted: int = 0
    unsure: int = 0
    waited_s: float = 0.0
    passed_over: list[Leg] = msgspec.field(default_factory=list)  # which can do nothing for it


class Assumed(StrEnum):
    """What is taken as spent where no usage tells it."""

    NOTHING = "nothing"  # refused, or never sent
    INPUT = "input"  # the input was read, most likely
    COUNTED = "counted"  # the input, and the output as counted on the way
    HOLD = "hold"  # it may be working still: all that was held


class Attempt(msgspec.Struct, eq=False):
    """One dispatch to a provider: what it holds, how it went, what it cost."""

    candidate: Candidate
    number: int
    credential: Credential | None = None
    deployment: Deployment | None = None
    policy: Policy = _NO_POLICY  # of the alias that it is made for
    because: str | None = None  # why it does not go where the request would have gone first
    is_retry: bool = False  # a call of the same request has gone out before
    after_s: float = 0.0  # for how long it was waited with
    siblings: Sequence[Ranked] = ()
    begun: HealthCall | None = None
    ends_at: float | None = None  # when its client waits no longer, by the monotonic clock
    id: str = msgspec.field(default_factory=partial(new_id, "att"))
    began: float = msgspec.field(default_factory=time.monotonic)
    hold: Hold | None = None
    output_cap: int | None = None
    held_output_tokens: int = 0
    held_requests: int = 1
    can_top_up: bool = False  # a stream without a limit of its own holds block by block
    estimated_input_tokens: int = 0
    sent: bool = False  # some of it may have left: see upstream.Departure
    answering: bool = False  # a byte of its answer has left to the client
    ttft_ms: int | None = None
    status: int | None = None
    outcome: AttemptOutcome | None = None
    usage: Usage | None = None
    usage_source: UsageSource = UsageSource.NONE
    output_tokens: int = 0  # produced so far, as counted on the way
    error: ConduitError | None = None
    assumed: Assumed = Assumed.NOTHING
    ask_again: bool = False  # refused over a field that we added: once more without it
    encoded: EncodedRequest | None = None  # what was sent, and what was left out of it
    streaming_since: float | None = None  # where its speed is watched
    stream: AnswerStream | None = None  # its answer on the way to the client
    complete: bool = False  # all of its answer has come
    drained: bool = False  # read on after its client had hung up, see stages/drain.py
    unread: bool = False  # its client hung up before a byte of its answer had left
    cost_nanodollars: int = 0
    billed_nanodollars: int = 0

    def failed(self, error: ConduitError, outcome: AttemptOutcome, assumed: Assumed) -> None:
        self.error = error
        self.outcome = outcome
        self.assumed = assumed

    @property
    def is_unsure(self) -> bool:
        """Whether the provider may be working on it, and billing it, still."""
        return self.outcome is AttemptOutcome.AMBIGUOUS and self.assumed is Assumed.HOLD


class Exchange(msgspec.Struct, eq=False):
    """One client request from its head to its record."""

    operation: Operation
    snapshot: Snapshot
    id: str = msgspec.field(default_factory=partial(new_id, "req"))
    at_ms: int = msgspec.field(default_factory=now_ms)
    began: float = msgspec.field(default_factory=time.monotonic)
    client_ip: str | None = None
    user_agent: str | None = None
    key: KeyGrant | None = None
    granted_key: KeyGrant = cast(KeyGrant, None)  # the same, there once it is authenticated
    crowded: bool = False  # it came while no slots were free but those that are kept
    read_call: ReadCall | None = None  # how the body is read; OpenAI's own form where it is None
    call: ClientCall = cast(ClientCall, None)  # there once the body has been read
    decision: Decision | None = None
    caching: Caching | None = None  # how its answer is kept, where its alias has it
    scopes: tuple[Scope, ...] = ()  # whose rate limits it is under, beside its key and that's group
    course: Course | None = None
    ends_at: float | None = None  # when the client wants to have its answer, on the clock of began
    session: str | None = None  # by which sticky routing tells one conversation from others
    hops: int = 0  # through how many gateways it has come
    prompt: Prompt | None = None  # how long it is, once somebody has asked
    trimmed: int = 0  # messages left out of a conversation that was too long
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    status: int = 0
    outcome: str = ""
    error: ConduitError | None = None
    stopping: ConduitError | None = None  # why the gateway itself ends this request
    forwarded_headers: Mapping[str, str] = msgspec.field(default_factory=dict)  # to a provider
    incoming: Incoming | None = None
    kept: GatheredCall | None = None  # its bodies, where they are kept
    estimate: tuple[Candidate, int] | None = None  # of the input's tokens, for its limits
    permit: Permit | None = None  # what it has taken of its key's rate limits
    recall: Recall | None = None  # what it has to do with answers that are kept
    idempotency_key: str | None = None  # under which its client has it answered once
    turn: "Turn | None" = None  # its part in that, where there is such a key

    @property
    def last_attempt(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def decoded(self) -> ClientCall | None:
        """The call, None while the body has not been read or where it could not be."""
        return self.call

    def grant(self, key: KeyGrant) -> None:
        """The key of the request has been found good."""
        self.key = self.granted_key = key

    def waits_s(self, most_s: float) -> float:
        """`most_s`, or what is left of the time that the client gave where that is less."""
        if self.ends_at is None:
            return most_s
        return min(most_s, max(self.ends_at - time.monotonic(), 0.0))

    def is_late(self, shortest_s: float) -> bool:
        """Whether too little is left of the time that the client gave to begin an attempt.

        That is less than `shortest_s`, or than half of all that it gave where this is less.
        """
        if self.ends_at is None:
            return False
        least_s = min(shortest_s, (self.ends_at - self.began) / 2)
        return self.ends_at - time.monotonic() < least_s

    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.began) * 1000)
