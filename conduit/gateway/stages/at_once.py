"""Giving the pieces of a stream to the client in the very moment in which they arrive."""

from collections.abc import Callable

from conduit.gateway.dialects.bridges.protocol import AnswerStream
from conduit.gateway.dialects.openai.relayed_stream import Relayed


class AtOnce:
    """Gives pieces to the client as they arrive, as long as nothing has to be waited for or ended.

    A switch to the task of the request costs more than reading and writing a piece does. From
    `look_at` deltas on the loop has to look.
    """

    __slots__ = ("_fed", "_feed", "_output", "_piece", "_push", "_reader", "look_at")

    def __init__(self, reader: AnswerStream, push: Callable[[bytes], bool]) -> None:
        self._reader = reader
        self._feed = reader.feed
        self._output = reader.output
        self._push = push
        self._fed: Relayed | BaseException | None = None
        self._piece = b""  # of which that is
        self.look_at = 0

    def take(self, piece: bytes) -> bool:
        """See `UpstreamResponse.pipe`."""
        try:
            fed = self._feed(piece)
        except Exception as error:  # noqa: BLE001  # whatever it is, the task of the request tells
            self._fed, self._piece = error, piece
            return False
        data, failure = fed
        if (
            failure is None
            and not self._reader.done
            and self._output.deltas < self.look_at
            and (not data or self._push(data))
        ):
            return True
        self._fed, self._piece = fed, piece
        return False

    def read(self, piece: bytes) -> Relayed:
        """What a piece gives the client, which `take` may have read before."""
        fed = self._fed
        if fed is None:
            return self._feed(piece)
        if piece is not self._piece:  # the answer would lack what is not read now
            raise RuntimeError("a piece of a stream came out of turn")
        self._fed, self._piece = None, b""
        if isinstance(fed, BaseException):
            raise fed
        return fed
