"""Admin operations on what attempts were charged in doubt, and on corrections of it."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import StringConstraints

from conduit.core.errors import ConflictError, NotFoundError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.money import format_usd, parse_usd
from conduit.core.resources.fields import Page, Time, time_ms, time_text
from conduit.core.resources.spend import (
    ChargeView,
    CorrectionView,
    DoubtfulOutcome,
    NewCorrection,
    ReviewState,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.ledger.records import CorrectRecord
from conduit.gateway.storage import keys, spend
from conduit.gateway.storage.engine import reading
from conduit.gateway.storage.requests import Span
from conduit.gateway.storage.rows import storable
from conduit.gateway.storage.spend import ID_PREFIX, Charge, StoredCharge, WantedCharges

_PATH = "/admin/spend"
_ONE = _PATH + "/attempts/{attempt}"

MOST_TIMES = 10
ALWAYS_PLAUSIBLE = 1_000_000_000
"""A cost of at most so many times what was held or charged is plausible, and always a dollar."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ReviewQuery(ListQuery):
    """`until` is no part of the time. `key` is an id or a name, of a deleted key too."""

    state: ReviewState = "open"
    since: Time | None = None
    until: Time | None = None
    outcome: DoubtfulOutcome | None = None
    key: Text | None = None
    provider: Text | None = None
    model: Text | None = None
    alias: Text | None = None

    def span(self) -> Span:
        since, until = (None if at is None else time_ms(at) for at in (self.since, self.until))
        return Span(since, until)


async def _review(call: Call[None, ReviewQuery]) -> Page[ChargeView]:
    query = call.query
    async with reading(call.admin.database) as connection:
        key = None if query.key is None else await keys.find_ever(connection, query.key)
        wanted = WantedCharges(
            query.state,
            query.span(),
            query.outcome,
            None if key is None else key.id,
            query.provider,
            query.model,
            query.alias,
        )
        found = await spend.page(connection, wanted, query.window())
        names = await keys.names_of(connection, {each.settled.key_id for each in found.rows})
    return page(found, [_view(each, names) for each in found.rows])


async def _show(call: Call[None, None]) -> ChargeView:
    return await _shown(call.admin, call.names["attempt"])


async def _shown(admin: AdminContext, attempt_id: str) -> ChargeView:
    async with reading(admin.database) as connection:
        charge = await spend.find(connection, attempt_id)
        names = await keys.names_of(connection, [charge.settled.key_id])
    return _view(charge, names)


async def _stored(admin: AdminContext, attempt_id: str) -> Charge:
    """The attempt as it is once all that was written is in the database."""
    await admin.ledger.caught_up()
    async with reading(admin.database) as connection:
        return await spend.find(connection, attempt_id)


async def _correct(call: Call[NewCorrection, None]) -> ChargeView:
    admin, wanted, attempt_id = call.admin, call.body, call.names["attempt"]
    async with admin.corrections:  # each looks at what the one before has left
        charge = await _stored(admin, attempt_id)
        if admin.live.is_running(charge.settled.request_id):  # its record is still to be written
            raise ConflictError(f"the request of attempt {attempt_id} is running still")
        charge = await _stored(admin, attempt_id)
        cost = parse_usd(wanted.cost)
        _refuse(charge, cost, again=wanted.again)
        at_ms = now_ms()
        record = CorrectRecord(
            new_id(ID_PREFIX, at_ms),
            attempt_id,
            cost - charge.cost_nanodollars,
            cost,
            storable(wanted.reason),
            call.by.actor,
            at_ms,
        )
        attempt = charge.settled
        await admin.ledger.correct(
            record, attempt.key_id, attempt.alias, attempt.held_at_ms, attempt.group_id
        )
    facts = {
        "id": record.id,
        "attempt_id": attempt_id,
        "request_id": attempt.request_id,
        "key_id": attempt.key_id,
        "former_cost_nanodollars": charge.cost_nanodollars,
        "cost_nanodollars": cost,
        "actor": record.actor,
    }
    admin.bus.publish(EventKind.SPEND_CORRECTED, facts)
    return await _shown(admin, attempt_id)


def _refuse(charge: Charge, cost: int, *, again: bool) -> None:
    """Raise for what cannot be corrected, or not to such a cost."""
    settled = charge.settled
    if settled.state != "done":
        raise ConflictError(f"attempt {settled.attempt_id} has not ended: nothing is charged yet")
    if charge.corrections and not again:
        last = charge.corrections[-1]
        raise ConflictError(
            f"attempt {settled.attempt_id} was corrected to ${format_usd(last.cost_nanodollars)} "
            f"by {last.actor} ({last.reason})",
            hint="correct it once more with again (--again)",
        )
    if cost == charge.cost_nanodollars:
        raise ConflictError(f"attempt {settled.attempt_id} costs ${format_usd(cost)} already")
    charged = max(settled.hold_nanodollars, settled.cost_nanodollars)
    most = max(charged * MOST_TIMES, ALWAYS_PLAUSIBLE)
    if cost > most:
        raise ValidationFailedError(
            f"cost: ${format_usd(cost)} is more than this attempt can have cost: at most "
            f"${format_usd(most)}, {MOST_TIMES} times what was held for it, or $1",
            param="cost",
        )


def _view(charge: Charge, names: Mapping[str, str]) -> ChargeView:
    settled = charge.settled
    return ChargeView(
        id=settled.attempt_id,
        request_id=settled.request_id,
        held_at=str(time_text(settled.held_at_ms)),
        settled_at=time_text(settled.settled_at_ms),
        state=settled.state,
        outcome=settled.outcome,
        status=settled.status,
        error_code=settled.error_code,
        ambiguous=settled.ambiguous,
        key_id=settled.key_id,
        key=names.get(settled.key_id),
        alias=settled.alias,
        provider=settled.provider,
        model=settled.model,
        operation=settled.operation,
        stream=settled.stream,
        usage_source=settled.usage_source,
        input_tokens=settled.input_tokens,
        output_tokens=settled.output_tokens,
        price_version=settled.price_version,
        hold=format_usd(settled.hold_nanodollars),
        charged=format_usd(settled.cost_nanodollars),
        cost=format_usd(charge.cost_nanodollars),
        billed=format_usd(settled.billed_nanodollars),
        why=_why(settled),
        corrections=[
            CorrectionView(
                id=each.id,
                at=str(time_text(each.at_ms)),
                difference=format_usd(each.nanodollars),
                cost=format_usd(each.cost_nanodollars),
                reason=each.reason,
                actor=each.actor,
            )
            for each in charge.corrections
        ],
    )


def _why(settled: StoredCharge) -> str:
    """Of what the charge was made, for a person."""
    if settled.state != "done":
        return "it has not ended"
    cause = _cause(settled)
    if not settled.ambiguous:
        return f"{cause}: usage by {settled.usage_source}"
    if not settled.cost_nanodollars:
        return f"{cause}: nothing was charged"
    if settled.cost_nanodollars == settled.hold_nanodollars:
        return f"{cause}: the whole hold, as it may have been answered in full"
    if settled.output_tokens or settled.progress_tokens:
        return f"{cause}: its input, and the output that is known of"
    return f"{cause}: its estimated input"


def _cause(settled: StoredCharge) -> str:
    match settled.outcome:
        case "recovered":
            return "the gateway died before it ended"
        case "client_gone":
            return "the client hung up"
        case "cut":
            return "the provider cut it off"
        case "stopped":
            return "the gateway stopped it"
        case "succeeded":
            return "it ended well"
        case outcome:
            return f"the provider failed ({settled.error_code or settled.status or outcome})"


OPERATIONS = (
    AdminOperation(
        "spend.review",
        "GET",
        _PATH + "/review",
        "List attempts whose charge is in doubt, the newest first",
        _review,
        Page[ChargeView],
        query=ReviewQuery,
        errors=(NotFoundError,),
    ),
    AdminOperation(
        "spend.show",
        "GET",
        _ONE,
        "Show what an attempt was charged, with its corrections",
        _show,
        ChargeView,
    ),
    AdminOperation(
        "spend.correct",
        "POST",
        _ONE + "/correct",
        "Correct what an attempt cost; the former charge stays on the books",
        _correct,
        ChargeView,
        body=NewCorrection,
        errors=(ConflictError,),
    ),
)
