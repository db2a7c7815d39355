"""ULID identifiers with a readable prefix: `req_01JD3K9…`.

Source of the form: the ULID specification (48 bits of milliseconds, 80 random bits, Crockford's
base 32, 26 characters), which sorts by time as text. The first 30 of the random bits count on from
a random start, so that the ids of one process sort in the order of their making within one
millisecond too; the other 50 are drawn anew about every second, and keep the ids of processes
apart. An id names something and guards nothing, so its random bits need not be secret: they come
from a generator without a system call.
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
# What the ids of about a second have in common: which 1,024 ms, and the two ends of their text.
_latest: list[tuple[int | None, str, str]] = [(None, "", "")]


def new_id(prefix: str, at_ms: int | None = None) -> str:
    """`prefix_<ULID>`, for example `att_01JD3K9ZZZ…`, of now or of `at_ms`."""
    moment = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    span, start, end = _latest[0]
    if moment >> 10 != span:
        start, end = _begin_span(moment)
    count, pairs = _count(), _PAIRS
    return (
        f"{prefix}_{start}{pairs[moment & 1023]}{pairs[count >> 20 & 1023]}"
        f"{pairs[count >> 10 & 1023]}{pairs[count & 1023]}{end}"
    )


def new_ulid(at_ms: int | None = None) -> str:
    """A 26-character ULID, without a prefix."""
    return new_id("", at_ms)[1:]


def _begin_span(moment: int) -> tuple[str, str]:
    """The two ends of the ids of some 1,024 ms."""
    if not 0 <= moment <= _LAST_MS:
        raise OverflowError("a ULID holds 48 bits of milliseconds")
    span = moment >> 10
    start, end = _text_of(span)[2:], _text_of(_bits(_CHANCE_BITS))
    _latest[0] = (span, start, end)  # one step, whichever thread takes it
    return start, end


def _text_of(number: int) -> str:
    """50 bits in ten characters: ten bits make two."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in (40, 30, 20, 10, 0)])


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
