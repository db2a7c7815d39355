"""The listeners of a gateway: where they accept connections, and which port is taken instead."""

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from conduit.core.settings import GatewaySettings
from conduit.gateway.server.runner import GatewayRunner
from conduit.gateway.server.sites import Handshake, Site
from conduit.gateway.server.tls import Tls

_PORTS_TRIED: Final = 100


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the gateway accepts connections; `wanted_port` where that one was taken."""

    url: str
    wanted_port: int | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """One of a gateway's, as it is to be; `handshake` None for one without TLS."""

    runner: GatewayRunner
    host: str
    port: int
    handshake: Handshake | None = None

    def url(self) -> str:
        """Where it is reached from this machine, once it listens."""
        scheme = "http" if self.handshake is None else "https"
        return f"{scheme}://{shown_host(self.host)}:{self.runner.addresses[0][1]}"


def client_listener(settings: GatewaySettings, runner: GatewayRunner, tls: Tls | None) -> Listener:
    """The listener that applications call."""
    handshake = None if tls is None else Handshake(tls.clients, settings.head_timeout_s)
    return Listener(runner, settings.host, settings.port, handshake)


async def listen(listener: Listener, *, moves: bool) -> Listening:
    """Bind the wanted port; one that `moves` takes the next free one where it is taken.

    Raises OSError.
    """
    host, wanted = listener.host, listener.port
    for port in range(wanted, wanted + _PORTS_TRIED):
        site = Site(listener.runner, (host, port), listener.handshake)
        try:
            await site.start()
        except OSError as error:
            await site.stop()
            if error.errno != errno.EADDRINUSE or not moves:
                raise cannot_listen(host, port, error) from error
            continue
        actual = listener.runner.addresses[0][1]
        return Listening(listener.url(), wanted if wanted not in (0, actual) else None)
    raise OSError(errno.EADDRINUSE, f"no free port from {wanted} on")


async def listen_as_told(listener: Listener, descriptors: Sequence[int]) -> Listening:
    """Accept from the sockets that the parent listens on, beside the other workers."""
    for descriptor in descriptors:
        inherited = socket.socket(fileno=descriptor)
        await Site(listener.runner, inherited, listener.handshake).start()
    return Listening(listener.url())


async def stop_accepting(runner: GatewayRunner) -> None:
    """Take no more connections; those that there are stay."""
    for site in list(runner.sites):
        await site.stop()


def cannot_listen(host: str, port: int, error: OSError) -> OSError:
    """The same error in our words."""
    # asyncio's own text says it all again; a resolver's numbers are its own.
    known = not isinstance(error, socket.gaierror) and error.errno
    reason = os.strerror(error.errno or 0) if known else error.strerror
    return OSError(error.errno, f"cannot listen on {host}:{port}: {reason}")


def shown_host(host: str) -> str:
    """A host as it stands in a URL that can be opened from this machine."""
    if host in ("0.0.0.0", "::", ""):  # recognised, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
