"""The admin operation that asks every target of a mapping for a few words."""

import asyncio

from conduit.core.aliases import model_asked_for
from conduit.core.errors import ValidationFailedError
from conduit.core.resources.mappings import MappingTest, MappingTestRequest, TargetView
from conduit.core.resources.providers import ProbeView
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.probes import probed
from conduit.gateway.probing.probe import Question
from conduit.gateway.provider import Operation
from conduit.gateway.storage import mappings
from conduit.gateway.storage.engine import reading
from conduit.gateway.storage.mappings import StoredMapping

_AT_ONCE = 8


async def _test(call: Call[MappingTestRequest, None]) -> MappingTest:
    admin, wanted = call.admin, call.body
    async with reading(admin.database) as connection:
        mapping = await mappings.find(connection, call.names["alias"])
    asked_for = _asked_for(mapping, wanted)
    targets = sorted((TargetView(**each) for each in mapping.targets), key=lambda each: each.order)
    turn = asyncio.Semaphore(_AT_ONCE)

    async def ask(target: TargetView) -> ProbeView:
        model = model_asked_for(target.model, mapping.alias, asked_for)
        async with turn:
            question = Question(model, Operation(wanted.operation), target.params)
            return await _asked(admin, target.provider, question)

    results = await asyncio.gather(*map(ask, targets))
    answered = sum(each.ok for each in results)
    return MappingTest(
        ok=answered == len(results),
        alias=mapping.alias,
        answered=answered,
        targets=list(results),
    )


def _asked_for(mapping: StoredMapping, wanted: MappingTestRequest) -> str:
    """The model that a client would name. Raises ValidationFailedError."""
    if wanted.model is None and mapping.alias.endswith("*"):
        raise ValidationFailedError(
            f"model: {mapping.alias} stands for many models: name one of them", param="model"
        )
    start = mapping.alias.removesuffix("*")
    if wanted.model is not None and not wanted.model.startswith(start):
        raise ValidationFailedError(
            f"model: {wanted.model} is not served by {mapping.alias}", param="model"
        )
    return wanted.model or mapping.alias


async def _asked(admin: AdminContext, provider: str, question: Question) -> ProbeView:
    upstream = admin.configuration.snapshot.upstreams.get(provider)
    if upstream is not None and upstream.enabled:
        return await probed(admin, upstream, question)
    return ProbeView(
        ok=False,
        provider=provider,
        model=question.model,
        latency_ms=0,
        input_tokens=None,
        output_tokens=None,
        cost=None,
        error="there is no such provider" if upstream is None else "the provider is disabled",
    )


OPERATIONS = (
    AdminOperation(
        "mappings.test",
        "POST",
        "/admin/mappings/{alias:.+}/test",
        "Ask each target of a mapping for a few words; costs a few tokens",
        _test,
        MappingTest,
        body=MappingTestRequest,
    ),
)
