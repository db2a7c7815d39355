"""Thinking in chat messages, for which OpenAI's format has no fields of its own.

`reasoning_content` holds the text, as DeepSeek and others write it. `reasoning_signature` and
`reasoning_redacted` are this gateway's: opaque to a client, who sends the message back as it got
it. In a stream the pieces of a field are to be joined, as those of `content`.

A message may hold several thoughts, each with a signature that is good for its own text alone. Then
their texts follow each other, redacted ones too, apart by a space, and `reasoning_signature` says
where each thought begins, in characters: "first 120 second 180 *" where "*" is a redacted one.
"""

import re
from collections.abc import Iterable
from typing import Final

from conduit.gateway.conversation import Thinking
from conduit.gateway.dialects import signatures

_DIALECT: Final = "openai_chat"
_BORDER = re.compile(r" (\d{1,9}) ")
_REDACTED: Final = "*"


class ThoughtWriter:
    """Writes the thoughts of one message as pieces of its fields, in the order they come."""

    def __init__(self) -> None:
        self._thoughts = 0
        self._characters = 0
        self._borders = ""  # not written yet: while nothing is signed, no one needs them
        self._has_redacted = False
        self._is_redacted = False
        self._is_signing = False
        self._has_signature = False

    def begin(self, redacted: str | None = None, signed_by: str = "") -> dict[str, str]:
        if self._thoughts:
            mark = _REDACTED if self._is_redacted else ""
            self._borders += f"{mark} {self._characters} "
        self._thoughts += 1
        self._is_redacted = redacted is not None
        self._is_signing = False
        fields: dict[str, str] = {}
        if redacted is not None:
            space = " " if self._has_redacted else ""
            self._has_redacted = True
            fields["reasoning_redacted"] = space + _written(redacted, signed_by)
        if self._borders and (self._has_redacted or self._has_signature):
            fields |= self._sign("")
        return fields

    def text(self, text: str) -> dict[str, str]:
        self._characters += len(text)
        return {"reasoning_content": text}

    def signature(self, signature: str, signed_by: str) -> dict[str, str]:
        """A signature, or a piece of one: who made it stands before the first piece."""
        text = signature if self._is_signing else _written(signature, signed_by)
        self._is_signing = True
        return self._sign(text)

    def _sign(self, text: str) -> dict[str, str]:
        self._has_signature = True
        borders, self._borders = self._borders, ""
        return {"reasoning_signature": borders + text}


def write_thoughts(thoughts: Iterable[Thinking]) -> dict[str, str]:
    """The fields of a message with these thoughts."""
    writer = ThoughtWriter()
    fields: dict[str, str] = {}
    for thought in thoughts:
        pieces = [writer.begin(thought.redacted, thought.signed_by)]
        if thought.text or (thought.signature is None and thought.redacted is None):
            pieces.append(writer.text(thought.text))
        if thought.signature is not None:
            pieces.append(writer.signature(thought.signature, thought.signed_by))
        for piece in pieces:
            for name, text in piece.items():
                fields[name] = fields.get(name, "") + text
    return fields


def read_thoughts(
    text: str | None, signature: str | None, redacted: str | None
) -> tuple[Thinking, ...]:
    """The thoughts in the fields of a message; none where there are no such fields."""
    if text is None and signature is None and redacted is None:
        return ()
    text = text or ""
    pieces = _BORDER.split(signature or "")
    if len(pieces) == 1:
        return (_thought(text, signature, redacted),)
    begins = [0, *map(int, pieces[1::2]), len(text)]
    if begins != sorted(begins):
        return (Thinking(text),)  # somebody has changed the text: no signature holds
    hidden = redacted.split(" ") if redacted else []
    thoughts = []
    for at, signed in enumerate(pieces[::2]):
        said = text[begins[at] : begins[at + 1]]
        is_last = at == len(begins) - 2
        if hidden and not said and (signed == _REDACTED or (is_last and not signed)):
            thoughts.append(_thought("", None, hidden.pop(0)))
        else:
            thoughts.append(_thought(said, signed or None, None))
    return tuple(thoughts)


def _thought(text: str, signature: str | None, redacted: str | None) -> Thinking:
    signed_by = ""
    if redacted is not None:
        redacted, signed_by = signatures.read(redacted, _DIALECT)
    if signature is not None:
        signature, signed_by = signatures.read(signature, _DIALECT)
    return Thinking(text, signature=signature, redacted=redacted, signed_by=signed_by)


def _written(signature: str, signed_by: str) -> str:
    return signatures.written(signature, signed_by or _DIALECT, _DIALECT)
