"""The narrow interface to providers' servers; HTTP clients behind it are interchangeable.

`Endpoint.send` gives a response or raises `TransportError`, which says whether bytes of the request
may have reached the server (`sent`) and whether the connection had been used before (`reused`):
the ledger and the retries decide by these two facts.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that each step of a call may take; `total_s` None means no limit in all."""

    pool_s: float = 2.0
    connect_s: float = 5.0
    first_event_s: float = 300.0
    gap_s: float = 120.0
    total_s: float | None = 600.0


class TransportFault(StrEnum):
    """What went wrong below HTTP."""

    POOL_TIMEOUT = "pool_timeout"
    NAME = "name_resolution"
    REFUSED_ADDRESS = "refused_address"
    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    RESET = "reset"
    CUT = "cut"
    HEAD_TIMEOUT = "head_timeout"
    GAP_TIMEOUT = "gap_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    PROTOCOL = "protocol"
    TOO_LARGE = "too_large"

    @property
    def is_timeout(self) -> bool:
        return self.value.endswith("timeout")


class TransportError(Exception):
    """A call that failed below HTTP. `sent` is True unless it is certain that nothing left."""

    def __init__(self, fault: TransportFault, message: str, *, sent: bool, reused: bool) -> None:
        super().__init__(message)
        self.fault = fault
        self.sent = sent
        self.reused = reused


MOST_AT_ONCE: Final = 32 * 1024
"""The most of a body that a client gives at once: a reader makes more of each piece, and holds it
all until its own client has taken it.
"""

Take = Callable[[bytes], bool]
"""Deals with a piece of a body at once, without waiting; False where it cannot, or only began."""


class UpstreamResponse(Protocol):
    """A provider's answer whose body has not been read. Must be closed; closing is idempotent.

    `close` before the end of the body closes the connection, so that the provider stops.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields; look-ups ignore case."""
        ...

    @property
    def at_end(self) -> bool:
        """Whether the whole body has been read, its end included."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces of the body as they arrive; raises TransportError when it is cut."""
        ...

    def pipe(self, take: Take) -> None:
        """Have `take` try further pieces as they arrive, while the reader waits for one.

        Those that it returns True for are done with, and the reader's task is not switched to. One
        that it returns False for is the next that iterating gives, the very same; the others are
        given by iterating, as all are where a client of HTTP does no better.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body; raises TransportError (TOO_LARGE) past `limit` bytes."""
        ...

    def close(self) -> None: ...


class Departure(Protocol):
    """What is told that a call leaves: one that is cancelled has no error that could tell it."""

    sent: bool


class Endpoint(Protocol):
    """One provider's base URL, ready to be sent to."""

    async def send(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadlines: Deadlines,
        departure: Departure | None = None,
    ) -> UpstreamResponse:
        """POST `body`; returns as soon as the head of the answer is there.

        `departure.sent` is set before the first byte may leave.
        """
        ...

    async def get(
        self, path: str, headers: Mapping[str, str], deadlines: Deadlines
    ) -> UpstreamResponse: ...


class Upstreams(Protocol):
    """Gives the endpoint for a base URL, and owns the connections."""

    def endpoint(self, base_url: str, *, allow_private: bool) -> Endpoint: ...

    async def close(self) -> None: ...
