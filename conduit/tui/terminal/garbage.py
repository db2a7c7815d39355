"""When the garbage collector looks for cycles: not at all that is imported, again and again.

Imports make a hundred thousand objects that stay, and a full collection walks all of them: a tenth
of a second or more, within which no key is heard.
"""

import gc

_NEVER = 1_000


def put_off() -> None:
    """Look at young objects only, until `calm`."""
    gc.set_threshold(10_000, 10, _NEVER)


def calm() -> None:
    """Collect once, take what is left out of the collector's sight, and let it come less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 50)
