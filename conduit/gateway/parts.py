"""A running gateway: its parts, and what it knows of itself."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conduit import __version__
from conduit.core.limits import limits_in
from conduit.core.redaction import LiveSecrets, scrubbed
from conduit.core.resources.status import SettingsReload
from conduit.core.settings import RESTART_ONLY, GatewaySettings, SettingsError
from conduit.core.settings_sources import SettingsSource
from conduit.gateway.bodies.store import BodyStore
from conduit.gateway.cache.answers import AnswerCache
from conduit.gateway.config import settings_change
from conduit.gateway.config.configuration import Configuration
from conduit.gateway.events.bus import Bus
from conduit.gateway.health.registry import Health
from conduit.gateway.health_history import HealthHistory
from conduit.gateway.idempotency.turns import Turns
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.keys.keyring import Keyring
from conduit.gateway.keys.known_keys import KnownKeys
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.shared import SharedLedger
from conduit.gateway.limits.limiter import Limiter
from conduit.gateway.metrics.counts import Metrics
from conduit.gateway.notifications.watch import NotificationWatch
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.reach.access_tokens import AccessTokens
from conduit.gateway.reach.endpoints import Endpoints
from conduit.gateway.routes.health import Readiness
from conduit.gateway.routing.rotation import Rotation
from conduit.gateway.seat import Seat
from conduit.gateway.server.addresses import ClientAddresses
from conduit.gateway.server.tls import Tls, reload_or_tell
from conduit.gateway.shedding import Shedder, told_of
from conduit.gateway.state import GatewayState, LedgerReport
from conduit.gateway.storage.engine import (
    Database,
)
from conduit.gateway.system import machine
from conduit.gateway.system.stopping import grace_warning


@dataclass(slots=True, eq=False)
class Gateway:
    """A running gateway: its parts, and what it knows of itself."""

    settings: GatewaySettings
    origins: Mapping[str, str]
    read_settings: SettingsSource
    folder: Path
    database: Database
    ledger: LocalLedger | SharedLedger
    configuration: Configuration
    keyring: Keyring
    known_keys: KnownKeys | None
    book: PriceBook
    cache: AnswerCache
    bus: Bus
    live: LiveExchanges
    shedder: Shedder
    addresses: ClientAddresses
    endpoints: Endpoints
    tokens: AccessTokens
    metrics: Metrics
    limiter: Limiter
    turns: Turns
    bodies: BodyStore
    health: Health
    health_history: HealthHistory
    notifications: NotificationWatch
    secrets: LiveSecrets
    warnings: tuple[str, ...]
    started_at_ms: int
    tls: Tls | None = None
    seat: Seat | None = None
    """Which of several processes this is; None for the only one."""
    draining: bool = False
    rotation: Rotation = field(default_factory=Rotation)
    in_doubt: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where a change may have been committed without anybody being told."""
    on_settings: Callable[[], None] = lambda: None
    reload_others: Callable[[], None] = lambda: None
    """Has the other processes, if there are any, read their settings too."""
    _changing_settings: asyncio.Lock = field(default_factory=asyncio.Lock)

    def reload_settings(self) -> SettingsReload:
        """Read the settings again; raises SettingsError, and then nothing has changed.

        Requests that run keep what they began with. What counts only at the start stays as it is.
        """
        settings, origins = self.read_settings()
        differing = [
            name
            for name in GatewaySettings.model_fields
            if getattr(settings, name) != getattr(self.settings, name)
        ]
        fixed = [name for name in differing if name in RESTART_ONLY]
        kept = {name: getattr(self.settings, name) for name in fixed}
        self.settings = settings.model_copy(update=kept)
        self.origins = dict(origins) | {name: self.origins[name] for name in fixed}
        logging.getLogger().setLevel(self.settings.log_level.upper())
        self.on_settings()
        if self.tls is not None:
            reload_or_tell(self.tls)
        changed = [name for name in differing if name not in RESTART_ONLY]
        workers = 1 if self.seat is None else self.seat.count
        return SettingsReload(changed=changed, restart_needed=fixed, workers=workers)

    async def change_settings(
        self, changes: Mapping[str, object], expected: Mapping[str, object]
    ) -> SettingsReload:
        """Write settings into their file and put them in force; None is the default.

        What is `expected` is compared with the file as it is now, not with what is in force, or
        a change by hand, or by another worker a moment ago, would be written over.
        Raises ValidationFailedError, ConflictError and SettingsError; then nothing has changed.
        """
        async with self._changing_settings:
            settings, origins = self.read_settings()
            settings_change.refuse_stale(expected, settings, origins)
            values = settings_change.checked(changes, settings, origins)
            path = self.read_settings.file
            before = await asyncio.to_thread(settings_change.write, path, values)
            try:
                return self.reload_settings()
            except SettingsError:  # somebody else has changed the file in this moment
                await asyncio.to_thread(settings_change.restore, path, before)
                raise

    def readiness(self) -> Readiness:
        """Every reason why requests should not be sent here."""
        ledger = self.ledger.state()
        reasons = []
        if self.draining:
            reasons.append("the gateway is shutting down")
        if not ledger.available:
            reasons.append("the ledger is not available: see /admin/status")
        elif self.ledger.lost is not None and self.seat is not None:
            reasons.append("the database does not answer, and holds the balances of the budgets")
        elif self.ledger.lost is not None:
            # Calls that come all the same are served: they are held in memory and journalled.
            reasons.append("the database does not answer, and another gateway may take it over")
        if self.configuration.locked:
            reasons.append("sealed: stored credentials cannot be opened, see /admin/status")
        degraded = [ledger.reason] if ledger.available and ledger.reason is not None else []
        if shedding := self.shedder.reasons:
            degraded.append(told_of(shedding))
        if self.limiter.state().store == "down":
            degraded.append("Redis does not answer: each gateway keeps its share of rate limits")
        revision = self.configuration.snapshot.revision
        return Readiness(tuple(reasons), tuple(degraded), revision)

    def state(self) -> GatewayState:
        return GatewayState(
            version=__version__,
            boot=self.bus.boot,
            started_at_ms=self.started_at_ms,
            ready=self.readiness().ready,
            draining=self.draining,
            in_flight=len(self.live),
            event_seq=self.bus.last_seq,
            database=scrubbed(self.settings.database_location()),
            rss_bytes=machine.resident_bytes(),
            warnings=self._warnings_now(),
            shedding=self.shedder.state(),
            worker=1 if self.seat is None else self.seat.number,
            workers=1 if self.seat is None else self.seat.count,
            rate_limits=limits_in(self.settings.rate_limits),
            limiter=self.limiter.state(),
        )

    def _warnings_now(self) -> tuple[str, ...]:
        warning = grace_warning(self.settings, os.environ)
        of_tls = () if self.tls is None else self.tls.warnings
        return (*self.warnings, *of_tls, *(() if warning is None else (warning,)))

    async def check_ledger(self) -> LedgerReport:
        """The invariants of everything written up to now."""
        from conduit.gateway.ledger.checks import check_database  # noqa: PLC0415  # deferred: rare

        await self.ledger.caught_up()
        findings, counts = await check_database(self.database)
        counts["journal_bytes_unapplied"] = self.ledger.state().journal_bytes_unapplied
        return LedgerReport(findings, counts)
