"""The process of one worker: `python -m conduit.gateway.worker`, started by its parent alone."""

import gc
import sys

from conduit.gateway.run import serve
from conduit.gateway.seat import read_order


def main() -> int:
    """Work until told to stop; the exit code."""
    gc.disable()  # until the gateway runs: what is imported stays
    overrides, config_file, seat = read_order(sys.stdin.buffer.readline())
    return serve(
        overrides, config_file=config_file, mode="serve", announce=lambda _: None, seat=seat
    )


if __name__ == "__main__":
    sys.exit(main())
