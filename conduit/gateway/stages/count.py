"""Counting the tokens of a call, in the place of calling: nothing is held, settled or recorded.

A provider of the client's own dialect counts for nothing; where there is none, it is estimated.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from conduit.core.errors import ConduitError, InvalidRequestError, UpstreamFailure
from conduit.gateway.config.snapshot import KeyGrant, Upstream
from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.hosted_tools import without_hosted_tools
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.dialects.request_units import texts_of
from conduit.gateway.dialects.target import InexpressibleError, Target
from conduit.gateway.exchange import Assumed, Attempt, Exchange, Relay
from conduit.gateway.ledger.entries import AttemptOutcome
from conduit.gateway.provider import CountingProvider, OutgoingRequest
from conduit.gateway.reach.stored import Authorize
from conduit.gateway.stages.answer_headers import answer_headers
from conduit.gateway.stages.call import headers_for, refusal
from conduit.gateway.stages.failures import transport_failure
from conduit.gateway.tokens import estimate_tokens
from conduit.gateway.upstream import Deadlines, Endpoint, TransportError

_ANSWER_LIMIT_BYTES: Final = 64 * 1024
_FRAMING_TOKENS: Final = 4
"""What a chat template puts around a message, most often."""


class Count:
    """Takes the place of `Call`; a failure is noted on the attempt there as well."""

    def __init__(
        self,
        endpoint_of: Callable[[Upstream], Endpoint],
        authorize: Authorize,
        deadlines: Deadlines,
        limit_headers: Callable[[KeyGrant], Mapping[str, str]] = lambda _key: {},
    ) -> None:
        self._endpoint_of = endpoint_of
        self._authorize = authorize
        self._deadlines = deadlines
        self._limit_headers = limit_headers

    async def __call__(self, exchange: Exchange, attempt: Attempt, relay: Relay) -> None:
        call, provider = exchange.call, attempt.candidate.upstream.provider
        estimated = provider.type.dialect != call.dialect or not isinstance(
            provider, CountingProvider
        )
        try:
            body = _estimate(exchange) if estimated else await self._asked(exchange, attempt)
        except ConduitError as error:
            attempt.failed(error, AttemptOutcome.REFUSED, Assumed.NOTHING)
            return
        headers = answer_headers(exchange, attempt)
        headers |= self._limit_headers(exchange.granted_key)
        headers["content-type"] = "application/json"
        if estimated:
            headers["x-conduit-estimated"] = "true"
        await relay.answer(200, headers, body)

    async def _asked(self, exchange: Exchange, attempt: Attempt) -> bytes:
        """The provider's own answer, looked into; raises its refusal, or what else went wrong."""
        upstream, provider = attempt.candidate.upstream, attempt.candidate.upstream.provider
        assert isinstance(provider, CountingProvider), "the others do not count"
        path = provider.count_path(attempt.candidate.model)
        body = _encoded(exchange, attempt)
        request = OutgoingRequest("POST", upstream.base_url + path, body)
        headers = await headers_for(self._authorize, exchange, attempt, request)
        try:
            endpoint = self._endpoint_of(upstream)
        except InvalidRequestError as error:
            text = f"the provider {upstream.name!r} cannot be called: {error}"
            raise UpstreamFailure(text) from error
        try:
            response = await endpoint.send(path, body, headers, self._deadlines)
            try:
                if not 200 <= response.status < 300:
                    raise await refusal(attempt, response)
                answer = await response.read(_ANSWER_LIMIT_BYTES)
            finally:
                response.close()
        except TransportError as error:
            raise transport_failure(attempt, error) from error
        DIALECTS[provider.type.dialect].decode_count(answer)
        return answer


def _encoded(exchange: Exchange, attempt: Attempt) -> bytes:
    candidate = attempt.candidate
    kind = candidate.upstream.provider.type
    target = Target(
        candidate.model, candidate.rates.max_output_tokens, kind.quirks.schema, kind.quirks
    )
    request = _conversation(exchange)
    try:
        if request.dialect != kind.dialect:
            request, _ = without_hosted_tools(request)
        encoded = DIALECTS[kind.dialect].encode_count_request(request, target)
    except InexpressibleError as error:
        raise InvalidRequestError(error.reason, param=error.feature) from error
    body: bytes = encoded.body
    return body


def _estimate(exchange: Exchange) -> bytes:
    """The client's answer of all that is text; pictures and sounds are not counted."""
    request = _conversation(exchange)
    tokens = estimate_tokens("\n".join(texts_of(request)))
    tokens += _FRAMING_TOKENS * len(request.messages)
    body: bytes = DIALECTS[exchange.call.dialect].encode_count(tokens)
    return body


def _conversation(exchange: Exchange) -> ChatRequest:
    request = exchange.call.request
    assert request is not None, "reading the call has made it"
    return request


def nothing_to_admit(exchange: Exchange) -> None:
    """Whoever has spent a budget may count."""


async def nothing_to_limit(exchange: Exchange) -> None:
    """A count is no request to a model."""


async def nothing_to_replay(exchange: Exchange, relay: Relay) -> Relay | None:
    """A count is made anew each time: it costs nothing."""
    return relay


async def nothing_to_recall(exchange: Exchange, relay: Relay) -> bool:
    return False


async def nothing_to_hold(exchange: Exchange, attempt: Attempt) -> None:
    exchange.attempts.append(attempt)


def nothing_to_settle(exchange: Exchange, attempt: Attempt) -> AbstractContextManager[None]:
    return nullcontext()


def nothing_to_record(exchange: Exchange) -> AbstractContextManager[None]:
    return nullcontext()
