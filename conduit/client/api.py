"""The admin API described once: operations, paths and parameters."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

from conduit.client.errors import ApiError, error_of_envelope

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Answer = Literal["list", "record", "secret", "stream", "nothing"]
Record = dict[str, Any]
"""A resource as the API sends it. Front-ends handle plain dictionaries, which cost no imports."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing the admin API does. `{names}` in the path are filled in order."""

    name: str
    method: Method
    path: str
    answer: Answer
    query: tuple[str, ...] = ()

    @property
    def idempotent(self) -> bool:
        """Whether a failed try may be repeated without asking."""
        return self.method == "GET"


_PAGED = ("limit", "cursor")

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("status.show", "GET", "/admin/status", "record"),
        Operation("config.list", "GET", "/admin/config", "list", _PAGED),
        Operation("config.update", "PATCH", "/admin/config", "record"),
        Operation("config.reload", "POST", "/admin/config/reload", "record"),
        Operation("config.rollback", "POST", "/admin/config/rollback", "record"),
        Operation("revisions.list", "GET", "/admin/config/revisions", "list", _PAGED),
        Operation("revisions.show", "GET", "/admin/config/revisions/{revision}", "record"),
        Operation("whoami", "GET", "/admin/whoami", "record"),
        Operation("auth.rotate_master", "POST", "/admin/auth/rotate-master", "secret"),
        Operation("provider_types.list", "GET", "/admin/provider-types", "list", _PAGED),
        Operation("providers.list", "GET", "/admin/providers", "list", _PAGED),
        Operation("providers.create", "POST", "/admin/providers", "record"),
        Operation("providers.show", "GET", "/admin/providers/{provider}", "record"),
        Operation("providers.update", "PATCH", "/admin/providers/{provider}", "record"),
        Operation("providers.delete", "DELETE", "/admin/providers/{provider}", "nothing"),
        Operation("providers.test", "POST", "/admin/providers/{provider}/test", "record"),
        Operation("providers.probe", "POST", "/admin/providers/{provider}/probe", "record"),
        Operation(
            "providers.models",
            "GET",
            "/admin/providers/{provider}/models",
            "list",
            (*_PAGED, "refresh"),
        ),
        Operation(
            "credentials.list", "GET", "/admin/providers/{provider}/credentials", "list", _PAGED
        ),
        Operation(
            "credentials.create", "POST", "/admin/providers/{provider}/credentials", "record"
        ),
        Operation(
            "credentials.show",
            "GET",
            "/admin/providers/{provider}/credentials/{credential}",
            "record",
        ),
        Operation(
            "credentials.sealed",
            "GET",
            "/admin/providers/{provider}/credentials/{credential}/sealed",
            "secret",
        ),
        Operation(
            "credentials.test",
            "POST",
            "/admin/providers/{provider}/credentials/{credential}/test",
            "record",
        ),
        Operation(
            "credentials.update",
            "PATCH",
            "/admin/providers/{provider}/credentials/{credential}",
            "record",
        ),
        Operation(
            "credentials.delete",
            "DELETE",
            "/admin/providers/{provider}/credentials/{credential}",
            "nothing",
        ),
        Operation("mappings.list", "GET", "/admin/mappings", "list", _PAGED),
        Operation("mappings.create", "POST", "/admin/mappings", "record"),
        Operation("mappings.show", "GET", "/admin/mappings/{alias}", "record"),
        Operation("mappings.update", "PATCH", "/admin/mappings/{alias}", "record"),
        Operation("mappings.delete", "DELETE", "/admin/mappings/{alias}", "nothing"),
        Operation("mappings.test", "POST", "/admin/mappings/{alias}/test", "record"),
        Operation("models.list", "GET", "/admin/models", "list", (*_PAGED, "capability")),
        Operation("models.show", "GET", "/admin/models/{model}", "record"),
        Operation(
            "keys.list",
            "GET",
            "/admin/keys",
            "list",
            (
                *_PAGED,
                "expires_before",
                "expires_after",
                "over_budget",
                "unused_since",
                "tags",
                "group",
            ),
        ),
        Operation("keys.create", "POST", "/admin/keys", "secret"),
        Operation("keys.show", "GET", "/admin/keys/{key}", "record"),
        Operation("keys.update", "PATCH", "/admin/keys/{key}", "record"),
        Operation("keys.rotate", "POST", "/admin/keys/{key}/rotate", "secret"),
        Operation("keys.check", "POST", "/admin/keys/check", "record"),
        Operation(
            "keys.usage", "GET", "/admin/keys/{key}/usage", "record", ("since", "until", "by")
        ),
        Operation("keys.delete", "DELETE", "/admin/keys/{key}", "nothing"),
        Operation("groups.list", "GET", "/admin/groups", "list", _PAGED),
        Operation("groups.create", "POST", "/admin/groups", "record"),
        Operation("groups.show", "GET", "/admin/groups/{group}", "record"),
        Operation("groups.update", "PATCH", "/admin/groups/{group}", "record"),
        Operation("groups.delete", "DELETE", "/admin/groups/{group}", "nothing"),
        Operation(
            "group_transactions.list", "GET", "/admin/groups/{group}/transactions", "list", _PAGED
        ),
        Operation(
            "group_transactions.create", "POST", "/admin/groups/{group}/transactions", "record"
        ),
        Operation("budgets.list", "GET", "/admin/budgets", "list", _PAGED),
        Operation("budgets.create", "POST", "/admin/budgets", "record"),
        Operation("budgets.show", "GET", "/admin/budgets/{budget}", "record"),
        Operation("budgets.update", "PATCH", "/admin/budgets/{budget}", "record"),
        Operation("budgets.reset_spend", "POST", "/admin/budgets/{budget}/reset-spend", "record"),
        Operation("budgets.delete", "DELETE", "/admin/budgets/{budget}", "nothing"),
        Operation(
            "usage.show",
            "GET",
            "/admin/usage",
            "record",
            (
                *("since", "until", "by", "timezone", "key", "provider", "model", "alias", "group"),
                *("series", "most"),
            ),
        ),
        Operation(
            "spend.review",
            "GET",
            "/admin/spend/review",
            "list",
            (
                *(*_PAGED, "state", "since", "until", "outcome"),
                *("key", "provider", "model", "alias"),
            ),
        ),
        Operation("spend.show", "GET", "/admin/spend/attempts/{attempt}", "record"),
        Operation("spend.correct", "POST", "/admin/spend/attempts/{attempt}/correct", "record"),
        Operation("cache.show", "GET", "/admin/cache", "record"),
        Operation("cache.entries", "GET", "/admin/cache/entries", "list", _PAGED),
        Operation("cache.entry", "GET", "/admin/cache/entries/{entry}", "record"),
        Operation("cache.clear", "POST", "/admin/cache/clear", "record"),
        Operation(
            "prices.list",
            "GET",
            "/admin/prices",
            "list",
            (*_PAGED, "provider", "model", "all", "planned"),
        ),
        Operation("prices.show", "GET", "/admin/prices/{provider}/{model}", "record"),
        Operation("prices.set", "PUT", "/admin/prices/{provider}/{model}", "record"),
        Operation(
            "prices.history", "GET", "/admin/price-history/{provider}/{model}", "list", _PAGED
        ),
        Operation(
            "prices.explain",
            "GET",
            "/admin/price-explanations/{provider}/{model}",
            "record",
            ("version", "alias"),
        ),
        Operation("price_book.show", "GET", "/admin/price-book", "record"),
        Operation("price_book.update", "PUT", "/admin/price-book", "record"),
        Operation("prices.estimate", "POST", "/admin/price-estimates", "record"),
        Operation(
            "prices.delete",
            "DELETE",
            "/admin/prices/{provider}/{model}",
            "nothing",
            ("effective_from",),
        ),
        Operation(
            "requests.list", "GET", "/admin/requests", "list", (*_PAGED, "filter", "since", "until")
        ),
        Operation(
            "requests.export",
            "GET",
            "/admin/requests/export",
            "stream",
            ("filter", "since", "until", "format"),
        ),
        Operation("requests.in_flight", "GET", "/admin/requests/in-flight", "list", _PAGED),
        Operation("requests.cancel", "POST", "/admin/requests/{request}/cancel", "record"),
        Operation("requests.purge", "POST", "/admin/requests/purge", "record"),
        Operation("requests.bodies", "GET", "/admin/requests/{request}/bodies", "record"),
        Operation("requests.show", "GET", "/admin/requests/{request}", "record"),
        Operation("health.summary", "GET", "/admin/health", "record"),
        Operation(
            "health.deployments",
            "GET",
            "/admin/health/deployments",
            "list",
            (*_PAGED, "provider"),
        ),
        Operation(
            "health.history",
            "GET",
            "/admin/health/history",
            "list",
            (*_PAGED, "provider", "since"),
        ),
        Operation("breakers.open", "POST", "/admin/breakers/open", "list"),
        Operation("breakers.close", "POST", "/admin/breakers/close", "list"),
        Operation("breakers.reset", "POST", "/admin/breakers/reset", "list"),
        Operation(
            "notifications.list",
            "GET",
            "/admin/notifications",
            "list",
            (*_PAGED, "state", "kind"),
        ),
        Operation("notifications.rules", "GET", "/admin/notification-rules", "list", _PAGED),
        Operation(
            "notifications.acknowledge_all", "POST", "/admin/notifications/acknowledge", "record"
        ),
        Operation("notifications.show", "GET", "/admin/notifications/{notification}", "record"),
        Operation(
            "notifications.acknowledge",
            "POST",
            "/admin/notifications/{notification}/acknowledge",
            "record",
        ),
        Operation("security.summary", "GET", "/admin/security", "record"),
        Operation("bans.list", "GET", "/admin/bans", "list", _PAGED),
        Operation("bans.lift_all", "POST", "/admin/lift-bans", "record"),
        Operation("bans.show", "GET", "/admin/bans/{ban}", "record"),
        Operation("bans.remove", "DELETE", "/admin/bans/{ban}", "nothing"),
        Operation("routes.explain", "POST", "/admin/routes/explain", "record"),
        Operation("routes.simulate", "POST", "/admin/routes/simulate", "record"),
        Operation(
            "events.list",
            "GET",
            "/admin/events",
            "list",
            ("after", "boot", "kinds", "filter", "limit"),
        ),
        Operation("ledger.check", "GET", "/admin/ledger/check", "record"),
    )
}


@dataclass(frozen=True, slots=True)
class Request:
    """One call, ready for either transport. `target` is the path with its query."""

    method: Method
    target: str
    body: Mapping[str, Any] | None
    idempotent: bool

    def encoded_body(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode("utf-8")


def build_request(
    name: str,
    *names: str,
    query: Mapping[str, object] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Request:
    """The request of an operation; `names` fill the placeholders of its path in order.

    Query parameters that are None are left out. Raises KeyError for an operation or parameter
    that does not exist, which is a fault of the caller.
    """
    operation = OPERATIONS[name]
    path = operation.path
    for value in names:
        before, _, rest = path.partition("{")
        path = before + quote(value, safe="") + rest.partition("}")[2]
    parameters: dict[str, str] = {}
    for parameter, given in (query or {}).items():
        if parameter not in operation.query:
            raise KeyError(f"{name} takes no parameter {parameter!r}")
        if given is not None:
            parameters[parameter] = str(given).lower() if isinstance(given, bool) else str(given)
    target = f"{path}?{urlencode(parameters)}" if parameters else path
    return Request(operation.method, target, body, operation.idempotent)


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error that an answer of status 300 or more stands for; header names are lower-case."""
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = None
    if not isinstance(decoded, dict) or not isinstance(decoded.get("error"), dict):
        return _foreign_answer(status, headers)
    error = error_of_envelope(status, decoded)
    error.request_id = error.request_id or headers.get("x-request-id")
    return error


def _foreign_answer(status: int, headers: Mapping[str, str]) -> ApiError:
    kind = headers.get("content-type", "no content type")
    return ApiError(
        code="not_a_gateway",
        message=f"the answer {status} ({kind}) is not one of a Conduit gateway",
        hint="check the URL: conduit context show",
        request_id=headers.get("x-request-id"),
        status=status,
        retryable=status in (502, 503, 504),
    )
