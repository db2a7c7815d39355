"""What a running gateway tells of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conduit.core.limits import Limit
from conduit.gateway.ledger.entries import Finding
from conduit.gateway.limits.limiter import LimiterState
from conduit.gateway.shedding import SheddingState


@dataclass(frozen=True, slots=True)
class GatewayState:
    """What the running process knows of itself."""

    version: str
    boot: str
    started_at_ms: int
    ready: bool
    draining: bool
    in_flight: int
    event_seq: int
    database: str
    rss_bytes: int | None = None
    warnings: tuple[str, ...] = ()
    shedding: SheddingState | None = None
    worker: int = 1
    workers: int = 1
    rate_limits: tuple[Limit, ...] = ()
    limiter: LimiterState = field(default_factory=LimiterState)


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """The invariants of the ledger, checked, with the counts that were compared."""

    findings: Sequence[Finding]
    counts: Mapping[str, Any]
