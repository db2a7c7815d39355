"""Changes that are shown before the gateway has confirmed them, and taken back where it refuses.

Those of one record are sent one by one, in the order in which they were made; one that follows a
refused one is not sent, for it was made of what has been taken back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from conduit.client.errors import ClientError
from conduit.tui.state.gateway import GatewayLink, Refused
from conduit.tui.state.store import Laid, Table, id_of
from conduit.tui.state.traffic import Record

Send = Callable[[Record], Awaitable[Record | None]]
"""Sends the change of a record as it is known then; None is answered where that ends the record."""


class Tentative(Laid):
    """A change of one record; `before` is the one of the same record that is sent first."""

    def __init__(self, id: str, looks: Callable[[Record], Record], before: Any) -> None:
        super().__init__(id, looks)
        self.before: Tentative | None = before
        self.settled = asyncio.Event()
        self.is_made = False


class Sender:
    """Sends the changes of some records of one table, each once."""

    def __init__(self, link: GatewayLink, name: str, changes: Mapping[str, Tentative]) -> None:
        self._link = link
        self._name = name
        self._table = link.store.table(name)
        self._changes = changes

    async def send(self, row: Record, send: Send) -> Record | None:
        """Send what was laid over this record, when it is its turn. Raises ClientError."""
        change = self._changes[id_of(row)]
        try:
            await _turn(change)
            known = self._table.known.get(change.id)
            if known is None:
                raise Refused("not sent: it is gone")
            change.sent, change.version = True, known.get("version")
            answer = await send(known)
            self._keep(change.id, answer)
            change.is_made = True
        except ClientError:
            if change.sent:  # whether it has arrived is not always known
                self._link.refresh({self._name})
            raise
        finally:
            self.lift(change)
        return answer

    def _keep(self, id: str, answer: Record | None) -> None:
        store, epoch = self._link.store, self._link.epoch
        if answer is None:
            store.drop(self._name, id, epoch=epoch)
        else:
            store.put(self._name, answer, epoch=epoch)

    def lift(self, change: Tentative) -> None:
        """Show the record as it is known; what waits for this change has its turn."""
        self._link.store.lift(self._table, change)
        change.settled.set()


@contextmanager
def shown_at_once(
    link: GatewayLink, name: str, rows: Iterable[Record], looks: Callable[[Record], Record]
) -> Iterator[Sender]:
    """Show a change of these records; what was not sent within is taken back."""
    table = link.store.table(name)
    keys = [id_of(row) for row in rows]
    changes = {key: Tentative(key, looks, _last(table, key)) for key in keys}
    sender = Sender(link, name, changes)
    link.store.lay(table, changes.values())
    try:
        yield sender
    finally:
        for change in changes.values():
            sender.lift(change)


async def _turn(change: Tentative) -> None:
    before, change.before = change.before, None
    if before is not None:
        await before.settled.wait()
        if not before.is_made:
            raise Refused("not sent: the change before it was not made")


def _last(table: Table, id: str) -> Laid | None:
    return next((change for change in reversed(table.laid) if change.id == id), None)
