"""Backfill of live events: what the ring still holds after a number."""

import msgspec
from pydantic import Field

from conduit.core.errors import ValidationFailedError
from conduit.core.events import Event
from conduit.core.resources.fields import Resource
from conduit.core.resources.status import EventPage
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import QueryInt
from conduit.gateway.events.bus import Backlog, Bus
from conduit.gateway.events.fanout import encode_event
from conduit.gateway.events.selection import Selection, select

_LARGEST_SEQ = 10**18 - 1


class EventQuery(Resource):
    """`kinds` are separated by commas; `filter` is in the filter language."""

    after: QueryInt | None = Field(default=None, ge=0, le=_LARGEST_SEQ)
    boot: str | None = Field(default=None, max_length=200)
    kinds: str | None = Field(default=None, max_length=2000)
    filter: str | None = Field(default=None, max_length=2000)
    limit: QueryInt = Field(default=50, ge=1, le=1000)


async def _list(call: Call[None, EventQuery]) -> bytes:
    """With `after`, the oldest events first, up to the limit: a reader goes on after the last one.

    Without it, the newest ones. `last_seq` is the newest number there is.
    """
    bus, query = call.admin.bus, call.query
    selection = _selection(query)
    backlog = bus.after(query.after or 0, query.boot)
    if query.after is None:
        # Nobody asked for older ones, so none are missing.
        backlog = Backlog(backlog.events)
    admitted = [event for event in backlog.events if selection.admits(event)]
    shown = admitted[-query.limit :] if query.after is None else admitted[: query.limit]
    return _page(bus, shown, backlog)


def _page(bus: Bus, events: list[Event], backlog: Backlog) -> bytes:
    """An EventPage, written without a second look at what the bus has encoded before."""
    body = {
        "boot": bus.boot,
        "data": [msgspec.Raw(bus.scrub(encode_event(event))) for event in events],
        "last_seq": bus.last_seq,
        "gap": backlog.gap.as_json() if backlog.gap else None,
    }
    return msgspec.json.encode(body)


def _selection(query: EventQuery) -> Selection:
    try:
        kinds = select(query.kinds.split(",") if query.kinds else None, None)
    except ValueError as error:
        raise ValidationFailedError(f"kinds: {error}", param="kinds") from error
    try:
        return select(kinds.kinds, query.filter)
    except ValueError as error:
        raise ValidationFailedError(f"filter: {error}", param="filter") from error


OPERATIONS = (
    AdminOperation(
        "events.list",
        "GET",
        "/admin/events",
        "List the last events, or those after a number",
        _list,
        EventPage,
        query=EventQuery,
    ),
)
