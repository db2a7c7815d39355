"""The payloads of server-sent events, from the bytes of a body as they arrive."""

from conduit.gateway.dialects.frames.sse import EventSplitter, payload_of, payloads_of
from conduit.gateway.dialects.lenient_json import read_json

DONE_PAYLOAD = b"[DONE]"


class EventPayloads:
    """Cuts a body into the data of its events; comments and events without data are passed over."""

    __slots__ = ("_splitter",)

    def __init__(self) -> None:
        self._splitter = EventSplitter()

    def feed(self, piece: bytes) -> list[bytes]:
        """The data that is whole now; raises UpstreamFailure for an event beyond the limit."""
        whole = self._splitter.feed(piece)
        return [payload for payload in payloads_of(whole) if payload] if whole else []

    def finish(self) -> list[bytes]:
        """The last event, where it lacks nothing but the empty line that ends it."""
        payload = payload_of(self._splitter.finish().rstrip(b"\r\n"))
        if not payload or (payload != DONE_PAYLOAD and read_json(payload) is None):
            return []
        return [payload]
