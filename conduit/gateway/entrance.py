"""What every client-facing route needs: the stages, the snapshot in force, the live exchanges.

Settings that can change while the gateway runs are in it: a change makes a new entrance, and the
requests that have come in by the old one keep it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from conduit.gateway.config.snapshot import KeyGrant, Snapshot
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.limits.limiter import Scope
from conduit.gateway.pipeline import Stages
from conduit.gateway.server.addresses import ClientAddresses
from conduit.gateway.server.body import BodyLimits
from conduit.gateway.shedding import Shedder


@dataclass(frozen=True, slots=True)
class Entrance:
    """`counting` are the stages of a call whose tokens are to be counted only.

    `snapshot` gives the configuration in force; a request asks once and keeps the answer.
    `limit_headers` tell how the rate limits of a key stand, and those of further scopes, for what
    has taken nothing of them.
    """

    stages: Stages
    counting: Stages
    live: LiveExchanges
    snapshot: Callable[[], Snapshot]
    addresses: ClientAddresses
    body_limits: BodyLimits
    client_stall_timeout_s: float
    shedder: Shedder
    max_hops: int
    limit_headers: Callable[[KeyGrant, tuple[Scope, ...]], Mapping[str, str]]


class CurrentEntrance:
    """Holds the entrance for the next request, as an application's own keys are frozen at start."""

    __slots__ = ("now",)

    def __init__(self, entrance: Entrance) -> None:
        self.now = entrance
