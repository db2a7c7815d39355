"""One operation of the admin API: what it takes and gives, and the route that is made of it."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel

from conduit.core.errors import ConduitError, NotFoundError, UnavailableError
from conduit.core.resources.fields import Resource
from conduit.gateway.admin.access import Handler, guarded
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.streaming import Streamed, send
from conduit.gateway.admin.wire import body_of, query_of, response_of
from conduit.gateway.server.expect import defer_continue
from conduit.gateway.storage.engine import outages_reported
from conduit.gateway.storage.revisions import Author

B = TypeVar("B")
Q = TypeVar("Q")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

_WITH_BUDGETS = ("budgets", "groups", "keys")
_PLACEHOLDER = re.compile(r"\{(\w+)(:[^}]*)?\}")


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """What a request asks for, checked: its body, its query, the names in its path, and who asks.

    A body or a query that the operation does not take is None.
    """

    admin: AdminContext
    names: Mapping[str, str]
    body: B
    query: Q
    by: Author


@dataclass(frozen=True, slots=True)
class AdminOperation:
    """A row of the route table; `conduit.client.api` has the same names, methods and paths.

    A placeholder of `path` may hold slashes where it is written as `{name:.+}`. The handler gives
    a value of the type `answer`, the same as JSON that is encoded already, or None where `answer`
    is None; where `streams` names content types, pieces of one of them. `secret` marks an answer
    that shows a secret, once. `errors` are those that the handler raises beyond what every
    operation of its shape can meet.
    """

    name: str
    method: Method
    path: str
    summary: str
    handler: Callable[[Call[Any, Any]], Awaitable[BaseModel | bytes | Streamed | None]]
    answer: type[BaseModel] | None
    body: type[Resource] | None = None
    query: type[Resource] | None = None
    status: int = 200
    secret: bool = False
    errors: tuple[type[ConduitError], ...] = ()
    streams: tuple[str, ...] = ()

    @property
    def path_template(self) -> str:
        """The path with plain placeholders, as clients and documents write it."""
        return _PLACEHOLDER.sub(r"{\1}", self.path)

    @property
    def placeholders(self) -> tuple[str, ...]:
        return tuple(match[1] for match in _PLACEHOLDER.finditer(self.path))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the query's parameters."""
        return () if self.query is None else tuple(self.query.model_fields)

    @property
    def tells_balances(self) -> bool:
        """Whether what is left of budgets may be in its answer."""
        return self.name.partition(".")[0] in _WITH_BUDGETS

    @property
    def success_status(self) -> int:
        return 204 if self.answer is None and not self.streams else self.status


def route_of(admin: AdminContext, operation: AdminOperation) -> web.RouteDef:
    """The route of an operation, behind the master key."""
    handler = guarded(admin.master, handler_of(admin, operation))
    # The key is looked at before a body is asked for.
    options = {"expect_handler": defer_continue}
    return web.RouteDef(operation.method, operation.path, handler, options)


def handler_of(admin: AdminContext, operation: AdminOperation) -> Handler:
    """Checks a request, hands it to the operation and writes its answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        names = _names(request)
        query = query_of(request, operation.query)
        body = None if operation.body is None else await body_of(request, operation.body)
        author = admin.author(request, operation.name)
        try:
            with outages_reported():
                if operation.tells_balances:
                    await admin.ledger.refreshed()
                given = await operation.handler(Call(admin, names, body, query, author))
        except UnavailableError:
            if operation.method != "GET":
                admin.doubt()  # the connection may have been lost after the commit
            raise
        if isinstance(given, Streamed):
            return await send(request, given)
        return response_of(given, operation.success_status)

    return handle


def _names(request: web.Request) -> Mapping[str, str]:
    """What the placeholders of the path stand for. Raises NotFoundError."""
    names = dict(request.match_info)
    for placeholder, name in names.items():
        # No record has such a name, and not every database lets one ask for it.
        if not name.isprintable():
            raise NotFoundError(f"there is no {placeholder} of this name")
    return names
