"""Answers that come compressed although nobody asked for it."""

import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from conduit.gateway.upstream import Take, TransportFault, UpstreamResponse
from conduit.gateway.upstream.http1_response import Http1Response

Fault = TransportFault

_PIECE_BYTES: Final = 1 << 17
_GZIP: Final = 16 + zlib.MAX_WBITS
_PLAIN: Final = frozenset({"", "identity"})


def readable(response: Http1Response, encoding: str) -> UpstreamResponse:
    """The answer as it was before it was encoded."""
    return response if encoding in _PLAIN else DecodedResponse(response, encoding)


class DecodedResponse:
    """An answer in gzip or deflate as it was before; no more than a piece is decoded ahead."""

    __slots__ = ("_decoder", "_encoding", "_pending", "_response", "headers", "status")

    def __init__(self, response: Http1Response, encoding: str) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._encoding = encoding
        self._decoder: zlib._Decompress | None = None
        self._pending = b""

    @property
    def at_end(self) -> bool:
        return self._response.at_end and not self._pending

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._pending:
                piece = self._decode()
            else:
                try:
                    self._pending = await anext(self._response)
                except StopAsyncIteration:
                    self._at_end()
                    raise
                continue
            if piece:
                return piece

    def pipe(self, take: Take) -> None:
        """All pieces are given by iterating."""

    async def read(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                self.close()
                raise self._response.error(Fault.TOO_LARGE)
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self._response.close()

    def _decode(self) -> bytes:
        if self._decoder is None or self._decoder.eof:
            self._decoder = self._begin(self._pending[0])
        decoder = self._decoder
        try:
            piece = decoder.decompress(self._pending, _PIECE_BYTES)
        except zlib.error as error:
            self.close()
            raise self._response.error(Fault.PROTOCOL, "the answer's encoding is broken") from error
        # What follows the end of a gzip member is another one.
        self._pending = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        return piece

    def _begin(self, first: int) -> "zlib._Decompress":
        if self._encoding != "deflate":
            return zlib.decompressobj(wbits=_GZIP)
        # Some servers leave out the wrapping that the name stands for.
        wrapped = first & 0xF == 8
        return zlib.decompressobj(wbits=zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)

    def _at_end(self) -> None:
        if self._decoder is not None and not self._decoder.eof:
            raise self._response.error(Fault.CUT)
