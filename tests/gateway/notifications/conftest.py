"""A watch that looks when it is told to, at budgets that a test sets, by a clock of its own."""

from collections.abc import Mapping
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.gateway.ledger.balances import Spending
from conduit.gateway.notifications.watch import NotificationWatch
from conduit.gateway.storage import notifications
from conduit.gateway.storage.engine import Database, reading
from conduit.gateway.storage.notifications import StoredNotification, WantedNotifications
from conduit.gateway.storage.rows import Window
from tests import postgresql
from tests.gateway.records import AT_MS


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class World:
    """What a watch sees, and what came of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.at_ms = AT_MS
        self.spendings: list[Spending] = []
        self.events: list[tuple[EventKind, Mapping[str, Any]]] = []

    def spent_past(self, percent: int) -> list[Spending]:
        """As the ledger has it."""
        return [
            each
            for each in self.spendings
            if each.spent and each.spent * 100 >= each.terms.limit_nanodollars * percent
        ]

    def publish(self, kind: EventKind, facts: Mapping[str, Any], /) -> None:
        self.events.append((kind, facts))

    def watch(self, **options: Any) -> NotificationWatch:
        """A watch as a start of the gateway makes it."""
        return NotificationWatch(
            self.database, self.spent_past, self.publish, clock_ms=lambda: self.at_ms, **options
        )

    async def stored(self) -> list[StoredNotification]:
        """The oldest first."""
        async with reading(self.database) as connection:
            wanted, window = WantedNotifications("all"), Window(1_000)
            found = await notifications.page(connection, wanted, window)
        return [*reversed(found.rows)]

    async def messages(self) -> list[str]:
        return [each.message for each in await self.stored()]

    async def thresholds(self) -> list[int]:
        return [each.details["threshold_percent"] for each in await self.stored()]


@pytest.fixture
def world(database: Database) -> World:
    return World(database)
