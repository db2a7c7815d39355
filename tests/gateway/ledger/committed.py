"""I1 to I6 over the last commit, while the loop of the ledger that is tested stands still.

What a machine has journalled and not applied stays so: nothing is waited for. It is looked at as
`doctor ledger` looks at a database, on a loop and over connections of its own.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from conduit.gateway.ledger.checks import check_database
from conduit.gateway.ledger.records import BadLineError, Claim, decode_line
from conduit.gateway.storage.engine import create_engine

CHECKED = ("I1", "I2", "I3", "I4", "I5", "I6")


class Committed:
    """The state of the last commit of the database at a URL."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._engine = create_engine(url)

    def violations(self, seen: Iterable[str], at_ms: int) -> list[tuple[str, str]]:
        """(invariant, what breaks it); `seen` are attempts that had been sent by then."""
        checked = check_database(self._engine, seen=seen, at_ms=at_ms)
        findings, _ = self._loop.run_until_complete(checked)
        assert [finding.invariant for finding in findings] == list(CHECKED)
        return [(each.invariant, text) for each in findings for text in each.violations]

    def close(self) -> None:
        self._loop.run_until_complete(self._engine.dispose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def journalled_attempts(folder: Path) -> set[str]:
    """The attempts of which a journal has the hold: those that are not applied, and later ones."""
    found = set()
    for file in folder.iterdir():
        for line in file.read_bytes().splitlines():
            try:
                record = decode_line(line)
            except BadLineError:  # the torn end of a crash
                continue
            if isinstance(record, Claim):
                found.add(record.attempt_id)
    return found
