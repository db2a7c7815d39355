"""What a client says in the head of its request about answers that are kept (RFC 9111, 5.2.1)."""

from collections.abc import Mapping
from typing import NamedTuple

_MOST_DIGITS = 12


class Wishes(NamedTuple):
    """`store` False: the answer is neither looked for nor kept. `youngest_s`: no older answer."""

    store: bool = True
    stored: bool = True
    youngest_s: int | None = None


def wishes_of(headers: Mapping[str, str]) -> Wishes:
    """What `Cache-Control` says, on however many lines; what is not known of it says nothing."""
    store = stored = True
    youngest_s: int | None = None
    for name, value in headers.items():
        if name.lower() != "cache-control":
            continue
        for directive in value.lower().split(","):
            word, _, argument = directive.strip().partition("=")
            if word == "no-store":
                store = False
            elif word == "no-cache":
                stored = False
            elif word == "max-age":
                digits = argument.strip('" ')[:_MOST_DIGITS]
                # One that cannot be read is treated as stale by everything.
                youngest_s = int(digits) if digits.isascii() and digits.isdigit() else 0
    return Wishes(store, stored and youngest_s != 0, youngest_s)
