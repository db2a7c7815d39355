"""An encoder of AWS's event stream framing, written apart from the decoder that it tests."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32

JSON_EVENT = {":content-type": "application/json", ":message-type": "event"}


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=value < 0)


def typed(value: object, kind: int | None = None) -> bytes:
    """A header's value behind the number of its kind; that of the largest integers if not told."""
    if value is True:
        return b"\x00"
    if value is False:
        return b"\x01"
    if isinstance(value, str):
        text = value.encode()
        return b"\x07" + number(len(text), 2) + text
    if isinstance(value, bytes):
        return b"\x09" + value if kind == 9 else b"\x06" + number(len(value), 2) + value
    assert isinstance(value, int)
    size = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8}[kind or 5]
    return bytes([kind or 5]) + value.to_bytes(size, "big", signed=True)


def frame(headers: bytes, payload: bytes) -> bytes:
    prelude = number(len(headers) + len(payload) + 16, 4) + number(len(headers), 4)
    before = prelude + number(crc32(prelude), 4) + headers + payload
    return before + number(crc32(before), 4)


def message(headers: Mapping[str, object], payload: bytes = b"") -> bytes:
    names = ((name.encode(), typed(value)) for name, value in headers.items())
    return frame(b"".join(bytes([len(name)]) + name + value for name, value in names), payload)


def event(kind: str, payload: Any) -> bytes:
    return message({":event-type": kind, **JSON_EVENT}, json.dumps(payload).encode())


def exception(kind: str, payload: Any) -> bytes:
    headers = {":exception-type": kind, **JSON_EVENT, ":message-type": "exception"}
    return message(headers, json.dumps(payload).encode())


def stream(events: Iterable[tuple[str, Any]]) -> bytes:
    return b"".join(event(kind, payload) for kind, payload in events)
