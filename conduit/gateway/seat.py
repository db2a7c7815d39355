"""The place of a worker among the processes that serve as one gateway."""

from dataclasses import dataclass
from typing import Final

READY: Final = b"ready\n"
"""What a worker writes to its standard output once it accepts."""

BACKLOG: Final = 1024
"""Connections that wait to be accepted."""


@dataclass(frozen=True, slots=True)
class Seat:
    """`number` counts from 1; `epoch` is what the parent has taken the ledger for.

    `sockets` are the descriptors that the parent listens on. Its standard input ends with it.
    """

    number: int
    count: int
    epoch: int
    sockets: tuple[int, ...] = ()
    on_terminal: bool = False

    @property
    def leads(self) -> bool:
        """Whether this worker does what is to be done once for all of them."""
        return self.number == 1
