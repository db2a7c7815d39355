"""Sending one attempt to its provider, and judging what comes back."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from conduit.core.errors import (
    ConduitError,
    InvalidRequestError,
    RequestError,
    UpstreamFailure,
)
from conduit.gateway.config.snapshot import Upstream
from conduit.gateway.dialects.bridges.choice import bridge_between
from conduit.gateway.dialects.bridges.protocol import Sending
from conduit.gateway.dialects.openai.errors import refuses_stream_usage
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.exchange import Assumed, Attempt, Exchange, Relay
from conduit.gateway.ledger.entries import AttemptOutcome
from conduit.gateway.provider import OutgoingRequest
from conduit.gateway.reach.stored import Authorize
from conduit.gateway.stages.drain import Drain
from conduit.gateway.stages.failures import passed, scrub_for, transport_failure
from conduit.gateway.stages.keep import KeptRelay, KeptResponse, note_sent
from conduit.gateway.stages.relay import Asked, RelayAnswer
from conduit.gateway.upstream import Deadlines, Endpoint, TransportError, UpstreamResponse

ERROR_BODY_LIMIT_BYTES = 64 * 1024
_SHORTEST_S = 0.001
_UNSURE_STATUSES = frozenset({502, 504})


class Call:
    """The only sender. It never raises for a provider's failure: that is noted on the attempt."""

    def __init__(
        self,
        endpoint_of: Callable[[Upstream], Endpoint],
        authorize: Authorize,
        relay_answer: RelayAnswer,
        deadlines: Deadlines,
        drain: Drain,
        shortest_s: float = 1.0,
    ) -> None:
        """No attempt begins with less than `shortest_s` left; see `Exchange.is_late`."""
        self._endpoint_of = endpoint_of
        self._authorize = authorize
        self._relay_answer = relay_answer
        self._drain = drain
        self._shortest_s = shortest_s
        self._whole = deadlines
        self._streamed = Deadlines(
            pool_s=deadlines.pool_s,
            connect_s=deadlines.connect_s,
            first_event_s=deadlines.first_event_s,
            gap_s=deadlines.gap_s,
            total_s=None,
        )
        # Where stream_options was answered by 400 or 422: provider and base URL.
        self._refuses_stream_usage: set[tuple[str, str]] = set()

    async def __call__(self, exchange: Exchange, attempt: Attempt, relay: Relay) -> None:
        sent = await self._sent(exchange, attempt)
        if sent is None:
            return
        asked, answering = sent
        if attempt.candidate.upstream.drains:
            await self._drain(
                exchange, attempt, lambda outlet: self._answered(asked, answering, outlet), relay
            )
        else:
            await self._answered(asked, answering, relay)

    async def _sent(
        self, exchange: Exchange, attempt: Attempt
    ) -> tuple[Asked, Awaitable[UpstreamResponse]] | None:
        """The call on its way, with its answer; None where it cannot be made.

        A step of its own: while the answer comes, nothing here holds on to the prompt.
        """
        call, candidate, operation = exchange.call, attempt.candidate, exchange.operation
        upstream = candidate.upstream
        provider, kind = upstream.provider, upstream.provider.type
        asks_usage = (
            call.stream
            and kind.quirks.asks_stream_usage
            and (upstream.id, upstream.base_url) not in self._refuses_stream_usage
        )
        bridge = bridge_between(call.dialect, kind.dialect, operation)
        sending = Sending(
            candidate.model,
            candidate.params,
            candidate.quirks,
            asks_usage,
            attempt.output_cap,
            candidate.rates.max_output_tokens,
        )
        try:
            encoded = attempt.encoded = bridge.encode(call, sending)
            path = provider.path(operation, candidate.model, stream=call.stream)
        except RequestError as error:  # what the provider cannot be asked, or named in a path
            attempt.failed(error, AttemptOutcome.REFUSED, Assumed.NOTHING)
            return None
        body = encoded.body
        request = OutgoingRequest("POST", upstream.base_url + path, body)
        try:
            headers = await headers_for(self._authorize, exchange, attempt, request)
            endpoint = self._endpoint_of(upstream)
        except UpstreamFailure as error:
            attempt.failed(error, AttemptOutcome.REFUSED, Assumed.NOTHING)
            return None
        except InvalidRequestError as error:
            # Its base URL was good when it was stored: the operator's matter, not the caller's.
            failure = UpstreamFailure(f"the provider {upstream.name!r} cannot be called: {error}")
            attempt.failed(failure, AttemptOutcome.REFUSED, Assumed.NOTHING)
            return None
        if exchange.ends_at is not None and exchange.is_late(self._shortest_s):
            attempt.failed(passed(), AttemptOutcome.REFUSED, Assumed.NOTHING)
            return None
        kept = exchange.kept
        if kept is not None:
            note_sent(kept, attempt, request, headers)
        deadlines = self._deadlines(exchange, attempt)
        answering = endpoint.send(path, body, headers, deadlines, attempt)
        return Asked(exchange, attempt, bridge, sending), answering

    async def _answered(
        self, asked: Asked, answering: Awaitable[UpstreamResponse], relay: Relay
    ) -> None:
        attempt, kept = asked.attempt, asked.exchange.kept
        try:
            response = await answering
        except TransportError as error:
            attempt.sent = error.sent
            _not_answered(attempt, error)
            return
        if kept is not None:
            response, relay = KeptResponse(kept, response), KeptRelay(kept, relay)
        try:
            await self._judge(asked, response, relay)
        finally:
            response.close()

    def _deadlines(self, exchange: Exchange, attempt: Attempt) -> Deadlines:
        usual = self._streamed if exchange.call.stream else self._whole
        idle_s = attempt.policy.stream_idle_s
        if idle_s is None and attempt.number == 1 and exchange.ends_at is None:
            return usual
        if idle_s is not None and exchange.call.stream:
            usual = replace(usual, gap_s=min(usual.gap_s, idle_s))
        ends_at = exchange.ends_at
        if ends_at is None:
            if attempt.number == 1 or usual.total_s is None:
                return usual
            ends_at = exchange.began + usual.total_s
        left = max(ends_at - time.monotonic(), _SHORTEST_S)
        return replace(
            usual,
            pool_s=min(usual.pool_s, left),
            connect_s=min(usual.connect_s, left),
            first_event_s=min(usual.first_event_s, left),
            total_s=left if usual.total_s is None else min(usual.total_s, left),
        )

    async def _judge(self, asked: Asked, response: UpstreamResponse, relay: Relay) -> None:
        exchange, attempt = asked.exchange, asked.attempt
        attempt.status = response.status
        if 200 <= response.status < 300:
            await self._relay_answer(asked, response, relay)
            return
        error = await refusal(attempt, response)
        unsure = response.status in _UNSURE_STATUSES
        attempt.failed(
            error,
            AttemptOutcome.AMBIGUOUS if unsure else AttemptOutcome.REFUSED,
            Assumed.INPUT if unsure else Assumed.NOTHING,
        )
        if not asked.sending.ask_stream_usage or not refuses_stream_usage(error):
            return
        if exchange.call.dialect == openai_chat.NAME and exchange.call.wants_stream_usage:
            return  # then the refusal is the client's own
        upstream = attempt.candidate.upstream
        self._refuses_stream_usage.add((upstream.id, upstream.base_url))
        attempt.ask_again = True


async def headers_for(
    authorize: Authorize, exchange: Exchange, attempt: Attempt, request: OutgoingRequest
) -> dict[str, str]:
    """The head of a request to a provider; raises UpstreamFailure where it cannot be signed."""
    upstream, credential = attempt.candidate.upstream, attempt.credential
    kind = upstream.provider.type
    headers = {"content-type": "application/json"}
    forwarded = exchange.forwarded_headers
    if forwarded and exchange.call.dialect == kind.dialect:
        headers |= forwarded  # in another dialect they mean nothing
    secret = None if credential is None else credential.secret
    headers |= await authorize(upstream.provider, secret, request)
    if upstream.base_url != kind.default_base_url:  # it may be a gateway too
        headers["x-conduit-hops"] = str(exchange.hops + 1)
    if (name := kind.quirks.request_id_header) is not None:
        headers[name] = attempt.id
    return headers


async def refusal(attempt: Attempt, response: UpstreamResponse) -> ConduitError:
    """The provider's error answer as ours."""
    try:
        body = await response.read(ERROR_BODY_LIMIT_BYTES)
    except TransportError:
        body = b""  # its status says enough
    upstream = attempt.candidate.upstream
    decode_error = DIALECTS[upstream.provider.type.dialect].decode_error
    error: ConduitError = decode_error(
        response.status, response.headers, body, secrets_scrub=scrub_for(upstream)
    )
    return error


def _not_answered(attempt: Attempt, error: TransportError) -> None:
    """No head of an answer came."""
    failure = transport_failure(attempt, error)
    if error.sent:
        attempt.failed(failure, AttemptOutcome.AMBIGUOUS, Assumed.HOLD)
    else:
        attempt.failed(failure, AttemptOutcome.REFUSED, Assumed.NOTHING)
