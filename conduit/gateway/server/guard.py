"""Deadlines of connections that wait for their peer: for a request's head, or for it to read."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

HEAD_DEADLINE_S: Final = 10.0
_SWEEP_S: Final = 0.5


class Guarded(Protocol):
    """A connection that can be ended."""

    def drop(self) -> None: ...


def _spares_none(_: Guarded) -> bool:
    return False


class DeadlineGuard:
    """Ends connections that are waited for too long, and the oldest when there are many.

    All have the same time, so the order of arrival is the order of their deadlines, and one timer
    that looks at the front is enough. It runs only while somebody is waited for. `most` None means
    that any number may be waited for. One that `spares` speaks for when its time is over gets as
    much again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deadline_s: Callable[[], float] = lambda: HEAD_DEADLINE_S,
        *,
        most: int | None = None,
        spares: Callable[[Guarded], bool] = _spares_none,
    ) -> None:
        self._loop = loop
        self._deadline_s = deadline_s
        self._most = most
        self._spares = spares
        self._due: dict[Guarded, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, connection: Guarded) -> bool:
        return connection in self._due

    def expect(self, connection: Guarded) -> None:
        """Begin to wait for a connection; one that is waited for keeps its deadline."""
        if connection in self._due:
            return
        self._due[connection] = self._loop.time() + self._deadline_s()
        if self._most is not None and len(self._due) > self._most:
            oldest = next(iter(self._due))
            del self._due[oldest]
            oldest.drop()
        if self._timer is None:
            self._wait()

    def release(self, connection: Guarded) -> None:
        """It has done what it was waited for, or is gone."""
        self._due.pop(connection, None)

    def close(self) -> None:
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = self._loop.call_later(min(_SWEEP_S, self._deadline_s()), self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = []
        for connection, due in self._due.items():
            if due > now:
                break
            late.append(connection)
        for connection in late:
            del self._due[connection]
            if self._spares(connection):
                self._due[connection] = now + self._deadline_s()
            else:
                connection.drop()
        if self._due:
            self._wait()
