"""Files and addresses that go along with a message, as parts of OpenAI's API."""

import base64
import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conduit.core import people

MOST_BYTES = 20 * 1024 * 1024
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"%PDF-", "application/pdf"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
)


class AttachmentError(Exception):
    """Something that cannot go along; the message is one line."""


def part_of(given: str) -> dict[str, Any]:
    """The part for a file or an image's URL. Raises AttachmentError."""
    if given.startswith(("http://", "https://")):
        return _part_of_url(given)
    path = Path(given).expanduser()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise AttachmentError(f"{given} is larger than {MOST_BYTES // 1024**2} MiB")
        content = path.read_bytes()
    except OSError as error:
        raise AttachmentError(f"{given}: {error.strerror}") from error
    return _part_of_file(path.name, content)


def kind_of(content: bytes) -> str | None:
    """The MIME type that a file's first bytes tell, whatever its name says."""
    for at, signature, kind in _SIGNATURES:
        if content[at : at + len(signature)] == signature:
            return kind
    return None


def _part_of_url(url: str) -> dict[str, Any]:
    # The provider fetches it: nothing here follows an address from elsewhere.
    kind, _ = mimetypes.guess_type(urlsplit(url).path)
    if kind is not None and not kind.startswith("image/"):
        raise AttachmentError(f"{url}: only images may be given by URL, this is {kind}")
    return {"type": "image_url", "image_url": {"url": url}}


def _part_of_file(name: str, content: bytes) -> dict[str, Any]:
    kind = kind_of(content)
    if kind is None:
        return {"type": "text", "text": _inlined(name, content)}
    encoded = base64.b64encode(content).decode("ascii")
    if kind in _IMAGES:
        return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{encoded}"}}
    if kind in _AUDIO:
        return {"type": "input_audio", "input_audio": {"data": encoded, "format": _AUDIO[kind]}}
    return {
        "type": "file",
        "file": {"filename": name, "file_data": f"data:{kind};base64,{encoded}"},
    }


def _inlined(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AttachmentError(
            f"{name} is neither a text in UTF-8 nor a PNG, JPEG, GIF, WebP, PDF, WAV or MP3 file"
        ) from error
    if "\0" in text:
        raise AttachmentError(f"{name} is no text")
    return f"{name}:\n\n{text}"


def within_limit(parts: Iterable[dict[str, Any]]) -> bool:
    """Whether parts may go along with one question."""
    # Data is written in base64, which makes four characters of three bytes.
    return sum(map(_size_of, parts)) <= MOST_BYTES * 4 // 3


def described(part: dict[str, Any]) -> str:
    """What a part is, in a few words: `image PNG 12 kB`, `file report.pdf 1.2 MB`."""
    kind = part.get("type")
    if kind == "image_url":
        url = str(part.get("image_url", {}).get("url", ""))
        if not url.startswith("data:"):
            return f"image {url}"
        format_ = url[5:].partition(";")[0].partition("/")[2]
        return f"image {format_.upper()} {_bytes_of(url)}"
    if kind == "input_audio":
        audio = part.get("input_audio", {})
        return f"audio {str(audio.get('format', '')).upper()} {_bytes_of(str(audio.get('data')))}"
    if kind == "file":
        file = part.get("file", {})
        return f"file {file.get('filename', '')} {_bytes_of(str(file.get('file_data')))}"
    name, separator, _ = str(part.get("text", "")).partition(":\n\n")
    return f"text {name}" if separator and "\n" not in name else "text"


def _bytes_of(data: str) -> str:
    return people.size(len(data.partition(",")[2] or data) * 3 // 4)


def _size_of(part: dict[str, Any]) -> int:
    inner = part.get(part["type"])
    if isinstance(inner, str):
        return len(inner)
    return sum(len(value) for value in inner.values()) if isinstance(inner, dict) else 0
