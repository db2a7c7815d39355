"""From an alias to ordered candidates, with a reason for every target left out."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from conduit.gateway.exchange import Candidate, Decision, WhyNot
from conduit.gateway.pricing import Rates
from conduit.gateway.provider import Operation
from conduit.gateway.routing.caching import caching_of
from conduit.gateway.snapshot import AliasMapping, Snapshot, Target

REQUESTED_MODEL = "*"
"""A target's model that stands for the name the client asked for."""

PriceOf = Callable[[Mapping[tuple[str, str], Rates], str, str | None, str], Rates | None]
"""(operator's rates, provider name, vendor in the price book, model) → rates."""

UNPRICED = Rates(input=0, output=0, version="none", source="none")


class Question(NamedTuple):
    """What is asked of routing; `must_be_priced` where a hard budget has to hold.

    With `direct` the alias may also be `provider/model`.
    """

    alias: str
    operation: Operation
    must_be_priced: bool
    direct: bool = False


def find_mapping(snapshot: Snapshot, alias: str) -> AliasMapping | None:
    """The mapping of exactly this alias, or the wildcard with the longest fitting start."""
    exact = snapshot.mappings.get(alias)
    if exact is not None:
        return exact
    fitting = [
        mapping
        for pattern, mapping in snapshot.mappings.items()
        if pattern.endswith("*") and alias.startswith(pattern[:-1])
    ]
    return max(fitting, key=lambda mapping: len(mapping.alias), default=None)


def resolve(snapshot: Snapshot, question: Question, price_of: PriceOf) -> Decision | None:
    """The decision for an alias; None where no mapping fits it."""
    mapping = find_mapping(snapshot, question.alias)
    if mapping is None and question.direct:
        mapping = _named_directly(snapshot, question.alias)
    if mapping is None:
        return None
    candidates: list[Candidate] = []
    why_nots: list[WhyNot] = []
    for target in sorted(mapping.targets, key=lambda target: target.order):
        found = _consider(snapshot, question, target, price_of)
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


def _consider(
    snapshot: Snapshot, question: Question, target: Target, price_of: PriceOf
) -> Candidate | WhyNot:
    model = question.alias if target.model == REQUESTED_MODEL else target.model

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
    rates = price_of(snapshot.rates, upstream.name, kind.prices, model)
    if rates is None and question.must_be_priced:
        return why_not("the model has no price, and a hard budget covers the call")
    return Candidate(
        upstream,
        model,
        target.params,
        rates or UNPRICED,
        target.capabilities,
        target.order,
        target.weight,
    )
