"""How providers are doing, and the breakers before them."""

from typing import Literal

from pydantic import Field

from conduit.core.resources.fields import ModelName, Name, Resource, Time

BreakerName = Literal["closed", "open", "half_open"]


class DeploymentView(Resource):
    """A model at a provider by one credential, as its calls show it.

    `state` is "ready", or why it takes no call: "breaker_open", "throttled", "full", "invalid_key",
    "no_quota", "no_permission"; `until` is when it will again. `cap` is the most calls in flight
    with its credential, of which `in_flight` are here. `recent_calls` and `recent_failures` are of
    the breaker's window, the others since the start.
    """

    provider: str
    model: str
    credential: str
    state: str
    reason: str | None
    until: Time | None
    breaker: BreakerName
    opened_in_a_row: int
    in_flight: int
    cap: int | None
    calls: int
    failures: int
    recent_calls: int
    recent_failures: int
    ttft_ms: int | None
    tokens_per_s: float | None
    last_error: str | None
    last_error_at: Time | None


class HealthSummary(Resource):
    """`status` is "ok", "degraded" where some targets take no calls, or "down" where an alias has
    none that does. `retries` are in flight, `waiting` those that wait for a target at its limits.
    """

    status: Literal["ok", "degraded", "down"]
    deployments: int
    ready: int
    by_state: dict[str, int]
    in_flight: int
    retries: int
    waiting: int
    aliases_down: list[str]


class HealthChange(Resource):
    """A breaker that opened or closed, or a credential that was left out or taken back."""

    at: Time
    provider: str
    model: str | None
    credential: str
    before: str
    after: str
    reason: str | None
    until: Time | None


class BreakerOrder(Resource):
    """Which targets are meant: all of a provider, or those of one model or credential."""

    provider: Name
    model: ModelName | None = None
    credential: Name | None = None


class BreakerOpening(BreakerOrder):
    """How long no call goes there, in seconds."""

    for_s: float = Field(default=600.0, gt=0, le=30 * 86_400)
