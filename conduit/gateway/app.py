"""The composition root: the one place that names concrete parts and puts them together."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from conduit import __version__
from conduit.core.errors import AuthenticationError, ConduitError, UnavailableError
from conduit.core.events import EventKind
from conduit.core.ids import new_ulid, now_ms
from conduit.core.keys import digest_of
from conduit.core.networks import networks_of
from conduit.core.paths import data_folder
from conduit.core.redaction import LiveSecrets
from conduit.core.settings import GatewaySettings, SettingsError, reason_of
from conduit.core.settings_sources import SettingsSource, views
from conduit.gateway import settings_rules
from conduit.gateway.admin.access import MasterAccess, MasterDigest
from conduit.gateway.appkeys import ENTRANCE
from conduit.gateway.bodies.store import FOLDER, BodyStore
from conduit.gateway.cache.answers import AnswerCache
from conduit.gateway.config.configuration import Configuration, sealing_key_of
from conduit.gateway.config.sealing import SealingKey, key_source
from conduit.gateway.config.snapshot import Credential, Upstream
from conduit.gateway.day_counts import day_counts
from conduit.gateway.dialects.client_errors import encode_error
from conduit.gateway.entrance import CurrentEntrance
from conduit.gateway.events.bus import Bus
from conduit.gateway.events.live import LiveEvents
from conduit.gateway.events.stats import Stats
from conduit.gateway.following import Following
from conduit.gateway.health.registry import Change, Health
from conduit.gateway.health_history import HealthHistory
from conduit.gateway.idempotency.turns import Turns
from conduit.gateway.in_flight import LiveExchanges
from conduit.gateway.keys.keyring import Keyring
from conduit.gateway.keys.known_keys import KnownKeys
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.opening import WORKERS_FOLDER, open_ledger, worker_folder
from conduit.gateway.ledger.shared import SharedLedger
from conduit.gateway.ledger.shared_opening import open_shared
from conduit.gateway.limits.limiter import CountSince, Limiter
from conduit.gateway.limits.shared import SharedLimiter
from conduit.gateway.limits.shares import counted_among, shares_among
from conduit.gateway.limits.store import Redis, Store
from conduit.gateway.metrics.counts import Metrics
from conduit.gateway.notifications.watch import NotificationWatch, WatchRules
from conduit.gateway.parts import Gateway
from conduit.gateway.pricing import Rates
from conduit.gateway.pricing.installed import InstalledBook, book_at_start, book_in_force
from conduit.gateway.probing.active import ActiveProbes, Pauses
from conduit.gateway.probing.books import ProbeBooks
from conduit.gateway.providers.registry import provider_of
from conduit.gateway.reach.access_tokens import AccessTokens, fetch_through
from conduit.gateway.reach.endpoints import Endpoints
from conduit.gateway.reach.stored import Reach
from conduit.gateway.record_retention import RecordRetention
from conduit.gateway.request_path import make_entrance, price_of
from conduit.gateway.routes import calls, gemini, health, models, openapi
from conduit.gateway.seat import Seat
from conduit.gateway.server.address_lists import AddressLists, address_middleware
from conduit.gateway.server.addresses import ClientAddresses
from conduit.gateway.server.deferred import DeferredRoutes, Make
from conduit.gateway.server.errors import error_answers, error_middleware
from conduit.gateway.server.handlers import DirectHandler
from conduit.gateway.server.headers import finish_headers, is_client_api
from conduit.gateway.server.listening import Applications
from conduit.gateway.server.logins import Api, FailedLogins
from conduit.gateway.server.runner import DIRECT, EdgeOptions
from conduit.gateway.server.tls import tls_of
from conduit.gateway.shedding import Reason, Shedder, log_change, watch
from conduit.gateway.storage import master_keys
from conduit.gateway.storage.engine import (
    Database,
    create_engine,
    is_local,
    outages_reported,
    reading,
)
from conduit.gateway.storage.migrate import migrate
from conduit.gateway.system import machine
from conduit.gateway.system.clock_watch import ClockWatch
from conduit.gateway.upstream.clients import open_client
from conduit.gateway.upstream.options import ClientOptions

if TYPE_CHECKING:
    from conduit.gateway.metrics.exposition import Exposition
    from conduit.gateway.metrics.shared import SharedMetrics

logger = logging.getLogger(__name__)

_STALL_GRACE_S = 5.0
_PRELOADED_AFTER_S = 1.0
_DOUBTS_SETTLED_EVERY_S = 1.0


class NoMasterKeyError(Exception):
    """A server was to start without a master key."""


@asynccontextmanager
async def open_gateway(
    read_settings: SettingsSource, secrets: LiveSecrets | None = None, seat: Seat | None = None
) -> AsyncIterator[Gateway]:
    """Read the settings and open all that outlives a request; closed in reverse order.

    With a `seat` it is one of several processes, whose parent has prepared the database.

    `secrets` gets to know every secret that is used. Raises SettingsError, DatabaseError,
    SealingKeyError, LedgerLockedError and JournalDamagedError, each with a sentence for the
    operator.
    """
    settings, origins = read_settings()
    secrets = secrets if secrets is not None else LiveSecrets()
    secrets.hold("settings", settings.secrets())
    folder = _made(data_folder())
    async with AsyncExitStack() as stack:
        database = create_engine(settings.database_location())
        stack.push_async_callback(database.dispose)
        ledger = await _ledger_of(database, folder, settings, seat)
        stack.push_async_callback(ledger.close)
        sealing_key, warnings = await _sealing_key(settings, folder, database, secrets)
        configuration = Configuration(database, provider_of, sealing_key, secrets=secrets)
        await configuration.reload()
        known_keys = None if is_local(database) else KnownKeys(database, _own_folder(folder, seat))
        if known_keys is not None:
            stack.push_async_callback(known_keys.close)
        keyring = Keyring(database, known_keys)
        await keyring.load()
        upstreams = open_client(
            settings.upstream_client,
            ClientOptions(
                connection_limit=settings.upstream_connections,
                trust_env=settings.proxy_from_environment,
                buffer_bytes=settings.stream_buffer_bytes,
            ),
        )
        stack.push_async_callback(upstreams.close)
        endpoints = Endpoints(upstreams)
        tokens = AccessTokens(fetch_through(endpoints))
        stack.push_async_callback(tokens.close)
        # With several processes the parent has looked at the book's file before.
        book, warning = (
            await book_at_start(InstalledBook(folder), database)
            if seat is None
            else book_in_force(InstalledBook(folder))
        )
        warnings = (*warnings, warning) if warning is not None else warnings
        live = LiveExchanges()
        cache = AnswerCache(settings_rules.cache_limits(settings))
        shedder = Shedder(
            settings_rules.shedding_limits(settings),
            lambda reasons: _tell_shedding(gateway, reasons),
        )
        bodies = BodyStore(
            folder / FOLDER, lambda: settings_rules.retention(gateway.settings), secrets.scrub
        )
        metrics = Metrics(
            __version__,
            live.__len__,
            ledger.state,
            cache.figures,
            shedder,
            lambda: gateway.limiter.state(),
        )
        history = HealthHistory(
            database, lambda: gateway.settings.health_history_days, secrets.scrub
        )
        bus = Bus(new_ulid(), scrub=secrets.scrub_json)
        gateway = Gateway(
            settings=settings,
            origins=origins,
            read_settings=read_settings,
            folder=folder,
            database=database,
            ledger=ledger,
            configuration=configuration,
            keyring=keyring,
            known_keys=known_keys,
            book=book,
            cache=cache,
            bus=bus,
            live=live,
            shedder=shedder,
            addresses=ClientAddresses(networks_of(settings.trusted_proxies)),
            endpoints=endpoints,
            tokens=tokens,
            metrics=metrics,
            turns=Turns(database, ledger, sealing_key, lambda: gateway.settings.idempotency_keep_s),
            limiter=_limiter(
                settings.redis_url,
                day_counts(database, ledger),
                metrics,
                lambda up: _tell_limiter(gateway, up),
                workers=1 if seat is None else seat.count,
            ),
            bodies=bodies,
            health=Health(settings_rules.health_rules(settings)),
            health_history=history,
            notifications=NotificationWatch(
                database,
                ledger.spent_past,
                bus.publish,
                scrub=secrets.scrub,
                rules=WatchRules(unusual=lambda: settings_rules.unusual_spending(gateway.settings)),
            ),
            secrets=secrets,
            warnings=warnings,
            started_at_ms=now_ms(),
            tls=tls_of(settings),
            seat=seat,
        )
        stack.push_async_callback(gateway.limiter.close)
        gateway.health.changed = partial(_tell_health, gateway)
        retention = RecordRetention(
            database, lambda: settings_rules.kept_records(gateway.settings), bus.publish
        )
        for writer in (history, gateway.notifications, bodies, retention, gateway.turns):
            writer.start()
            stack.push_async_callback(writer.close)
        yield gateway


def _made(folder: Path) -> Path:
    """The data folder, which is there now. Raises SettingsError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"the data folder {folder} cannot be made: {reason_of(error)}"
        raise SettingsError(message) from error
    return folder


def _own_folder(folder: Path, seat: Seat | None) -> Path:
    """Where a process keeps what is its own."""
    return folder if seat is None else worker_folder(folder, seat.number)


async def _ledger_of(
    database: Database, folder: Path, settings: GatewaySettings, seat: Seat | None
) -> LocalLedger | SharedLedger:
    own, sync = _own_folder(folder, seat), settings.ledger_sync
    if seat is not None:
        return await open_shared(database, own, seat.epoch, sync)
    await migrate(database)
    return await open_ledger(database, own, sync)


def _limiter(
    redis_url: str | None,
    count_since: CountSince,
    metrics: Metrics,
    changed: Callable[[bool], None],
    *,
    workers: int,
) -> Limiter:
    """Counts in Redis, or in this process, which gives its share where there are several workers.

    Raises SettingsError where Redis cannot be used.
    """
    if redis_url is None:
        counted, share = counted_among(workers, count_since), shares_among(workers)
        return Limiter(counted, exceeded=metrics.limit_exceeded, share=share)
    store = Store(Redis(redis_url), changed=changed)
    return SharedLimiter(store, count_since, exceeded=metrics.limit_exceeded)


def _tell_limiter(gateway: Gateway, up: bool) -> None:
    state = gateway.limiter.state()
    facts = {"store": "up" if up else "down", "gateways": state.gateways}
    gateway.bus.publish(EventKind.GATEWAY_LIMITER_CHANGED, facts)


def _tell_shedding(gateway: Gateway, reasons: tuple[Reason, ...]) -> None:
    """Once for each change, in the log and as an event."""
    log_change(reasons)
    facts = {"reasons": list(reasons), "refused": sum(gateway.shedder.refused.values())}
    gateway.bus.publish(EventKind.GATEWAY_SHEDDING_CHANGED, facts)


def _tell_health(gateway: Gateway, change: Change) -> None:
    gateway.health_history.note(change)
    gateway.notifications.note(change)
    gateway.bus.publish(EventKind.PROVIDER_HEALTH_CHANGED, change.as_event())


async def _sealing_key(
    settings: GatewaySettings, folder: Path, database: Database, secrets: LiveSecrets
) -> tuple[SealingKey | None, tuple[str, ...]]:
    given = settings.sealing_key
    value = given.get_secret_value() if given is not None else None
    source = key_source(folder, value, settings.sealing_key_file, os.environ)
    key, warnings = await sealing_key_of(database, source)
    secrets.hold("sealing key", [key.written()] if key is not None else [])
    return key, warnings


async def master_access(gateway: Gateway) -> MasterAccess:
    """Who may administer: the key from the settings, else those in the database.

    Raises NoMasterKeyError where there is none.
    """
    supplied = gateway.settings.supplied_master_key()
    if supplied is not None:
        setting = "master_key" if gateway.settings.master_key is not None else "master_key_file"
        return MasterAccess(
            [MasterDigest(digest_of(supplied))],
            supplied_by=f"the setting {setting} ({gateway.origins[setting]})",
        )
    async with reading(gateway.database) as connection:
        stored = await master_keys.usable(connection, now_ms())
    if not stored:
        raise NoMasterKeyError(
            "there is no master key: make one with conduit auth init --out FILE, and start with "
            "CONDUIT_MASTER_KEY_FILE=FILE"
        )
    return MasterAccess([MasterDigest(each.digest, each.expires_at_ms) for each in stored])


def edge_options(gateway: Gateway, connections: int | None = None) -> EdgeOptions:
    """How the server treats its connections, of which the system allows so many."""
    settings = gateway.settings
    heads = settings.max_incomplete_heads
    return EdgeOptions(
        head_deadline_s=settings.head_timeout_s,
        keepalive_s=settings.idle_timeout_s,
        # Half of them stay for those who have said what they want.
        max_incomplete_heads=heads if connections is None else min(heads, connections // 2),
        # The other half is for the providers' connections and the files.
        max_connections=None if connections is None else connections // 2,
        # A relayed answer is ended by its own stage, which knows how to record it.
        stall_s=lambda: gateway.settings.client_stall_timeout_s + _STALL_GRACE_S,
    )


def make_apps(gateway: Gateway, master: MasterAccess) -> Applications:
    """The applications over the parts of a gateway.

    There are two where administration has a listener of its own.
    """
    edge = _Edge(gateway)
    app = edge.application()
    apart = gateway.settings.admin_port is not None
    admin_app = edge.application() if apart else app
    entrance = app[ENTRANCE] = CurrentEntrance(make_entrance(gateway))
    handlers = calls.handlers_of(entrance)
    app[DIRECT] = {path: DirectHandler(handler, edge.answer) for path, handler in handlers.items()}
    gateway.on_settings = partial(_renew, gateway, edge, entrance)
    app.add_routes(calls.routes(handlers))
    app.add_routes(models.routes())
    app.add_routes(gemini.routes(entrance))
    render = _rendering(gateway.metrics)
    if gateway.seat is not None:
        shared = _shared_metrics(gateway, gateway.seat)
        render = shared.render
        app.cleanup_ctx.append(partial(_writing_metrics, shared))
    admin_app.add_routes(health.metrics_routes(render))
    viewed = LiveEvents(
        gateway.bus, master.admits, gateway.addresses.of, edge.lists.check, edge.refuse_login
    )
    late = [
        _later(admin_app, "/admin", partial(_load_admin, gateway, master, edge.logins)),
        _later(admin_app, LiveEvents.PREFIX, viewed.load),
    ]
    for each in (app, admin_app) if apart else (app,):
        each.add_routes(health.routes(gateway.readiness))
        late.append(_later(each, "/openapi.json", _load_document))
    # Ended before the server waits for its handlers: a listener would keep it waiting.
    admin_app.on_shutdown.append(lambda _: viewed.stop())
    app.cleanup_ctx.append(partial(_background, gateway, viewed, late))
    return Applications(app, admin_app if apart else None)


class _Edge:
    """What stands before the handlers of every application: addresses, logins, errors."""

    def __init__(self, gateway: Gateway) -> None:
        self.logins = FailedLogins(gateway.bus.publish, gateway.metrics.login_failed)
        self._addresses = gateway.addresses
        self._scrub = gateway.secrets.scrub_json
        self.lists = AddressLists(gateway.addresses.of)
        self.lists.use(gateway.settings)
        self.answer = error_answers(encode_error, self._scrub, self.refuse_login)

    def application(self) -> web.Application:
        """An application behind it, without routes."""
        errors = error_middleware(encode_error, self._scrub, self.refuse_login)
        app = web.Application(middlewares=[errors, address_middleware(self.lists)])
        app.on_response_prepare.append(finish_headers)
        return app

    def refuse_login(self, request: web.BaseRequest, error: AuthenticationError) -> ConduitError:
        api: Api = "client" if is_client_api(request.path) else "admin"
        return self.logins.refusal(api, self._addresses.of(request), error)


def _renew(gateway: Gateway, edge: _Edge, entrance: CurrentEntrance) -> None:
    """Put settings into force that have been read anew."""
    settings = gateway.settings
    gateway.addresses.trust(networks_of(settings.trusted_proxies))
    edge.lists.use(settings)
    gateway.health.use(settings_rules.health_rules(settings))
    gateway.cache.store.limits = settings_rules.cache_limits(settings)
    gateway.shedder.limits = settings_rules.shedding_limits(settings)
    entrance.now = make_entrance(gateway)


def _later(app: web.Application, prefix: str, load: Callable[[], Make]) -> DeferredRoutes:
    routes = DeferredRoutes(prefix, load)
    app.router.register_resource(routes)
    return routes


def _load_document() -> Make:
    from conduit.gateway.openapi.document import document_bytes  # noqa: PLC0415  # deferred

    return partial(openapi.routes, document_bytes)


def _load_admin(gateway: Gateway, master: MasterAccess, logins: FailedLogins) -> Make:
    # Deferred: no application needs the admin API, and it takes as long to load as all the rest of
    # ours.
    from conduit.gateway.admin.context import AdminContext  # noqa: PLC0415
    from conduit.gateway.admin.table import routes  # noqa: PLC0415

    context = AdminContext(
        database=gateway.database,
        configuration=gateway.configuration,
        keyring=gateway.keyring,
        ledger=gateway.ledger,
        book=gateway.book,
        book_file=InstalledBook(gateway.folder),
        cache=gateway.cache,
        master=master,
        bus=gateway.bus,
        live=gateway.live,
        bodies=gateway.bodies,
        health=gateway.health,
        limiter=gateway.limiter,
        health_history=gateway.health_history,
        notifications=gateway.notifications,
        logins=logins,
        price_of=price_of(gateway),
        endpoint_of=gateway.endpoints.of,
        tokens=gateway.tokens,
        settings=lambda: views(gateway.settings, gateway.origins),
        reload_settings=gateway.reload_settings,
        reload_others=lambda: gateway.reload_others(),
        ask_model=_probe_books(gateway).ask,
        change_settings=gateway.change_settings,
        state=gateway.state,
        check_ledger=gateway.check_ledger,
        client_ip=gateway.addresses.of,
        rotation=gateway.rotation,
        max_attempts=lambda: gateway.settings.max_attempts,
        unknown_price=lambda: settings_rules.unknown_price(gateway.settings),
        revisions_kept=lambda: gateway.settings.config_revisions,
        doubt=gateway.in_doubt.set,
    )
    return partial(routes, context)


async def _background(
    gateway: Gateway, viewed: LiveEvents, late: Sequence[DeferredRoutes], app: web.Application
) -> AsyncIterator[None]:
    """What runs beside the requests, from start to stop."""
    stats = Stats(
        gateway.bus, in_flight=lambda: len(gateway.live), viewers=lambda: viewed.listeners
    )
    await stats.start()
    if gateway.known_keys is not None:
        gateway.known_keys.start()
    tasks = [
        asyncio.create_task(gateway.keyring.note_last_used(), name="last used"),
        asyncio.create_task(_preload(late), name="preload"),
        asyncio.create_task(_active_probes(gateway).run(), name="active probes"),
        asyncio.create_task(_settle_doubts(gateway), name="doubts"),
        asyncio.create_task(watch(gateway.shedder, machine.use), name="shedding"),
        asyncio.create_task(ClockWatch(partial(_clock_jumped, gateway.bus)).run(), name="clock"),
    ]
    if isinstance(gateway.limiter, SharedLimiter):
        tasks.append(asyncio.create_task(gateway.limiter.run(), name="limiter"))
    if isinstance(gateway.ledger, SharedLedger):
        following = Following(gateway, gateway.ledger)
        tasks.append(asyncio.create_task(following.run(), name="following"))
    gateway.bus.publish(EventKind.GATEWAY_STARTED, {"version": __version__})
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await stats.stop()


def _clock_jumped(bus: Bus, by_ms: int) -> None:
    bus.publish(EventKind.GATEWAY_CLOCK_JUMPED, {"by_ms": by_ms})


def _rendering(metrics: Metrics) -> Callable[[], tuple[bytes, str]]:
    """What answers Prometheus, made when it asks for the first time."""

    @cache
    def exposition() -> "Exposition":
        from conduit.gateway.metrics.exposition import Exposition  # noqa: PLC0415

        return Exposition(metrics)

    return lambda: exposition().render()


def _shared_metrics(gateway: Gateway, seat: Seat) -> "SharedMetrics":
    """The metrics of all workers, which each writes down from the first second."""
    from conduit.gateway.metrics.exposition import Exposition  # noqa: PLC0415
    from conduit.gateway.metrics.shared import SharedMetrics  # noqa: PLC0415

    own = Exposition(gateway.metrics).registry
    return SharedMetrics(own, gateway.folder / WORKERS_FOLDER, seat.number)


async def _writing_metrics(shared: "SharedMetrics", _app: web.Application) -> AsyncIterator[None]:
    writing = asyncio.create_task(shared.write_on_and_on(), name="metrics")
    yield
    writing.cancel()
    await asyncio.wait([writing])


def _active_probes(gateway: Gateway) -> ActiveProbes:
    def reach(upstream: Upstream, credential: Credential | None) -> Reach:
        return Reach(upstream, gateway.endpoints.of(upstream), gateway.tokens.headers, credential)

    return ActiveProbes(
        gateway.health,
        lambda: gateway.configuration.snapshot,
        reach,
        lambda: _probe_pauses(gateway.settings),
        _probe_books(gateway).ask,
    )


def _probe_books(gateway: Gateway) -> ProbeBooks:
    find = price_of(gateway)

    def rates_of(provider: str, model: str) -> Rates | None:
        snapshot = gateway.configuration.snapshot
        upstream = snapshot.upstreams.get(provider)
        vendor = None if upstream is None else upstream.provider.type.prices
        return find(snapshot.rates, provider, vendor, model)

    return ProbeBooks(gateway.ledger, rates_of)


def _probe_pauses(settings: GatewaySettings) -> Pauses:
    return Pauses(
        settings.probe_interval_s if settings.breakers else 0.0,
        settings.probe_jitter,
        asks_models=settings.probe_calls,
    )


async def _preload(late: Sequence[DeferredRoutes]) -> None:
    """Load what was put off at the start, before an upgrade can have changed it on disk."""
    await asyncio.sleep(_PRELOADED_AFTER_S)
    for resource in late:
        try:
            await resource.preload()
        except Exception:  # a request that needs it tries again
            logger.exception("what serves %s could not be loaded", resource.canonical)


async def _settle_doubts(gateway: Gateway) -> None:
    """Read anew what the database may hold without our knowing, as soon as it answers."""
    while True:
        await gateway.in_doubt.wait()
        gateway.in_doubt.clear()
        try:
            with outages_reported():
                await gateway.configuration.reload()
            await gateway.keyring.doubt()
        except UnavailableError:
            gateway.in_doubt.set()
            await asyncio.sleep(_DOUBTS_SETTLED_EVERY_S)
