"""The admin operation that lists the kinds of providers there are."""

from conduit.core.resources.fields import Page
from conduit.core.resources.providers import ProviderTypeInfo
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.provider import ProviderType
from conduit.gateway.providers import registry
from conduit.gateway.storage.rows import page_of


async def _list(call: Call[None, ListQuery]) -> Page[ProviderTypeInfo]:
    kinds = sorted(registry.types(), key=lambda kind: kind.name)
    found = page_of(kinds, lambda kind: kind.name, call.query.window())
    return page(found, [_view(kind) for kind in found.rows])


def _view(kind: ProviderType) -> ProviderTypeInfo:
    return ProviderTypeInfo(
        name=kind.name,
        title=kind.title,
        dialect=kind.dialect,
        default_base_url=kind.default_base_url,
        base_url_form=kind.base_url_form,
        environment=list(kind.environment),
        needs_credential=kind.needs_credential,
        credential_forms=list(kind.credential_forms),
        operations=sorted(operation.value for operation in kind.operations),
        lists_models=kind.models_path is not None,
        simulated=kind.simulated,
    )


OPERATIONS = (
    AdminOperation(
        "provider_types.list",
        "GET",
        "/admin/provider-types",
        "List the types that a provider can be of",
        _list,
        Page[ProviderTypeInfo],
        query=ListQuery,
    ),
)
