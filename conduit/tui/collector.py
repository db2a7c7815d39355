"""When the garbage collector looks for cycles: not while the interface starts, and rarely after.

Imports make a hundred thousand objects that stay, and a full collection walks all of them: a tenth
of a second or more, within which no key is heard.
"""

import gc

_YOUNG_OBJECTS = 2_000


def put_off() -> None:
    """Collect nothing until `calm`."""
    gc.disable()


def calm() -> None:
    """Take what there is out of the collector's sight, and let it come less often from now on."""
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 50)
    gc.enable()
