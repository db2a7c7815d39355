"""Admin operations that ask a provider itself: does it answer, and which models has it."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from conduit.core.errors import ConduitError, NotFoundError, UpstreamAuthError, UpstreamFailure
from conduit.core.resources.fields import Page
from conduit.core.resources.providers import (
    CredentialTest,
    NewProbe,
    ProbeView,
    ProviderModel,
    ProviderTest,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.probes import card_of, probed
from conduit.gateway.admin.wire import ListQuery, QueryBool, page
from conduit.gateway.config.snapshot import Credential, Snapshot, Upstream
from conduit.gateway.probing.discovery import NoListError, answers_at_all, models_of
from conduit.gateway.probing.probe import Question
from conduit.gateway.provider import Operation
from conduit.gateway.reach.stored import Reach
from conduit.gateway.storage import credentials, providers
from conduit.gateway.storage.engine import reading
from conduit.gateway.storage.rows import page_of
from conduit.gateway.upstream import TransportError

T = TypeVar("T")

_UNLISTED: Final = (
    "something answers at its address; whether its key is good is not known, as it does not list "
    "its models: conduit providers test {} --model MODEL"
)
_ONE = "/admin/providers/{provider}"


class ModelsQuery(ListQuery):
    """`refresh` asks the provider even where it was asked a moment ago."""

    refresh: QueryBool = False


@dataclass(frozen=True, slots=True)
class _Tested:
    """How a provider answered; `models` and `latency_ms` are None where it did not.

    `note` tells what the test could not find out.
    """

    models: int | None = None
    latency_ms: int | None = None
    error: str | None = None
    note: str | None = None


async def _test(call: Call[None, None]) -> ProviderTest:
    upstream = await _upstream(call.admin, call.names["provider"])
    tested = await _tested(call.admin, upstream)
    return ProviderTest(
        ok=tested.error is None,
        provider=upstream.name,
        latency_ms=tested.latency_ms,
        models=tested.models,
        error=tested.error,
        note=tested.note,
    )


async def _test_credential(call: Call[None, None]) -> CredentialTest:
    admin = call.admin
    upstream = await _upstream(admin, call.names["provider"])
    async with reading(admin.database) as connection:
        stored = await credentials.find(connection, upstream.id, call.names["credential"])
    ready = next((each for each in upstream.credentials if each.id == stored.id), None)
    if ready is not None:
        tested = await _tested(admin, upstream, ready)
    else:
        standing = admin.configuration.standings.get(stored.id)
        state = "missing" if standing is None else standing.state
        tested = _Tested(error=f"it cannot be used: its state is {state}")
    return CredentialTest(
        ok=tested.error is None,
        provider=upstream.name,
        credential=stored.name,
        latency_ms=tested.latency_ms,
        models=tested.models,
        error=tested.error,
        note=tested.note,
    )


async def _probe(call: Call[NewProbe, None]) -> ProbeView:
    upstream = await _upstream(call.admin, call.names["provider"])
    question = Question(call.body.model, Operation(call.body.operation))
    ask = card_of if call.body.card else probed
    return await ask(call.admin, upstream, question)


async def _models(call: Call[None, ModelsQuery]) -> Page[ProviderModel]:
    admin = call.admin
    upstream = await _upstream(admin, call.names["provider"])
    # The pages after the first one are of the same list.
    refresh = call.query.refresh and call.query.cursor is None

    async def ask() -> tuple[str, ...]:
        return await _ask(admin, upstream, models_of)

    names = await admin.model_lists.of(upstream, ask, refresh=refresh)
    aliases = _aliases(admin.configuration.snapshot, upstream.name)
    found = page_of(names, lambda name: name, call.query.window())
    return page(
        found,
        [
            ProviderModel(provider=upstream.name, model=name, aliases=aliases.get(name, []))
            for name in found.rows
        ],
    )


async def _upstream(admin: AdminContext, name_or_id: str) -> Upstream:
    async with reading(admin.database) as connection:
        provider = await providers.find(connection, name_or_id)
    upstream = admin.configuration.snapshot.upstreams.get(provider.name)
    if upstream is None:
        raise NotFoundError(
            f"provider {provider.name} is of a type that this release does not have"
        )
    return upstream


async def _tested(
    admin: AdminContext, upstream: Upstream, credential: Credential | None = None
) -> _Tested:
    started = time.monotonic()
    note = None
    try:
        models: int | None = len(await _ask(admin, upstream, models_of, credential))
    except NoListError:
        models, note = None, _UNLISTED.format(upstream.name)
    except ConduitError as error:
        return _Tested(error=error.message)
    if note is not None:
        try:
            await _ask(admin, upstream, answers_at_all, credential)
        except ConduitError as error:
            return _Tested(error=error.message)
    return _Tested(models, round((time.monotonic() - started) * 1000), note=note)


async def _ask(
    admin: AdminContext,
    upstream: Upstream,
    ask: Callable[[Reach], Awaitable[T]],
    credential: Credential | None = None,
) -> T:
    """What a call that costs no tokens finds out. Raises UpstreamFailure and NoListError."""
    if upstream.lacks_credential:
        raise UpstreamAuthError(
            f"provider {upstream.name} has no usable credential",
            hint=f"see its credentials with conduit providers show {upstream.name}",
        )
    reach = admin.reach(upstream, credential)
    try:
        return await ask(reach)
    except (TransportError, UpstreamFailure) as error:
        reason = reach.hidden(str(error))
        raise UpstreamFailure(f"provider {upstream.name} did not answer: {reason}") from None


def _aliases(snapshot: Snapshot, provider: str) -> dict[str, list[str]]:
    """The aliases of each model of a provider."""
    found: dict[str, list[str]] = {}
    for mapping in snapshot.mappings.values():
        for target in mapping.targets:
            if target.provider == provider:
                found.setdefault(target.model, []).append(mapping.alias)
    return found


OPERATIONS = (
    AdminOperation(
        "providers.test",
        "POST",
        _ONE + "/test",
        "Ask a provider whether it answers; costs no tokens",
        _test,
        ProviderTest,
    ),
    AdminOperation(
        "credentials.test",
        "POST",
        _ONE + "/credentials/{credential}/test",
        "Ask a provider with one of its credentials; costs no tokens",
        _test_credential,
        CredentialTest,
    ),
    AdminOperation(
        "providers.probe",
        "POST",
        _ONE + "/probe",
        "Ask a model of a provider for a few words; costs a few tokens",
        _probe,
        ProbeView,
        body=NewProbe,
    ),
    AdminOperation(
        "providers.models",
        "GET",
        _ONE + "/models",
        "List the models that a provider offers",
        _models,
        Page[ProviderModel],
        query=ModelsQuery,
        errors=(UpstreamFailure, UpstreamAuthError),
    ),
)
