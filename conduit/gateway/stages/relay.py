"""Giving a provider's answer to the client: whole, or piece by piece as it arrives."""

import asyncio
import time
from contextlib import suppress

import msgspec

from conduit.core.errors import (
    BudgetExceededError,
    ConduitError,
    UpstreamFailure,
    UpstreamTimeoutError,
)
from conduit.core.money import cost_of_units, format_usd
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.bridges.protocol import AnswerStream, Bridge, Sending, WholeRead
from conduit.gateway.dialects.openai.relayed_answer import Output
from conduit.gateway.dialects.target import EncodedRequest
from conduit.gateway.exchange import Assumed, Attempt, ClientGone, Exchange, Relay
from conduit.gateway.ledger.entries import AttemptOutcome, Ledger
from conduit.gateway.routing.sessions import NAMING_FIELDS
from conduit.gateway.stages.admit import STREAM_BLOCK_TOKENS
from conduit.gateway.stages.answer_headers import answer_headers
from conduit.gateway.stages.at_once import AtOnce
from conduit.gateway.stages.failures import scrub_for, transport_failure
from conduit.gateway.stages.remember import RememberingRelay
from conduit.gateway.stages.settle import Settle
from conduit.gateway.upstream import TransportError, UpstreamResponse

_NEVER = 2**62

_FINE_BYTES = 8
"""Up to this many bytes a delta, a provider sends about a token at a time."""

_DELTAS_BETWEEN_LOOKS = 16

_GRACE_S = 5.0
"""How long a stream may take to come up to the least speed of its alias."""

_TAIL_S = 1.0
"""How long a provider may take to end its body after the end of its stream."""


class Asked(msgspec.Struct, frozen=True, eq=False):
    """An attempt that has been sent, with the bridge that its answer comes back by."""

    exchange: Exchange
    attempt: Attempt
    bridge: Bridge
    sending: Sending

    @property
    def encoded(self) -> EncodedRequest:
        encoded = self.attempt.encoded
        assert encoded is not None, "what was sent has been encoded"
        return encoded


class RelayAnswer:
    """Relays one good answer and notes on the attempt how it went.

    The attempt is settled before the last byte leaves, so that a caller who has read its answer
    finds it accounted for. Until the first byte has left, a failure is only noted: the next
    candidate may still serve.
    """

    def __init__(self, ledger: Ledger, settle: Settle, answer_limit_bytes: int) -> None:
        self._ledger = ledger
        self._settle = settle
        self._answer_limit_bytes = answer_limit_bytes

    async def __call__(self, asked: Asked, response: UpstreamResponse, relay: Relay) -> None:
        recall = asked.exchange.recall
        if recall is not None:
            relay = RememberingRelay(asked.exchange, asked.attempt, recall, relay)
        if asked.exchange.call.stream:
            await self._stream(asked, response, relay)
        else:
            await self._whole(asked, response, relay)

    async def _whole(self, asked: Asked, response: UpstreamResponse, relay: Relay) -> None:
        exchange, attempt = asked.exchange, asked.attempt
        try:
            answer = await self._read(asked, response)
        except TransportError as error:
            failure: ConduitError = transport_failure(attempt, error)
            attempt.failed(failure, AttemptOutcome.AMBIGUOUS, Assumed.HOLD)
            return
        except UpstreamFailure as error:
            attempt.failed(error, AttemptOutcome.AMBIGUOUS, Assumed.INPUT)
            return
        _note_usage(attempt, answer.usage, answer.output)
        attempt.ttft_ms = exchange.elapsed_ms()
        self._succeeded(exchange, attempt)
        headers = answer_headers(exchange, attempt)
        headers["content-type"] = "application/json"
        spent = 0
        for each in exchange.attempts:
            spent += each.cost_nanodollars
        headers["x-conduit-cost"] = format_usd(spent)
        await relay.answer(200, headers, answer.body)

    async def _read(self, asked: Asked, response: UpstreamResponse) -> WholeRead:
        """A step of its own: what the provider wrote is let go before the client takes its time."""
        exchange, attempt, bridge = asked.exchange, asked.attempt, asked.bridge
        body = await response.read(self._answer_limit_bytes)
        scrub = scrub_for(attempt.candidate.upstream)
        return bridge.whole(exchange.call, asked.encoded, body, scrub)

    async def _stream(self, asked: Asked, response: UpstreamResponse, relay: Relay) -> None:
        exchange, attempt, bridge = asked.exchange, asked.attempt, asked.bridge
        scrub = scrub_for(attempt.candidate.upstream)
        reader = bridge.stream(exchange.call, asked.encoded, asked.sending, scrub)
        attempt.stream = reader
        try:
            await self._relay_events(exchange, attempt, response, relay, reader)
        except TransportError as error:
            _note(attempt, reader)
            failure = transport_failure(attempt, error)
            # Its head has come, so it is at work: what it bills if nobody reads on is not known.
            await self._broke(exchange, attempt, relay, failure, unbegun=Assumed.HOLD)
        except (UpstreamFailure, BudgetExceededError) as error:
            _note(attempt, reader)
            await self._broke(exchange, attempt, relay, error, unbegun=Assumed.INPUT)
        except asyncio.CancelledError:
            _note(attempt, reader)
            if exchange.stopping is not None:
                await self._stop(exchange, attempt, response, relay, exchange.stopping)
            raise
        except ClientGone:
            _note(attempt, reader)
            raise

    async def _relay_events(
        self,
        exchange: Exchange,
        attempt: Attempt,
        response: UpstreamResponse,
        relay: Relay,
        reader: AnswerStream,
    ) -> None:
        # The loop runs for every piece that is not dealt with at once: what it does not need, it
        # does not call.
        write, output = relay.write, reader.output
        at_once = AtOnce(reader, relay.push)
        read = at_once.read
        async for piece in response:
            data, failure = read(piece)
            if reader.done:
                break
            if output.deltas >= at_once.look_at:
                # Before what it pays for is given away.
                at_once.look_at = self._account(attempt, output)
                if attempt.can_top_up and attempt.output_tokens >= attempt.held_output_tokens:
                    at_once.look_at = await self._top_up(attempt, output)
            # Until the first event parses nothing leaves, comments included: another candidate
            # may still have to answer.
            if data and (attempt.answering or reader.started):
                if not attempt.answering:
                    await self._begin(exchange, attempt, relay)
                    response.pipe(at_once.take)
                await write(data)
            if failure is not None:
                raise failure
        else:
            data = self._end_of_body(attempt, reader)
        _note(attempt, reader)
        if not reader.started:
            raise _empty_stream(attempt)
        if not attempt.answering:
            await self._begin(exchange, attempt, relay)
        self._succeeded(exchange, attempt)
        await write(data)
        await _read_tail(response)

    async def _begin(self, exchange: Exchange, attempt: Attempt, relay: Relay) -> None:
        headers = answer_headers(exchange, attempt)
        headers["content-type"] = "" if attempt.stream is None else attempt.stream.content_type
        headers["cache-control"] = "no-cache"
        headers["x-accel-buffering"] = "no"  # nginx would hold the events back
        attempt.answering = True
        attempt.ttft_ms = exchange.elapsed_ms()
        _let_go_of_prompt(exchange)
        await relay.start(headers)

    def _account(self, attempt: Attempt, output: Output) -> int:
        """Note the progress; the count of deltas at which to look again.

        Where the client set a limit, all of it is held from the first, and the provider keeps it.
        """
        produced = attempt.output_tokens = output.rough_tokens
        hold = attempt.hold
        if hold is None:
            return _NEVER
        self._ledger.progress(hold, min(produced, attempt.held_output_tokens))
        step = _DELTAS_BETWEEN_LOOKS
        if (slowest := attempt.policy.stream_min_tokens_per_s) is not None:
            _refuse_a_crawl(attempt, produced, slowest)
            step = 1
        if attempt.can_top_up:
            step = min(step, attempt.held_output_tokens - produced)
        # Recovery adds 256 tokens to the last note, so a few unnoted ones cost nothing. Where a
        # provider sends many tokens at once each piece is looked at.
        is_fine = output.bytes <= _FINE_BYTES * output.deltas
        return output.deltas + (step if is_fine else 1)

    async def _top_up(self, attempt: Attempt, output: Output) -> int:
        """Hold more for a stream that outgrew what it holds; when to look again, as `_account`.

        Raises BudgetExceededError where there is no more.
        """
        hold, produced = attempt.hold, attempt.output_tokens
        assert hold is not None, "what can be topped up is held"
        block = cost_of_units(STREAM_BLOCK_TOKENS, hold.claim.output_rate)
        while produced >= attempt.held_output_tokens:
            if not await self._ledger.top_up(hold, block):
                raise BudgetExceededError("the budget cannot pay for more of this answer")
            attempt.held_output_tokens += STREAM_BLOCK_TOKENS
        return self._account(attempt, output)

    @staticmethod
    def _end_of_body(attempt: Attempt, reader: AnswerStream) -> bytes:
        """What still has to be written after a body that ended without its end mark."""
        data, failure = reader.finish()
        if failure is not None:
            raise failure
        if not reader.started:
            raise _empty_stream(attempt)
        if not reader.complete:
            name = attempt.candidate.upstream.name
            raise UpstreamFailure(f"the provider {name!r} broke off its answer")
        # Some servers end after the last choice and leave the mark out.
        return data if reader.done else data + reader.end_mark

    def _succeeded(self, exchange: Exchange, attempt: Attempt) -> None:
        attempt.complete = True
        attempt.assumed = Assumed.COUNTED
        if attempt.drained:
            attempt.outcome = AttemptOutcome.CLIENT_GONE
        else:
            attempt.outcome = AttemptOutcome.SUCCEEDED
            exchange.status = 200
            exchange.outcome = "succeeded"
        self._settle(exchange, attempt)

    async def _broke(
        self,
        exchange: Exchange,
        attempt: Attempt,
        relay: Relay,
        error: ConduitError,
        *,
        unbegun: Assumed,
    ) -> None:
        """The stream ends badly: an error frame and no end mark, or the next candidate."""
        if attempt.complete:
            return  # the whole answer had left: only the end of the body was missing
        if not attempt.answering:
            attempt.failed(error, AttemptOutcome.AMBIGUOUS, unbegun)
            return
        stopped = isinstance(error, BudgetExceededError)
        outcome = AttemptOutcome.STOPPED if stopped else AttemptOutcome.CUT
        attempt.failed(error, outcome, Assumed.COUNTED)
        exchange.status = 200
        exchange.outcome = outcome.value
        exchange.error = error
        self._settle(exchange, attempt)
        await relay.write(_frame(attempt, error))

    async def _stop(
        self,
        exchange: Exchange,
        attempt: Attempt,
        response: UpstreamResponse,
        relay: Relay,
        reason: ConduitError,
    ) -> None:
        """The gateway shuts down: settle, tell the caller, leave."""
        response.close()
        if attempt.outcome is not None:
            return
        attempt.failed(reason, AttemptOutcome.STOPPED, Assumed.COUNTED)
        self._settle(exchange, attempt)
        if attempt.answering:
            exchange.status = 200  # that has been sent
            with suppress(ClientGone):
                await relay.write(_frame(attempt, reason))


async def _read_tail(response: UpstreamResponse) -> None:
    """Read to the end of the body, so that the connection can be used again."""
    if response.at_end:
        return
    with suppress(TransportError, TimeoutError):
        async with asyncio.timeout(_TAIL_S):
            async for _ in response:
                pass


def _let_go_of_prompt(exchange: Exchange) -> None:
    """Nobody else will be asked now, and a stream may be long: it keeps no copy of its prompt."""
    exchange.call = exchange.call.reduced_to(NAMING_FIELDS)
    exchange.prompt = None
    for attempt in exchange.attempts:
        if attempt.encoded is not None:
            attempt.encoded = msgspec.structs.replace(attempt.encoded, body=b"")


def _refuse_a_crawl(attempt: Attempt, produced: int, slowest: float) -> None:
    """Raise UpstreamTimeoutError for a stream that has been slower than its alias allows."""
    now = time.monotonic()
    if attempt.streaming_since is None:
        attempt.streaming_since = now
    took_s = now - attempt.streaming_since
    if took_s > _GRACE_S and produced < slowest * took_s:
        name = attempt.candidate.upstream.name
        raise UpstreamTimeoutError(
            f"the provider {name!r} writes {produced / took_s:.1f} tokens a second, "
            f"and {slowest:g} are the least for this model"
        )


def _frame(attempt: Attempt, error: ConduitError) -> bytes:
    """The end of a stream that broke off, in the words of its client."""
    return b"" if attempt.stream is None else attempt.stream.error_frame(error)


def _empty_stream(attempt: Attempt) -> UpstreamFailure:
    name = attempt.candidate.upstream.name
    return UpstreamFailure(f"the provider {name!r} sent an empty stream")


def _note(attempt: Attempt, reader: AnswerStream) -> None:
    """What the stream has brought so far, for the settlement."""
    _note_usage(attempt, reader.usage, reader.output)


def _note_usage(attempt: Attempt, usage: Usage | None, output: Output) -> None:
    """What was reported, unless that says nothing of an output that there is: it would be free."""
    if usage is not None and usage.output_untold and output.tokens:
        usage = None
    attempt.usage = usage
    if usage is None:  # only then is the text worth estimating
        attempt.output_tokens = output.tokens
