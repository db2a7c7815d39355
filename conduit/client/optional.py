"""Importing a library without the optional ones that it would take along."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Within, these packages are not found, installed or not; those that are loaded stay.

    For libraries that import whatever they could use one day. Python finds no module whose place in
    `sys.modules` holds None, and the library goes on as it does where that one is not installed.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is what hides
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
