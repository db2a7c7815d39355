"""Events that differ from an earlier one in their text alone, as nearly all of a stream do."""

from typing import NamedTuple

import msgspec

_read_text = msgspec.json.Decoder(str).decode
_write_text = msgspec.json.Encoder().encode


class UsualChunk(NamedTuple):
    """The bytes before and after the text of an event that brings text and nothing else.

    The quotes of the text end the one and begin the other.
    """

    before: bytes
    after: bytes

    def text_of(self, payload: bytes) -> str | None:
        """The text of an event of the same form; None where it must be read as JSON.

        What stands around the text is the same to the byte, so it says the same: no finish reason,
        no usage, no error. What stands between must be one string of JSON, so it ends no earlier.
        """
        before, after = self
        if not (payload.startswith(before) and payload.endswith(after)):
            return None
        end = len(payload) - len(after)
        if end < len(before):
            return None
        try:
            return _read_text(payload[len(before) - 1 : end + 1])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


def usual_chunk(payload: bytes, text: str, name: bytes = b"content") -> UsualChunk | None:
    """The form of an event that has been read and brings `text` in the field `name`.

    None where it is not that plain: where the field comes twice, or is written in another way.
    """
    key = b'"%b"' % name
    if payload.count(key) != 1:
        return None
    try:
        written = _write_text(text)
    except UnicodeEncodeError:
        return None
    opening = payload.index(key) + len(key)
    opening = payload.find(b'"', opening, opening + 3)  # after a colon, and perhaps a space
    if opening < 0 or not payload.startswith(written, opening):
        return None
    return UsualChunk(payload[: opening + 1], payload[opening + len(written) - 1 :])
