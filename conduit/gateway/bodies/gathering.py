"""The bodies of a request, gathered while it runs, for an operator who has turned that on.

What is gathered is not scrubbed yet: it stays in memory and goes to `storage/bodies.py`, which
takes secrets out before anything is written.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from conduit.core.redaction import MARK

BEYOND_BYTES: Final = 8 * 1024
"""What is gathered beyond the limit, so that a secret is not cut in two before it is looked for."""

_HIDDEN_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)
_SHOWN_HEADERS: Final = frozenset(
    {"accept", "content-encoding", "content-length", "content-type", "date", "idempotency-key"}
    | {"idempotent-replayed", "request-id", "retry-after", "retry-after-ms", "server"}
    | {"user-agent", "x-request-id"}
)
_SHOWN_PREFIXES: Final = (
    "anthropic-",
    "openai-",
    "x-amzn-request",
    "x-conduit-",
    "x-goog-api-client",
    "x-ratelimit-",
    "x-stainless-",
)


class Gathered:
    """Bytes up to a limit; of what comes beyond it only the size is known."""

    __slots__ = ("_pieces", "_room", "size")

    def __init__(self, limit: int) -> None:
        self._pieces: list[bytes] = []
        self._room = limit + BEYOND_BYTES
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self._room > 0:
            kept = piece if len(piece) <= self._room else piece[: self._room]
            self._room -= len(kept)
            self._pieces.append(kept)

    def joined(self) -> bytes:
        """What was gathered, in one piece."""
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    @property
    def held_bytes(self) -> int:
        return sum(map(len, self._pieces))


class GatheredMessage(msgspec.Struct, eq=False):
    """A request or an answer: its headers that may be shown, and its body."""

    headers: Mapping[str, str]
    body: Gathered


class GatheredAttempt(msgspec.Struct, eq=False):
    """What was sent to a provider, and what came back; `response` None where no head came."""

    id: str
    provider: str
    model: str
    url: str
    request: GatheredMessage
    status: int | None = None
    response: GatheredMessage | None = None


class GatheredCall(msgspec.Struct, eq=False):
    """All that is kept of one request; `limit` is the most bytes of each body.

    `status` is 0 where the client got no answer.
    """

    id: str
    key_id: str
    path: str
    limit: int
    request: GatheredMessage
    attempts: list[GatheredAttempt] = msgspec.field(default_factory=list)
    status: int = 0
    response: GatheredMessage | None = None

    def message(self, headers: Mapping[str, str], body: bytes = b"") -> GatheredMessage:
        """A message of which more may come."""
        return message_of(headers, body, self.limit)

    @property
    def held_bytes(self) -> int:
        """The memory that the bodies take; what two of them share is counted twice."""
        messages = [self.request, self.response]
        for attempt in self.attempts:
            messages += attempt.request, attempt.response
        return sum(each.body.held_bytes for each in messages if each is not None)


def message_of(headers: Mapping[str, str], body: bytes, limit: int) -> GatheredMessage:
    gathered = Gathered(limit)
    if body:
        gathered.add(body)
    return GatheredMessage(shown_headers(headers), gathered)


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may be kept, in small letters; of a login only that it was there."""
    shown = {}
    for given, value in headers.items():
        name = given.lower()
        if name in _SHOWN_HEADERS or name.startswith(_SHOWN_PREFIXES):
            shown[name] = value
        elif name in _HIDDEN_HEADERS:
            shown[name] = MARK
    return shown
