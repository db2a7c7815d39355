"""Who is calling: the virtual key in the request's head."""

from collections.abc import Awaitable, Callable

from conduit.core.errors import AuthenticationError, PermissionDeniedError
from conduit.core.ids import now_ms
from conduit.core.networks import is_within
from conduit.gateway.snapshot import KeyGrant

_NO_KEY = "no API key was given: send one as 'Authorization: Bearer condt_…'"
_BAD_KEY = "the API key is not valid"


class Authenticate:
    """Finds the grant of a bearer token, from memory whenever it can.

    An unknown, disabled and deleted key get the same sentence, so that nothing can be learnt.
    """

    def __init__(
        self,
        cached: Callable[[str], KeyGrant | None],
        find: Callable[[str], Awaitable[KeyGrant | None]],
    ) -> None:
        self._cached = cached
        self._find = find

    async def __call__(self, bearer: str | None, address: str | None) -> KeyGrant:
        """`address` is where the request comes from, as far as it is known."""
        if not bearer:
            raise AuthenticationError(_NO_KEY)
        grant = self._cached(bearer) or await self._find(bearer)
        if grant is None or not grant.enabled:
            raise AuthenticationError(_BAD_KEY)
        if grant.expires_at_ms is not None and grant.expires_at_ms <= now_ms():
            raise AuthenticationError("the API key has expired")
        if grant.allowed_ips and not is_within(address, grant.allowed_ips):
            raise PermissionDeniedError("the API key may not be used from this address")
        if grant.group is not None and not grant.group.enabled:
            raise PermissionDeniedError(
                f"the group {grant.group.name!r} of the API key is disabled"
            )
        return grant
