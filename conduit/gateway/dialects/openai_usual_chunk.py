"""Chunks that differ from an earlier one in their text alone, as nearly all of a stream do."""

from typing import NamedTuple


class UsualChunk(NamedTuple):
    """The bytes before and after the text of a chunk that brings text and nothing else."""

    before: bytes
    after: bytes

    def text_of(self, payload: bytes) -> str | None:
        """The text of a chunk of the same form; None where it must be read as JSON.

        What stands around the text is the same to the byte, so it says the same: no finish reason,
        no usage, no error. A quote or an escape might end the text earlier, so there is none.
        """
        before, after = self
        if not (payload.startswith(before) and payload.endswith(after)):
            return None
        text = payload[len(before) : -len(after)]
        if b'"' in text or b"\\" in text or len(payload) < len(before) + len(after):
            return None
        try:
            return text.decode()
        except UnicodeDecodeError:
            return None


def usual_chunk(payload: bytes, text: str) -> UsualChunk | None:
    """The form of a chunk that has been read and brings `text`; None where it is not that plain."""
    written = b'"content":"%b"' % text.encode("utf-8", "surrogatepass")
    if payload.count(b'"content"') != 1 or payload.count(written) != 1 or "\\" in text:
        return None
    start = payload.index(written) + len(b'"content":"')
    return UsualChunk(payload[:start], payload[start + len(written) - len(b'"content":""') :])
