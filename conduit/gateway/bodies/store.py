"""Keeps bodies beside the requests: a bounded queue, and one thread that writes what is in it.

A request never waits for it. When the queue is full, what is offered is dropped and counted.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from conduit.core.ids import now_ms
from conduit.gateway.bodies.gathering import GatheredCall, GatheredMessage
from conduit.gateway.storage.bodies import (
    BodyStoreError,
    DayFiles,
    StoredAttempt,
    StoredCall,
    StoredMessage,
    day_at,
    day_of,
)

logger = logging.getLogger(__name__)

FOLDER: Final = "bodies"
_MOST_WAITING: Final = 2_000
_MOST_WAITING_BYTES: Final = 64 * 1024 * 1024
_MOST_A_TRANSACTION: Final = 64
_GATHERED_FOR_S: Final = 0.25
"""How long calls are gathered for one transaction: waking for each would hold requests up."""

_TIDIED_EVERY_S: Final = 60.0
_CLOSING_S: Final = 10.0
_READING_S: Final = 2.0
_KEPT_SHARE: Final = 0.9
"""Down to this share of the limit the oldest of the present day are deleted, not one by one."""

Scrub = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days bodies are kept, the present one included, and in how many bytes."""

    days: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class BodyStoreState:
    """`written` and `dropped` are calls since the start, `waiting` those in the queue.

    `failure` is why the last ones could not be written, None where they could.
    """

    bytes: int
    days: int
    oldest: date | None
    written: int
    dropped: int
    waiting: int
    failure: str | None


@dataclass(frozen=True, slots=True)
class _Purge:
    """Bodies of requests that began before a moment are to be deleted."""

    before_ms: int
    deleted: Future[int]


class BodyStore:
    """The kept bodies of a gateway. `offer` is for the request path; all else may take its time."""

    def __init__(
        self,
        folder: Path,
        retention: Callable[[], Retention],
        scrub: Scrub,
        *,
        most_waiting: int = _MOST_WAITING,
        most_waiting_bytes: int = _MOST_WAITING_BYTES,
    ) -> None:
        self._files = DayFiles(folder)
        self._retention = retention
        self._scrub = scrub
        self._most = most_waiting, most_waiting_bytes
        self._changed = threading.Condition()  # guards all that stands below
        self._waiting: deque[tuple[GatheredCall, int]] = deque()
        self._purges: deque[_Purge] = deque()
        self._waiting_bytes = 0
        self._accepted = 0
        self._handled = 0
        self._written = 0
        self._dropped = 0
        self._failure: str | None = None
        self._closing = False
        self._hurried = False
        self._thread = threading.Thread(target=self._run, name="bodies", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, call: GatheredCall) -> None:
        """Have a call written, or drop it where too many wait. Never waits, never raises."""
        size = call.held_bytes
        most, most_bytes = self._most
        with self._changed:
            if len(self._waiting) >= most or self._waiting_bytes + size > most_bytes:
                self._dropped += 1
                return
            self._waiting.append((call, size))
            self._waiting_bytes += size
            self._accepted += 1
            if len(self._waiting) in (1, _MOST_A_TRANSACTION):  # what the thread waits for
                self._changed.notify_all()

    async def find(self, request_id: str) -> StoredCall | None:
        """What is kept of a request, once what was offered before has been written.

        Raises BodyStoreError, and ValueError for what is no id.
        """
        return await asyncio.to_thread(self._find, request_id)

    async def purge(self, before_ms: int) -> int:
        """Delete what is older than a moment; how many calls that were. Raises BodyStoreError."""
        purge = _Purge(before_ms, Future())
        with self._changed:
            self._purges.append(purge)
            self._changed.notify_all()
        return await asyncio.wrap_future(purge.deleted)

    async def state(self) -> BodyStoreState:
        return await asyncio.to_thread(self._state)

    @property
    def dropped(self) -> int:
        return self._dropped

    async def close(self) -> None:
        """Write what waits, then end; what takes too long is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        await asyncio.to_thread(self._thread.join, _CLOSING_S)

    def _find(self, request_id: str) -> StoredCall | None:
        with self._changed:
            offered = self._accepted
            self._hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._handled >= offered, _READING_S)
        return self._files.read(request_id)

    def _state(self) -> BodyStoreState:
        days, size = self._files.days(), self._files.size()
        with self._changed:
            return BodyStoreState(
                bytes=size,
                days=len(days),
                oldest=days[0] if days else None,
                written=self._written,
                dropped=self._dropped,
                waiting=len(self._waiting),
                failure=self._failure,
            )

    def _run(self) -> None:
        """The thread: everything that writes happens here, one thing after the other."""
        self._tidy()
        tidied = time.monotonic()
        while True:
            calls, purges, closing = self._next(tidied + _TIDIED_EVERY_S)
            if calls:
                self._write(calls)
            for purge in purges:
                self._serve_purge(purge)
            if calls or time.monotonic() >= tidied + _TIDIED_EVERY_S:
                self._tidy()
                tidied = time.monotonic()
            if closing and not calls:
                self._files.close()
                return

    def _next(self, until: float) -> tuple[list[GatheredCall], list[_Purge], bool]:
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._purges or self._closing,
                max(0.0, until - time.monotonic()),
            )
            if self._waiting:
                self._changed.wait_for(self._is_pressed, _GATHERED_FOR_S)
            calls: list[GatheredCall] = []
            while self._waiting and len(calls) < _MOST_A_TRANSACTION:
                call, size = self._waiting.popleft()
                self._waiting_bytes -= size
                calls.append(call)
            if not self._waiting:
                self._hurried = False
            purges = list(self._purges)
            self._purges.clear()
            return calls, purges, self._closing

    def _is_pressed(self) -> bool:
        """Whether somebody waits for what is to be written, or there is enough of it."""
        full = len(self._waiting) >= _MOST_A_TRANSACTION
        return full or self._hurried or self._closing or bool(self._purges)

    def _write(self, calls: Sequence[GatheredCall]) -> None:
        failure: str | None = None
        written = 0
        try:
            for day, some in groupby(calls, key=lambda call: day_of(call.id)):
                stored = [stored_call(call, self._scrub) for call in some]
                self._files.write(day, stored)
                written += len(stored)
        except BodyStoreError as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001  # the thread outlives whatever a body brings
            failure = f"kept bodies: {type(error).__name__}"
        with self._changed:
            if failure is not None and self._failure is None:
                logger.error("%s; bodies are dropped until that ends", failure)
            self._failure = failure
            self._written += written
            self._dropped += len(calls) - written
            self._handled += len(calls)
            self._changed.notify_all()

    def _serve_purge(self, purge: _Purge) -> None:
        last = day_at(purge.before_ms)
        deleted = 0
        try:
            for day in self._files.days():
                if day < last:
                    deleted += self._files.delete_day(day)
                elif day == last:
                    deleted += self._files.delete_before(day, purge.before_ms)
        except BodyStoreError as error:
            purge.deleted.set_exception(error)
        else:
            purge.deleted.set_result(deleted)

    def _tidy(self) -> None:
        """Delete what is too old, then the oldest while there is too much."""
        retention = self._retention()
        try:
            days = self._files.days()
            oldest = day_at(now_ms()) - timedelta(days=retention.days - 1)
            while days and days[0] < oldest:
                self._files.delete_day(days.pop(0))
            while len(days) > 1 and self._files.size() > retention.disk_bytes:
                self._files.delete_day(days.pop(0))
            if days and (size := self._files.size()) > retention.disk_bytes:
                surplus = size - round(retention.disk_bytes * _KEPT_SHARE)
                self._files.delete_oldest(days[0], surplus)
        except BodyStoreError as error:
            logger.error("%s", error)


def stored_call(call: GatheredCall, scrub: Scrub) -> StoredCall:
    """A call as it is written: without secrets, and each body once."""
    bodies = _Bodies(call.limit, scrub)
    return StoredCall(
        id=call.id,
        key_id=call.key_id,
        path=scrub(call.path),
        request=bodies.message(call.request),
        attempts=[
            StoredAttempt(
                id=attempt.id,
                provider=attempt.provider,
                model=scrub(attempt.model),
                url=scrub(attempt.url),
                request=bodies.message(attempt.request),
                status=attempt.status,
                response=None if attempt.response is None else bodies.message(attempt.response),
            )
            for attempt in call.attempts
        ],
        status=call.status,
        response=None if call.response is None else bodies.message(call.response),
        bodies=bodies.all,
    )


class _Bodies:
    """The different bodies of a call, scrubbed and cut to the limit."""

    def __init__(self, limit: int, scrub: Scrub) -> None:
        self.all: list[bytes] = []
        self._limit = limit
        self._scrub = scrub
        self._index: dict[bytes, int] = {}

    def message(self, message: GatheredMessage) -> StoredMessage:
        body = message.body
        raw = body.joined()
        if raw not in self._index:
            self._index[raw] = len(self.all)
            self.all.append(self._scrubbed(raw)[: self._limit])
        return StoredMessage(
            headers={name: self._scrub(value) for name, value in message.headers.items()},
            body=self._index[raw],
            size=body.size,
            truncated=body.size > self._limit,
        )

    def _scrubbed(self, raw: bytes) -> bytes:
        text = raw.decode("utf-8", "surrogateescape")
        clean = self._scrub(text)
        return raw if clean is text else clean.encode("utf-8", "surrogateescape")
