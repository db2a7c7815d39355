"""The socket that front-ends listen to: socket.io, namespace `/admin`.

    client → subscribe {kinds, filter, after_seq, boot}, answered {boot, seq, recovered, gap}
    server → events [event, …]    gap {from, to}    heartbeat {boot, seq, at_ms}    error {…}

Importing socketio takes a fifth of a second: this module is imported when somebody listens.
"""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec
import socketio
from aiohttp import web
from socketio.packet import Packet

from conduit.core.errors import (
    AuthenticationError,
    ConduitError,
    InvalidRequestError,
    PermissionDeniedError,
    RateLimitedError,
)
from conduit.core.ids import now_ms
from conduit.gateway.events.bus import Bus
from conduit.gateway.events.fanout import Fanout, FanoutLimits
from conduit.gateway.events.selection import Selection, select

logger = logging.getLogger(__name__)

# The library's own log lines quote packets, and so tokens: nothing below CRITICAL leaves it.
_wire_logger = logging.getLogger(f"{__name__}.wire")
_wire_logger.setLevel(logging.CRITICAL)

NAMESPACE = "/admin"
PATH = "/socket.io/"
_LONGEST_TOKEN = 512
_LONGEST_BOOT = 64
_LARGEST_SEQ = 2**63 - 1
_STRANGER_SINCE = "conduit.stranger_since"
_ADMITTED = "conduit.admitted"


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """`stranger_s` is how long a connection may stay without a token that was accepted."""

    batch_interval_s: float = 0.15
    heartbeat_interval_s: float = 5.0
    sweep_interval_s: float = 1.0
    stranger_s: float = 10.0
    close_s: float = 2.0
    messages_per_s: int = 10
    connections_per_ip: int = 50
    connections: int = 1_000
    message_bytes: int = 64 * 1024
    fanout: FanoutLimits = field(default_factory=FanoutLimits)


def _remote(request: web.Request) -> str:
    return request.remote or ""


def _refuses_none(_: web.Request) -> None:
    pass


def _as_it_is(_: web.Request, error: AuthenticationError) -> ConduitError:
    return error


class EventSocket:
    """Serves live events under a path of an application, from `start` to `stop`.

    `check_token` answers in constant time. It and `check_address`, which raises
    PermissionDeniedError, are asked again with every sweep: a revoked token, or a change of the
    address lists, ends the connections that it is about within seconds.
    """

    def __init__(
        self,
        bus: Bus,
        check_token: Callable[[str], bool],
        *,
        client_ip: Callable[[web.Request], str] = _remote,
        check_address: Callable[[web.Request], None] = _refuses_none,
        refuse_login: Callable[[web.Request, AuthenticationError], ConduitError] = _as_it_is,
        limits: SocketLimits | None = None,
    ) -> None:
        self._bus = bus
        self._check_token = check_token
        self._client_ip = client_ip
        self._check_address = check_address
        self._refuse_login = refuse_login
        self._limits = limits or SocketLimits()
        self._server = socketio.AsyncServer(
            async_mode="aiohttp",
            # Origins are refused before the library is asked; an empty list keeps it out of CORS.
            cors_allowed_origins=[],
            namespaces=[NAMESPACE],
            transports=["websocket", "polling"],
            max_http_buffer_size=self._limits.message_bytes,
            serializer=_EventPacket,
            async_handlers=False,
            logger=_wire_logger,
            engineio_logger=_wire_logger,
        )
        self._tokens: dict[str, str] = {}
        self._wire = _SocketWire(self._server)
        self._fanout = Fanout(bus, self._wire, self._limits.fanout)
        self._server.register_namespace(_AdminNamespace(self))
        self._handlers: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many connections are subscribed."""
        return len(self._fanout)

    def routes(self) -> list[web.RouteDef]:
        """The path that it is served under."""
        return [web.route("*", PATH, self._handle)]

    def start(self) -> None:
        """Begin to deliver, in the running event loop."""
        self._task = asyncio.create_task(self._run(), name="live events")

    async def stop(self) -> None:
        """Deliver what is left, say goodbye and end every connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._guarded(self._fanout.flush)
        await self._disconnect(list(self._server.eio.sockets))
        if self._handlers:
            _, lingering = await asyncio.wait(self._handlers, timeout=self._limits.close_s)
            for task in lingering:
                task.cancel()
        await self._server.shutdown()

    async def subscribe(self, sid: str, wish: object) -> dict[str, object]:
        """Begin or replace a subscription; a wish that cannot be read is answered by an error."""
        try:
            selection, after_seq, boot = _read_wish(wish)
        except ValueError as error:
            message = self._bus.scrub(str(error).encode("utf-8", "replace")).decode()
            refusal = {"code": "validation_failed", "message": message}
            await self._wire.emit("error", refusal, sid)
            return {"error": refusal}
        subscribed = await self._fanout.subscribe(sid, selection, after_seq, boot)
        return subscribed.as_json()

    def admit(self, sid: str, environ: dict[str, Any], auth: object) -> None:
        """Let a connection into the namespace, or raise the library's refusal."""
        token = auth.get("token") if isinstance(auth, Mapping) else None
        if not isinstance(token, str) or not token or len(token) > _LONGEST_TOKEN:
            self._refuse(environ, "a token is needed: auth = {token: …}")
        if not self._check_token(token):
            self._refuse(environ, "the token is not one of this gateway's")
        environ[_ADMITTED] = True
        self._tokens[sid] = token

    def _refuse(self, environ: Mapping[str, Any], message: str) -> NoReturn:
        """Count the failed login, and raise the library's refusal."""
        error = self._refuse_login(environ["aiohttp.request"], AuthenticationError(message))
        raise socketio.exceptions.ConnectionRefusedError(error.message, {"code": error.code})

    async def forget(self, sid: str) -> None:
        self._tokens.pop(sid, None)
        await self._fanout.unsubscribe(sid)

    async def expel(self, sid: str, message: str) -> None:
        """End one connection and say why."""
        await self._wire.emit("error", {"code": "rate_limit_exceeded", "message": message}, sid)
        await self._server.disconnect(sid, namespace=NAMESPACE)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if "Origin" in request.headers:
            raise PermissionDeniedError("no web page may listen here")
        if "j" in request.query:
            raise InvalidRequestError("JSONP is not served", param="j")
        if "sid" not in request.query and self._is_crowded(self._client_ip(request)):
            raise RateLimitedError("too many event connections from this address")
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a handler runs in a task")
        self._handlers.add(task)
        try:
            answer: web.StreamResponse = await self._server.handle_request(request)
            return answer
        finally:
            self._handlers.discard(task)

    def _is_crowded(self, ip: str) -> bool:
        environs = self._server.environ.values()
        if len(environs) >= self._limits.connections:
            return True
        per_ip = Counter(self._client_ip(environ["aiohttp.request"]) for environ in environs)
        return per_ip[ip] >= self._limits.connections_per_ip

    async def _run(self) -> None:
        heartbeat_at = sweep_at = time.monotonic()
        while True:
            await asyncio.sleep(self._limits.batch_interval_s)
            await self._guarded(self._fanout.flush)
            now = time.monotonic()
            if now >= heartbeat_at:
                heartbeat_at = now + self._limits.heartbeat_interval_s
                await self._guarded(self._heartbeat)
            if now >= sweep_at:
                sweep_at = now + self._limits.sweep_interval_s
                await self._guarded(self._sweep)

    async def _guarded(self, step: Callable[[], Any]) -> None:
        try:
            await step()
        except Exception:  # one step that fails must not silence all that follow
            logger.exception("live events: a step failed")

    async def _heartbeat(self) -> None:
        # A client may go on after the number of a heartbeat: those that are behind get none.
        beat = {"boot": self._bus.boot, "seq": self._fanout.flushed_seq, "at_ms": now_ms()}
        await self._server.emit(
            "heartbeat", beat, namespace=NAMESPACE, skip_sid=self._fanout.behind()
        )

    async def _sweep(self) -> None:
        """Close connections that never showed a token, or whose token or address counts no more."""
        revoked = [sid for sid, token in self._tokens.items() if not self._check_token(token)]
        for sid in revoked:
            await self._server.disconnect(sid, namespace=NAMESPACE)
        now = time.monotonic()
        unwanted = []
        for eio_sid, environ in self._server.environ.items():
            try:
                self._check_address(environ["aiohttp.request"])
            except PermissionDeniedError:
                unwanted.append(eio_sid)
                continue
            since = environ.setdefault(_STRANGER_SINCE, now)
            if not environ.get(_ADMITTED) and now - since >= self._limits.stranger_s:
                unwanted.append(eio_sid)
        await self._disconnect(unwanted)

    async def _disconnect(self, eio_sids: Sequence[str]) -> None:
        # The library waits until the peer has taken every packet: a dead one never does.
        tasks = [asyncio.create_task(self._server.eio.disconnect(each)) for each in eio_sids]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=self._limits.close_s)
            for task in pending:
                task.cancel()


class _AdminNamespace(socketio.AsyncNamespace):  # type: ignore[misc]  # has no stubs
    """Dispatches what clients send, at most so many messages a second."""

    def __init__(self, socket: EventSocket) -> None:
        super().__init__(NAMESPACE)
        self._socket = socket
        self._allowances: dict[str, tuple[float, float]] = {}

    async def trigger_event(self, event: str, *args: Any) -> object:  # noqa: ANN401  # JSON
        try:
            match event, args:
                case "connect", (str() as sid, dict() as environ, *auth):
                    self._socket.admit(sid, environ, auth[0] if auth else None)
                case "disconnect", (str() as sid, *_):
                    self._allowances.pop(sid, None)
                    await self._socket.forget(sid)
                case _, (str() as sid, *contents):
                    return await self._message(event, sid, contents)
                case _:
                    pass
        except socketio.exceptions.ConnectionRefusedError:
            raise
        except Exception:  # what a client sends must not end in the library's log
            logger.exception("live events: a message could not be handled")
        return None

    async def _message(self, event: str, sid: str, contents: list[Any]) -> object:
        if not self._is_allowed(sid):
            await self._socket.expel(sid, "too many messages")
            return None
        if event != "subscribe":
            return None
        return await self._socket.subscribe(sid, contents[0] if contents else None)

    def _is_allowed(self, sid: str) -> bool:
        most = self._socket._limits.messages_per_s
        now = time.monotonic()
        left, at = self._allowances.get(sid, (float(most), now))
        left = min(float(most), left + (now - at) * most) - 1
        self._allowances[sid] = (left, now)
        return left >= 0


class _SocketWire:
    """Carries batches over the socket.io server."""

    def __init__(self, server: Any) -> None:  # noqa: ANN401  # the library has no types
        self._server = server

    async def emit(self, name: str, content: object, to: str, skip: Sequence[str] = ()) -> None:
        await self._server.emit(name, content, to=to, namespace=NAMESPACE, skip_sid=list(skip))

    async def enter(self, sid: str, room: str) -> None:
        await self._server.enter_room(sid, room, namespace=NAMESPACE)

    async def leave(self, sid: str, room: str) -> None:
        if self._server.manager.is_connected(sid, NAMESPACE):
            await self._server.leave_room(sid, room, namespace=NAMESPACE)

    def waiting(self, sid: str) -> int:
        # The library's queue has no bound and its emit never waits: its length is all that tells
        # a slow listener from a quick one.
        eio_sid = self._server.manager.eio_sid_from_sid(sid, NAMESPACE)
        connection = self._server.eio.sockets.get(eio_sid)
        return 0 if connection is None else int(connection.queue.qsize())


class _WireJson:
    """msgspec for what leaves: events are encoded already and only joined."""

    loads = staticmethod(Packet.json.loads)

    @staticmethod
    def dumps(content: object, **options: Any) -> str:  # noqa: ANN401  # as json.dumps
        try:
            return msgspec.json.encode(content).decode()
        except UnicodeEncodeError:  # a lone surrogate in an error that quotes a client
            return json.dumps(content, **options)


class _EventPacket(Packet):  # type: ignore[misc]  # has no stubs
    json = _WireJson


def _read_wish(wish: object) -> tuple[Selection, int | None, str | None]:
    """The selection, number and boot of a `subscribe`. Raises ValueError."""
    fields = {} if wish is None else wish
    if not isinstance(fields, dict):
        raise ValueError("subscribe takes an object: {kinds, filter, after_seq, boot}")
    unknown = fields.keys() - {"kinds", "filter", "after_seq", "boot"}
    if unknown:
        raise ValueError(f"subscribe has no field {min(map(str, unknown))!r}")
    kinds, text = fields.get("kinds"), fields.get("filter")
    after_seq, boot = fields.get("after_seq"), fields.get("boot")
    if kinds is not None and not (
        isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)
    ):
        raise ValueError("kinds is a list of names")
    if text is not None and not isinstance(text, str):
        raise ValueError("filter is a text")
    if after_seq is not None and not (type(after_seq) is int and 0 <= after_seq <= _LARGEST_SEQ):
        raise ValueError("after_seq is a number from 0")
    if boot is not None and not (isinstance(boot, str) and len(boot) <= _LONGEST_BOOT):
        raise ValueError("boot is the text that a heartbeat carried")
    return select(kinds, text), after_seq, boot
