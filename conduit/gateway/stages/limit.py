"""The rate limits of a request: those of its key, its group, its alias and the whole gateway.

Those of the key and the group are looked at before its body; all are taken once its size is known.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from conduit.gateway.dialects.openai.wire import answers, output_cap
from conduit.gateway.exchange import Exchange
from conduit.gateway.ledger.entries import AttemptOutcome
from conduit.gateway.limits.limiter import Fate, Limiter, Scope
from conduit.gateway.limits.scopes import narrowed
from conduit.gateway.provider import Operation
from conduit.gateway.snapshot import KeyGrant
from conduit.gateway.stages.admit import STREAM_BLOCK_TOKENS
from conduit.gateway.stages.decode import input_tokens_of

_UNUSED = frozenset({AttemptOutcome.REFUSED})
_MOST_KNOWN = 20_000
_MOST_MODELS = 100


class _Known(NamedTuple):
    """The scopes of a key: all of their limits, those alone that count for any model, and those
    that count for a model.
    """

    key: KeyGrant
    scopes: tuple[Scope, ...]
    of_any: tuple[Scope, ...]
    by_model: dict[str, tuple[Scope, ...]]


class RateLimits:
    """Of requests that are under any; the others are not even asked."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._known: dict[str, _Known] = {}

    def check(self, key: KeyGrant) -> None:
        """Refuse a request of a key that is at a limit already. Raises RateLimitedError."""
        self._limiter.check(*self._of(key).of_any)  # what is asked for is not known yet

    def headers(self, key: KeyGrant, others: tuple[Scope, ...] = ()) -> Mapping[str, str]:
        """How the limits of a key, its group and `others` stand, where nothing is taken of them."""
        if not (key.limits or (key.group is not None and key.group.limits) or others):
            return {}
        return self._limiter.headers(*self._of(key).of_any, *others)

    async def take(self, exchange: Exchange) -> None:
        """Take of all its limits, or of none; see `Limiter.take` for what it raises."""
        tokens, guessed = 0, 0
        scopes = self._counting(exchange)
        if exchange.scopes:
            scopes = (*scopes, *exchange.scopes)
        if any(limit.of_tokens for scope in scopes for limit in scope.limits):
            tokens, guessed = _most_tokens(exchange)
        exchange.permit = await self._limiter.take(scopes, tokens, guessed)

    async def take_request(self, exchange: Exchange) -> None:
        """The same for an answer that costs no tokens, as it was given before."""
        scopes = self._counting(exchange)
        if any(scope.limits for scope in scopes):
            exchange.permit = await self._limiter.take(scopes, 0, 0)

    def _counting(self, exchange: Exchange) -> tuple[Scope, ...]:
        """The key of a request and its group, with the limits that count for its model."""
        known = self._of(exchange.granted_key)
        if known.of_any is known.scopes:
            return known.scopes
        model = exchange.call.model
        found = known.by_model.get(model)
        if found is None:
            if len(known.by_model) >= _MOST_MODELS:
                known.by_model.clear()
            found = known.by_model[model] = _counting(known.scopes, model)
        return found

    def _of(self, key: KeyGrant) -> _Known:
        """A key is the same object until something of it changes."""
        known = self._known.get(key.id)
        if known is None or known.key is not key:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            scopes = scopes_of(key)
            of_any = _counting(scopes, None)
            if all(one is other for one, other in zip(of_any, scopes, strict=True)):
                of_any = scopes
            known = self._known[key.id] = _Known(key, scopes, of_any, {})
        return known


def scopes_of(key: KeyGrant) -> tuple[Scope, ...]:
    """The key and its group, with their limits."""
    own = Scope(key.id, f'the key "{key.name}"', key.limits)
    group = key.group
    if group is None:
        return (own,)
    return own, Scope(group.id, f'the group "{group.name}"', group.limits, "group")


def _counting(scopes: Sequence[Scope], model: str | None) -> tuple[Scope, ...]:
    return tuple([narrowed(scope, model) for scope in scopes])


def fate_of(exchange: Exchange) -> Fate:
    """What became of an exchange that has ended."""
    if exchange.attempts:
        return Fate.SENT
    return Fate.KEPT if exchange.outcome == "succeeded" else Fate.REFUSED


def used_tokens(exchange: Exchange) -> int:
    """What the attempts of an exchange have used, as far as it is known; nothing out of a cache."""
    return sum(
        attempt.usage.total_input_tokens + attempt.usage.total_output_tokens
        for attempt in exchange.attempts
        if attempt.usage is not None and attempt.outcome not in _UNUSED
    )


def _most_tokens(exchange: Exchange) -> tuple[int, int]:
    """An upper estimate of the tokens, and those of an output that nobody set a limit to."""
    call, decision = exchange.call, exchange.decision
    assert decision is not None, "an alias was found"
    candidate = decision.candidates[0]
    tokens = input_tokens_of(call, candidate)
    if exchange.operation is not Operation.CHAT and not exchange.operation.writes:
        return tokens, 0
    choices = answers(call, candidate.params)
    limit = output_cap(call, candidate.params)
    if limit is not None:
        return tokens + limit * choices, 0
    largest = candidate.rates.max_output_tokens or STREAM_BLOCK_TOKENS
    return tokens, min(STREAM_BLOCK_TOKENS, largest) * choices
