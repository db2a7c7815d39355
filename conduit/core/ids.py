"""ULID identifiers with a readable prefix: `req_01JD3K9…`.

Source of the form: the ULID specification (48 bits of milliseconds, 80 random bits, Crockford's
base 32, 26 characters), which sorts by time as text. The first 30 of the random bits count on from
a random start, so that the ids of one process sort in the order of their making within one
millisecond too; the other 50 are drawn anew each millisecond, and keep the ids of processes apart.
An id names something and guards nothing, so its random bits need not be secret: they come from a
generator without a system call.
"""

import itertools
import random
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = ["".join(pair) for pair in itertools.product(_CROCKFORD, repeat=2)]
_bits = random.Random().getrandbits  # seeded by the system, so that no two processes count alike
_TIME_CHARACTERS, _CHANCE_CHARACTERS = 10, 16
_LAST_MS = (1 << 48) - 1
_CHANCE_BITS = 50
_count = itertools.count(_bits(29)).__next__  # atomic, whichever thread asks
# The moment of the last id and the two ends of its text: at a high rate many ids share them.
_latest = [(-1, "", "")]


def new_ulid(at_ms: int | None = None) -> str:
    """A 26-character ULID of now, or of `at_ms`."""
    moment = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    latest_moment, start, end = _latest[0]
    if moment != latest_moment:
        if not 0 <= moment <= _LAST_MS:
            raise OverflowError("a ULID holds 48 bits of milliseconds")
        start, end = _text_of(moment), _text_of(_bits(_CHANCE_BITS))
        _latest[0] = (moment, start, end)  # one step, whichever thread takes it
    count, pairs = _count(), _PAIRS
    counted = f"{pairs[count >> 20 & 1023]}{pairs[count >> 10 & 1023]}{pairs[count & 1023]}"
    return f"{start}{counted}{end}"


def _text_of(number: int) -> str:
    """50 bits in ten characters: ten bits make two."""
    pairs = _PAIRS  # written out, as this is done for every other request
    return (
        f"{pairs[number >> 40 & 1023]}{pairs[number >> 30 & 1023]}{pairs[number >> 20 & 1023]}"
        f"{pairs[number >> 10 & 1023]}{pairs[number & 1023]}"
    )


def new_id(prefix: str, at_ms: int | None = None) -> str:
    """`prefix_<ULID>`, for example `att_01JD3K9ZZZ…`."""
    return f"{prefix}_{new_ulid(at_ms)}"


def first_id(prefix: str, at_ms: int) -> str:
    """The lowest id of a moment: those made before sort below it, those made since above."""
    moment = min(max(at_ms, 0), _LAST_MS)  # no id is of a time before 1970 or after 10889
    return f"{prefix}_{new_ulid(moment)[:_TIME_CHARACTERS]}{'0' * _CHANCE_CHARACTERS}"


def at_ms_of(id_text: str) -> int:
    """The moment that an id was made at, in epoch milliseconds. Raises ValueError."""
    ulid = id_text.rpartition("_")[2]
    if len(ulid) != _TIME_CHARACTERS + _CHANCE_CHARACTERS:
        raise ValueError(f"{id_text!r} is no id")
    at_ms = 0
    for character in ulid[:_TIME_CHARACTERS]:
        at_ms = at_ms * 32 + _CROCKFORD.index(character)
    return at_ms


def now_ms() -> int:
    """Integer epoch milliseconds, UTC."""
    return time.time_ns() // 1_000_000
