"""A probe of a model as the admin API tells of it, with what it cost."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from conduit.core.errors import InvalidRequestError
from conduit.core.money import format_usd
from conduit.core.resources.providers import ProbeCheck, ProbeView
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.config.snapshot import Upstream
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.cost import cost_of
from conduit.gateway.pricing.lookup import rates_for
from conduit.gateway.probing.probe import Probed, Probing, Question
from conduit.gateway.provider import Operation

_NEVER_TRIED: Final = ("vision", "audio", "reasoning")
"""What would cost more than a few tokens, or cannot be told from an answer."""


async def probed(admin: AdminContext, upstream: Upstream, question: Question) -> ProbeView:
    """Ask, and price the answer."""
    return _view(admin, upstream, question, [await _asked(admin, upstream, question)])


async def card_of(admin: AdminContext, upstream: Upstream, question: Question) -> ProbeView:
    """Ask, and where there is an answer ask for more: what a chat model can do, live."""
    first = await _asked(admin, upstream, question)
    further: dict[Probing, Probed] = {}
    if first.error is None and question.operation is Operation.CHAT:
        wanted = [each for each in Probing if each is not Probing.TEXT]
        asked = [_asked(admin, upstream, replace(question, probing=each)) for each in wanted]
        further = dict(zip(wanted, await asyncio.gather(*asked), strict=True))
    view = _view(admin, upstream, question, [first, *further.values()])
    if question.operation is Operation.CHAT:
        checks = _checks({Probing.TEXT: first, **further})
        view = view.model_copy(update={"checks": checks})
    return view


async def _asked(admin: AdminContext, upstream: Upstream, question: Question) -> Probed:
    try:
        return await admin.ask_model(admin.reach(upstream), question)
    except InvalidRequestError as error:
        # Its base URL was good when it was stored, and is refused now.
        return Probed(0, error=error.message)


def _checks(found: Mapping[Probing, Probed]) -> list[ProbeCheck]:
    checks = []
    for each in Probing:
        probed = found.get(each)
        if probed is None:
            checks.append(_untried(each.value, "not tried, as the model did not answer"))
        elif probed.error is not None:
            checks.append(ProbeCheck(capability=each.value, ok=False, detail=probed.error))
        else:
            took = f"{probed.found} ({probed.latency_ms} ms)"
            ok = True if probed.settled else None
            checks.append(ProbeCheck(capability=each.value, ok=ok, detail=took))
    return checks + [_untried(name, "not tried") for name in _NEVER_TRIED]


def _untried(capability: str, detail: str) -> ProbeCheck:
    return ProbeCheck(capability=capability, ok=None, detail=detail)


def _view(
    admin: AdminContext, upstream: Upstream, question: Question, found: Sequence[Probed]
) -> ProbeView:
    """What the answers tell together; no sums where one that was billed told no usage."""
    usages = [each.usage for each in found if each.error is None]
    known = [usage for usage in usages if usage is not None]
    told = bool(known) and len(known) == len(usages)
    rates = rates_in_force(admin, upstream.name, question.model)
    return ProbeView(
        ok=found[0].error is None,
        provider=upstream.name,
        model=question.model,
        latency_ms=found[0].latency_ms,
        input_tokens=sum(usage.total_input_tokens for usage in known) if told else None,
        output_tokens=sum(usage.total_output_tokens for usage in known) if told else None,
        cost=None
        if rates is None or not told
        else format_usd(sum(cost_of(usage, rates) for usage in known)),
        error=found[0].error,
    )


def rates_in_force(admin: AdminContext, provider: str, model: str) -> Rates | None:
    """The price of a model of a provider, as requests are charged by it."""
    snapshot = admin.configuration.snapshot
    upstream = snapshot.upstreams.get(provider)
    vendor = None if upstream is None else upstream.provider.type.prices
    return rates_for(snapshot.rates, admin.book, provider, vendor, model)
