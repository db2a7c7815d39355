"""What is said of a call that failed below HTTP."""

from collections.abc import Mapping
from typing import Final

from conduit.gateway.upstream import TransportError, TransportFault

Fault = TransportFault

TEXTS: Final[Mapping[TransportFault, str]] = {
    Fault.POOL_TIMEOUT: "no connection became free in time",
    Fault.NAME: "the name could not be looked up",
    Fault.REFUSED_ADDRESS: "the name leads to an address that is not public",
    Fault.CONNECT: "no connection could be made",
    Fault.CONNECT_TIMEOUT: "no connection was made in time",
    Fault.TLS: "no secure connection could be made",
    Fault.RESET: "the connection was lost before the answer began",
    Fault.CUT: "the answer was cut",
    Fault.HEAD_TIMEOUT: "the answer did not begin in time",
    Fault.GAP_TIMEOUT: "the answer stood still for too long",
    Fault.TOTAL_TIMEOUT: "the answer was not complete in time",
    Fault.PROTOCOL: "the answer is not valid HTTP",
    Fault.TOO_LARGE: "the answer is larger than allowed",
}


def transport_error(
    where: str, fault: TransportFault, detail: str | None = None, *, sent: bool, reused: bool
) -> TransportError:
    """The error for a fault at `where`, a host and its port."""
    return TransportError(fault, f"{where}: {detail or TEXTS[fault]}", sent=sent, reused=reused)
