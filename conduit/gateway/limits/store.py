"""The Redis that several gateways keep the counters of their rate limits in.

One script does all, in one round trip: `limits.lua` says what it is asked and what it answers.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib.resources import files
from typing import Any, Final, Protocol

import msgspec

from conduit.core.settings import SettingsError

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 0.05
_CONNECTIONS: Final = 32
_CLIENT_S: Final = 1.0
_FAILURES: Final = 5
_OPEN_S: Final = 5.0
_TURNS: Final = 3
"""Turns of the event loop in which an answer that has come gets from the socket to who waits."""


class StoreDownError(Exception):
    """Redis did not answer in time, or was not `asked` because it has not answered for a while."""

    def __init__(self, *, asked: bool) -> None:
        super().__init__("Redis does not answer")
        self.asked = asked


class Ended(msgspec.Struct, array_like=True, frozen=True):
    """What a call gives back, or what is kept alive: see `end_of_call` of the script.

    `place` is that of the counter among the keys, from 1.
    """

    kind: str
    place: int
    what: int | str
    amount: int | None = None


class Asked(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One limit of a call. `key` is the place of its counter; a day has three, from there on."""

    kind: str
    key: int
    limit: int
    amount: int
    most: int = 0
    shadow: bool = False
    starts: tuple[int, ...] = ()
    known: tuple[int, int] | None = None


class Ask(msgspec.Struct, omit_defaults=True, kw_only=True):
    """All that the script is asked; `now` is for tests, and otherwise Redis's own time."""

    limits: Sequence[Asked]
    ends: Sequence[Ended]
    lease: int
    take: bool
    slot: str = ""
    now: int | None = None


Answer = tuple[int, int, Sequence[tuple[int, int, int]]]


class Evaluate(Protocol):
    """Runs the script; raises OSError where that has failed."""

    async def __call__(self, keys: Sequence[str], ask: bytes) -> Answer: ...

    async def close(self) -> None: ...


class Redis:
    """The script on a server, through redis-py. Raises SettingsError where that is not there."""

    def __init__(self, url: str) -> None:
        try:
            # Deferred: an extra, which a gateway alone needs none of.
            from redis import asyncio as client  # noqa: PLC0415
            from redis.exceptions import RedisError  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError(
                "redis_url: the package redis is not installed: install it beside Conduit with "
                'pip install "conduit-llm[redis]", or pip install redis'
            ) from error
        try:
            pool = client.BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_CLIENT_S,
                socket_timeout=_CLIENT_S,
                socket_connect_timeout=_CLIENT_S,
            )
        except ValueError as error:
            raise SettingsError(f"redis_url: {error}") from error
        self._client = client.Redis.from_pool(pool)
        self._script = self._client.register_script(script_text())
        self._failure = RedisError

    async def __call__(self, keys: Sequence[str], ask: bytes) -> Answer:
        try:
            status, now_us, states = await self._script(keys=keys, args=[ask])
        except self._failure as error:
            raise OSError(str(error) or type(error).__name__) from error
        return status, now_us, states

    async def close(self) -> None:
        await self._client.aclose()


def script_text() -> str:
    return files("conduit.gateway.limits").joinpath("limits.lua").read_text(encoding="utf-8")


class Store:
    """Redis with a time limit, and a breaker: after five failures in a row it is left alone for
    five seconds, and then asked by one caller at a time.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        *,
        changed: Callable[[bool], None] = lambda _up: None,
        clock: Callable[[], float] = time.monotonic,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._evaluate = evaluate
        self._changed = changed
        self._clock = clock
        self._timeout_s = timeout_s
        self._asking: set[asyncio.Task[Answer]] = set()
        self._in_a_row = 0
        self._again_at = 0.0
        self.up = True
        self.failed = 0
        """How often it has failed since the start."""

    async def run(self, keys: Sequence[str], ask: Ask) -> Answer:
        """What the script answers. Raises StoreDownError."""
        if not self.up:
            now = self._clock()
            if now < self._again_at:
                raise StoreDownError(asked=False)
            self._again_at = now + _OPEN_S  # the others wait for what this one finds
        try:
            answer = await self._within(self._evaluate(keys, msgspec.msgpack.encode(ask)))
        except OSError as error:  # which TimeoutError is too
            self._fail(error)
            raise StoreDownError(asked=True) from error
        self._in_a_row = 0
        if not self.up:
            self.up = True
            logger.info("Redis answers again: rate limits are shared again")
            self._changed(True)
        return answer

    async def close(self) -> None:
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)
        await self._evaluate.close()

    async def _within(self, answering: Coroutine[Any, Any, Answer]) -> Answer:
        """The answer, or TimeoutError. That our own event loop was late is not held against Redis.

        What is late goes on by itself, up to the client's own time limit: to break a connection
        off while it is made would mean that a slow network never gets one.
        """
        task = asyncio.create_task(answering)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        task.add_done_callback(_noted)
        await asyncio.wait((task,), timeout=self._timeout_s)
        for _ in range(_TURNS):
            if not task.done():
                await asyncio.sleep(0)
        if not task.done():
            raise TimeoutError(f"no answer within {self._timeout_s * 1000:g} ms")
        return task.result()

    def _fail(self, error: Exception) -> None:
        self.failed += 1
        self._in_a_row += 1
        if self._in_a_row < _FAILURES:
            return
        self._again_at = self._clock() + _OPEN_S
        if self.up:
            self.up = False
            reason = str(error) or type(error).__name__
            logger.warning("Redis does not answer (%s): each gateway limits by itself", reason)
            self._changed(False)


def _noted(task: "asyncio.Task[Answer]") -> None:
    """Its failure is known, also where nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
