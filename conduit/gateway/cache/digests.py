"""What makes two requests the same: a digest over all that an answer depends on.

Two requests that mean the same may get different digests, which costs a call. Two that mean
different things never get the same.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import msgspec

_FORM = b"conduit answer 1"


def digest_of(parts: Iterable[bytes]) -> bytes:
    """The digest of a row of parts; where one ends and the next begins counts too."""
    made = hashlib.sha256(_FORM)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()


def canonical(fields: Mapping[str, msgspec.Raw]) -> Iterator[bytes]:
    """The top-level fields of a body by their names, without the space between their tokens.

    Inside of a value the order stays: models are shown it, and write objects in that of a schema.
    So does the text of numbers and strings.
    """
    for name in sorted(fields):
        yield name.encode("utf-8", "surrogatepass")
        yield _packed(bytes(fields[name]))


def _packed(value: bytes) -> bytes:
    try:
        return msgspec.json.format(value, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return value  # a lone surrogate, which is written one way as well as another
