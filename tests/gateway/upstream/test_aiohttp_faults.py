"""What aiohttp's exceptions are taken for where a server cannot be made to cause them in time."""

import aiohttp

from conduit.gateway.upstream import TransportFault
from conduit.gateway.upstream.aiohttp_faults import fault_before_head, never_left
from conduit.gateway.upstream.faults import TEXTS


def write_error(text: str) -> aiohttp.ClientOSError:
    error = aiohttp.ClientOSError(None, "Can not write request body")
    error.__cause__ = aiohttp.ClientConnectionResetError(text)
    return error


def test_a_write_to_a_connection_that_had_closed_never_left() -> None:
    refused = write_error("Cannot write to closing transport")
    assert never_left(refused, large=False)
    assert fault_before_head(refused) is TransportFault.RESET


def test_a_connection_lost_while_writing_may_have_taken_bytes() -> None:
    assert not never_left(write_error("Connection lost"), large=False)
    assert not never_left(write_error("Cannot write to closing transport"), large=True)
    assert not never_left(aiohttp.ServerDisconnectedError(), large=False)


def test_errors_of_our_own_code_are_not_the_transports() -> None:
    assert fault_before_head(KeyError("x")) is None
    assert fault_before_head(AssertionError()) is None


def test_every_fault_has_a_text() -> None:
    assert set(TEXTS) == set(TransportFault)
