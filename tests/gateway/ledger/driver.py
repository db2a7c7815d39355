"""A process that holds and settles until it is killed; prints an attempt's id once it is held.

Run as `python driver.py FOLDER DATABASE-URL SEED`.
"""

import asyncio
import random
import sys
from pathlib import Path

from conduit.core.errors import LimitError
from conduit.core.ids import new_id, now_ms
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.opening import open_ledger
from conduit.gateway.storage.engine import create_engine
from tests.gateway.ledger.building import claim, ending, request_record


async def caller(ledger: LocalLedger, chance: random.Random) -> None:
    while True:
        wanted = claim(
            chance.randint(1, 2_000),
            attempt_id=new_id("att"),
            request_id=new_id("req"),
            at_ms=now_ms(),
            stream=chance.random() < 0.5,
        )
        try:
            hold = await ledger.hold(wanted)
        except LimitError:
            await asyncio.sleep(0.001)
            continue
        # Only now would the call be dispatched.
        sys.stdout.write(wanted.attempt_id + "\n")
        for tokens in range(0, 1024, 256):
            ledger.progress(hold, tokens)
            await asyncio.sleep(chance.random() * 0.002)
        if chance.random() < 0.3:
            await ledger.top_up(hold, 500)
        ledger.settle(hold, ending(chance.randint(0, hold.nanodollars), at_ms=now_ms()))
        ledger.record(request_record(wanted))


async def main(folder: Path, url: str, seed: int) -> None:
    engine = create_engine(url)
    ledger = await open_ledger(engine, folder)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    async with asyncio.TaskGroup() as callers:
        for number in range(20):
            callers.create_task(caller(ledger, random.Random(seed * 100 + number)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
