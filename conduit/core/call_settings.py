"""Settings of the calls to providers: how long they take, what follows a failure, who rests."""

from pydantic import Field
from pydantic_settings import BaseSettings


class CallSettings(BaseSettings):
    """Those of a gateway's settings that say how it deals with its providers."""

    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="Seconds to wait for a connection to a provider."
    )

    upstream_connections: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Most connections to the server of a provider; 0 for any number.",
    )

    pool_timeout_s: float = Field(
        default=2.0,
        gt=0,
        le=60,
        description="Seconds to wait for a free connection where a provider's are all taken.",
    )

    first_event_timeout_s: float = Field(
        default=300.0, gt=0, le=3600, description="Seconds to wait for the beginning of an answer."
    )

    gap_timeout_s: float = Field(
        default=120.0, gt=0, le=3600, description="Seconds that a stream may stay silent."
    )

    total_timeout_s: float = Field(
        default=600.0,
        gt=0,
        le=86400,
        description="Seconds that an answer may take in all when it is not streamed.",
    )

    client_stall_timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds after which a client that takes no bytes is cut off.",
    )

    hang_up_drains: int = Field(
        default=32,
        ge=0,
        le=10_000,
        description="Most answers that are read to their end without a client; see on_hang_up.",
    )

    hang_up_drain_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds that such an answer is read on at most.",
    )

    stream_buffer_bytes: int = Field(
        default=64 * 1024,
        ge=4096,
        le=16 * 1024 * 1024,
        description="Bytes of an answer that are read ahead of a client that reads slowly.",
    )

    max_attempts: int = Field(
        default=3, ge=1, le=10, description="Most dispatches for one request, over all targets."
    )

    shortest_attempt_s: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="No call is begun again with fewer seconds left until its deadline.",
    )

    max_hops: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Gateways that a request may have come through; from so many on it is refused.",
    )

    retry_budget_ratio: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Most retries in flight, as a share of all calls in flight.",
    )

    retry_budget_floor: int = Field(
        default=3, ge=0, le=10_000, description="Retries in flight that are always allowed."
    )

    retry_base_s: float = Field(
        default=0.25,
        ge=0,
        le=60,
        description=(
            "Seconds before the first retry at a target that failed, at most; doubled each time, "
            "a random part of it."
        ),
    )

    retry_cap_s: float = Field(
        default=8.0, ge=0, le=600, description="Longest pause before a retry, in seconds."
    )

    retry_after_most_s: float = Field(
        default=10.0,
        ge=0,
        le=600,
        description="Longest Retry-After of a provider that a request waits for, in seconds.",
    )

    retry_after_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the time left to a request that it waits so at most.",
    )

    throttle_wait_s: float = Field(
        default=2.0,
        ge=0,
        le=60,
        description="Seconds that a request waits at most for targets that are at their limits.",
    )

    throttle_queue: int = Field(
        default=64,
        ge=0,
        le=100_000,
        description="Most requests that wait for one target that is at its limits.",
    )

    throttle_factor: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="Share of a credential's calls in flight that it is left after a rate limit.",
    )

    breakers: bool = Field(
        default=True,
        description="Whether targets and credentials that fail are left out for a while.",
    )

    breaker_failures: int = Field(
        default=5, ge=1, le=10_000, description="Failures in a row that open a target's breaker."
    )

    breaker_ratio: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of failed calls within the window that opens a target's breaker.",
    )

    breaker_pool_ratio: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Most of an alias's targets that are left out for their share of failures.",
    )

    breaker_ratio_calls: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="Fewest calls within the window of which that share is taken.",
    )

    breaker_window_s: int = Field(
        default=30, ge=1, le=3600, description="Seconds of the window of that share."
    )

    breaker_open_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds that a breaker stays open the first time; longer each time in a row.",
    )

    breaker_open_most_s: float = Field(
        default=300.0, gt=0, le=86_400, description="Most seconds that a breaker stays open."
    )

    breaker_jitter: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share by which that time is longer or shorter, at random.",
    )

    breaker_successes: int = Field(
        default=3,
        ge=1,
        le=1_000,
        description="Good probes, one at a time, after which a breaker closes.",
    )

    probe_interval_s: float = Field(
        default=30.0,
        ge=0,
        le=86_400,
        description=(
            "Seconds between questions, which cost nothing, to providers whose breakers are open; "
            "0 asks none."
        ),
    )

    probe_calls: bool = Field(
        default=False,
        description="Whether their models are asked for a few tokens too, which is charged.",
    )

    probe_jitter: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Share by which that time is longer or shorter, at random.",
    )
