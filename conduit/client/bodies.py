"""Kept bodies of requests, made readable and compared."""

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from conduit.client.answer_text import lines_of


def content_of(message: Mapping[str, Any]) -> bytes:
    """The bytes of a body, as far as they are kept."""
    body = str(message["body"])
    if message["encoding"] == "base64":
        return b64decode(body)
    return body.encode("utf-8", "backslashreplace")  # half a surrogate pair as JSON's own escape


def readable(content: bytes) -> str:
    """JSON indented, and so each event of a stream; all else as it is."""
    text = content.decode("utf-8", "replace")
    whole = _indented(text)
    if whole is not None:
        return whole
    return "\n".join(map(_readable_line, lines_of(text)))


def _readable_line(line: str) -> str:
    name, colon, value = line.partition(": ")
    indented = _indented(value) if name == "data" and colon else None
    return line if indented is None else f"data: {indented}"


def _indented(text: str) -> str | None:
    """JSON to be read; None for what is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return json.dumps(value, indent=2, ensure_ascii=False)


class Difference(NamedTuple):
    """A place in a body, such as `messages[0].content`, and what stands there; "" for nothing."""

    path: str
    before: str
    after: str


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference] | None:
    """In what one message's body differs from another's; None where one of them is no JSON."""
    try:
        values = [json.loads(content_of(message)) for message in (before, after)]
    except ValueError:
        return None
    return list(_differing("", *values))


_NOTHING = object()


def _differing(path: str, before: Any, after: Any) -> Iterator[Difference]:  # decoded JSON
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            inner = f"{path}.{name}" if path else name
            yield from _differing(inner, before.get(name, _NOTHING), after.get(name, _NOTHING))
    elif isinstance(before, list) and isinstance(after, list):
        for number in range(max(len(before), len(after))):
            pair = [each[number] if number < len(each) else _NOTHING for each in (before, after)]
            yield from _differing(f"{path}[{number}]", *pair)
    elif type(before) is not type(after) or before != after:
        yield Difference(path, _told(before), _told(after))


def _told(value: Any) -> str:  # decoded JSON
    return "" if value is _NOTHING else json.dumps(value, ensure_ascii=False)


class Question(NamedTuple):
    """The last thing that was asked in a request, and its system text."""

    text: str
    system: str | None
    earlier: int
    """How many messages came before it."""


def question_of(bodies: Mapping[str, Any]) -> Question | None:
    """What a chat request asked, of any dialect; None where that cannot be told."""
    try:
        body = json.loads(content_of(bodies["request"]))
        return _question(body)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # it is no request of a chat


def _question(body: dict[str, Any]) -> Question | None:
    turns = body.get("messages") or body.get("contents") or body.get("input")
    if isinstance(turns, str):
        return Question(turns, body.get("instructions"), 0)
    system = body.get("system") or body.get("systemInstruction") or body.get("instructions")
    said = [turn for turn in turns or () if turn.get("role") not in ("system", "developer")]
    ruled = [turn for turn in turns or () if turn.get("role") in ("system", "developer")]
    if not said or said[-1].get("role", "user") != "user":
        return None
    text = _text(said[-1].get("content", said[-1].get("parts")))
    rules = _text(system) or (_text(ruled[0].get("content")) if ruled else "")
    return Question(text, rules or None, len(said) - 1) if text else None


def _text(content: Any) -> str:  # decoded JSON: a text, a part, or a list of them
    if isinstance(content, dict):
        return _text(content.get("text") or content.get("parts"))
    if isinstance(content, list):
        return "\n".join(filter(None, map(_text, content)))
    return content if isinstance(content, str) else ""
