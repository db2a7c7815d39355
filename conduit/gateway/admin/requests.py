"""Admin operations on request records, and on requests that are running."""

from typing import Any

from pydantic import Field

from conduit.core.errors import (
    NotFoundError,
    RequestCancelledError,
    UnavailableError,
    ValidationFailedError,
)
from conduit.core.events import EventKind
from conduit.core.filters import Filter, parse_filter
from conduit.core.ids import now_ms
from conduit.core.money import format_usd
from conduit.core.resources.fields import Page, Time, time_ms, time_text
from conduit.core.resources.requests import (
    AttemptView,
    PurgeOrder,
    RequestDetail,
    RequestPurge,
    RequestRoute,
    RequestView,
    RunningRequest,
    RunningState,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.exchange import Exchange
from conduit.gateway.storage import installation, requests
from conduit.gateway.storage.bodies import BodyStoreError
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.requests import Span, StoredAttempt, StoredRequest
from conduit.gateway.storage.rows import page_of

_TRANSACTIONS_A_PURGE = 10


class RequestQuery(ListQuery):
    """`filter` is in the filter language. `until` is no part of the time."""

    filter: str = Field(default="", max_length=2000)
    since: Time | None = None
    until: Time | None = None


def filter_of(text: str) -> Filter:
    """What a filter says. Raises ValidationFailedError."""
    try:
        return parse_filter(text)
    except ValueError as error:
        raise ValidationFailedError(f"filter: {error}", param="filter") from error


def span_of(since: str | None, until: str | None) -> Span:
    return Span(*(None if at is None else time_ms(at) for at in (since, until)))


async def _list(call: Call[None, RequestQuery]) -> Page[RequestView]:
    query = call.query
    wanted, span = filter_of(query.filter), span_of(query.since, query.until)
    async with reading(call.admin.database) as connection:
        found = await requests.page(connection, wanted, query.window(), span)
    return page(found, [RequestView(**fields_of(each)) for each in found.rows])


async def _show(call: Call[None, None]) -> RequestDetail:
    async with reading(call.admin.database) as connection:
        record = await requests.find(connection, call.names["request"])
        attempts = await requests.attempts_of(connection, record.id)
    views = [_attempt_view(attempt) for attempt in attempts]
    route = None if record.route is None else RequestRoute.model_validate_json(record.route)
    return RequestDetail(**fields_of(record), route=route, attempt_list=views)


async def _in_flight(call: Call[None, ListQuery]) -> Page[RunningRequest]:
    running = sorted(call.admin.live.running(), key=_id_of)
    found = page_of(running, _id_of, call.query.window())
    return page(found, [_running_view(each) for each in found.rows])


async def _cancel(call: Call[None, None]) -> RunningRequest:
    request_id = call.names["request"]
    reason = RequestCancelledError("the request was cancelled by an operator")
    exchange = call.admin.live.stop(request_id, reason)
    if exchange is None:
        raise NotFoundError(f"no request {request_id} is running on this gateway")
    return _running_view(exchange)


async def _purge(call: Call[PurgeOrder, None]) -> RequestPurge:
    """Some transactions' worth, so that neither the caller nor the ledger waits for long."""
    admin, before_ms = call.admin, time_ms(call.body.before)
    if before_ms > now_ms():
        raise ValidationFailedError("before: is in the future", param="before")
    try:
        bodies = await admin.bodies.purge(before_ms)
    except BodyStoreError as error:
        raise UnavailableError(str(error)) from error
    deleted, more = (0, False) if call.body.bodies_only else await _purge_records(admin, before_ms)
    if deleted or bodies:
        facts = {"before_ms": before_ms, "deleted": deleted, "bodies": bodies}
        admin.bus.publish(EventKind.REQUESTS_PURGED, facts)
    return RequestPurge(deleted=deleted, bodies=bodies, more=more)


async def _purge_records(admin: AdminContext, before_ms: int) -> tuple[int, bool]:
    """How many records were deleted, and whether there are more."""
    async with writing(admin.database) as connection:
        await installation.note_purge_of_requests(connection, before_ms)
    deleted, more = 0, True
    for _ in range(_TRANSACTIONS_A_PURGE):
        async with writing(admin.database) as connection:
            some = await requests.purge(connection, before_ms)
        deleted += some
        if not some:
            more = False
            break
    return deleted, more


def _id_of(exchange: Exchange) -> str:
    return exchange.id


def _running_view(exchange: Exchange) -> RunningRequest:
    attempt, key = exchange.last_attempt, exchange.key
    decoded = exchange.decoded
    held = sum(
        each.hold.nanodollars
        for each in exchange.attempts
        if each.hold is not None and not each.hold.settled
    )
    return RunningRequest(
        id=exchange.id,
        at=str(time_text(exchange.at_ms)),
        age_ms=exchange.elapsed_ms(),
        state=_state(exchange),
        operation=exchange.operation.value,
        stream=decoded is not None and decoded.stream,
        key_id=key.id if key else None,
        key=key.name if key else None,
        alias=decoded.model if decoded else None,
        provider=attempt.candidate.upstream.name if attempt else None,
        model=attempt.candidate.model if attempt else None,
        attempts=len(exchange.attempts),
        input_tokens=attempt.estimated_input_tokens if attempt else 0,
        output_tokens=attempt.output_tokens if attempt else 0,
        held=format_usd(held),
        ttft_ms=attempt.ttft_ms if attempt else None,
        client_ip=exchange.client_ip,
    )


def _state(exchange: Exchange) -> RunningState:
    attempt = exchange.last_attempt
    if exchange.stopping is not None:
        return "stopping"
    if exchange.key is None:
        return "authenticating"
    if exchange.decoded is None:
        return "reading"
    if attempt is None or attempt.hold is None:
        return "holding"
    if attempt.drained:
        return "draining"
    return "answering" if attempt.answering else "calling"


def fields_of(record: StoredRequest) -> dict[str, Any]:
    """The fields of a `RequestView`."""
    rate = record.tokens_per_s_milli
    return {
        "id": record.id,
        "at": time_text(record.at_ms),
        "operation": record.operation,
        "stream": record.stream,
        "status": record.status,
        "outcome": record.outcome,
        "error_code": record.error_code,
        "key_id": record.key_id,
        "key": record.key_name,
        "alias": record.alias,
        "provider": record.provider,
        "model": record.model,
        "attempts": record.attempts,
        "duration_ms": record.duration_ms,
        "ttft_ms": record.ttft_ms,
        "input_tokens": record.input_tokens,
        "cached_tokens": record.cached_tokens,
        "output_tokens": record.output_tokens,
        "reasoning_tokens": record.reasoning_tokens,
        "usage_source": record.usage_source,
        "cost": format_usd(record.cost_nanodollars),
        "billed": format_usd(record.billed_nanodollars),
        "tokens_per_s": None if rate is None else rate / 1000,
        "client_ip": record.client_ip,
        "user_agent": record.user_agent,
        "cache": record.cache,
        "avoided": format_usd(record.avoided_nanodollars),
        "session": record.session,
        "end_user": record.end_user,
        "dropped": None if record.dropped is None else record.dropped.split(","),
        "group_id": record.group_id,
        "group": record.group_name,
        "cache_write_tokens": record.cache_write_tokens,
        "cache_write_1h_tokens": record.cache_write_1h_tokens,
        "audio_tokens": record.audio_tokens,
        "output_audio_tokens": record.output_audio_tokens,
        "client_dialect": record.client_dialect,
        "provider_dialect": record.provider_dialect,
        "credential_id": record.credential_id,
        "credential": record.credential_name,
    }


def _attempt_view(attempt: StoredAttempt) -> AttemptView:
    return AttemptView(
        id=attempt.attempt_id,
        provider=attempt.provider,
        model=attempt.model,
        state=attempt.state,
        outcome=attempt.outcome,
        status=attempt.status,
        error_code=attempt.error_code,
        ambiguous=attempt.ambiguous,
        hold=format_usd(attempt.hold_nanodollars),
        cost=format_usd(attempt.cost_nanodollars + attempt.corrected_nanodollars),
        charged=format_usd(attempt.cost_nanodollars),
        billed=format_usd(attempt.billed_nanodollars),
        price_version=attempt.price_version,
        usage_source=attempt.usage_source,
        input_tokens=attempt.input_tokens,
        cache_read_tokens=attempt.cache_read_tokens,
        cache_write_tokens=attempt.cache_write_tokens,
        output_tokens=attempt.output_tokens,
        reasoning_tokens=attempt.reasoning_tokens,
        held_at=str(time_text(attempt.held_at_ms)),
        settled_at=time_text(attempt.settled_at_ms),
        search_units=attempt.search_units,
        cache_write_1h_tokens=attempt.cache_write_1h_tokens,
        audio_tokens=attempt.audio_tokens,
        output_audio_tokens=attempt.output_audio_tokens,
        credential_id=attempt.credential_id,
    )


OPERATIONS = (
    AdminOperation(
        "requests.list",
        "GET",
        "/admin/requests",
        "List the records of requests, the newest first",
        _list,
        Page[RequestView],
        query=RequestQuery,
    ),
    AdminOperation(
        "requests.in_flight",
        "GET",
        "/admin/requests/in-flight",
        "List the requests that are running now, the oldest first",
        _in_flight,
        Page[RunningRequest],
        query=ListQuery,
    ),
    AdminOperation(
        "requests.purge",
        "POST",
        "/admin/requests/purge",
        "Delete the records of requests that began before a moment",
        _purge,
        RequestPurge,
        body=PurgeOrder,
    ),
    AdminOperation(
        "requests.cancel",
        "POST",
        "/admin/requests/{request}/cancel",
        "End a request that is running now",
        _cancel,
        RunningRequest,
    ),
    AdminOperation(
        "requests.show",
        "GET",
        "/admin/requests/{request}",
        "Show the record of a request with its attempts",
        _show,
        RequestDetail,
    ),
)
