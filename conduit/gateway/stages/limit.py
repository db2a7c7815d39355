"""The rate limits of a request: those of its key, its group, its alias and the whole gateway.

Those of the key and the group are looked at before its body; all are taken once its size is known.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from conduit.gateway.config.snapshot import KeyGrant
from conduit.gateway.dialects.openai.wire import answers, output_cap
from conduit.gateway.exchange import Exchange
from conduit.gateway.ledger.entries import AttemptOutcome
from conduit.gateway.limits.limiter import Fate, Limiter, Scope
from conduit.gateway.limits.scopes import narrowed
from conduit.gateway.provider import Operation
from conduit.gateway.stages.admit import STREAM_BLOCK_TOKENS
from conduit.gateway.stages.decode import input_tokens_of

_UNUSED = frozenset({AttemptOutcome.REFUSED})
_MOST_KNOWN = 20_000
_MOST_MODELS = 100


_Scopes = tuple[Scope, ...]


class _Known(NamedTuple):
    """The scopes of a key: all of their limits, those alone that count for any model, and those
    that count for a model.

    `joined` are scopes with those of an alias, by the identity of both, which it keeps alive.
    """

    key: KeyGrant
    scopes: _Scopes
    of_any: _Scopes
    by_model: dict[str, _Scopes]
    joined: dict[tuple[int, int], tuple[_Scopes, _Scopes, _Scopes]]

    def with_others(self, scopes: _Scopes, others: _Scopes) -> _Scopes:
        """The same sequence each time, by which the limiter finds it."""
        if not others:
            return scopes
        found = self.joined.get((id(scopes), id(others)))
        if found is None:
            if len(self.joined) >= _MOST_MODELS:
                self.joined.clear()
            found = scopes, others, (*scopes, *others)
            self.joined[id(scopes), id(others)] = found
        return found[2]


class RateLimits:
    """Of requests that are under any; the others are not even asked."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._known: dict[str, _Known] = {}

    def check(self, key: KeyGrant) -> None:
        """Refuse a request of a key that is at a limit already. Raises RateLimitedError.

        A limit that was lowered a moment ago may be asked once the body is read only.
        """
        if not self._limiter.may_be_full:
            return
        self._limiter.check(self._of(key).of_any)  # what is asked for is not known yet

    def headers(self, key: KeyGrant, others: _Scopes = ()) -> Mapping[str, str]:
        """How the limits of a key, its group and `others` stand, where nothing is taken of them."""
        if not (key.limits or (key.group is not None and key.group.limits) or others):
            return {}
        known = self._of(key)
        return self._limiter.headers(known.with_others(known.of_any, others))

    async def take(self, exchange: Exchange) -> None:
        """Take of all its limits, or of none; see `Limiter.take` for what it raises."""
        tokens, guessed = 0, 0
        known = self._of(exchange.granted_key)
        scopes = known.scopes
        if known.of_any is not scopes:
            scopes = _counting_for(known, exchange.call.model)
        if exchange.scopes:
            scopes = known.with_others(scopes, exchange.scopes)
        if _of_tokens(scopes):
            tokens, guessed = _most_tokens(exchange)
        exchange.permit = await self._limiter.take(scopes, tokens, guessed)

    async def take_request(self, exchange: Exchange) -> None:
        """The same for an answer that costs no tokens, as it was given before."""
        known = self._of(exchange.granted_key)
        scopes = _counting_for(known, exchange.call.model)
        if any(scope.limits for scope in scopes):
            exchange.permit = await self._limiter.take(scopes, 0, 0)

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
            known = self._known[key.id] = _Known(key, scopes, of_any, {}, {})
        return known


def scopes_of(key: KeyGrant) -> _Scopes:
    """The key and its group, with their limits."""
    own = Scope(key.id, f'the key "{key.name}"', key.limits)
    group = key.group
    if group is None:
        return (own,)
    return own, Scope(group.id, f'the group "{group.name}"', group.limits, "group")


def _counting_for(known: _Known, model: str) -> _Scopes:
    """A key and its group, with the limits that count for a model."""
    found = known.by_model.get(model)
    if found is None:
        if len(known.by_model) >= _MOST_MODELS:
            known.by_model.clear()
        found = known.by_model[model] = _counting(known.scopes, model)
    return found


def _counting(scopes: Sequence[Scope], model: str | None) -> _Scopes:
    return tuple([narrowed(scope, model) for scope in scopes])


def _of_tokens(scopes: Sequence[Scope]) -> bool:
    """Whether any of their limits counts tokens."""
    for scope in scopes:
        for limit in scope.limits:
            if limit.of_tokens:
                return True
    return False


def fate_of(exchange: Exchange) -> Fate:
    """What became of an exchange that has ended."""
    if exchange.attempts:
        return Fate.SENT
    return Fate.KEPT if exchange.outcome == "succeeded" else Fate.REFUSED


def used_tokens(exchange: Exchange) -> int:
    """What the attempts of an exchange have used, as far as it is known; nothing out of a cache."""
    used = 0
    for attempt in exchange.attempts:
        usage = attempt.usage
        if usage is not None and attempt.outcome not in _UNUSED:
            used += usage.total_input_tokens + usage.total_output_tokens
    return used


def _most_tokens(exchange: Exchange) -> tuple[int, int]:
    """An upper estimate of the tokens, and those of an output that nobody set a limit to."""
    call, decision = exchange.call, exchange.decision
    assert decision is not None, "an alias was found"
    candidate = decision.candidates[0]
    tokens = input_tokens_of(call, candidate)
    exchange.estimate = candidate, tokens
    if exchange.operation is not Operation.CHAT and not exchange.operation.writes:
        return tokens, 0
    choices = answers(call, candidate.params)
    limit = output_cap(call, candidate.params)
    if limit is not None:
        return tokens + limit * choices, 0
    largest = candidate.rates.max_output_tokens or STREAM_BLOCK_TOKENS
    return tokens, min(STREAM_BLOCK_TOKENS, largest) * choices
