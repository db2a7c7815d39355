"""The admin operation on what a key has used: its attempts, and its records beside them."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from conduit.core.money import format_usd
from conduit.core.resources.fields import Resource, Time, time_ms
from conduit.core.resources.keys import KeyUsage, KeyUsageGroup, KeyUsageSums, UsageBy
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.usage import sums_of
from conduit.gateway.storage import keys, requests, usage
from conduit.gateway.storage.engine import USUAL_S, reading
from conduit.gateway.storage.requests import Recorded, Span
from conduit.gateway.storage.usage import Chosen, Grouping, Spent

_MOST_GROUPS = 1000

Group = str | int | None


class KeyUsageQuery(Resource):
    """`until` is no part of the time; a day is one of UTC."""

    since: Time | None = None
    until: Time | None = None
    by: UsageBy | None = None


async def _show(call: Call[None, KeyUsageQuery]) -> KeyUsage:
    admin, query = call.admin, call.query
    span = Span(
        None if query.since is None else time_ms(query.since),
        None if query.until is None else time_ms(query.until),
    )
    async with asyncio.timeout(USUAL_S):  # what is written waits for a database that is away
        await admin.ledger.caught_up()
    async with reading(admin.database) as connection:
        key = await keys.find(connection, call.names["key"])
        chosen = Chosen(span, key.id)
        spent = await usage.total(connection, chosen)
        [recorded] = await requests.recorded_of_key(connection, key.id, span, None, 1)
        by_spending: Sequence[Spent] = ()
        by_records: Sequence[Recorded] = ()
        if query.by is not None:
            by_spending = await usage.groups(connection, chosen, Grouping(query.by), _MOST_GROUPS)
            by_records = await requests.recorded_of_key(
                connection, key.id, span, query.by, _MOST_GROUPS
            )
    groups = _joined(by_spending, by_records, by_time=query.by == "day")
    return KeyUsage(
        key_id=key.id,
        key=key.name,
        since=query.since,
        until=query.until,
        by=query.by,
        total=KeyUsageSums(**sums_of(spent), **_counts(recorded)),
        groups=[
            KeyUsageGroup(group=_text(group), **sums_of(spent), **_counts(recorded))
            for group, spent, recorded in groups
        ],
    )


def _joined(
    by_spending: Sequence[Spent], by_records: Sequence[Recorded], *, by_time: bool
) -> list[tuple[Group, Spent, Recorded]]:
    """The groups of both: the dearest first and then those that cost nothing; days in order."""
    spent = {each.group: each for each in by_spending}
    recorded = {each.group: each for each in by_records}
    groups = list(spent | recorded)
    if by_time:
        groups = sorted(groups, key=_day)[-_MOST_GROUPS:]
    return [
        (
            group,
            spent.get(group, usage.NOTHING),
            recorded.get(group, requests.NOTHING_RECORDED),
        )
        for group in groups[:_MOST_GROUPS]
    ]


def _day(group: Group) -> int:
    return int(group or 0)


def _counts(recorded: Recorded) -> dict[str, Any]:
    return {
        "recorded": recorded.requests,
        "failed": recorded.failed,
        "avoided": format_usd(recorded.avoided_nanodollars),
    }


def _text(group: Group) -> str | None:
    """A group as text; a number is a day since 1970."""
    if isinstance(group, int):
        return (date(1970, 1, 1) + timedelta(days=group)).isoformat()
    return group


OPERATIONS = (
    AdminOperation(
        "keys.usage",
        "GET",
        "/admin/keys/{key}/usage",
        "Sum up what a key has used",
        _show,
        KeyUsage,
        query=KeyUsageQuery,
    ),
)
