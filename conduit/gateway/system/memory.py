"""How this process keeps its memory, set once when it is ready to serve."""

import gc
import os
import sys
from typing import Final

_YOUNG_OBJECTS: Final = 20_000

# Of mallopt(3): how much may lie free at the end of the heap, and what is got from the system by
# itself, to be given back when it is let go.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_FREE_BYTES: Final = 16 << 20
_LARGE_BYTES: Final = 1 << 20
_OPERATORS_OWN: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def calm_collector() -> None:
    """Take what start-up has made out of the garbage collector's sight, and let it come less.

    Hundreds of thousands of objects live as long as the process; a request makes a few hundred,
    almost all of which die by their reference counts.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
    gc.enable()  # the commands that start a gateway put it off while everything is imported


def keep_freed_memory() -> bool:
    """Let the allocator keep a few megabytes that are free; whether it was told to.

    glibc gives the system back whatever is more than 128 kB, to ask for it again at the next body
    of that size, and each time the pages are made anew. What an operator has set stays.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _OPERATORS_OWN):
        return False
    import ctypes  # noqa: PLC0415  # nothing else here has a use for it

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library, with ways of its own
        return False
    kept = mallopt(_M_TRIM_THRESHOLD, _FREE_BYTES)
    return bool(kept and mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
