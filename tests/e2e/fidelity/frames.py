"""Server-sent events as tests read them."""

import json
from collections.abc import Iterable
from typing import Any


def data_of(body: bytes) -> list[Any]:
    """The data of each event, as JSON where it is JSON."""
    found: list[Any] = []
    for event in body.decode().split("\n\n"):
        for line in event.split("\n"):
            if line.startswith("data: "):
                text = line.removeprefix("data: ")
                found.append(json.loads(text) if text.startswith("{") else text)
    return found


def joined(texts: Iterable[str]) -> str:
    """The texts as one, with the halves of surrogate pairs put together that were cut apart."""
    return "".join(texts).encode("utf-16", "surrogatepass").decode("utf-16")
