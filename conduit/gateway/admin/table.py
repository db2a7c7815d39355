"""The table of the admin API: every operation, and the routes that are made of them."""

from aiohttp import web

from conduit.gateway.admin import (
    auth,
    bodies,
    budgets,
    cache,
    config,
    credentials,
    events,
    group_transactions,
    groups,
    health,
    key_usage,
    keys,
    mapping_tests,
    mappings,
    models,
    notifications,
    price_book,
    price_explanations,
    prices,
    provider_models,
    provider_types,
    providers,
    request_export,
    requests,
    revisions,
    security,
    spend,
    status,
    usage,
)
from conduit.gateway.admin import (
    routes as route_explanations,
)
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, route_of

OPERATIONS: tuple[AdminOperation, ...] = (
    *status.OPERATIONS,
    *auth.OPERATIONS,
    *config.OPERATIONS,
    *revisions.OPERATIONS,
    *provider_types.OPERATIONS,
    *providers.OPERATIONS,
    *provider_models.OPERATIONS,
    *credentials.OPERATIONS,
    *mapping_tests.OPERATIONS,  # its path is longer
    *mappings.OPERATIONS,
    *models.OPERATIONS,
    *keys.OPERATIONS,
    *key_usage.OPERATIONS,
    *groups.OPERATIONS,
    *group_transactions.OPERATIONS,
    *budgets.OPERATIONS,
    *usage.OPERATIONS,
    *spend.OPERATIONS,
    *cache.OPERATIONS,
    *prices.OPERATIONS,
    *price_book.OPERATIONS,
    *price_explanations.OPERATIONS,
    *bodies.OPERATIONS,
    *request_export.OPERATIONS,  # before the record of a request
    *requests.OPERATIONS,
    *events.OPERATIONS,
    *health.OPERATIONS,
    *notifications.OPERATIONS,
    *security.OPERATIONS,
    *route_explanations.OPERATIONS,
)
"""Every operation there is. Where two paths fit a request, the one that stands first serves it."""


def routes(admin: AdminContext) -> list[web.RouteDef]:
    """Every admin route, behind the master key."""
    return [route_of(admin, operation) for operation in OPERATIONS]
