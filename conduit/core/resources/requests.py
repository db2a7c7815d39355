"""Request records and their attempts."""

from typing import Literal

from pydantic import Field

from conduit.core.resources.fields import Resource, Time, Usd

CacheResult = Literal["hit", "miss", "bypass", "replay"]


class AttemptView(Resource):
    """One dispatch to a provider: its hold, its cost, where its usage came from.

    `search_units` are those that a ranking was charged for where it has a price per request, or the
    searches of the web that a chat made.
    `charged` is what it was settled at, `cost` the same after corrections.
    """

    id: str
    provider: str
    model: str
    state: str
    outcome: str | None
    status: int | None
    error_code: str | None
    ambiguous: bool
    hold: Usd
    cost: Usd
    charged: Usd
    billed: Usd
    price_version: str
    usage_source: str
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    held_at: Time
    settled_at: Time | None
    search_units: int | None
    cache_write_1h_tokens: int
    audio_tokens: int
    output_audio_tokens: int
    credential_id: str | None


class RequestView(Resource):
    """`cache` says how the answer stands to those that are kept, null where none are: `replay` is
    one that was given again under its `Idempotency-Key`. `avoided` is what it would have cost, of
    one that was kept. The credential is that of the last attempt. Of `input_tokens` and
    `output_tokens`, all are counted; `cached_tokens`, `cache_write_tokens`, `audio_tokens` and
    `reasoning_tokens` are a part of them, as are `cache_write_1h_tokens` and `output_audio_tokens`
    of these.
    """

    id: str
    at: Time
    operation: str
    stream: bool
    status: int
    outcome: str
    error_code: str | None
    key_id: str | None
    key: str | None
    alias: str | None
    provider: str | None
    model: str | None
    attempts: int
    duration_ms: int
    ttft_ms: int | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usage_source: str
    cost: Usd
    billed: Usd
    tokens_per_s: float | None
    client_ip: str | None
    user_agent: str | None
    cache: CacheResult | None
    avoided: Usd
    session: str | None
    end_user: str | None
    dropped: list[str] | None
    group_id: str | None
    group: str | None
    cache_write_tokens: int
    cache_write_1h_tokens: int
    audio_tokens: int
    output_audio_tokens: int
    client_dialect: str | None
    provider_dialect: str | None
    credential_id: str | None
    credential: str | None


class RoutedCandidate(Resource):
    """A target as it stood when it was ranked; `reason` is why it took no call.

    `state` is "ready", "left_out" for what could not serve the request at all, or why it took no
    call. The lowest `score` is tried first.
    """

    provider: str
    model: str
    score: float | None = None
    state: str = "ready"
    reason: str | None = None


class RoutedLeg(Resource):
    """An alias on the way, its candidates in the order in which they are tried.

    `because` is the cause for which the alias before fell back to it, `sticky` whether the session
    chose among them.
    """

    alias: str
    strategy: str
    candidates: list[RoutedCandidate]
    left_out: list[RoutedCandidate] = Field(default_factory=list)
    because: str | None = None
    sticky: bool = False


class RoutedAttempt(Resource):
    """A call to a target: what the one before failed of, and how long was waited in between."""

    provider: str
    model: str
    credential: str | None = None
    because: str | None = None
    waited_ms: int = 0
    error: str | None = None


class RequestRoute(Resource):
    """Why a request went where it went.

    `trimmed` counts the oldest messages that were left out of a prompt that was too long.
    """

    legs: list[RoutedLeg]
    attempts: list[RoutedAttempt]
    trimmed: int = 0


class RequestDetail(RequestView):
    """`route` is null for a request that was not routed, or is of an earlier release."""

    route: RequestRoute | None
    attempt_list: list[AttemptView]


RunningState = Literal[
    "authenticating", "reading", "holding", "calling", "answering", "draining", "stopping"
]


class RunningRequest(Resource):
    """A request in flight, as far as it has come.

    `input_tokens` is the upper estimate that is held for, `output_tokens` what has come so far,
    as counted on the way.
    """

    id: str
    at: Time
    age_ms: int
    state: RunningState
    operation: str
    stream: bool
    key_id: str | None
    key: str | None
    alias: str | None
    provider: str | None
    model: str | None
    attempts: int
    input_tokens: int
    output_tokens: int
    held: Usd
    ttft_ms: int | None
    client_ip: str | None


class PurgeOrder(Resource):
    """Records of requests that began before this moment are to be deleted, and kept bodies.

    With `bodies_only` the records stay.
    """

    before: Time
    bodies_only: bool = False


class RequestPurge(Resource):
    """How many records were deleted; `more` where the same request would delete others.

    `bodies` is of how many requests the bodies were deleted.
    """

    deleted: int
    bodies: int
    more: bool
