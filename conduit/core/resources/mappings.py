"""Mappings: what a client calls a model, and who may serve it."""

from typing import Literal

from pydantic import Field, model_validator

from conduit.core.resources.fields import Alias, JsonObject, ModelName, Name, Patch, Resource, Time
from conduit.core.resources.limits import RateLimits, RateLimitView
from conduit.core.resources.providers import Probable, ProbeView

Strategy = Literal[
    "simple",
    "random",
    "round-robin",
    "weighted",
    "least-used",
    "lowest-cost",
    "lowest-latency",
]
_ONE_STAR = r"^(\*|[A-Za-z0-9@][A-Za-z0-9@._:/+-]{0,198}\*?)$"
FallbackCause = Literal["error", "rate_limit", "context_window", "content_filter", "timeout"]


class TargetView(Resource):
    """One provider and model; lower `order` is tried first.

    `capabilities` say what the model can do where the gateway knows it otherwise, or not: by the
    names that models are shown with, true, false or a count, null for "not known".
    """

    provider: Name
    model: ModelName
    order: int = Field(default=0, ge=0, le=1000)
    weight: int = Field(default=1, ge=0, le=1_000_000)
    params: JsonObject = Field(default_factory=dict)
    capabilities: JsonObject = Field(default_factory=dict)


class FallbackView(Resource):
    on: FallbackCause
    alias: Alias


class MappingPolicy(Resource):
    """How requests to an alias are routed, beyond its targets.

    - `sticky`: the same session or user goes to the same target while it is well, for the sake of
      providers' prompt caches.
    - `breakers`: whether targets that fail are left out for a while.
    - `long_context`: what becomes of a prompt that no target has room for: refused, or sent without
      its oldest turns.
    - `cache_ttl_s`, `cache_scope`: for how long whole answers are kept for the same request, and
      whether keys share them; null for not at all.
    - `unknown_price`: what becomes of calls to a target whose price is not known; null leaves it to
      the setting of this name.
    - `stream_idle_s`, `stream_min_tokens_per_s`: when a stream that has begun is given up.
    """

    sticky: Literal["off", "session", "user"] = "off"
    breakers: bool = True
    long_context: Literal["refuse", "drop_oldest"] = "refuse"
    cache_ttl_s: int | None = Field(default=None, ge=1, le=30 * 86_400)
    cache_scope: Literal["key", "shared"] = "key"
    stream_idle_s: float | None = Field(default=None, gt=0, le=3600)
    stream_min_tokens_per_s: float | None = Field(default=None, gt=0, le=100_000)
    unknown_price: Literal["refuse", "free", "default"] | None = None


class NewMapping(Resource):
    """Targets keep the order in which they are given unless `order` says otherwise.

    `limits` are of all calls that ask for the alias together, whoever makes them.
    """

    alias: Alias = Field(json_schema_extra={"pattern": _ONE_STAR, "examples": ["fast", "gpt-*"]})
    strategy: Strategy = "simple"
    targets: list[TargetView] = Field(min_length=1, max_length=64)
    fallbacks: list[FallbackView] = Field(default_factory=list, max_length=16)
    enabled: bool = True
    policy: MappingPolicy = Field(default_factory=MappingPolicy)
    limits: RateLimits = Field(default_factory=list)

    @model_validator(mode="after")
    def _alias_ends_in_at_most_one_star(self) -> "NewMapping":
        if "*" in self.alias[:-1]:
            raise ValueError("only the last character of an alias may be *")
        return self


class MappingView(Resource):
    id: str
    alias: str
    strategy: str
    targets: list[TargetView]
    fallbacks: list[FallbackView]
    enabled: bool
    policy: MappingPolicy
    limits: list[RateLimitView]
    created_at: Time
    updated_at: Time
    version: int


class MappingTestRequest(Resource):
    """`model` is what a client would ask for; needed where the alias ends in `*`."""

    model: ModelName | None = None
    operation: Probable = "chat"


class MappingTest(Resource):
    """How the targets answered, in the order in which they are tried; `ok`: all of them did."""

    ok: bool
    alias: str
    answered: int
    targets: list[ProbeView]


class MappingPatch(Patch):
    """Of `policy` only the fields that are given change; `limits` are all from now on."""

    strategy: Strategy | None = None
    targets: list[TargetView] | None = Field(default=None, min_length=1, max_length=64)
    fallbacks: list[FallbackView] | None = None
    enabled: bool | None = None
    policy: MappingPolicy | None = None
    limits: RateLimits | None = None
    version: int | None = None
