"""Any order of requests, failures, crashes and time agrees with a simple model of one key."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from conduit.core.errors import IdempotencyInProgressError
from conduit.gateway.idempotency.turns import Patience, Turn, Turns
from conduit.gateway.ledger.local import LocalLedger
from tests.conftest import SOAKING
from tests.gateway.idempotency.test_turns import KEEP_S, KEY, Clock, reply
from tests.gateway.ledger.building import opened
from tests.migrated import migrated

NEVER = Patience(recent_bytes=600, settling_s=3600, sweep_s=3600, pause_s=0)
KEEP_MS = int(KEEP_S * 1000)
NAMES = st.sampled_from(["one", "two"])


class TurnsMachine(RuleBasedStateMachine):
    """The model: who has the turn of each name, and what was replied when."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="turns-machine-"))
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.engine = self.run(migrated(str(self.folder / "conduit.db")))
        self.ledger: LocalLedger = self.run(opened(self.engine, self.folder))
        self.turns = self.made()
        self.held: dict[str, Turn] = {}
        self.replied: dict[str, tuple[int, str]] = {}
        self.calls = 0

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def made(self) -> Turns:
        async def make() -> Turns:
            return Turns(
                self.engine,
                self.ledger,
                KEY,
                lambda: KEEP_S,
                clock_ms=self.clock,
                patience=NEVER,
            )

        turns: Turns = self.run(make())
        return turns

    def expected(self, name: str) -> str | None:
        at_ms, said = self.replied.get(name, (-KEEP_MS, ""))
        return said if at_ms + KEEP_MS > self.clock.now else None

    @rule(name=NAMES)
    def come(self, name: str) -> None:
        """A request: it is refused, answered with what was said, or sent."""
        if name in self.held:
            try:
                self.turns.begin("key_1", name)
            except IdempotencyInProgressError:
                return
            raise AssertionError("two requests have the turn")
        turn = self.turns.begin("key_1", name)
        found = self.run(turn.find())
        assert found == (None if (said := self.expected(name)) is None else reply(said))
        if found is None:
            self.held[name] = turn
        else:
            turn.end()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), size=st.integers(0, 300))
    def answer(self, data: st.DataObject, size: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        self.calls += 1
        said = f"{self.calls}{'.' * size}"
        turn = self.held.pop(name)
        turn.keep(reply(said))
        turn.end()
        self.replied[name] = (self.clock.now, said)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self.held.pop(data.draw(st.sampled_from(sorted(self.held)))).end()

    @rule(passed_ms=st.sampled_from([1, 1_000, KEEP_MS - 1, KEEP_MS]))
    def wait(self, passed_ms: int) -> None:
        self.clock.now += passed_ms

    @rule()
    def apply(self) -> None:
        self.run(self.ledger.caught_up())

    @rule()
    def sweep(self) -> None:
        self.run(self.turns.delete_old())

    @rule()
    def crash(self) -> None:
        """The end of the process: what was written is applied, what was begun is forgotten."""
        self.run(self.ledger.close())
        self.ledger = self.run(opened(self.engine, self.folder))
        self.turns = self.made()
        self.held.clear()

    def teardown(self) -> None:
        self.run(self.ledger.close())
        self.run(self.engine.dispose())
        self.loop.close()
        shutil.rmtree(self.folder)


TurnsMachine.TestCase.settings = settings(
    max_examples=100 if SOAKING else 12, stateful_step_count=25, deadline=None
)
TestTurns = TurnsMachine.TestCase
