"""Running a gateway in this process: start, announce, signals, drain, exit code."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal

from conduit.core.announcement import Announcement
from conduit.core.errors import ShuttingDownError, UnavailableError
from conduit.core.events import EventKind
from conduit.core.redaction import LiveSecrets, scrubbed
from conduit.core.settings import GatewaySettings, SettingsError
from conduit.core.settings_sources import SettingsSource, unknown_variables
from conduit.gateway.app import (
    NoMasterKeyError,
    edge_options,
    make_apps,
    master_access,
    open_gateway,
)
from conduit.gateway.config.sealing import SealingKeyError
from conduit.gateway.dialects.client_errors import encode_error
from conduit.gateway.first_start import (
    FIRST_KEY_NAME,
    Discovery,
    Found,
    announced_providers,
    ensure_first_key,
    ensure_master_key,
)
from conduit.gateway.ledger.binding import ForeignJournalError
from conduit.gateway.ledger.journal import JournalUnwritableError
from conduit.gateway.ledger.lock import LedgerLockedError
from conduit.gateway.ledger.reading import JournalDamagedError
from conduit.gateway.parts import Gateway
from conduit.gateway.seat import READY, RELOAD, Seat, order_of
from conduit.gateway.server.descriptors import allow_many_connections
from conduit.gateway.server.listening import Inherited, Listening, Runners, listen, running
from conduit.gateway.server.tls import tls_of
from conduit.gateway.storage.engine import DatabaseError, outages_reported
from conduit.gateway.storage.ledger.statements import StorageFailedError
from conduit.gateway.system import logs
from conduit.gateway.system.memory import calm_collector, keep_freed_memory
from conduit.gateway.system.stopping import ENDING_S, grace_warning

logger = logging.getLogger(__name__)

Mode = Literal["serve", "up"]
Announce = Callable[[Announcement], None]

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
_OPERATORS_MATTERS = (
    SettingsError,
    DatabaseError,
    StorageFailedError,
    ForeignJournalError,
    JournalUnwritableError,
    JournalDamagedError,
    LedgerLockedError,
    NoMasterKeyError,
    SealingKeyError,
)
_SIGNALS_TO_END = 2
"""One to begin, and one to end the waiting."""


def serve(
    overrides: Mapping[str, object],
    *,
    config_file: str | None,
    mode: Mode,
    announce: Announce,
    simulator: bool = False,
    seat: Seat | None = None,
) -> int:
    """Run until a signal; returns the exit code.

    `up` makes what is missing (keys, providers) and takes the next free port; `serve` refuses.
    Nothing is printed but `error: …` on standard error; `announce` is called once it accepts calls.
    With the setting `workers` above 1, `serve` is the parent of so many processes, each of which
    has a `seat`.
    """
    os.umask(0o077)  # whatever it makes is for its owner alone, folders too
    secrets = LiveSecrets()
    try:
        read_settings = SettingsSource(overrides, config_file)
        settings, _ = read_settings()
        worker = None if seat is None else seat.number
        logs.set_up(settings.log_format, settings.log_level, secrets.scrub, worker=worker)
        logs.log_crashes()
        for name in unknown_variables() if seat is None else ():
            logger.warning("the variable %s is no setting of Conduit: is it misspelt?", name)
        tls_of(settings)  # refuses files that cannot be used before anything is opened
        if mode == "serve" and seat is None and settings.workers > 1:
            return _run_on_fastest_loop(_parent(settings, overrides, config_file, secrets))
        run = _Run(read_settings, secrets, mode, announce, simulator=simulator, seat=seat)
        return _run_on_fastest_loop(run)
    except _OPERATORS_MATTERS as error:
        print(secrets.scrub(f"error: {error}"), file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(secrets.scrub(f"error: {error.strerror or error}"), file=sys.stderr)
        return EXIT_FAILED
    except Exception:
        # The last stop: the log alone knows which secrets to take out of the trace.
        logger.critical("the gateway failed", exc_info=True)
        return EXIT_FAILED


def _parent(
    settings: GatewaySettings,
    overrides: Mapping[str, object],
    config_file: str | None,
    secrets: LiveSecrets,
) -> Callable[[], Coroutine[Any, Any, int]]:
    """The life of a parent, to be run. Raises SettingsError."""
    from conduit.gateway.workers import refuse_without_server, supervise  # noqa: PLC0415  # rare

    refuse_without_server(settings)
    secrets.hold("settings", settings.secrets())
    return lambda: supervise(settings, lambda seat: order_of(overrides, config_file, seat))


def _run_on_fastest_loop(run: Callable[[], Coroutine[Any, Any, int]]) -> int:
    try:
        import uvloop  # noqa: PLC0415  # optional: there is none for Windows
    except ImportError:
        return asyncio.run(run())
    return uvloop.run(run())


class _Run:
    """One life of a gateway, from the settings to the exit code."""

    def __init__(
        self,
        read_settings: SettingsSource,
        secrets: LiveSecrets,
        mode: Mode,
        announce: Announce,
        *,
        simulator: bool,
        seat: Seat | None = None,
    ) -> None:
        self._read_settings = read_settings
        self._secrets = secrets
        self._mode = mode
        self._announce = announce
        self._simulator = simulator
        self._seat = seat
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()

    async def __call__(self) -> int:
        self._listen_to_signals()
        async with (
            open_gateway(self._read_settings, self._secrets, self._seat) as gateway,
            reloading_on_hangup(gateway),
        ):
            found = await self._prepare(gateway)
            apps = make_apps(gateway, await master_access(gateway))
            options = edge_options(gateway, allow_many_connections())
            async with running(apps, encode_error, options, shutdown_s=ENDING_S) as runners:
                calm_collector()
                keep_freed_memory()
                listening = await self._listen(gateway, runners)
                self._announce(announcement(gateway, found, listening))
                log_listening(listening)
                if self._seat is None or self._seat.number == 1:
                    log_warnings(gateway)
                if self._seat is not None:
                    _say_to_parent(READY)
                    gateway.reload_others = partial(_say_to_parent, RELOAD)
                await self._signals.get()
                await self._drain(gateway, runners)
        if gateway.ledger.unwritten:
            logger.error("%d journal records could not be written", gateway.ledger.unwritten)
            return EXIT_FAILED
        logger.info("stopped")
        return EXIT_OK

    async def _prepare(self, gateway: Gateway) -> Found:
        """What `up` makes at its first start, and finds at each."""
        if self._mode == "serve":
            return Found()
        first = None
        if gateway.settings.supplied_master_key() is None:
            first = await ensure_master_key(gateway.database)
        discovery = Discovery(
            gateway.database, gateway.configuration, gateway.endpoints, gateway.tokens.headers
        )
        found = await discovery.run(simulator=self._simulator)
        found.master_key = first
        found.virtual_key = await ensure_first_key(gateway.database)
        if found.virtual_key is not None:
            found.key_name = FIRST_KEY_NAME
            await gateway.keyring.load()
        return found

    async def _listen(self, gateway: Gateway, runners: Runners) -> Listening:
        """Where the settings want it; a worker beside the others, `up` where there is room."""
        inherited = None
        if self._seat is not None:
            inherited = Inherited(self._seat.sockets, self._seat.admin_sockets)
        moves = self._mode == "up"
        return await listen(
            runners, gateway.settings, gateway.tls, moves=moves, inherited=inherited
        )

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        if self._seat is not None:
            loop.add_reader(sys.stdin.fileno(), self._parent_is_gone)
        for number in (signal.SIGTERM, signal.SIGINT):
            # Windows' loops have no signal handlers: there Ctrl-C raises KeyboardInterrupt.
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, self._signals.put_nowait, number)

    def _parent_is_gone(self) -> None:
        """Nobody else has the ledger's lock any more: end at once, but settle."""
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        logger.error("the parent of this worker has ended: it stops")
        for _ in range(_SIGNALS_TO_END):
            self._signals.put_nowait(signal.SIGTERM)

    async def _drain(self, gateway: Gateway, runners: Runners) -> None:
        """Let live calls finish. A second signal skips the waiting, never the settling."""
        settings = gateway.settings
        gateway.draining = True
        gateway.bus.publish(EventKind.GATEWAY_STOPPING, {"in_flight": len(gateway.live)})
        on_terminal = (
            self._seat.on_terminal
            if self._seat is not None
            else sys.stdin is not None and sys.stdin.isatty()
        )
        hurried = False
        if settings.drain_accept_s and not on_terminal:
            hurried = await self._unless_signalled(asyncio.sleep(settings.drain_accept_s))
        await runners.stop_accepting()
        gateway.live.closed = True
        if len(gateway.live) and not hurried:
            logger.info("waiting for %d calls to finish", len(gateway.live))
            await self._unless_signalled(gateway.live.wait_until_empty(settings.drain_s))
        if stopped := gateway.live.stop_all(ShuttingDownError("the gateway is shutting down")):
            logger.warning("%d calls were ended before they had finished", stopped)
            await gateway.live.wait_until_empty(ENDING_S)

    async def _unless_signalled(self, waiting: Coroutine[Any, Any, object]) -> bool:
        """Wait for it, or for the next signal, whichever is first; whether one came."""
        signalled = asyncio.create_task(self._signals.get())
        tasks = {asyncio.create_task(waiting), signalled}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return signalled in done


def _say_to_parent(word: bytes) -> None:
    """By a worker's standard output, which is a pipe that its parent reads."""
    with contextlib.suppress(BrokenPipeError):  # the parent has ended, which ends the worker
        sys.stdout.buffer.write(word)
        sys.stdout.flush()


@asynccontextmanager
async def reloading_on_hangup(gateway: Gateway) -> AsyncIterator[None]:
    """Let SIGHUP read settings and credentials again meanwhile, where the system has it."""
    if sys.platform == "win32":
        yield
        return
    hangup = asyncio.Event()

    async def reload() -> None:
        while True:
            await hangup.wait()
            hangup.clear()
            await reload_settings(gateway)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    task = asyncio.create_task(reload(), name="reload")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def reload_settings(gateway: Gateway) -> None:
    """What SIGHUP asks for; settings that are wrong change nothing."""
    try:
        reload = gateway.reload_settings()
    except SettingsError as error:
        logger.error("the settings stay as they are: %s", error)  # one clear line
        return
    logger.info("settings read again; changed: %s", ", ".join(reload.changed) or "none")
    if reload.restart_needed:
        logger.warning("these count after a restart: %s", ", ".join(reload.restart_needed))
    try:
        with outages_reported():
            await gateway.configuration.reload()
    except UnavailableError as error:
        logger.error("the credentials stay as they are: %s", error)
        return
    for warning in gateway.configuration.warnings:
        logger.warning("%s", warning)


def log_listening(listening: Listening) -> None:
    """Where it is reached."""
    logger.info("listening on %s", listening.url)
    if listening.admin_url is not None:
        logger.info("administered on %s", listening.admin_url)


def log_warnings(gateway: Gateway) -> None:
    """What an operator should know of how the gateway was started."""
    of_tls = () if gateway.tls is None else gateway.tls.warnings
    for warning in (*of_tls, grace_warning(gateway.settings, os.environ)):
        if warning is not None:
            logger.warning("%s", warning)


def announcement(gateway: Gateway, found: Found, listening: Listening) -> Announcement:
    """What the terminal tells of a gateway that has started."""
    snapshot = gateway.configuration.snapshot
    return Announcement(
        url=listening.url,
        first_start=found.master_key is not None or found.virtual_key is not None,
        providers=announced_providers(snapshot, found),
        models=tuple(snapshot.mappings),
        examples=found.examples,
        data_folder=str(gateway.folder),
        database=scrubbed(gateway.settings.database_location()),
        key_name=found.key_name,
        admin_url=listening.admin_url,
        port_changed_from=listening.wanted_port,
        certificate_file=None if gateway.tls is None else str(gateway.tls.certificate_file),
        warnings=(*gateway.warnings, *gateway.configuration.warnings, *found.warnings),
        master_key=found.master_key,
        virtual_key=found.virtual_key,
    )
