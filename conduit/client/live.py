"""Live events of a gateway as an iterator that survives its connection.

It reconnects by itself, goes on after the last event it saw, fetches over HTTP what the gateway
dropped on the way and still holds, and says aloud what nobody can get back.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from conduit.client.connection import Connection
from conduit.client.contexts import USUAL_TLS, TlsFiles
from conduit.client.errors import ApiError, Unreachable
from conduit.client.link import Link, Lost, Message
from conduit.core.ids import now_ms

_PAGE_EVENTS = 1_000
_SLICE_S = 1.0
_CLOCK_JUMP_S = 5.0


@dataclass(frozen=True, slots=True)
class Connected:
    """The first connection stands; `seq` is the newest event of the run that `boot` names."""

    boot: str
    seq: int


@dataclass(frozen=True, slots=True)
class Events:
    """Events in order, each once: {boot, seq, at_ms, kind, data}."""

    events: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that cannot be had any more, both ends included; `last` None: the gateway restarted.

    What they told of requests is in the request records.
    """

    first: int
    last: int | None

    @property
    def lost(self) -> int | None:
        return None if self.last is None else self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Disconnected:
    at_ms: int
    reason: str
    retry_in_s: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """A lost connection stands again, and this many missed events have been delivered."""

    recovered: int


LiveItem = Connected | Events | Gap | Disconnected | Resumed


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a tail waits: between tries, for a connection, for a sign of life."""

    first_s: float = 0.5
    longest_s: float = 15.0
    jitter: float = 0.2
    connect_s: float = 10.0
    stale_s: float = 12.0

    def delay_s(self, failures: int) -> float:
        """The pause after so many failures in a row, doubled each time, a little off."""
        delay = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return delay * random.uniform(1 - self.jitter, 1 + self.jitter)


async def tail_events(  # noqa: PLR0913  # the words of `logs tail`
    url: str,
    token: str,
    *,
    kinds: Iterable[str] | None = None,
    filter: str | None = None,
    after_seq: int | None = None,
    boot: str | None = None,
    max_offline_s: float | None = None,
    backoff: Backoff = Backoff(),
    tls: TlsFiles = USUAL_TLS,
    heard: Callable[[], None] | None = None,
) -> AsyncGenerator[LiveItem, None]:
    """Events from now on, or after a number of the run that `boot` names.

    `heard` is called at every sign of life, heartbeats too. Never ends by itself. Raises
    AuthenticationFailed where the token is refused, ApiError where the filter, a kind or our
    address is, Unreachable after `max_offline_s` without a connection. Close it with `aclosing`.
    """
    async with Connection(url, token, tls=tls) as connection:
        wish = _Wish(None if kinds is None else tuple(kinds), filter)
        tail = _Tail(connection, token, wish, backoff, heard or _ignore)
        tail.start_after(after_seq, boot)
        async with aclosing(tail.items(max_offline_s)) as items:
            async for item in items:
                yield item


@dataclass(frozen=True, slots=True)
class _Wish:
    kinds: tuple[str, ...] | None
    filter: str | None


class _Tail:
    """Where the reader is, over all connections."""

    def __init__(
        self,
        connection: Connection,
        token: str,
        wish: _Wish,
        backoff: Backoff,
        heard: Callable[[], None],
    ) -> None:
        self._heard = heard
        self._connection = connection
        self._token = token
        self._wish = wish
        self._backoff = backoff
        self._boot: str | None = None
        self._seq: int | None = None
        self._was_connected = False

    def start_after(self, seq: int | None, boot: str | None) -> None:
        self._seq, self._boot = seq, boot

    async def items(self, max_offline_s: float | None) -> AsyncGenerator[LiveItem, None]:
        failures = 0
        offline_since = time.monotonic()
        while True:
            # A proxy that knows no websockets still passes polls, so one try in three is a poll.
            transport = "polling" if failures % 3 == 2 else "websocket"
            link = Link(self._connection, transport, self._backoff.connect_s)
            try:
                answer = await link.open(self._token, self._subscription())
                failures = 0
                async with aclosing(self._follow(link, answer)) as items:
                    async for item in items:
                        yield item
                reason = link.inbox.ended or "the connection was closed"
            except Lost as lost:
                reason = str(lost)
                if lost.forbidden:
                    await self._ask_whether_refused()
            finally:
                await link.close()
            if failures == 0 and self._was_connected:
                offline_since = time.monotonic()
            failures += 1
            delay_s = self._backoff.delay_s(failures)
            offline_s = time.monotonic() - offline_since
            if max_offline_s is not None and offline_s + delay_s > max_offline_s:
                raise Unreachable(f"no connection to {self._connection.url}: {reason}")
            yield Disconnected(now_ms(), reason, delay_s)
            await _pause(delay_s)

    async def _ask_whether_refused(self) -> None:
        """Raise the ApiError of a gateway that serves nothing to us; a proxy may forbid the socket
        alone, and then polls are tried.
        """
        with suppress(Unreachable):
            await self._connection.call("whoami")

    def _subscription(self) -> dict[str, object]:
        return {
            "kinds": None if self._wish.kinds is None else list(self._wish.kinds),
            "filter": self._wish.filter,
            "after_seq": self._seq,
            "boot": self._boot,
        }

    async def _follow(
        self, link: Link, answer: Mapping[str, Any]
    ) -> AsyncGenerator[LiveItem, None]:
        """The items of one connection; returns when it ends."""
        resuming = self._was_connected
        self._was_connected = True
        self._enter(str(answer["boot"]), int(answer["seq"]))
        if not resuming:
            yield Connected(str(answer["boot"]), int(answer["seq"]))
        recovery = _Recovery(answer) if resuming else None
        if recovery and recovery.is_complete:
            yield Resumed(0)
            recovery = None
        while (message := await link.inbox.next(self._backoff.stale_s)) is not None:
            self._heard()
            async with aclosing(self._items_of(message)) as items:
                async for item in items:
                    if recovery:
                        recovery.count(item)
                    yield item
            if recovery and recovery.is_over(message):
                yield Resumed(recovery.recovered)
                recovery = None

    def _enter(self, boot: str, seq: int) -> None:
        """Take up the numbers of the run that answered."""
        if self._seq is None:
            self._seq = seq
        elif self._boot is not None and self._boot != boot:
            self._seq = 0
        self._boot = boot

    async def _items_of(self, message: Message) -> AsyncGenerator[LiveItem, None]:
        match message.name:
            case "events":
                events = self._fresh(message.content)
                if events:
                    yield Events(events)
            case "gap":
                first, last = int(message.content["from"]), message.content["to"]
                if last is None:
                    yield Gap(first, None)
                    return
                async with aclosing(self._refilled(first, int(last))) as items:
                    async for item in items:
                        yield item
            case "heartbeat":
                # The gateway sends it to those only who have been sent everything before it.
                if message.content["boot"] == self._boot:
                    self._seq = max(self._seq or 0, int(message.content["seq"]))
            case _:
                pass

    def _fresh(self, events: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """Those that have not been delivered yet."""
        fresh = [
            event
            for event in events
            if event["boot"] == self._boot and event["seq"] > (self._seq or 0)
        ]
        if fresh:
            self._seq = fresh[-1]["seq"]
        return tuple(fresh)

    async def _refilled(self, first: int, last: int) -> AsyncGenerator[LiveItem, None]:
        """What the gateway's ring still holds of a gap, and the rest of the gap."""
        position = first - 1
        while position < last:
            try:
                page = await self._page_after(position)
            except (ApiError, Unreachable):
                page = {"boot": None, "data": [], "gap": None}
            if page["boot"] != self._boot:
                yield Gap(position + 1, last)
                break
            if page["gap"]:
                yield Gap(position + 1, min(int(page["gap"]["to"]), last))
            events = self._fresh(event for event in page["data"] if event["seq"] <= last)
            if events:
                yield Events(events)
            if len(page["data"]) < _PAGE_EVENTS:
                break
            position = page["data"][-1]["seq"]
        self._seq = max(self._seq or 0, last)

    async def _page_after(self, position: int) -> Mapping[str, Any]:
        query = {
            "after": position,
            "boot": self._boot,
            "kinds": ",".join(self._wish.kinds) if self._wish.kinds else None,
            "filter": self._wish.filter,
            "limit": _PAGE_EVENTS,
        }
        return await self._connection.call("events.list", query=query)


class _Recovery:
    """Counts what a resumed subscription delivers of the time it was away."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.recovered = 0
        self._until = int(answer["seq"])
        self._expected = int(answer["recovered"])
        self._awaits_gap = answer["gap"] is not None

    def count(self, item: LiveItem) -> None:
        if isinstance(item, Events):
            self.recovered += sum(event["seq"] <= self._until for event in item.events)

    @property
    def is_complete(self) -> bool:
        return self.recovered >= self._expected and not self._awaits_gap

    def is_over(self, message: Message) -> bool:
        if message.name == "gap":
            self._awaits_gap = False
        if message.name == "heartbeat":
            return True
        passed = message.name == "events" and message.content[-1]["seq"] >= self._until
        return passed or self.is_complete


def _ignore() -> None:
    """Nobody asked about signs of life."""


async def _pause(delay_s: float) -> None:
    """Wait; a machine that slept meanwhile tries at once."""
    begun, begun_wall = time.monotonic(), time.time()
    while (left_s := begun + delay_s - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, _SLICE_S))
        if (time.time() - begun_wall) - (time.monotonic() - begun) > _CLOCK_JUMP_S:
            return
