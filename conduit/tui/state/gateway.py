"""The link to a gateway: it keeps the store up to date and carries what the operator does.

One supervised task follows the live events through `conduit.client.live`, which reconnects by
itself; another reloads the tables that somebody looks at when an event says that they changed.
The network libraries are imported by the first task, after the first frame has been drawn.
"""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from conduit.client.api import OPERATIONS, Record
from conduit.client.errors import ApiError, AuthenticationFailed, ClientError, Unreachable
from conduit.tui.state.connectivity import Phase
from conduit.tui.state.session import Target
from conduit.tui.state.store import REQUEST_FINISHED, RING_ENTRIES, Store
from conduit.tui.state.traffic import Mark

if TYPE_CHECKING:
    from conduit.client.connection import Connection
    from conduit.client.live import Backoff, LiveItem

HISTORY_REQUESTS = 200
LONGEST_REQUEST_S = 600
"""Records carry the time of their beginning: one that ended in a gap may have begun before it."""

MOST_ROWS = 5_000
_PAGE_ROWS = 1_000
_GATHER_S = 0.25
_TRAFFIC_RELOAD_S = 5.0
ANOTHER_GATEWAY = "another gateway is looked at now"
_LATENCY_PROBE_S = 30.0
_REFUSED_SUBSCRIPTION_S = 5.0
_LONGEST_PAUSE_S = 2.0

# Which tables an event of a noun makes outdated.
_CHANGED_BY: Mapping[str, tuple[str, ...]] = {
    "key": ("keys", "budgets", "groups"),
    "group": ("groups", "keys"),
    "budget": ("budgets", "keys", "groups"),
    "provider": ("providers", "models", "deployments"),
    "credential": ("providers", "models"),
    "mapping": ("mappings", "models"),
    "price": ("prices", "models"),
    "price_book": ("prices", "models"),
    "notification": ("notifications",),
}
_SPENT_BY_TRAFFIC = frozenset({"keys", "budgets", "groups"})
_LISTED_BY: Mapping[str, str] = {"deployments": "health.deployments"}
"""The operation that lists a table, where it is not called so."""


class Refused(ClientError):
    """A change that was not sent, because nobody could say whether it would arrive."""


class GatewayLink:
    """One gateway, from the first connection until another context is chosen."""

    def __init__(
        self,
        target: Target,
        store: Store,
        *,
        on_error: Callable[[str, BaseException], None],
        backoff: "Backoff | None" = None,
    ) -> None:
        self.target = target
        self.store = store
        self.epoch = store.begin()
        self._on_error = on_error
        self._backoff = backoff
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None
        self._opened = asyncio.Event()
        self._again = asyncio.Event()
        self._wanted = asyncio.Event()
        self._behind = asyncio.Event()
        self._watched: frozenset[str] = frozenset()
        self._traffic_reload_s = 0.0
        self._told_until_ms: int | None = None
        self._missing_from_ms: int | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        runs = {"live": self._follow, "state": self._keep_state, "tables": self._keep_tables}
        for name, run in runs.items():
            self._tasks.append(asyncio.create_task(self._guarded(name, run), name=f"link-{name}"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        await self._stack.aclose()

    # What screens use

    async def call(
        self,
        name: str,
        *names: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Record:
        """Run an operation that changes nothing. Raises ClientError."""
        connection = await self._open()
        if not self.is_current:
            raise Refused(f"not sent: {ANOTHER_GATEWAY}")
        try:
            return await connection.call(name, *names, query=query, body=body)
        except AuthenticationFailed as error:
            self._refused(error)
            raise

    async def change(self, name: str, *names: str, body: Mapping[str, Any] | None = None) -> Record:
        """Run an operation that changes something. Raises Refused, ClientError."""
        reason = self.why_no_change()
        if reason is not None:
            raise Refused(f"not sent: {reason}")
        return await self.call(name, *names, body=body)

    def why_no_change(self) -> str | None:
        """Why nothing may be changed now, or None."""
        if not self.is_current:
            return ANOTHER_GATEWAY
        if self.target.read_only:
            return f"context {self.target.name!r} is read-only"
        return self.store.connectivity.why_no_change()

    @property
    def is_current(self) -> bool:
        """Whether this gateway is looked at still."""
        return self.epoch == self.store.epoch

    def watch(self, tables: Collection[str]) -> None:
        """These tables are looked at now: load them when they are outdated, keep them fresh."""
        self._watched = frozenset(tables)
        self._wanted.set()

    def refresh(self, tables: Collection[str]) -> None:
        """Load these tables again, whatever is known of them."""
        for name in tables:
            self.store.table(name).outdated = True
        self._wanted.set()

    def reconnect(self) -> None:
        """Try again at once."""
        self._again.set()

    async def load(self, name: str) -> None:
        """Load a table with all its pages. A failure stands in the table, it is not raised."""
        store, epoch = self.store, self.epoch
        operation = _LISTED_BY.get(name, f"{name}.list")
        store.loading(name)
        rows: list[Record] = []
        query: dict[str, object] = {}
        if "limit" in OPERATIONS[operation].query:
            query["limit"] = _PAGE_ROWS
        try:
            while True:
                page = await self.call(operation, query=query)
                rows += page["data"]
                query["cursor"] = page.get("next_cursor")
                if not query["cursor"] or len(rows) >= MOST_ROWS:
                    break
        except ClientError as error:
            store.fail(name, error.message, epoch=epoch)
            return
        store.fill(name, rows, epoch=epoch, truncated=bool(query["cursor"]))

    async def load_missing(self, name: str) -> bool:
        """Load a table that no screen has asked for yet; False where one has."""
        table = self.store.table(name)
        if table.is_loaded or table.loading:
            return False
        await self.load(name)
        return True

    # The supervised tasks

    async def _guarded(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """A task that fails is told of and begun again: the interface stays up."""
        while True:
            try:
                await run()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001  # the last catcher of the link
                self._on_error(f"the link's {name} task failed", error)
                await asyncio.sleep(_LONGEST_PAUSE_S)

    async def _open(self) -> "Connection":
        if self._connection is None:
            await self._opened.wait()
        assert self._connection is not None, "opened"
        return self._connection

    async def _follow(self) -> None:
        """Follow the live events, for ever; ended by cancelling."""
        await self._connect()
        while True:
            self._again.clear()
            follow = asyncio.ensure_future(self._tail())
            again = asyncio.ensure_future(self._again.wait())
            try:
                await asyncio.wait({follow, again}, return_when=asyncio.FIRST_COMPLETED)
                if follow.done():
                    await self._pause_after(follow)
            finally:
                for task in (follow, again):
                    task.cancel()
                await asyncio.wait({follow, again})

    async def _connect(self) -> None:
        if self._connection is not None:
            return
        # Half a second of imports, in a thread, so that keys answer meanwhile.
        module = await asyncio.to_thread(importlib.import_module, "conduit.client.connection")
        await asyncio.to_thread(importlib.import_module, "conduit.client.live")
        connection = module.Connection(
            self.target.admin_url, self.target.master_key, tls=self.target.tls
        )
        self._connection = await self._stack.enter_async_context(connection)
        self._opened.set()

    async def _pause_after(self, follow: "asyncio.Future[None]") -> None:
        """What to do when the tail ended by itself, which it does only by an error."""
        try:
            await follow
        except AuthenticationFailed as error:
            self._refused(error)
            await self._again.wait()
        except (ApiError, Unreachable) as error:
            self.store.connectivity.lost(error.message, _REFUSED_SUBSCRIPTION_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_REFUSED_SUBSCRIPTION_S):
                    await self._again.wait()

    async def _tail(self) -> None:
        from conduit.client.live import Backoff, tail_events  # noqa: PLC0415  # deferred: 0.3 s

        store = self.store
        # Gateways fear herds, one operator is none: never so long that a restart goes unnoticed.
        backoff = self._backoff or Backoff(longest_s=_LONGEST_PAUSE_S)
        items = tail_events(
            self.target.admin_url,
            self.target.master_key,
            after_seq=store.seq if store.boot else None,
            boot=store.boot,
            backoff=backoff,
            tls=self.target.tls,
            heard=store.connectivity.heard,
        )
        async with aclosing(items):
            async for item in items:
                self._take(item)

    def _take(self, item: "LiveItem") -> None:
        from conduit.client.live import (  # noqa: PLC0415  # deferred: 0.3 s
            Connected,
            Disconnected,
            Events,
            Gap,
            Resumed,
        )

        store = self.store
        match item:
            case Connected(boot=boot, seq=seq):
                store.boot = boot
                store.seq = max(store.seq, seq)
                self._is_back()
            case Events(events=events):
                if store.connectivity.phase is not Phase.LIVE:
                    store.connectivity.connected()
                store.receive(events)
                self._told_until_ms = events[-1]["at_ms"]
                self._note_changes(events)
            case Gap(last=None):
                self._miss()
                store.mark(self._mark("restarted"))
                self._is_back()
            case Gap(lost=lost):
                self._miss()
                store.mark(self._mark("lost", lost or 0))
                self._is_back()
            case Disconnected(reason=reason, retry_in_s=retry_in_s):
                self._miss()
                store.connectivity.lost(reason, retry_in_s)
            case Resumed(recovered=recovered):
                store.mark(self._mark("resumed", recovered))
                self._is_back()

    def _miss(self) -> None:
        """From here on events may be missing, until the records have been read."""
        if self._missing_from_ms is None:
            self._missing_from_ms = self._told_until_ms

    def _mark(self, kind: Any, count: int = 0) -> Mark:
        at_ms = self.store.wall_ms()
        return Mark(f"{kind}:{at_ms}:{self.store.seq}", at_ms, kind, count)

    def _is_back(self) -> None:
        """Connected, for the first time or again: read what no event has told."""
        self.store.connectivity.connected()
        for table in self.store.tables.values():
            table.outdated = True
        self._wanted.set()
        self._behind.set()

    async def _keep_state(self) -> None:
        """Read the state after every connection, and how far away the gateway is meanwhile."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LATENCY_PROBE_S):
                    await self._behind.wait()
            if self._behind.is_set():
                self._behind.clear()
                await self._catch_up()
            elif self.store.connectivity.is_live:
                with suppress(ClientError):
                    await self._measure()

    async def _catch_up(self) -> None:
        """The state now, and the requests that ended while nobody listened."""
        epoch, missing_from_ms = self.epoch, self._missing_from_ms
        try:
            await self._measure()
            self.store.set_status(await self.call("status.show"), epoch=epoch)
            records = await self._records_since(missing_from_ms)
        except ClientError:
            return  # the tail learns of it too, and says so
        self.store.merge_requests(records, epoch=epoch)
        if self._missing_from_ms == missing_from_ms:
            self._missing_from_ms = None

    async def _records_since(self, missing_from_ms: int | None) -> list[Record]:
        """The newest records; where some may be missing, all back to there that a list can hold."""
        query: dict[str, object] = {"limit": HISTORY_REQUESTS}
        if missing_from_ms is not None:
            since_s = missing_from_ms / 1000 - LONGEST_REQUEST_S
            query = {"limit": _PAGE_ROWS, "since": datetime.fromtimestamp(since_s, UTC).isoformat()}
        page = await self.call("requests.list", query=query)
        records: list[Record] = list(page["data"])
        while missing_from_ms is not None and page["next_cursor"] and len(records) < RING_ENTRIES:
            query["cursor"] = page["next_cursor"]
            page = await self.call("requests.list", query=query)
            records += page["data"]
        return records

    async def _measure(self) -> None:
        """The time of the smallest call there is."""
        begun = time.perf_counter()
        await self.call("whoami")
        self.store.connectivity.measured(max(1, round((time.perf_counter() - begun) * 1000)))

    def _note_changes(self, events: Collection[Mapping[str, Any]]) -> None:
        for event in events:
            noun = event["kind"].partition(".")[0]
            for name in _CHANGED_BY.get(noun, ()):
                self.store.table(name).outdated = True
                self._wanted.set()
        spent = any(event["kind"] == REQUEST_FINISHED for event in events)
        now_s = time.monotonic()
        if spent and now_s - self._traffic_reload_s > _TRAFFIC_RELOAD_S:
            self._traffic_reload_s = now_s
            self.refresh(self._watched & _SPENT_BY_TRAFFIC)

    async def _keep_tables(self) -> None:
        """Load outdated tables that somebody looks at, a moment after the last reason to."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(_GATHER_S if self._opened.is_set() else 0)
            self._wanted.clear()
            await self._opened.wait()
            for name in sorted(self._watched):
                if self.store.table(name).outdated:
                    await self.load(name)

    def _refused(self, error: AuthenticationFailed) -> None:
        self.store.connectivity.refused(error.message)
