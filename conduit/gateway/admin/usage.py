"""Admin operations on what was used and spent."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints

from conduit.core.errors import NotFoundError, ValidationFailedError
from conduit.core.moments import DAY_MS
from conduit.core.money import format_usd
from conduit.core.periods import offsets_ms
from conduit.core.resources.fields import Resource, Time, TimeZone, time_ms
from conduit.core.resources.usage import (
    AttemptGroup,
    AttemptSums,
    CostStep,
    SeriesStep,
    SpendingReport,
    SpentBy,
)
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import QueryInt
from conduit.gateway.storage import groups, keys, usage
from conduit.gateway.storage.engine import USUAL_S, Transaction, reading
from conduit.gateway.storage.requests import Span
from conduit.gateway.storage.usage import Chosen, Grouping, Spent

_USUAL_GROUPS = 1000
_MOST_GROUPS = 20_000
_MOST_WITH_SERIES = 50
_MOST_STEPS = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP_MS = {"day": DAY_MS, "hour": 3_600_000}
_OF_TIME = tuple(_STEP_MS)

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SpendingQuery(Resource):
    """`until` is no part of the time. `key` and `group` are an id or a name, of a deleted one too.

    `model` is what its provider calls it, `alias` what the client did. `series` asks what each
    group cost by day or by hour. `most` is how many groups there are at most.
    """

    since: Time | None = None
    until: Time | None = None
    by: SpentBy | None = None
    timezone: TimeZone = "UTC"
    key: Text | None = None
    provider: Text | None = None
    model: Text | None = None
    alias: Text | None = None
    group: Text | None = None
    series: SeriesStep | None = None
    most: QueryInt = Field(default=_USUAL_GROUPS, ge=1, le=_MOST_GROUPS)


async def _show(call: Call[None, SpendingQuery]) -> SpendingReport:
    admin, query = call.admin, call.query
    if query.series is not None and (query.by is None or query.by in _OF_TIME):
        raise ValidationFailedError(
            "series: it goes with groups that are no times: by model, key or another",
            param="series",
        )
    async with asyncio.timeout(USUAL_S):  # what is written waits for a database that is away
        await admin.ledger.caught_up()
    span = Span(_moment(query.since), _moment(query.until))
    async with reading(admin.database) as connection:
        key = None if query.key is None else await keys.find_ever(connection, query.key)
        key_id = None if key is None else key.id
        group = None if query.group is None else await groups.find_ever(connection, query.group)
        group_id = None if group is None else group.id
        chosen = Chosen(span, key_id, query.provider, query.model, query.alias, group_id)
        total = await usage.total(connection, chosen)
        found: tuple[Spent, ...] = ()
        if (grouping := _grouping(query, total)) is not None:
            found = await usage.groups(connection, chosen, grouping, query.most + 1)
        names = await _names(connection, query.by, [str(each.group) for each in found])
        steps = await _series(connection, chosen, query, total, found)
    shown = found[: query.most]
    return SpendingReport(
        since=query.since,
        until=query.until,
        by=query.by,
        timezone=query.timezone,
        key_id=key_id,
        key=None if key is None else key.name,
        group_id=group_id,
        group=None if group is None else group.name,
        total=AttemptSums(**sums_of(total)),
        groups=[
            _group(each, query, names, steps)
            for each in (reversed(shown) if query.by in _OF_TIME else shown)
        ],
        more=len(found) > len(shown),
    )


async def _names(connection: Transaction, by: str | None, ids: Sequence[str]) -> Mapping[str, str]:
    """What people call the groups whose ids are their names in the ledger."""
    match by:
        case "key":
            return await keys.names_of(connection, ids)
        case "group":
            return await groups.names_of(connection, ids)
        case _:
            return {}


def _grouping(query: SpendingQuery, total: Spent) -> Grouping | None:
    """How the attempts that the total is of are to be grouped, if at all."""
    if query.by is None or total.first_ms is None or total.last_ms is None:
        return None
    if query.by not in _OF_TIME:
        return Grouping(query.by)
    return Grouping(query.by, offsets_ms(query.timezone, total.first_ms, total.last_ms))


async def _series(
    connection: Transaction,
    chosen: Chosen,
    query: SpendingQuery,
    total: Spent,
    found: Sequence[Spent],
) -> Mapping[str, list[CostStep]]:
    """What the dearest groups cost over time, where that is asked for.

    Raises ValidationFailedError for a time with too many steps.
    """
    if query.series is None or query.by is None or total.first_ms is None or total.last_ms is None:
        return {}
    if (total.last_ms - total.first_ms) // _STEP_MS[query.series] >= _MOST_STEPS:
        raise ValidationFailedError(
            f"series: more than {_MOST_STEPS} of a {query.series} lie in this time: narrow it down",
            param="series",
        )
    offsets = offsets_ms(query.timezone, total.first_ms, total.last_ms)
    time = Grouping(query.series, offsets)
    wanted = [str(each.group) for each in found[:_MOST_WITH_SERIES]]
    steps: dict[str, list[CostStep]] = {group: [] for group in wanted}
    for step in await usage.series(connection, chosen, Grouping(query.by), time, wanted):
        cost = format_usd(step.cost_nanodollars)
        at = _time_text(query.series, step.at, query.timezone)
        steps[step.group].append(CostStep(at=at, cost=cost))
    return steps


def _time_text(step: str, at: int, timezone: str) -> str:
    """A day, or the moment at which an hour begins."""
    if step == "day":
        return (date(1970, 1, 1) + timedelta(days=at)).isoformat()
    begins = (_EPOCH + timedelta(milliseconds=at)).astimezone(ZoneInfo(timezone))
    return begins.isoformat(timespec="seconds").replace("+00:00", "Z")


def _group(
    spent: Spent,
    query: SpendingQuery,
    names: Mapping[str, str],
    steps: Mapping[str, list[CostStep]],
) -> AttemptGroup:
    group = spent.group
    is_time = query.by in _OF_TIME and isinstance(group, int)
    text = _time_text(str(query.by), int(group or 0), query.timezone) if is_time else str(group)
    return AttemptGroup(
        group=names.get(text, text),
        key_id=text if query.by == "key" else None,
        group_id=(text or None) if query.by == "group" else None,
        series=steps.get(text),
        **sums_of(spent),
    )


def sums_of(spent: Spent) -> dict[str, Any]:
    """The fields of `AttemptSums`."""
    return {
        "requests": spent.requests,
        "attempts": spent.attempts,
        "input_tokens": spent.input_tokens,
        "cache_read_tokens": spent.cache_read_tokens,
        "cache_write_tokens": spent.cache_write_tokens,
        "output_tokens": spent.output_tokens,
        "reasoning_tokens": spent.reasoning_tokens,
        "audio_tokens": spent.audio_tokens,
        "cache_write_1h_tokens": spent.cache_write_1h_tokens,
        "output_audio_tokens": spent.output_audio_tokens,
        "cost": format_usd(spent.cost_nanodollars),
        "billed": format_usd(spent.billed_nanodollars),
        "estimated": spent.estimated,
        "recovered": spent.recovered,
        "ambiguous": spent.ambiguous,
        "open_holds": spent.open_holds,
        "held": format_usd(spent.held_nanodollars),
    }


def _moment(text: str | None) -> int | None:
    return None if text is None else time_ms(text)


OPERATIONS = (
    AdminOperation(
        "usage.show",
        "GET",
        "/admin/usage",
        "Sum up what was used and spent",
        _show,
        SpendingReport,
        query=SpendingQuery,
        errors=(NotFoundError, ValidationFailedError),
    ),
)
