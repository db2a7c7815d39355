"""Whether a client takes what is written to it, in the clear and under TLS."""

import asyncio
import socket
import struct
import sys
from typing import Final

_AT_MOST_UNSENT: Final = 64 * 1024
_TCP_INFO_BYTES: Final = 192
_ACKNOWLEDGED_AT: Final = 120
"""Where the system's `tcp_info` has the bytes that the peer has acknowledged."""


def bytes_left(transport: asyncio.WriteTransport) -> int:
    """A number that falls whenever the client takes something; it may be below zero.

    Under TLS the bytes that wait are those that are not encrypted yet. They wait while others on
    their way to the system do, so that their number stays the same however much a slow client
    takes. There the system is asked, where it can tell.
    """
    if sys.platform == "linux" and transport.get_extra_info("sslcontext") is not None:
        taken = _acknowledged(transport.get_extra_info("socket"))
        if taken is not None:
            return -taken
    return transport.get_write_buffer_size()


def hold_little(transport: asyncio.WriteTransport) -> None:
    """Let as little wait under TLS as in the clear: by itself it is eight times as much."""
    if transport.get_extra_info("sslcontext") is not None:
        transport.set_write_buffer_limits(high=_AT_MOST_UNSENT)


def _acknowledged(raw: socket.socket | None) -> int | None:
    if raw is None:
        return None
    try:
        told = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        (count,) = struct.unpack_from("=Q", told, _ACKNOWLEDGED_AT)
    except (OSError, struct.error):  # it is closed, or the system is older than the figure
        return None
    return int(count)
