"""What aiohttp's exceptions mean: which fault, and whether anything of the request left."""

import aiohttp

from conduit.gateway.upstream import TransportFault
from conduit.gateway.upstream.egress import RefusedAddressError

Fault = TransportFault


def fault_before_head(error: BaseException) -> TransportFault | None:
    match error:
        case aiohttp.ClientConnectorDNSError():
            refused = isinstance(error.__cause__, RefusedAddressError)
            return Fault.REFUSED_ADDRESS if refused else Fault.NAME
        case (
            aiohttp.ClientConnectorCertificateError()
            | aiohttp.ClientSSLError()
            | aiohttp.ServerFingerprintMismatch()
        ):
            return Fault.TLS
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError():
            return Fault.CONNECT
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
            return Fault.PROTOCOL
        case ValueError():  # a header that holds a line break, found before anything is written
            return Fault.PROTOCOL
        case aiohttp.ClientError() | OSError():
            return Fault.RESET
        case _:
            return None


def never_left(error: BaseException, *, large: bool) -> bool:
    """Whether it is certain that no byte of the request left, though there was a connection."""
    if isinstance(error, ValueError | aiohttp.ClientHttpProxyError):
        return True
    # aiohttp refuses to write to a pooled connection that has closed meanwhile. A large body goes
    # in several writes, of which the first may have left.
    cause = error.__cause__
    refused = isinstance(cause, aiohttp.ClientConnectionResetError)
    return refused and not large and str(cause).startswith("Cannot write")


def is_cut(error: Exception) -> bool:
    cause = error.__cause__
    protocol = aiohttp.http_exceptions.HttpProcessingError
    incomplete = (
        aiohttp.http_exceptions.ContentLengthError,
        aiohttp.http_exceptions.TransferEncodingError,
    )
    return not isinstance(cause, protocol) or isinstance(cause, incomplete)
