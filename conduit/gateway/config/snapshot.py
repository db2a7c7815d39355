"""What the request path knows of the configuration: one immutable value, swapped whole.

A request takes the snapshot once and keeps it, so that a change of configuration never mixes two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conduit.core.limits import Limit
from conduit.gateway.pricing import Rates
from conduit.gateway.provider import Provider


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential of a provider whose secret has been resolved; `secret` never leaves memory."""

    id: str
    name: str
    secret: str = field(repr=False)
    weight: int = 1
    max_in_flight: int | None = None
    requests_per_minute: int | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class Upstream:
    """A stored provider, ready to be called. `credentials` are those enabled and resolvable.

    `expects_credential` says that some are stored, usable or not: such a provider is not called
    without one, even where its type could be.
    """

    id: str
    name: str
    provider: Provider
    base_url: str
    allow_private: bool
    enabled: bool
    credentials: tuple[Credential, ...]
    expects_credential: bool = False
    drains: bool = False  # an answer is read to its end when its client hangs up
    secrets: tuple[str, ...] = field(init=False, compare=False, repr=False)  # its credentials'

    def __post_init__(self) -> None:
        object.__setattr__(self, "secrets", tuple(each.secret for each in self.credentials))

    @property
    def lacks_credential(self) -> bool:
        """Whether it cannot be called because no credential is usable."""
        wanted = self.expects_credential or self.provider.type.needs_credential
        return wanted and not self.credentials


@dataclass(frozen=True, slots=True)
class Target:
    """One provider and model that a mapping may be served by. Lower `order` first.

    `capabilities` are what an operator says that the model can do, and not.
    """

    provider: str
    model: str
    order: int = 0
    weight: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)
    capabilities: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fallback:
    on: str
    alias: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How requests to an alias are routed; the fields are those of the admin API's mappings."""

    sticky: str = "off"
    breakers: bool = True
    long_context: str = "refuse"
    cache_ttl_s: int | None = None
    cache_scope: str = "key"
    stream_idle_s: float | None = None
    stream_min_tokens_per_s: float | None = None
    unknown_price: str | None = None


@dataclass(frozen=True, slots=True)
class AliasMapping:
    """An alias and its targets."""

    id: str
    alias: str
    strategy: str
    targets: tuple[Target, ...]
    fallbacks: tuple[Fallback, ...]
    created_at_ms: int
    policy: Policy = Policy()
    version: int = 1
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupGrant:
    """What the keys of a group may do at most, whatever each of them may."""

    id: str
    name: str
    enabled: bool
    allowed_models: tuple[str, ...]
    limits: tuple[Limit, ...] = ()
    allowed_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyGrant:
    """What a virtual key may do; found by the digest of the key.

    `log_bodies` None leaves it to the gateway whether the bodies of its requests are kept. With
    `allow_direct` a request may name a provider and its model in the place of an alias. With
    `priority` it is served also while all but the reserved slots are taken. `has_hard_budget` is
    true also where it is the group that has one.
    """

    id: str
    name: str
    enabled: bool
    allowed_models: tuple[str, ...]
    expires_at_ms: int | None
    has_hard_budget: bool = False
    log_bodies: bool | None = None
    allow_direct: bool = False
    limits: tuple[Limit, ...] = ()
    allowed_ips: tuple[str, ...] = ()
    priority: bool = False
    group: GroupGrant | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Providers and mappings by name; `rates`: the operator's prices by (provider, model).

    Another one takes its place at `prices_until_ms`, when a planned price takes effect.
    """

    revision: int
    upstreams: Mapping[str, Upstream]
    mappings: Mapping[str, AliasMapping]
    rates: Mapping[tuple[str, str], Rates]
    prices_until_ms: int | None = None
