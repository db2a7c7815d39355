"""Who may use the admin API: the holder of the master key."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import web

from conduit.core.errors import AuthenticationError
from conduit.core.ids import now_ms
from conduit.core.keys import digest_of
from conduit.gateway.server.headers import bearer_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REFUSED = "the master key is missing or wrong: send it as 'Authorization: Bearer condt_mk_…'"


@dataclass(frozen=True, slots=True)
class MasterDigest:
    """The SHA-256 of a master key that counts until `expires_at_ms`."""

    digest: bytes = field(repr=False)
    expires_at_ms: int | None = None


class MasterAccess:
    """Compares a presented key with the digests of the master keys in force.

    `supplied_by` names the setting that the key comes from, where it is not the gateway's own.
    """

    def __init__(self, digests: Iterable[MasterDigest], *, supplied_by: str | None = None) -> None:
        self._digests = tuple(digests)
        self.supplied_by = supplied_by
        self.rotating = asyncio.Lock()
        """Held while new keys are stored and adopted."""

    def adopt(self, digests: Iterable[MasterDigest]) -> None:
        """Let these keys count, and no others, from the next question on."""
        self._digests = tuple(digests)

    @property
    def in_force(self) -> int:
        """How many master keys count now."""
        at_ms = now_ms()
        return sum(
            known.expires_at_ms is None or at_ms < known.expires_at_ms for known in self._digests
        )

    def admits(self, key: str | None) -> bool:
        """Whether the key is a master key; takes as long for a near miss as for a far one."""
        # A comparison of texts raises on anything but ASCII, and no master key holds such.
        if not key or not key.isascii():
            return False
        presented, at_ms = digest_of(key), now_ms()
        admitted = False
        for known in self._digests:
            same = hmac.compare_digest(presented, known.digest)
            admitted |= same and (known.expires_at_ms is None or at_ms < known.expires_at_ms)
        return admitted


def guarded(master: MasterAccess, handler: Handler) -> Handler:
    """The handler behind the master key; its answers are kept out of every cache."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if not master.admits(bearer_of(request)):
            raise AuthenticationError(_REFUSED)
        # A change that has been committed must also come into force, whoever waits for it.
        return await asyncio.shield(asyncio.ensure_future(handler(request)))

    return handle
