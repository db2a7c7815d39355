"""What the input of a call consists of, whatever dialect it came in."""

import msgspec


class InputUnits(msgspec.Struct, frozen=True, gc=False):
    """The countable parts of an input (a Struct, as one is made for every request).

    `text_bytes` are UTF-8 bytes of text, `tokens` those that the client sent as token numbers.
    Base64 data is in none of the two: `audio_bytes` and `file_bytes` are its length as written.
    """

    text_bytes: int = 0
    messages: int = 0
    tokens: int = 0
    images: int = 0
    audio_clips: int = 0
    audio_bytes: int = 0
    files: int = 0
    file_bytes: int = 0
