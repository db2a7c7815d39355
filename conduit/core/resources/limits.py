"""What keys are limited in: how much, and from where."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from conduit.core.limits import LARGEST_LIMIT, LimitKind, StoreDown
from conduit.core.networks import normal_network
from conduit.core.resources.fields import ModelPattern, Resource, TimeZone


class RateLimit(Resource):
    """`rpm`, `rpd`: requests, `tpm`, `tpd`: tokens a minute or a day; `concurrent`: at once.

    `burst` is how many may come at once, for a limit a minute; all of them where it is null. A
    `shadow` counts and refuses nothing. A day is one of `timezone`. `on_store_down` is what becomes
    of it while Redis does not answer: each gateway keeps its share of it, or nothing is served.
    Of a `model` only requests for it count: an alias, with `*` for any run of characters.
    """

    kind: LimitKind
    limit: int = Field(ge=1, le=LARGEST_LIMIT)
    burst: int | None = Field(default=None, ge=1, le=LARGEST_LIMIT)
    shadow: bool = False
    timezone: TimeZone = "UTC"
    on_store_down: StoreDown = "degrade"
    model: ModelPattern | None = None

    @model_validator(mode="after")
    def _burst_of_a_minute(self) -> "RateLimit":
        if self.burst is not None:
            if self.kind not in ("rpm", "tpm"):
                raise ValueError("only a limit a minute has a burst")
            if self.burst > self.limit:
                raise ValueError("a burst is at most the limit")
        return self


def _one_of_each(limits: Sequence[RateLimit]) -> Sequence[RateLimit]:
    if len({(limit.kind, limit.model) for limit in limits}) < len(limits):
        raise ValueError("there is one limit of a kind, and one of a kind for a model")
    return limits


RateLimits = Annotated[list[RateLimit], AfterValidator(_one_of_each), Field(max_length=100)]


AllowedIps = Annotated[
    list[Annotated[str, StringConstraints(max_length=64), AfterValidator(normal_network)]],
    Field(max_length=100, examples=[["203.0.113.7", "10.0.0.0/8"]]),
]
"""Networks or addresses that a key, or the keys of a group, may be used from; any where there is
none.
"""


class RateLimitView(RateLimit):
    """`remaining` now; `exceeded` is how often there was no room since the gateway's start."""

    remaining: int
    exceeded: int
