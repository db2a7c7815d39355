"""The connections to one origin: which are idle, who waits for one, and how many there are."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from conduit.gateway.upstream import Deadlines, TransportError, TransportFault
from conduit.gateway.upstream.faults import transport_error
from conduit.gateway.upstream.http1_connection import Connection
from conduit.gateway.upstream.options import ClientOptions

Fault = TransportFault

_MOST_IDLE: Final = 1000


class Pool:
    """Gives connections to calls, the youngest first, and takes them back.

    Where there is a limit, calls wait for a place in the order in which they came. A place belongs
    to a connection, or to the call that opens one, and is passed on rather than given up while
    somebody waits.
    """

    def __init__(
        self,
        where: str,
        dial: "Callable[[Pool, float], Awaitable[Connection]]",
        options: ClientOptions,
        buffer: memoryview,
    ) -> None:
        self.where = where
        self.buffer = buffer
        self.buffer_bytes = options.buffer_bytes
        self.keepalive_s = options.keepalive_s
        self.places = 0
        self._dial = dial
        self._limit = options.connection_limit or float("inf")
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Connection, None] = {}
        self._all: set[Connection] = set()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def idle(self) -> int:
        return len(self._idle)

    def take(self, now: float) -> Connection | None:
        """An idle connection, if one can be used."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable(now):
                return connection
            connection.abort()
        return None

    async def acquire(
        self, deadlines: Deadlines, total_at: float, *, fresh: bool = False
    ) -> Connection:
        """A connection, idle or new; a `fresh` one has not been idle. Raises TransportError."""
        pool_until = self._loop.time() + deadlines.pool_s
        while not self._is_closed:
            connection = None if fresh else self.take(self._loop.time())
            if connection is not None:
                return connection
            if self.places < self._limit:
                self.places += 1
                return await self._open(deadlines.connect_s, total_at)
            connection = await self._turn(pool_until, total_at)
            if connection is None:
                return await self._open(deadlines.connect_s, total_at)
            if connection.usable(self._loop.time()):
                return connection
            connection.abort()  # it ended after it was handed over
        raise self._error(Fault.CONNECT, "the client is closed")

    def released(self, connection: Connection) -> None:
        """A call has ended well, and its connection can serve another."""
        connection.idle_since = self._loop.time()
        if self._waiting and self._give(connection):
            return
        if len(self._idle) >= _MOST_IDLE or self._is_closed:
            connection.abort()
            return
        self._idle[connection] = None
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self.keepalive_s, self._sweep)

    def closed(self, connection: Connection) -> None:
        """A connection is lost; its place is free if it had one of its own."""
        self._idle.pop(connection, None)
        if connection in self._all:
            self._all.discard(connection)
            self._free_place()

    def close(self) -> None:
        """Cut every connection, and turn away whoever waits for one."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._all):
            connection.cut()
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(self._error(Fault.CONNECT, "the client is closed"))

    async def _open(self, connect_s: float, total_at: float) -> Connection:
        """Open a connection in a place that was taken for it."""
        connect_until = self._loop.time() + connect_s
        try:
            async with asyncio.timeout_at(min(connect_until, total_at)) as limit:
                connection = await self._dial(self, connect_until)
            connection.idle_since = now = self._loop.time()
            if not connection.usable(now):  # lost before anybody could use it
                connection.abort()
                raise self._error(Fault.CONNECT)
        except BaseException as error:
            self._free_place()
            if isinstance(error, TimeoutError) and limit.expired():
                late = total_at < connect_until
                raise self._error(Fault.TOTAL_TIMEOUT if late else Fault.CONNECT_TIMEOUT) from error
            raise
        self._all.add(connection)  # from now on the place is the connection's
        if self._is_closed:
            connection.abort()
            raise self._error(Fault.CONNECT, "the client is closed")
        return connection

    async def _turn(self, pool_until: float, total_at: float) -> Connection | None:
        """A connection from its last user, or None with the place for a new one."""
        turn: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(min(pool_until, total_at)):
                return await turn
        except BaseException as error:
            self._give_back(turn)
            if isinstance(error, TimeoutError):
                late = total_at < pool_until
                raise self._error(Fault.TOTAL_TIMEOUT if late else Fault.POOL_TIMEOUT) from error
            raise

    def _give_back(self, turn: "asyncio.Future[Connection | None]") -> None:
        """What was given to somebody who has gone meanwhile goes to the next."""
        if not turn.done():
            turn.cancel()
        if turn.cancelled():
            if turn in self._waiting:
                self._waiting.remove(turn)
        elif turn.exception() is None:
            given = turn.result()
            if given is None:
                self._free_place()
            elif not given.is_closed:
                self.released(given)

    def _give(self, what: Connection | None) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(what)
                return True
        return False

    def _free_place(self) -> None:
        if not self._give(None):
            self.places -= 1

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        oldest = self._loop.time() - self.keepalive_s
        for connection in [each for each in self._idle if each.idle_since <= oldest]:
            del self._idle[connection]
            connection.abort()
        if self._idle:
            first = min(each.idle_since for each in self._idle)
            self._sweeper = self._loop.call_at(first + self.keepalive_s, self._sweep)

    def _error(self, fault: TransportFault, detail: str | None = None) -> TransportError:
        return transport_error(self.where, fault, detail, sent=False, reused=False)
