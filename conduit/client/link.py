"""One socket.io connection to a gateway's live events, and what arrived on it."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from conduit.client.connection import Connection
from conduit.client.errors import ApiError, AuthenticationFailed
from conduit.client.optional import without

# Its brokers and its blocking client, of which nothing is used here: 10 MB and a quarter of a
# second, where they are installed for something else.
with without("redis", "valkey", "kombu", "kafka", "zmq", "aio_pika", "requests", "websocket"):
    import socketio

NAMESPACE = "/admin"
_INBOX_EVENTS = 10_000
_CLOSE_S = 2.0
_SLICE_S = 2.0

# The library's log lines quote packets, and the first one holds the token.
_wire_logger = logging.getLogger(f"{__name__}.wire")
_wire_logger.setLevel(logging.CRITICAL)


class Lost(Exception):
    """The connection is gone, or never came; the message says why.

    `forbidden`: the request for it was answered 403, by the gateway or by a proxy before it.
    """

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        super().__init__(message)
        self.forbidden = forbidden


@dataclass(frozen=True, slots=True)
class Message:
    name: str
    content: Any


class Inbox:
    """What has arrived and was not read yet; the oldest events make room and leave a gap."""

    def __init__(self) -> None:
        self.ended: str | None = None
        self._messages: deque[Message] = deque()
        self._events = 0
        self._arrived = asyncio.Event()
        self._heard_at = (time.monotonic(), time.time())

    def put(self, name: str, content: Any) -> None:  # decoded JSON
        self._heard_at = (time.monotonic(), time.time())
        self._messages.append(Message(name, content))
        if name == "events":
            self._events += len(content)
            if self._events > _INBOX_EVENTS:
                self._make_room()
        self._arrived.set()

    def end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._arrived.set()

    async def next(self, stale_s: float) -> Message | None:
        """The next message; None when the connection has ended. Raises Lost after a silence."""
        while not self._messages:
            if self.ended is not None:
                return None
            # The wall clock too: the other one stands still while a laptop sleeps.
            silence_s = max(time.monotonic() - self._heard_at[0], time.time() - self._heard_at[1])
            if silence_s >= stale_s:
                raise Lost(f"no sign of life for {stale_s:g} s")
            self._arrived.clear()
            try:
                async with asyncio.timeout(min(_SLICE_S, stale_s - silence_s)):
                    await self._arrived.wait()
            except TimeoutError:
                continue
        message = self._messages.popleft()
        if message.name == "events":
            self._events -= len(message.content)
        return message

    def _make_room(self) -> None:
        first: int | None = None
        last = 0
        while self._events > _INBOX_EVENTS // 2 and self._messages:
            message = self._messages.popleft()
            if message.name == "events":
                self._events -= len(message.content)
                first = first or message.content[0]["seq"]
                last = message.content[-1]["seq"]
            elif message.name == "gap" and message.content["to"] is not None:
                first = first or message.content["from"]
                last = message.content["to"]
        if first is not None:
            self._messages.appendleft(Message("gap", {"from": first, "to": last}))


def _is_forbidden(error: BaseException) -> bool:
    """Whether somebody on the way answered 403; the library tells it by what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.WSServerHandshakeError):
            return cause.status == HTTPStatus.FORBIDDEN
        cause = cause.__cause__ or cause.__context__
    return False


class Link:
    """One socket.io connection."""

    def __init__(self, connection: Connection, transport: str, connect_s: float) -> None:
        self.inbox = Inbox()
        self._url = connection.url
        self._connect_s = connect_s
        self._transports = [transport] if transport == "websocket" else [transport, "websocket"]
        self._refusal: object = None
        self._client = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=connection.session,
            logger=_wire_logger,
            engineio_logger=_wire_logger,
        )
        for name in ("events", "gap", "heartbeat"):
            self._client.on(name, self._receiver(name), namespace=NAMESPACE)
        self._client.on("connect_error", self._refused, namespace=NAMESPACE)
        self._client.on("disconnect", self._ended, namespace=NAMESPACE)

    async def open(self, token: str, subscription: Mapping[str, object]) -> Mapping[str, Any]:
        """Connect and subscribe; the answer is {boot, seq, recovered, gap}. Raises Lost."""
        try:
            async with asyncio.timeout(self._connect_s):
                await self._connect(token)
                answer = await self._client.call(
                    "subscribe", subscription, namespace=NAMESPACE, timeout=self._connect_s
                )
        except (socketio.exceptions.SocketIOError, aiohttp.ClientError, OSError) as error:
            self._raise_refusal()
            raise Lost(str(error) or "no connection", forbidden=_is_forbidden(error)) from error
        if not isinstance(answer, Mapping):
            raise Lost("the gateway did not answer the subscription")
        if "error" in answer:
            refused = answer["error"]
            raise ApiError(str(refused["code"]), str(refused["message"]), status=422)
        return answer

    async def close(self) -> None:
        """Leave, without waiting long for a peer that may be gone."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._client.disconnect()
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass
        eio = self._client.eio
        tasks = [task for task in (eio.read_loop_task, eio.write_loop_task) if task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _connect(self, token: str) -> None:
        path = urlsplit(self._url).path.strip("/")
        await self._client.connect(
            self._url,
            auth={"token": token},
            namespaces=[NAMESPACE],
            transports=self._transports,
            socketio_path=f"{path}/socket.io",
            wait_timeout=self._connect_s,
        )

    def _receiver(self, name: str) -> Callable[[object], None]:
        return lambda content: self.inbox.put(name, content)

    def _refused(self, refusal: object = None) -> None:
        self._refusal = refusal

    def _ended(self, reason: object = None) -> None:
        self.inbox.end(str(reason or "the connection was closed"))

    def _raise_refusal(self) -> None:
        refusal = self._refusal if isinstance(self._refusal, Mapping) else {}
        content = refusal.get("data")
        code = content.get("code") if isinstance(content, Mapping) else None
        if code in ("invalid_api_key", "too_many_failed_logins"):
            message = str(refusal.get("message"))
            raise AuthenticationFailed(code, message, status=401)
