"""What a parent hands to its workers, and the sockets that they share."""

import asyncio
import socket
import sys
from asyncio.subprocess import PIPE

import pytest

from conduit.core.settings import GatewaySettings, SettingsError
from conduit.core.settings_sources import CommandDefault
from conduit.gateway.seat import Seat, order_of, read_order
from conduit.gateway.workers import _Sockets, _Workers, listening_sockets, refuse_without_server

# Listens once it is told to, and ends with 7 when it is to read its settings again.
SLOW_TO_BEGIN = """
import signal, sys
signal.signal(signal.SIGHUP, lambda *_: sys.exit(7))
sys.stdin.readline()
print("ready", flush=True)
signal.pause()
"""


def test_a_worker_is_told_what_its_parent_was() -> None:
    overrides = {"port": 80, "database_url": CommandDefault("postgresql://x", "DATABASE_URL")}
    seat = Seat(2, 4, epoch=7, sockets=(5, 6), admin_sockets=(7,), on_terminal=True)
    line = order_of(overrides, "gateway.toml", seat)
    assert line.count(b"\n") == 1
    assert read_order(line) == (overrides, "gateway.toml", seat)


def test_the_same_port_is_listened_on_at_every_address_and_inherited() -> None:
    found = listening_sockets("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in found}) == 1
        assert all(each.get_inheritable() for each in found)
        port = found[0].getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on localhost:{port}: Address already"):
            listening_sockets("localhost", port)
    finally:
        for each in found:
            each.close()


def test_a_host_that_is_none_is_told_of_in_the_resolvers_words() -> None:
    with pytest.raises(OSError, match=r"cannot listen on no\.such\.host\.invalid:1: ") as raised:
        listening_sockets("no.such.host.invalid", 1)
    assert isinstance(raised.value.__cause__, socket.gaierror)


def test_only_a_server_has_several_writers() -> None:
    refuse_without_server(GatewaySettings(workers=2, database_url="postgresql://db/conduit"))
    with pytest.raises(SettingsError, match="3 workers need PostgreSQL"):
        refuse_without_server(GatewaySettings(workers=3))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no workers on Windows")
async def test_a_worker_that_is_just_beginning_reloads_as_soon_as_it_listens() -> None:
    workers = _Workers(1, 1, _Sockets([]), lambda seat: b"")
    (slot,) = workers._slots
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLOW_TO_BEGIN, stdin=PIPE, stdout=PIPE
    )
    slot.process = process
    assert process.stdin is not None
    async with asyncio.timeout(30):
        workers._reload()
        process.stdin.write(b"listen\n")
        assert await workers._heard_ready(slot, process, asyncio.Event())
        assert await process.wait() == 7
