"""What the admin handlers work with; the composition root fills it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from conduit.core.events import EventKind
from conduit.core.resources.status import SettingsReload, SettingView
from conduit.gateway.admin.access import MasterAccess
from conduit.gateway.bodies.store import BodyStore
from conduit.gateway.cache.answers import AnswerCache
from conduit.gateway.config.configuration import Configuration
from conduit.gateway.config.snapshot import Credential, Upstream
from conduit.gateway.events.bus import Bus
from conduit.gateway.health.registry import Health
from conduit.gateway.health_history import HealthHistory
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.keys.keyring import Keyring
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.ledger.entries import LedgerState
from conduit.gateway.ledger.records import CorrectRecord
from conduit.gateway.limits.limiter import Limiter
from conduit.gateway.notifications.watch import NotificationWatch
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.pricing.installed import InstalledBook
from conduit.gateway.pricing.unknown import UnknownPrice
from conduit.gateway.probing.discovery import ModelLists
from conduit.gateway.probing.probe import Probed, Question, probe
from conduit.gateway.reach.access_tokens import AccessTokens
from conduit.gateway.reach.stored import Reach
from conduit.gateway.routing.resolve import PriceOf
from conduit.gateway.routing.rotation import Rotation
from conduit.gateway.server.logins import FailedLogins
from conduit.gateway.state import GatewayState, LedgerReport
from conduit.gateway.storage.engine import Database
from conduit.gateway.storage.revisions import USUALLY_KEPT, Author
from conduit.gateway.upstream import Endpoint

_ACTOR = "master key"
_LONGEST_CLIENT = 100


class BudgetLedger(Protocol):
    """The part of the ledger that the admin API needs."""

    def balance_of(self, budget_id: str, at_ms: int) -> tuple[int, int, int]:
        """(spent, held, period start in ms) of an open budget. Raises KeyError."""
        ...

    async def open_budget(self, terms: BudgetTerms) -> None:
        """Enforce a new budget, counting what its scope has spent since its period began."""
        ...

    async def reset_spent(self, budget_id: str) -> int:
        """Begin the present period of a budget anew; what it had spent. Raises KeyError."""
        ...

    async def correct(
        self, record: CorrectRecord, key_id: str, alias: str, held_at_ms: int, group_id: str | None
    ) -> None:
        """Change what an attempt cost, in the budgets that it counted in."""
        ...

    async def caught_up(self) -> None:
        """Wait until everything written before this call is in the database.

        Raises LedgerUnavailableError where a damaged journal prevents it.
        """
        ...

    async def refreshed(self) -> None:
        """Have the balances as they are now, before anybody is told of them."""
        ...

    def is_bounded(self, alias: str) -> bool:
        """Whether a hard budget, of the alias or the gateway, covers the calls of any key."""
        ...

    def overspent_keys(self) -> Collection[str]:
        """The ids of keys that have spent a budget up."""
        ...

    def change_budget(self, terms: BudgetTerms) -> None: ...

    def close_budget(self, budget_id: str) -> None: ...

    def state(self) -> LedgerState: ...


@dataclass(frozen=True, slots=True)
class AdminContext:
    """The parts behind the admin API.

    `endpoint_of` gives the way to a provider, in-process ones included; `tokens` authenticates what
    is asked there.
    `settings` and `state` are asked anew for every answer, `change_settings` writes the settings
    file and reloads, `check_ledger` runs the invariants. `client_ip` tells where a request comes
    from, `revisions_kept` how many changes the history holds. `doubt` is called where nobody can
    tell whether a change was committed, `reload_others` has the other workers read the settings.
    `rotation` is that of the requests, `max_attempts` how many calls one of them may make.
    `ask_model` probes a model, and books what that costs.
    """

    database: Database
    configuration: Configuration
    keyring: Keyring
    ledger: BudgetLedger
    book: PriceBook
    book_file: InstalledBook
    cache: AnswerCache
    master: MasterAccess
    bus: Bus
    live: LiveExchanges
    bodies: BodyStore
    health: Health
    limiter: Limiter
    health_history: HealthHistory
    notifications: NotificationWatch
    logins: FailedLogins
    price_of: PriceOf
    endpoint_of: Callable[[Upstream], Endpoint]
    tokens: AccessTokens
    settings: Callable[[], Sequence[SettingView]]
    reload_settings: Callable[[], SettingsReload]
    change_settings: Callable[
        [Mapping[str, object], Mapping[str, object]], Awaitable[SettingsReload]
    ]
    state: Callable[[], GatewayState]
    check_ledger: Callable[[], Awaitable[LedgerReport]]
    client_ip: Callable[[web.BaseRequest], str]
    rotation: Rotation = field(default_factory=Rotation)
    max_attempts: Callable[[], int] = lambda: 3
    unknown_price: Callable[[], UnknownPrice] = UnknownPrice
    revisions_kept: Callable[[], int] = lambda: USUALLY_KEPT
    doubt: Callable[[], None] = lambda: None
    reload_others: Callable[[], None] = lambda: None
    ask_model: Callable[[Reach, Question], Awaitable[Probed]] = probe

    model_lists: ModelLists = field(default_factory=ModelLists)
    """What providers listed a moment ago."""

    book_changes: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from a look at the price book until another one is in its place."""

    budget_changes: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from a change of a budget until the ledger knows of it: the two keep one order."""

    corrections: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from a look at what an attempt costs until its correction is in the database."""

    def reach(self, upstream: Upstream, credential: Credential | None = None) -> Reach:
        """A provider as it is asked; `credential` in the place of its first. Raises
        InvalidRequestError for a base URL that is not allowed any more.
        """
        return Reach(upstream, self.endpoint_of(upstream), self.tokens.headers, credential)

    def author(self, request: web.Request, operation: str) -> Author:
        """Whose change it is that a request asks for."""
        client = "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))
        return Author(
            actor=_ACTOR,
            operation=operation,
            client=client[:_LONGEST_CLIENT] or None,
            address=self.client_ip(request) or None,
            kept=self.revisions_kept(),
        )

    async def announce(self, kind: EventKind, facts: Mapping[str, Any]) -> None:
        """Put a change that has been committed into force, then tell of it."""
        await self.configuration.reload()
        self._tell(kind, facts)

    async def announce_all(self, told: Sequence[tuple[EventKind, Mapping[str, Any]]]) -> None:
        """The same for what was committed together."""
        await self.configuration.reload()
        for kind, facts in told:
            self._tell(kind, facts)

    async def announce_of_keys(self, kind: EventKind, facts: Mapping[str, Any]) -> None:
        """The same for a change of keys and budgets, which no snapshot holds."""
        await self.configuration.pass_over()
        self._tell(kind, facts)

    def _tell(self, kind: EventKind, facts: Mapping[str, Any]) -> None:
        self.bus.publish(kind, {**facts, "revision": self.configuration.snapshot.revision})
