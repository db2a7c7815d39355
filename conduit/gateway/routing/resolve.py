"""From an alias to ordered candidates, with a reason for every target left out."""

from collections.abc import Callable, Mapping

import msgspec

from conduit.core.aliases import model_asked_for, taken_by
from conduit.gateway.config.snapshot import AliasMapping, Snapshot, Target
from conduit.gateway.exchange import Candidate, Decision, WhyNot
from conduit.gateway.pricing import UNPRICED, Rates
from conduit.gateway.pricing.unknown import FREE, UnknownPrice
from conduit.gateway.provider import Operation
from conduit.gateway.routing.caching import caching_of

"""A target's model that stands for the name the client asked for."""

PriceOf = Callable[[Mapping[tuple[str, str], Rates], str, str | None, str], Rates | None]
"""(operator's rates, provider name, vendor in the price book, model) → rates."""


class Question(msgspec.Struct, frozen=True):
    """What is asked of routing; `must_be_priced` where a hard budget has to hold.

    With `direct` the alias may also be `provider/model`.
    """

    alias: str
    operation: Operation
    must_be_priced: bool
    direct: bool = False


def find_mapping(snapshot: Snapshot, alias: str) -> AliasMapping | None:
    """The mapping of exactly this alias, or the wildcard with the longest fitting start."""
    own = taken_by(alias, snapshot.mappings)
    return None if own is None else snapshot.mappings[own]


def resolve(
    snapshot: Snapshot, question: Question, price_of: PriceOf, unknown: UnknownPrice = FREE
) -> Decision | None:
    """The decision for an alias; None where no mapping fits it."""
    mapping = find_mapping(snapshot, question.alias)
    if mapping is None and question.direct:
        mapping = _named_directly(snapshot, question.alias)
    if mapping is None:
        return None
    candidates: list[Candidate] = []
    why_nots: list[WhyNot] = []
    policy = unknown.policy_for(mapping.policy.unknown_price)

    def rates_of(provider: str, vendor: str | None, model: str) -> Rates | str:
        rates = price_of(snapshot.rates, provider, vendor, model)
        if rates is not None and not _is_by_the_piece(rates):
            return rates
        return _unknown_rates(policy, unknown, must_be_priced=question.must_be_priced)

    for target in sorted(mapping.targets, key=lambda target: target.order):
        found = _consider(snapshot, question, mapping.alias, target, rates_of)
        if isinstance(found, Candidate):
            candidates.append(found)
        else:
            why_nots.append(found)
    caching = caching_of(mapping, snapshot)
    return Decision(question.alias, tuple(candidates), tuple(why_nots), mapping, caching)


def _named_directly(snapshot: Snapshot, alias: str) -> AliasMapping | None:
    """What `provider/model` means: that model alone; None where there is no such provider."""
    provider, _, model = alias.partition("/")
    if not model or provider not in snapshot.upstreams:
        return None
    return AliasMapping("", alias, "simple", (Target(provider, model),), (), 0)


def _is_by_the_piece(rates: Rates) -> bool:
    """Whether the price book knows nothing of a model but what a minute or a character costs, which
    is no price of the calls that there are: these use tokens. An operator means what is set.
    """
    return bool(
        rates.units
        and rates.source == "book"
        and not (rates.input or rates.output or rates.per_request)
    )


def _unknown_rates(policy: str, unknown: UnknownPrice, *, must_be_priced: bool) -> Rates | str:
    """The rates of a model that has no price, or why it is left out."""
    if policy == "default" and unknown.default is not None:
        return unknown.default
    if policy == "refuse":
        return "the model has no price, and calls without one are refused"
    if must_be_priced:
        return "the model has no price, and a hard budget covers the call"
    return UNPRICED


def _consider(
    snapshot: Snapshot,
    question: Question,
    alias: str,
    target: Target,
    rates_of: Callable[[str, str | None, str], Rates | str],
) -> Candidate | WhyNot:
    model = model_asked_for(target.model, alias, question.alias)

    def why_not(reason: str) -> WhyNot:
        return WhyNot(target.provider, model, reason)

    upstream = snapshot.upstreams.get(target.provider)
    if upstream is None:
        return why_not("there is no such provider")
    if not upstream.enabled:
        return why_not("the provider is disabled")
    kind = upstream.provider.type
    if question.operation not in kind.operations:
        return why_not(f"the provider does not offer {question.operation.value}")
    if upstream.lacks_credential:
        return why_not("the provider has no usable credential")
    rates = rates_of(upstream.name, kind.prices, model)
    if isinstance(rates, str):
        return why_not(rates)
    return Candidate(
        upstream,
        model,
        target.params,
        rates,
        target.capabilities,
        target.order,
        target.weight,
    )
