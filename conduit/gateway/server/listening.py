"""The listeners of a gateway: where they accept connections, and which port is taken instead."""

import errno
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from conduit.core.settings import GatewaySettings
from conduit.gateway.server.errors import EncodeError
from conduit.gateway.server.greeting import Handshake
from conduit.gateway.server.runner import EdgeOptions, GatewayRunner
from conduit.gateway.server.sites import Site
from conduit.gateway.server.tls import Tls

_PORTS_TRIED: Final = 100
_MOST_ADMIN_HEADS: Final = 256
"""Few administer; most of the files that may be open are for the clients."""


@dataclass(frozen=True, slots=True)
class Applications:
    """What a gateway's listeners serve; `administration` None where one of them serves all."""

    clients: web.Application
    administration: web.Application | None = None


@dataclass(frozen=True, slots=True)
class Runners:
    """Applications that run, each behind an edge of its own."""

    clients: GatewayRunner
    administration: GatewayRunner | None = None

    async def stop_accepting(self) -> None:
        """Take no more connections; those that there are stay."""
        for runner in (self.clients, self.administration):
            for site in () if runner is None else list(runner.sites):
                await site.stop()


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the gateway accepts connections; `wanted_port` where that one was taken.

    `admin_url` is where it is administered, if that is elsewhere.
    """

    url: str
    wanted_port: int | None = None
    admin_url: str | None = None


@dataclass(frozen=True, slots=True)
class Inherited:
    """Descriptors of sockets that listen already, by what is served there."""

    clients: Sequence[int]
    administration: Sequence[int] = ()


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


@asynccontextmanager
async def running(
    apps: Applications, encode_error: EncodeError, options: EdgeOptions, *, shutdown_s: float
) -> AsyncIterator[Runners]:
    """Set the applications up, and clean up after them; administration ends first."""
    async with AsyncExitStack() as stack:

        async def run(app: web.Application, options: EdgeOptions) -> GatewayRunner:
            runner = GatewayRunner(app, encode_error, options, shutdown_timeout=shutdown_s)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            return runner

        clients = await run(apps.clients, options)
        if apps.administration is None:
            yield Runners(clients)
            return
        most = min(options.max_incomplete_heads, _MOST_ADMIN_HEADS)
        few = replace(options, max_incomplete_heads=most)
        yield Runners(clients, await run(apps.administration, few))


async def listen(
    runners: Runners,
    settings: GatewaySettings,
    tls: Tls | None,
    *,
    moves: bool = False,
    inherited: Inherited | None = None,
) -> Listening:
    """Accept connections where the settings want it, or from the sockets of the parent.

    With `moves` the next free port is taken where one is taken. Raises OSError.
    """
    timeout_s = settings.head_timeout_s
    shake = None if tls is None else Handshake(tls.clients, timeout_s)
    clients = Listener(runners.clients, settings.host, settings.port, shake)
    wanted_port = await _accept(clients, inherited.clients if inherited else None, moves=moves)
    admin_url = None
    if runners.administration is not None:
        shake = None if tls is None else Handshake(tls.administrators, timeout_s)
        port = settings.admin_port or 0
        admin = Listener(runners.administration, settings.admin_host, port, shake)
        await _accept(admin, inherited.administration if inherited else None, moves=moves)
        admin_url = admin.url()
    return Listening(clients.url(), wanted_port, admin_url)


async def _accept(
    listener: Listener, inherited: Sequence[int] | None, *, moves: bool
) -> int | None:
    """The port that was wanted, where it was taken."""
    if inherited is None:
        return await _bind(listener, moves=moves)
    for descriptor in inherited:
        already = socket.socket(fileno=descriptor)
        await Site(listener.runner, already, listener.handshake).start()
    return None


async def _bind(listener: Listener, *, moves: bool) -> int | None:
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
        return wanted if wanted not in (0, listener.runner.addresses[0][1]) else None
    raise OSError(errno.EADDRINUSE, f"no free port from {wanted} on")


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
