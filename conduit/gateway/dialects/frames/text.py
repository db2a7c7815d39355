"""Frames of a stream that differ in their text alone, from the bytes that stood around the last."""

from typing import NamedTuple

import msgspec

_encode = msgspec.json.Encoder().encode


class TextFrame(NamedTuple):
    """The bytes before and after the text of a frame; JSON is written the same around any text."""

    before: bytes
    after: bytes

    def around(self, text: str) -> bytes | None:
        """The frame with `text`; None for half a surrogate pair, which changes all of the frame."""
        try:
            return self.before + _encode(text) + self.after
        except UnicodeEncodeError:
            return None


def text_frame(empty: bytes, name: str) -> TextFrame:
    """The form of a frame that was written with an empty text in its last field called `name`."""
    before, found, after = empty.rpartition(b'"%b":""' % name.encode())
    assert found, "the frame was written with this field"
    return TextFrame(before + found[:-2], after)
