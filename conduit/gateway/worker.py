"""The process of one worker: `python -m conduit.gateway.worker`, started by its parent alone.

What it is to do stands in the first line of its standard input, as a database's password must
neither be seen among the arguments of processes nor in their environment.
"""

import gc
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from conduit.core.settings_sources import CommandDefault
from conduit.gateway.run import serve
from conduit.gateway.seat import Seat


def order_of(overrides: Mapping[str, object], config_file: str | None, seat: Seat) -> bytes:
    """The line that tells a worker what to do."""
    values = {
        name: {"value": given.value, "command": given.command}
        if isinstance(given, CommandDefault)
        else {"value": given}
        for name, given in overrides.items()
    }
    order = {"overrides": values, "config_file": config_file, "seat": asdict(seat)}
    return json.dumps(order).encode() + b"\n"


def main() -> int:
    """Work until told to stop; the exit code."""
    gc.disable()  # until the gateway runs: what is imported stays
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    overrides = {
        name: CommandDefault(given["value"], given["command"])
        if "command" in given
        else given["value"]
        for name, given in order["overrides"].items()
    }
    fields = {**order["seat"], "sockets": tuple(order["seat"]["sockets"])}
    return serve(
        overrides,
        config_file=order["config_file"],
        mode="serve",
        announce=lambda _: None,
        seat=Seat(**fields),
    )


if __name__ == "__main__":
    sys.exit(main())
