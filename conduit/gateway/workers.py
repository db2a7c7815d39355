"""The parent of several workers: takes the ledger, listens, starts them, and starts them again.

It serves no request. Its workers accept from the one socket that it listens on, so what waits to be
accepted is served by the others while one of them is started anew.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from conduit.core.paths import data_folder
from conduit.core.settings import GatewaySettings, SettingsError
from conduit.gateway.ledger.shared_opening import take_for_workers
from conduit.gateway.pricing.installed import InstalledBook, book_at_start
from conduit.gateway.seat import READY, RELOAD, Seat
from conduit.gateway.server.listening import cannot_listen
from conduit.gateway.server.sites import BACKLOG
from conduit.gateway.storage.engine import create_engine
from conduit.gateway.storage.migrate import migrate
from conduit.gateway.storage.postgresql import is_postgresql

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0
_MOST_FAILURES: Final = 10
_LIVED_S: Final = 10.0
"""The pause before the next start grows while a worker lives for less."""
_EXIT_FAILED: Final = 1

Order = Callable[[Seat], bytes]


def refuse_without_server(settings: GatewaySettings) -> None:
    """Raise SettingsError where the database cannot have several writers."""
    if not is_postgresql(settings.database_location()):
        raise SettingsError(
            f"{settings.workers} workers need PostgreSQL, as a SQLite file has one writer: set "
            "database_url to postgresql://…, or workers to 1"
        )
    if sys.platform == "win32":
        raise SettingsError("Windows has no way to share a socket: set workers to 1")


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of the host, which child processes inherit. Raises OSError."""
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in dict.fromkeys(found):
            each = socket.socket(family, kind, protocol)
            made.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if not port and len(made) > 1:  # the same free port on every address
                address = (address[0], made[0].getsockname()[1], *address[2:])
            each.bind(address)
            each.listen(BACKLOG)
            each.set_inheritable(True)
    except OSError as error:
        for each in made:
            each.close()
        raise cannot_listen(host, port, error) from error
    return made


@dataclass(slots=True)
class _Sockets:
    """Those that the parent listens on, by what is served there."""

    clients: list[socket.socket]
    administration: list[socket.socket] = field(default_factory=list)


def _closed_by(stack: ExitStack, sockets: list[socket.socket]) -> list[socket.socket]:
    for each in sockets:
        stack.enter_context(each)
    return sockets


async def supervise(settings: GatewaySettings, order: Order) -> int:
    """Run the workers until a signal; the exit code.

    `order` gives what a worker is told at its start. Errors as of opening a gateway.
    """
    folder = data_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = create_engine(settings.database_location())
    try:
        await migrate(database)
        await book_at_start(InstalledBook(folder), database)
        async with take_for_workers(database, folder, settings.workers) as claim:
            with ExitStack() as stack:
                sockets = _Sockets(
                    _closed_by(stack, listening_sockets(settings.host, settings.port))
                )
                if settings.admin_port is not None:
                    of_admin = listening_sockets(settings.admin_host, settings.admin_port)
                    sockets.administration = _closed_by(stack, of_admin)
                workers = _Workers(settings.workers, claim.epoch, sockets, order)
                claim.tables.watch(workers.taken)
                return await workers.run()
    finally:
        await database.dispose()


@dataclass(slots=True, eq=False)
class _Slot:
    """Where a worker is, or will be again."""

    number: int
    process: asyncio.subprocess.Process | None = None
    is_ready: bool = False
    reload_due: bool = False
    """Whether it is to read its settings once more as soon as it listens."""
    code: int = 0


class _Workers:
    """The workers of one parent, from their start to the last exit code."""

    def __init__(self, count: int, epoch: int, sockets: _Sockets, order: Order) -> None:
        self._epoch = epoch
        self._sockets = sockets
        self._order = order
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._stopping = asyncio.Event()
        self._started = False
        self._code = 0

    async def run(self) -> int:
        """Start the first one alone: what it makes or refuses counts for all of them."""
        self._pass_signals_on()
        ready = [asyncio.Event() for _ in self._slots]
        tasks = []
        for slot, is_ready in zip(self._slots, ready, strict=True):
            tasks.append(asyncio.create_task(self._keep(slot, is_ready)))
            if slot.number == 1:
                await self._first_of(is_ready, self._stopping)
            if self._stopping.is_set():
                break
        for is_ready in ready[: len(tasks)]:
            await self._first_of(is_ready, self._stopping)
        if not self._stopping.is_set():
            self._started = True
            for each in (self._sockets.clients, self._sockets.administration):
                if each:
                    host, port = each[0].getsockname()[:2]
                    logger.info("%d workers listen on %s port %d", len(self._slots), host, port)
        await asyncio.gather(*tasks)
        logger.info("all workers have stopped")
        return max(self._code, *(slot.code for slot in self._slots))

    def taken(self, reason: str) -> None:
        """The ledger is another gateway's: the workers write no more."""
        logger.critical("%s", reason)
        self._end(_EXIT_FAILED)

    def _pass_signals_on(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        self._tell(number)

    def _reload(self, *, besides: _Slot | None = None) -> None:
        """One that has just begun would be ended by the signal: it has it once it listens."""
        self._tell(signal.SIGHUP, only_ready=True, besides=besides)
        for slot in self._slots:
            slot.reload_due = slot is not besides and not slot.is_ready

    def _tell(
        self, number: signal.Signals, *, only_ready: bool = False, besides: _Slot | None = None
    ) -> None:
        for slot in self._slots:
            if slot is besides:
                continue
            runs = slot.process is not None and slot.process.returncode is None
            if slot.process is not None and runs and (slot.is_ready or not only_ready):
                with contextlib.suppress(ProcessLookupError):
                    slot.process.send_signal(number)

    def _end(self, code: int) -> None:
        """There is no going on."""
        self._code = max(self._code, code)
        if not self._stopping.is_set():
            self._stop(signal.SIGTERM)

    async def _keep(self, slot: _Slot, ready: asyncio.Event) -> None:
        short_lived = unready = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            process = slot.process = await self._begin(slot)
            if self._stopping.is_set():  # the signal came while there was no process yet
                process.terminate()
            was_ready = await self._heard_ready(slot, process, ready)
            code = await process.wait()
            if self._stopping.is_set():
                was_early = -code in (signal.SIGTERM, signal.SIGINT)  # it had nothing to drain yet
                slot.code = 0 if was_early else code if code >= 0 else _EXIT_FAILED
                return
            lived = time.monotonic() - begun > _LIVED_S
            short_lived = 0 if lived else short_lived + 1
            unready = 0 if was_ready else unready + 1
            if unready >= _MOST_FAILURES or not (self._started or was_ready):
                logger.critical("worker %d cannot be started", slot.number)
                self._end(code if code > 0 else _EXIT_FAILED)
                return
            logger.error("worker %d has ended (%s) and is started again", slot.number, _told(code))
            pause_s = min(_FIRST_PAUSE_S * 2**short_lived, _LONGEST_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _begin(self, slot: _Slot) -> asyncio.subprocess.Process:
        clients, administration = (
            tuple(each.fileno() for each in sockets)
            for sockets in (self._sockets.clients, self._sockets.administration)
        )
        on_terminal = sys.stdin is not None and sys.stdin.isatty()
        seat = Seat(
            slot.number, len(self._slots), self._epoch, clients, administration, on_terminal
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "conduit.gateway.worker",
            stdin=asyncio.subprocess.PIPE,  # its end tells the worker that the parent is gone
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(*clients, *administration),
            start_new_session=True,  # a terminal's Ctrl-C comes through the parent, once
        )
        assert process.stdin is not None, "it is a pipe"
        with contextlib.suppress(OSError):
            process.stdin.write(self._order(seat))
            await process.stdin.drain()
        return process

    async def _heard_ready(
        self, slot: _Slot, process: asyncio.subprocess.Process, ready: asyncio.Event
    ) -> bool:
        """Whether it came to accept; hears its other words too, and returns when it has ended."""
        assert process.stdout is not None, "it is a pipe"
        was_ready = False
        async for line in process.stdout:
            if line == READY:
                was_ready = slot.is_ready = True
                ready.set()
                if slot.reload_due:  # asked for while it began, maybe after it had read them
                    slot.reload_due = False
                    with contextlib.suppress(ProcessLookupError):
                        process.send_signal(signal.SIGHUP)
            elif line == RELOAD:
                self._reload(besides=slot)
        slot.is_ready = False
        return was_ready

    async def _first_of(self, *events: asyncio.Event) -> None:
        waiting = [asyncio.create_task(each.wait()) for each in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
