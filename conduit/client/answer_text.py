"""The text of an answer that a client got, in whichever dialect, whole or streamed; pure."""

import json
import re
from collections.abc import Iterator
from typing import Any

_LINE_END = re.compile(r"\r\n|\n|\r")
_DATA = "data:"
_TEXT_DELTA = "response.output_text.delta"
"""Other events of OpenAI's responses have a text as their delta that is none of the answer."""

_TEXT_TYPES = frozenset({"message", "text", "output_text", "text_delta"})
"""Of what tells its type: reasoning, and the results of tools, have texts too."""


def text_of_answer(content: bytes) -> str | None:
    """What a person would read of it; None where it holds no text, as embeddings do."""
    text = content.decode("utf-8", "replace")
    pieces = list(_pieces(text))
    return "".join(pieces) if pieces else None


def lines_of(text: str) -> list[str]:
    """The lines of a stream of events; what else `str.splitlines` cuts at may stand within JSON."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def _pieces(text: str) -> Iterator[str]:
    whole = _json(text)
    if whole is not None:
        # Gemini's streams may come as one array.
        for part in whole if isinstance(whole, list) else [whole]:
            yield from _of_object(part)
        return
    for event in _events(text):
        yield from _of_object(_json(event))


def _events(text: str) -> Iterator[str]:
    """The data of each event; the last one may lack its end."""
    data: list[str] = []
    for line in [*lines_of(text), ""]:
        if line.startswith(_DATA):
            data.append(line.removeprefix(_DATA).removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of_object(value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    if isinstance(value.get("delta"), dict) or value.get("type") == _TEXT_DELTA:
        yield from _texts(value["delta"])
    yield from _texts(value.get("content"))
    for choice in _dicts(value.get("choices")):
        for name in ("message", "delta", "text"):
            yield from _texts(choice.get(name))
    for item in _dicts(value.get("output")):
        if item.get("type") != "reasoning":
            yield from _texts(item.get("content"))
    for candidate in _dicts(value.get("candidates")):
        yield from _texts(candidate.get("content"))


def _texts(value: Any) -> Iterator[str]:
    """The texts of a message, of its parts, or of a piece of either; thinking is none."""
    match value:
        case str():
            yield value
        case list():
            for part in value:
                yield from _texts(part)
        case {"thought": True}:
            return
        case {"type": str(kind)} if kind not in _TEXT_TYPES:
            return
        case {"text": str(text)}:
            yield text
        case {"parts": list(parts)}:
            yield from _texts(parts)
        case {"content": inner}:
            yield from _texts(inner)
        case _:
            return


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (
        (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())
    )
