"""Live events for front-ends: the socket that serves them, made for the first who asks."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web

from conduit.core.errors import AuthenticationError, ConduitError
from conduit.gateway.events.bus import Bus

if TYPE_CHECKING:
    from conduit.gateway.events.socketio import EventSocket


class LiveEvents:
    """Stands for the socket until somebody listens: the library takes long to load."""

    PREFIX: ClassVar = "/socket.io"

    def __init__(
        self,
        bus: Bus,
        check_token: Callable[[str], bool],
        client_ip: Callable[[web.BaseRequest], str],
        check_address: Callable[[web.BaseRequest], None],
        refuse_login: Callable[[web.BaseRequest, AuthenticationError], ConduitError],
    ) -> None:
        self._bus = bus
        self._check_token = check_token
        self._client_ip = client_ip
        self._check_address = check_address
        self._refuse_login = refuse_login
        self._socket: EventSocket | None = None
        self._stopped = False

    @property
    def listeners(self) -> int:
        """How many connections are subscribed."""
        return self._socket.listeners if self._socket else 0

    def load(self) -> Callable[[], Sequence[web.RouteDef]]:
        """Import the library; what is returned starts the socket and gives its route."""
        from conduit.gateway.events.socketio import EventSocket  # noqa: PLC0415  # deferred

        def start() -> Sequence[web.RouteDef]:
            if self._stopped:  # while the library was loaded: nobody would stop this socket
                return ()
            self._socket = EventSocket(
                self._bus,
                self._check_token,
                client_ip=self._client_ip,
                check_address=self._check_address,
                refuse_login=self._refuse_login,
            )
            self._socket.start()
            return self._socket.routes()

        return start

    async def stop(self) -> None:
        """End every connection, where there has been one; none comes after."""
        self._stopped = True
        if self._socket:
            await self._socket.stop()
