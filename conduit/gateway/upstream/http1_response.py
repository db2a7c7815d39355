"""An answer as it comes in over a connection."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final, Protocol

from conduit.gateway.upstream import MOST_AT_ONCE, Take, TransportError, TransportFault
from conduit.gateway.upstream.faults import transport_error

Fault = TransportFault

READABLE: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
"""The encodings of a body that can be undone, or need not be."""


class Headers(Mapping[str, str]):
    """The fields of a head, made into text when the first is asked for; look-ups ignore case.

    Fields of one name are joined with commas.
    """

    __slots__ = ("_fields", "_raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._fields: dict[str, str] | None = None

    def __getitem__(self, name: str) -> str:
        return self._text()[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._text()

    def __iter__(self) -> Iterator[str]:
        return iter(self._text())

    def __len__(self) -> int:
        return len(self._text())

    def _text(self) -> dict[str, str]:
        if self._fields is None:
            fields: dict[str, str] = {}
            for raw_name, raw_value in self._raw:
                name = raw_name.decode("ascii", "replace").lower()
                value = raw_value.decode("utf-8", "surrogateescape").strip(" \t")
                fields[name] = f"{fields[name]}, {value}" if name in fields else value
            self._fields = fields
        return self._fields


class Source(Protocol):
    """What a response asks of the connection that brings it."""

    def step(self, fault: TransportFault, seconds: float) -> None: ...

    def taken(self) -> None:
        """What had arrived was taken: more may come."""
        ...

    def abort(self) -> None: ...


class Http1Response:
    """A provider's answer; iterating gives what has arrived since, at most 32 KiB at once.

    The connection fills `pieces` and says when it is `done` or failed. It belongs to the response
    until then, and to the next call afterwards.
    """

    __slots__ = (
        "_fault_text",
        "_gap_s",
        "_headers",
        "_loop",
        "_piped",
        "_read",
        "_refused",
        "_source",
        "_waiter",
        "_where",
        "buffered",
        "done",
        "encoding",
        "fault",
        "fields",
        "pieces",
        "reused",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: Source,
        where: str,
        gap_s: float,
        *,
        reused: bool,
    ) -> None:
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.buffered = 0
        self.done = False
        self.encoding: str | None = None
        self.fault: TransportFault | None = None
        self.reused = reused
        self._fault_text: str | None = None
        self._headers: Headers | None = None
        self._loop = loop
        self._source: Source | None = source
        self._where = where
        self._gap_s = gap_s
        self._read = False
        self._piped: Take | None = None
        self._refused: bytes | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            self._headers = Headers(self.fields)
        return self._headers

    @property
    def at_end(self) -> bool:
        return self.done and not self.pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._read and not self.pieces and self._source is not None:
            self._source.step(Fault.GAP_TIMEOUT, self._gap_s)
        while not self.pieces:
            if self.done:
                raise StopAsyncIteration
            await self.change()
            if (refused := self._refused) is not None:
                self._refused = None
                return refused
        return self._take() if self.buffered <= MOST_AT_ONCE else self._take_some()

    def pipe(self, take: Take) -> None:
        self._piped = take

    def came(self) -> None:
        """Some of the body has arrived."""
        take, source, waiter = self._piped, self._source, self._waiter
        # Who does not wait is at work with an earlier piece, which has to be done with first.
        waits = waiter is not None and not waiter.done()
        if take is not None and source is not None and waits and self.buffered <= MOST_AT_ONCE:
            piece = self._take()
            if take(piece):
                source.step(Fault.GAP_TIMEOUT, self._gap_s)
                return
            # Apart from what may come before its reader's turn, as it is to be the next piece.
            self._refused = piece
        self.wake()

    async def read(self, limit: int) -> bytes:
        if self.done:  # it came with the head
            if self.buffered > limit:
                raise self.error(Fault.TOO_LARGE)
            pieces, self.pieces = self.pieces, []
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        length = self.headers.get("content-length")
        if length is not None and int(length) > limit:
            self.close()
            raise self.error(Fault.TOO_LARGE)
        pieces = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                self.close()
                raise self.error(Fault.TOO_LARGE)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        source = self._source
        if source is not None:
            self.failed(Fault.CUT)
            source.abort()

    def error(self, fault: TransportFault, text: str | None = None) -> TransportError:
        return transport_error(self._where, fault, text, sent=True, reused=self.reused)

    @property
    def refused(self) -> bool:
        """Whether the server wants no more of the request."""
        return self.done or self.fault is not None or self.status >= 400

    def change(self) -> asyncio.Future[None]:
        """To be awaited: done when the connection has something to tell.

        Raises TransportError where the call has failed, which is the last that it tells.
        """
        if self.fault is not None:
            raise self.error(self.fault, self._fault_text)
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def encoded(self, value: bytes) -> None:
        """A field says how the body is encoded."""
        encoding = value.decode("latin-1").strip().lower()
        self.encoding = encoding if self.encoding is None else f"{self.encoding}, {encoding}"

    def ended(self) -> None:
        self.done = True
        self._source = None
        self.wake()

    def failed(self, fault: TransportFault, text: str | None = None) -> None:
        self.fault = fault
        self._fault_text = text
        self._source = None
        self.wake()

    def _take(self) -> bytes:
        """All that has arrived."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.buffered = 0
        self._read = True
        if self._source is not None:
            self._source.taken()
        return data

    def _take_some(self) -> bytes:
        """The first of what has arrived; the connection reads on once the last is taken."""
        pieces = self.pieces
        count = size = 0
        while size < MOST_AT_ONCE:
            size += len(pieces[count])
            count += 1
        taken = pieces[:count]
        if over := size - MOST_AT_ONCE:
            last = taken[-1]
            taken[-1], pieces[count - 1] = last[:-over], last[-over:]
            count -= 1
        del pieces[:count]
        self.buffered -= MOST_AT_ONCE
        self._read = True
        return taken[0] if len(taken) == 1 else b"".join(taken)
