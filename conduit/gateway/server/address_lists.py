"""The lists of addresses that may administer, and of those that nothing is served to."""

from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from conduit.core.errors import PermissionDeniedError
from conduit.core.networks import is_within, network_names
from conduit.core.settings import GatewaySettings
from conduit.gateway.server.headers import is_client_api

_ADMIN: Final = ("/admin", "/socket.io")
_HEALTH: Final = "/health/"


class AddressLists:
    """Refuses requests by their address, before a key or a body is looked at.

    `client_ip` tells whose a request is. The client API is left to its own stage, as most of its
    requests pass no middleware, and health to everybody who balances the load.
    """

    def __init__(self, client_ip: Callable[[web.BaseRequest], str]) -> None:
        self._client_ip = client_ip
        self._admin: tuple[str, ...] = ()
        self._denied: tuple[str, ...] = ()

    def use(self, settings: GatewaySettings) -> None:
        """Go by what these settings say from now on."""
        self._admin = network_names(settings.admin_allowed_ips)
        self._denied = network_names(settings.denied_ips)

    def check(self, request: web.BaseRequest) -> None:
        """Raise PermissionDeniedError for an address that may not ask for this path."""
        path = request.path
        if not (self._admin or self._denied) or path.startswith(_HEALTH) or is_client_api(path):
            return
        address = self._client_ip(request)
        if self._denied and is_within(address, self._denied):
            raise PermissionDeniedError("this address may not use the gateway")
        if self._admin and path.startswith(_ADMIN) and not is_within(address, self._admin):
            raise PermissionDeniedError("the gateway is not administered from this address")


def address_middleware(lists: AddressLists) -> Middleware:
    """Middleware that lets only those requests through that the lists allow."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        lists.check(request)
        return await handler(request)

    return middleware
