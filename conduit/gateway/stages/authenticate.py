"""Who is calling: the virtual key in the request's head."""

from collections.abc import Awaitable, Callable

from conduit.core.errors import AuthenticationError, PermissionDeniedError
from conduit.core.ids import now_ms
from conduit.core.networks import is_within
from conduit.gateway.config.snapshot import GroupGrant, KeyGrant

_NO_KEY = "no API key was given: send one as 'Authorization: Bearer condt_…'"
_BAD_KEY = "the API key is not valid"


class Authenticate:
    """Finds the grant of a bearer token, from memory whenever it can.

    An unknown, disabled and deleted key get the same sentence, so that nothing can be learnt.
    From the networks of `denied_ips` no key is good.
    """

    def __init__(
        self,
        cached: Callable[[str], KeyGrant | None],
        find: Callable[[str], Awaitable[KeyGrant | None]],
        denied_ips: tuple[str, ...] = (),
    ) -> None:
        self._cached = cached
        self._find = find
        self._denied_ips = denied_ips

    async def __call__(self, bearer: str | None, address: str | None) -> KeyGrant:
        """`address` is where the request comes from, as far as it is known."""
        if self._denied_ips and is_within(address, self._denied_ips):
            raise PermissionDeniedError("this address may not use the gateway")
        if not bearer:
            raise AuthenticationError(_NO_KEY)
        grant = self._cached(bearer) or await self._find(bearer)
        if grant is None or not grant.enabled:
            raise AuthenticationError(_BAD_KEY)
        if grant.expires_at_ms is not None and grant.expires_at_ms <= now_ms():
            raise AuthenticationError("the API key has expired")
        if grant.allowed_ips and not is_within(address, grant.allowed_ips):
            raise PermissionDeniedError("the API key may not be used from this address")
        if grant.group is not None:
            _refuse_by_group(grant.group, address)
        return grant


def _refuse_by_group(group: GroupGrant, address: str | None) -> None:
    """Raise PermissionDeniedError for what a group forbids all its keys."""
    if not group.enabled:
        raise PermissionDeniedError(f"the group {group.name!r} of the API key is disabled")
    if group.allowed_ips and not is_within(address, group.allowed_ips):
        raise PermissionDeniedError(
            f"the keys of the group {group.name!r} may not be used from this address"
        )
