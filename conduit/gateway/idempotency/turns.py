"""Who is being answered under which `Idempotency-Key`, and what was replied before.

One request at a time has the turn of a key. Its reply is in the journal before the last byte of it
leaves, and in memory until the database has it: a request that comes at any moment after finds it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from conduit.core.errors import (
    GatewaySealedError,
    IdempotencyInProgressError,
    ReplyNotKeptError,
    UnavailableError,
)
from conduit.core.ids import now_ms
from conduit.gateway.config.sealing import SealedError, SealingKey
from conduit.gateway.idempotency.replies import Reply, digest_of, seal, unseal
from conduit.gateway.ledger.records import ReplyRecord
from conduit.gateway.storage import idempotent_replies
from conduit.gateway.storage.engine import Database, outages_reported, reading, writing
from conduit.gateway.system.pausing import let_end, pause

logger = logging.getLogger(__name__)

LARGEST_BODY_BYTES: Final = 1024 * 1024
"""A reply that is larger is not kept, but that it was given is."""

_RETRY_AFTER_S: Final = 1.0
_READING_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Patience:
    """`recent_bytes` of replies are kept in memory at most, for `settling_s` at least.

    What is too old is deleted every `sweep_s`, with a pause between two transactions.
    """

    recent_bytes: int = 32 * 1024 * 1024
    settling_s: float = 1.0
    sweep_s: float = 60.0
    pause_s: float = 0.05


class ReplyJournal(Protocol):
    """What takes replies: the ledger."""

    @property
    def has_room(self) -> bool: ...

    def reply(self, record: ReplyRecord) -> None: ...

    async def caught_up(self) -> None: ...


@dataclass(slots=True, eq=False)
class Turn:
    """Held by the one request that is being answered under a key; `end` must be called.

    `asked` is the digest of what it asks. `replayed` is the reply that it was answered with, where
    that was given before.
    """

    turns: "Turns"
    digest: bytes
    key_id: str
    sealing_key: SealingKey
    asked: bytes = b""
    replayed: Reply | None = None
    over: bool = field(default=False, init=False)

    async def find(self) -> Reply | None:
        """What was replied before, None where nothing was.

        Raises UnavailableError where that cannot be told, ReplyNotKeptError where it cannot be had.
        """
        return await self.turns.find(self)

    def keep(self, reply: Reply) -> None:
        """The whole reply is here and about to leave; whoever asks from now on gets it too."""
        self.turns.keep(self, reply)
        self.end()

    def end(self) -> None:
        """The request is over: another one may be sent under its key."""
        if not self.over:
            self.over = True
            self.turns.give_back(self)


class Turns:
    """The turns of a gateway, and its replies of some time. Belongs to one event loop."""

    def __init__(
        self,
        database: Database,
        journal: ReplyJournal,
        sealing_key: SealingKey | None,
        keep_s: Callable[[], float],
        *,
        clock_ms: Callable[[], int] = now_ms,
        patience: Patience = Patience(),
    ) -> None:
        self._database = database
        self._journal = journal
        self._sealing_key = sealing_key
        self._keep_s = keep_s
        self._clock_ms = clock_ms
        self._patience = patience
        self._running: set[bytes] = set()
        self._recent: OrderedDict[bytes, ReplyRecord] = OrderedDict()
        self._recent_bytes = 0
        self._spilled: dict[bytes, int] = {}  # there was no room for them: when they were replied
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._let_go(), name="recent replies"),
            asyncio.create_task(self._sweep(), name="old replies"),
        ]

    async def close(self) -> None:
        """End what runs beside the requests; what is kept is in the journal."""
        self._stopping.set()
        if not self._tasks:
            return
        letting_go, sweeping = self._tasks
        letting_go.cancel()
        await let_end(sweeping)
        await asyncio.wait([letting_go])

    def begin(self, key_id: str, idempotency_key: str) -> Turn:
        """The turn of a virtual key's request. Synchronous: two at once cannot both have it.

        Raises IdempotencyInProgressError, and GatewaySealedError where no reply could be kept.
        """
        if self._sealing_key is None:
            raise GatewaySealedError(
                "without a sealing key no reply can be kept for this Idempotency-Key: leave the "
                "header out, or have the key restored"
            )
        digest = digest_of(key_id, idempotency_key)
        if digest in self._running:
            raise IdempotencyInProgressError(
                "a request with this Idempotency-Key is being answered",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._running.add(digest)
        return Turn(self, digest, key_id, self._sealing_key)

    def give_back(self, turn: Turn) -> None:
        self._running.discard(turn.digest)

    async def find(self, turn: Turn) -> Reply | None:
        """See `Turn.find`."""
        record = self._recent.get(turn.digest)
        if record is not None:
            return self._opened(turn, record.at_ms, record.content)
        if turn.digest in self._spilled:
            await self._wait_for_database()
        with outages_reported():
            async with reading(self._database, _READING_S) as connection:
                stored = await idempotent_replies.find(connection, turn.digest)
        return None if stored is None else self._opened(turn, stored.at_ms, stored.content)

    def keep(self, turn: Turn, reply: Reply) -> None:
        """See `Turn.keep`. Synchronous: it is between the settlement and the last byte."""
        body = reply.body
        if body is not None and (len(body) > LARGEST_BODY_BYTES or not self._journal.has_room):
            reply = Reply(reply.asked, reply.request_id, {}, None, reply.cost_nanodollars)
        at_ms = self._clock_ms()
        content = seal(turn.sealing_key, turn.digest, at_ms, reply)
        record = ReplyRecord(turn.digest, turn.key_id, at_ms, content)
        self._journal.reply(record)
        self._remember(record)

    async def delete_old(self) -> int:
        """Delete the replies whose time is over; how many. Raises UnavailableError."""
        before_ms = self._clock_ms() - self._keep_ms()
        with outages_reported():
            async with reading(self._database) as connection:
                oldest_ms = await idempotent_replies.oldest_ms(connection)
        if oldest_ms is None or oldest_ms > before_ms:
            return 0  # most often: nobody has to wait for a transaction that changes nothing
        deleted = 0
        while not self._stopping.is_set():
            with outages_reported():
                async with writing(self._database) as connection:
                    some = await idempotent_replies.delete_some(connection, before_ms)
            if not some:
                break
            deleted += some
            await pause(self._patience.pause_s, self._stopping)
        return deleted

    def _opened(self, turn: Turn, at_ms: int, content: bytes) -> Reply | None:
        if at_ms + self._keep_ms() <= self._clock_ms():
            return None
        try:
            return unseal(turn.sealing_key, turn.digest, at_ms, content)
        except SealedError as error:
            raise ReplyNotKeptError(
                "a request with this Idempotency-Key was answered, and the key that opens its "
                "reply is not there any more"
            ) from error

    def _keep_ms(self) -> int:
        return int(self._keep_s() * 1000)

    async def _wait_for_database(self) -> None:
        """Until the database has what was written before. Raises UnavailableError."""
        try:
            async with asyncio.timeout(_READING_S):
                await self._journal.caught_up()
        except TimeoutError as error:
            raise UnavailableError(
                "the reply of this Idempotency-Key waits for the database", retry_after_s=1.0
            ) from error

    def _remember(self, record: ReplyRecord) -> None:
        self._forget(record.digest)
        self._spilled.pop(record.digest, None)
        self._recent[record.digest] = record
        self._recent_bytes += len(record.content)
        while self._recent_bytes > self._patience.recent_bytes:
            oldest = next(iter(self._recent.values()))
            self._forget(oldest.digest)
            self._spilled[oldest.digest] = oldest.at_ms
        self._due.set()

    def _forget(self, digest: bytes) -> None:
        record = self._recent.pop(digest, None)
        if record is not None:
            self._recent_bytes -= len(record.content)

    async def _let_go(self) -> None:
        """What the database has is not needed in memory."""
        while True:
            await self._due.wait()
            await asyncio.sleep(self._patience.settling_s)
            self._due.clear()
            written, spilled = list(self._recent.values()), list(self._spilled.items())
            try:
                await self._journal.caught_up()
            except UnavailableError:  # it says so elsewhere; until it is mended, all stays here
                self._due.set()
                continue
            for record in written:
                if self._recent.get(record.digest) is record:
                    self._forget(record.digest)
            for digest, at_ms in spilled:
                if self._spilled.get(digest) == at_ms:
                    del self._spilled[digest]

    async def _sweep(self) -> None:
        while not self._stopping.is_set():
            await pause(self._patience.sweep_s, self._stopping)
            try:
                await self.delete_old()
            except UnavailableError:  # the next round deletes what this one could not
                continue
            except Exception:  # what is too old does no harm
                logger.exception("old replies could not be deleted")
