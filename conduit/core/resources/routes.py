"""Why a request goes where it goes."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from conduit.core.resources.fields import Alias, Name, Resource, Usd
from conduit.core.resources.health import DeploymentView
from conduit.core.resources.models import ModelCapabilities

Capability = Literal["vision", "tools", "schema"]
Session = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class RouteQuestion(Resource):
    """A request that is not sent.

    `key` is the virtual key that would send it, `tokens` how long its prompt is, `max_tokens` the
    limit that it sets to its answer, `caps` what it needs, `if_down` which providers are taken as
    down, and `session` what sticky routing would know it by.
    """

    alias: Alias
    operation: Literal["chat", "completion", "embedding", "rerank", "moderation"] = "chat"
    key: Name | None = None
    tokens: int = Field(default=1000, ge=0, le=100_000_000)
    max_tokens: int | None = Field(default=None, ge=1, le=100_000_000)
    caps: list[Capability] = Field(default_factory=list, max_length=16)
    if_down: list[Name] = Field(default_factory=list, max_length=64)
    session: Session | None = None


class RouteSimulation(RouteQuestion):
    n: int = Field(default=10_000, ge=1, le=100_000)


class RouteCandidate(Resource):
    """A target with all that speaks for and against it; `rank` 1 is tried first.

    `score` is its strategy's, the lowest first. `state` is "ready", "left_out" for what could never
    serve the request, or why it takes no call now. `cost` is the most that the request would cost,
    `capabilities` what is known of what the model can do there, null where it is left out.
    """

    provider: str
    model: str
    order: int
    weight: int
    rank: int | None
    score: float | None
    state: str
    reason: str | None
    cost: Usd | None
    deployments: list[DeploymentView]
    capabilities: ModelCapabilities | None = None


class RouteTarget(Resource):
    provider: str
    model: str


class RouteWay(Resource):
    """How an alias is come to: from which one, and on which cause."""

    alias: str
    on: str


class RouteLeg(Resource):
    """The alias that is asked for, or one that the request may fall back to.

    `because` is every way to it, of none for the one asked for. With `by_chance`, chance decides
    which target is `chosen`. `cuts` says that the oldest turns of the prompt would be left out.
    """

    alias: str
    strategy: str
    sticky: str
    because: list[RouteWay]
    chosen: RouteTarget | None
    by_chance: bool
    cuts: bool
    candidates: list[RouteCandidate]


class RouteExplanation(Resource):
    """`chosen` is where the request would go first; null where nothing takes it now.

    `by_chance` says that chance decided it: each request may go elsewhere.
    """

    alias: str
    chosen: RouteTarget | None
    by_chance: bool
    legs: list[RouteLeg]


class RouteShare(Resource):
    provider: str
    model: str
    count: int
    share: float


class RouteDistribution(Resource):
    """How many of `n` requests would go to each target first, all being as it is now.

    `strategy` is of the alias that takes them, which may be one that is fallen back to.
    """

    alias: str
    strategy: str
    n: int
    unserved: int
    shares: list[RouteShare]
