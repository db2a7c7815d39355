"""The place of a worker among the processes that serve as one gateway."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from conduit.core.settings_sources import CommandDefault

READY: Final = b"ready\n"
"""What a worker writes to its standard output once it accepts."""

RELOAD: Final = b"reload\n"
"""What it writes there to have the other workers read their settings, as it has just done."""


@dataclass(frozen=True, slots=True)
class Seat:
    """`number` counts from 1; `epoch` is what the parent has taken the ledger for.

    `sockets` are the descriptors that the parent listens on, `admin_sockets` those for
    administration where it has its own. Its standard input ends with it.
    """

    number: int
    count: int
    epoch: int
    sockets: tuple[int, ...] = ()
    admin_sockets: tuple[int, ...] = ()
    on_terminal: bool = False


def order_of(overrides: Mapping[str, object], config_file: str | None, seat: Seat) -> bytes:
    """The line of its standard input that tells a worker what to do.

    A database's password must be seen neither among the arguments of processes nor in their
    environment.
    """
    values = {
        name: {"value": given.value, "command": given.command}
        if isinstance(given, CommandDefault)
        else {"value": given}
        for name, given in overrides.items()
    }
    order = {"overrides": values, "config_file": config_file, "seat": asdict(seat)}
    return json.dumps(order).encode() + b"\n"


def read_order(line: bytes) -> tuple[dict[str, object], str | None, Seat]:
    """What `order_of` was given."""
    order: dict[str, Any] = json.loads(line)
    overrides = {
        name: CommandDefault(given["value"], given["command"])
        if "command" in given
        else given["value"]
        for name, given in order["overrides"].items()
    }
    given = order["seat"]
    shared = {name: tuple(given[name]) for name in ("sockets", "admin_sockets")}
    seat = Seat(**{**given, **shared})
    return overrides, order["config_file"], seat
