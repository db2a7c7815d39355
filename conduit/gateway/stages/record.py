"""The record of a request and its events: one row for every request, failures too."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import structs

from conduit.core.errors import ConduitError
from conduit.core.events import EventKind
from conduit.gateway.config.snapshot import Credential
from conduit.gateway.conversation import Usage
from conduit.gateway.exchange import CLIENT_GONE_STATUS, Attempt, ClientGone, Exchange
from conduit.gateway.ledger.entries import EMPTY_USAGE
from conduit.gateway.ledger.records import RequestRecord
from conduit.gateway.limits.limiter import Fate
from conduit.gateway.routing.sessions import named_session, named_user
from conduit.gateway.routing.trace import trace_of
from conduit.gateway.stages.keep import Offer, end
from conduit.gateway.stages.limit import fate_of, used_tokens

REPLAY: Final = "replay"
"""How a reply that was given again stands to those that are kept, as `Result` has the others."""


_BUCKETS: Final = (
    *("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("input_audio_tokens", "output_tokens", "reasoning_tokens", "output_audio_tokens"),
)


class RequestStarted(msgspec.Struct, frozen=True, gc=False):
    """What is told of a request when its provider is about to be chosen."""

    id: str
    key: str
    alias: str
    operation: str
    stream: bool

    def as_event(self) -> dict[str, Any]:
        return structs.asdict(self)


class Record:
    """Writes the record when a request ends, however it ends. Synchronous throughout."""

    def __init__(
        self,
        write: Callable[[RequestRecord], None],
        publish: Callable[[EventKind, RequestStarted | RequestRecord], None],
        observe: Callable[[RequestRecord], None],
        keep: Offer,
    ) -> None:
        self._write = write
        self._publish = publish
        self._observe = observe
        self._keep = keep

    def recorded(self, exchange: Exchange) -> "Recording":
        """Within its block an exchange is served; when it is left, the record is written."""
        return Recording(self._finish, exchange)

    def started(self, exchange: Exchange) -> None:
        call = exchange.call
        started = RequestStarted(
            exchange.id, exchange.granted_key.name, call.model, exchange.operation, call.stream
        )
        self._publish(EventKind.REQUEST_STARTED, started)

    def _finish(self, exchange: Exchange) -> None:
        if exchange.recall is not None:
            exchange.recall.end()
        if exchange.turn is not None:
            exchange.turn.end()
        if exchange.permit is not None:
            exchange.permit.end(used_tokens(exchange), fate_of(exchange))
        record = record_of(exchange)
        if exchange.turn is not None and (reply := exchange.turn.replayed) is not None:
            record = structs.replace(
                record, cache=REPLAY, avoided_nanodollars=reply.cost_nanodollars
            )
        self._write(record)
        self._observe(record)
        kept = exchange.kept
        if kept is not None:
            end(exchange, kept)
            self._keep(kept)
        self._publish(EventKind.REQUEST_FINISHED, record)


class Recording(msgspec.Struct, eq=False):
    """The block of one exchange: notes how it ended, then has it recorded.

    A struct, as one is made for every request: a generator's context manager takes twice the time.
    """

    _finish: Callable[[Exchange], None]
    _exchange: Exchange

    __repr__ = object.__repr__  # without the prompt

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            _note_failure(self._exchange, error)
        self._finish(self._exchange)


def _note_failure(exchange: Exchange, error: BaseException) -> None:
    match error:
        case ConduitError():
            error.headers = {**error.headers, **_headers_of_error(exchange)}
            exchange.error = exchange.error or error
            exchange.status = exchange.status or error.status
            exchange.outcome = exchange.outcome or "failed"
        case asyncio.CancelledError() | ClientGone():
            stopping = exchange.stopping
            if not exchange.outcome:
                exchange.error = stopping
            exchange.status = exchange.status or (
                stopping.status if stopping else CLIENT_GONE_STATUS
            )
            exchange.outcome = exchange.outcome or ("stopped" if stopping else "client_gone")
        case _:
            exchange.status = 500
            exchange.outcome = "failed"


def _headers_of_error(exchange: Exchange) -> dict[str, str]:
    """The gateway's own headers on an answer that is an error, as far as they can be told."""
    headers = {
        "x-conduit-attempts": str(len(exchange.attempts)),
        "x-conduit-config": str(exchange.snapshot.revision),
    }
    permit = exchange.permit
    if permit is not None:
        if not exchange.attempts:
            permit.end(0, Fate.REFUSED)  # what it had taken is there again when this is read
        headers |= permit.headers()
    return headers


class _Unknown(NamedTuple):
    """In the place of what a request did not come to have: a key, a group, a call, a credential."""

    id: None = None
    name: None = None
    group: None = None
    model: None = None
    dialect: None = None
    stream: bool = False


_UNKNOWN: Final = _Unknown()


def record_of(exchange: Exchange) -> RequestRecord:
    """The row of a finished exchange: tokens and cost of all its attempts, and the last of them."""
    attempts = exchange.attempts
    key = exchange.key or _UNKNOWN
    group = key.group or _UNKNOWN
    call = exchange.decoded or _UNKNOWN
    recall = exchange.recall
    provider = model = provider_dialect = ttft_ms = dropped = None
    credential: Credential | _Unknown = _UNKNOWN
    usage, usage_source = EMPTY_USAGE, "none"
    cost = billed = written = 0
    if attempts:
        last = attempts[-1]
        candidate = last.candidate
        provider, model = candidate.upstream.name, candidate.model
        provider_dialect = candidate.upstream.provider.type.dialect
        credential = last.credential or _UNKNOWN
        ttft_ms, usage_source = last.ttft_ms, str(last.usage_source)
        encoded = last.encoded
        if encoded is not None and encoded.dropped:
            dropped = ",".join(encoded.dropped)
        usage = _usage_of(attempts)
        written = 0 if last.usage is None else last.usage.total_output_tokens
        for each in attempts:
            cost += each.cost_nanodollars
            billed += each.billed_nanodollars
    duration_ms = exchange.elapsed_ms()
    return RequestRecord(
        id=exchange.id,
        at_ms=exchange.at_ms,
        operation=str(exchange.operation),
        stream=call.stream,
        status=exchange.status,
        outcome=exchange.outcome,
        error_code=None if exchange.error is None else exchange.error.code,
        key_id=key.id,
        key_name=key.name,
        alias=call.model,
        provider=provider,
        model=model,
        attempts=len(attempts),
        duration_ms=duration_ms,
        ttft_ms=ttft_ms,
        input_tokens=usage.total_input_tokens,
        cached_tokens=usage.cache_read_tokens,
        output_tokens=usage.total_output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        usage_source=usage_source,
        cost_nanodollars=cost,
        billed_nanodollars=billed,
        tokens_per_s_milli=written * 1_000_000 // duration_ms if written and duration_ms else None,
        client_ip=exchange.client_ip,
        user_agent=exchange.user_agent,
        route=trace_of(exchange),
        cache=None if recall is None else recall.result.value,
        avoided_nanodollars=0 if recall is None else recall.avoided_nanodollars,
        session=None if call is _UNKNOWN else named_session(exchange),
        end_user=None if call is _UNKNOWN else named_user(exchange),
        dropped=dropped,
        group_id=group.id,
        group_name=group.name,
        cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        audio_tokens=usage.input_audio_tokens + usage.output_audio_tokens,
        output_audio_tokens=usage.output_audio_tokens,
        client_dialect=call.dialect,
        provider_dialect=provider_dialect,
        credential_id=credential.id,
        credential_name=credential.name,
    )


def _usage_of(attempts: Sequence[Attempt]) -> Usage:
    if len(attempts) == 1:  # as of most
        return attempts[0].usage or EMPTY_USAGE
    used = [each.usage for each in attempts if each.usage is not None]
    if not used:
        return EMPTY_USAGE
    return Usage(**{name: sum([getattr(each, name) for each in used]) for name in _BUCKETS})
