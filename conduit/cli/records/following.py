"""Following a gateway's events: what happens to the connection is told, the rest is handed on."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.core import people

Event = Mapping[str, Any]


class _TimeIsOver(Exception):
    """So much was to be followed, and no more."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which events are followed, and after which one of the run that `boot` names.

    After `max_offline_s` without a connection the follower gives up; 0: at the first loss.
    """

    kinds: tuple[str, ...] | None
    filter: str | None
    max_offline_s: float
    after_seq: int | None = None
    boot: str | None = None


def follow(
    call: Call, wish: Wish, show: Callable[[Sequence[Event]], None], sum_up: Callable[[], None]
) -> None:
    """Show events until Ctrl-C or the end of `--timeout`, which sum up.

    Raises Unreachable, ApiError, and Failure at that end.
    """
    token = call.gateway.target.master_key or ""
    # asyncio's own handler cancels the loop cleanly; ours would raise inside of it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        asyncio.run(_follow(call, token, wish, show))
    except KeyboardInterrupt:
        sum_up()
        raise
    except _TimeIsOver as over:
        sum_up()
        raise Failure(
            "the time of --timeout is over", code="timeout", exit_code=Exit.TIMEOUT
        ) from over


async def _follow(
    call: Call, token: str, wish: Wish, show: Callable[[Sequence[Event]], None]
) -> None:
    from conduit.client.live import (  # noqa: PLC0415  # deferred: loads aiohttp
        Events,
        tail_events,
    )

    stream = tail_events(
        call.where.admin,
        token,
        kinds=wish.kinds,
        filter=wish.filter,
        after_seq=wish.after_seq,
        boot=wish.boot,
        max_offline_s=wish.max_offline_s,
        tls=call.target.tls,
    )
    deadline = asyncio.timeout(call.left_s(0) if call.options.timeout_s else None)
    try:
        async with deadline, aclosing(stream) as items:
            async for item in items:
                if isinstance(item, Events):
                    show(item.events)
                    call.console.out.file.flush()
                else:
                    _tell(call, item)
    except TimeoutError as error:
        if deadline.expired():
            raise _TimeIsOver from error
        raise


def _tell(call: Call, item: Any) -> None:
    """A line on stderr about the connection or about what was lost."""
    from conduit.client.live import (  # noqa: PLC0415  # deferred: loads aiohttp
        Connected,
        Disconnected,
        Gap,
        Resumed,
    )

    say = call.console.say
    match item:
        case Connected():
            say("-- connected --", "dim")
        case Gap(lost=int(lost)):
            say(f"-- gap: {people.counted(lost, 'event')} lost (server ring) --", "warn")
        case Gap():
            say("-- gap: the gateway restarted; see conduit logs list --", "warn")
        case Disconnected():
            seconds = max(round(item.retry_in_s), 1)
            say(f"-- disconnected {people.clock(item.at_ms)}, retrying ({seconds} s) --", "warn")
        case Resumed():
            say(f"-- resumed, {people.counted(item.recovered, 'event')} recovered --", "dim")
        case _:
            pass
