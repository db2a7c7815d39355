"""A reply as it is kept: what was asked, what was answered, sealed with the installation's key."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from conduit.gateway.config.sealing import Place, SealedError, SealingKey

_FORM = b"conduit idempotency 1"


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """A good answer as its client got it; `body` is that of a stream too, from end to end.

    `asked` is the digest of what was asked. The body is None where the answer was given and not
    kept, as it is too large; then only that is known of it.
    """

    asked: bytes
    request_id: str
    headers: Mapping[str, str]
    body: bytes | None
    cost_nanodollars: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reply).decode


def digest_of(key_id: str, idempotency_key: str) -> bytes:
    """Where a reply is found; of a client's own word for a request, nothing else is stored."""
    return _digest((key_id.encode(), idempotency_key.encode("utf-8", "surrogateescape")))


def digest_of_asked(path: str, dialect: str, body: bytes) -> bytes:
    """What tells whether two requests ask the same: the path, its query's dialect, every byte."""
    return _digest((path.encode("utf-8", "surrogateescape"), dialect.encode(), body))


def seal(key: SealingKey, digest: bytes, at_ms: int, reply: Reply) -> bytes:
    """The reply as it is stored: it opens only under its digest and with its own moment."""
    return key.seal_bytes(_encode(reply), _place(digest), at_ms)


def unseal(key: SealingKey, digest: bytes, at_ms: int, content: bytes) -> Reply:
    """The reply again. Raises SealedError."""
    plain = key.open_bytes(content, _place(digest), at_ms)
    try:
        return _decode(plain)
    except msgspec.DecodeError as error:
        raise SealedError("the reply has a form that this release does not know") from error


def _digest(parts: Iterable[bytes]) -> bytes:
    made = hashlib.sha256(_FORM)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()


def _place(digest: bytes) -> Place:
    return Place("idempotent_replies", digest.hex(), "content")
