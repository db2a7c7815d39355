"""Pictures, sound and files, between Gemini's blobs and addresses and the internal form."""

import base64
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from conduit.gateway.conversation import Audio, File, Image

Media = Image | Audio | File

_MIME_OF_EXTENSION: Final = {
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "flac": "audio/flac",
    "m4a": "audio/m4a",
    "mp3": "audio/mp3",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "csv": "text/csv",
    "htm": "text/html",
    "html": "text/html",
    "json": "application/json",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "xml": "text/xml",
    "mov": "video/mov",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "webm": "video/webm",
}
_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}
_MIME_OF_FORMAT = {"pcm16": "audio/L16;rate=24000"}
# Addresses that nobody but Google can read: storage buckets, its Files API, its videos.
_PRIVATE_HOSTS = (
    "generativelanguage.googleapis.com",
    "youtube.com",
    "www.youtube.com",
    "youtu.be",
)
_URL_SAFE = str.maketrans("-_", "+/")


def standard_base64(text: str) -> str:
    """Base64 in the usual alphabet, padded: Google's SDKs write the URL-safe one."""
    text = text.translate(_URL_SAFE).rstrip("=")
    return text + "=" * (-len(text) % 4)


def data_url(mime: str, data: str) -> str:
    return f"data:{mime};base64,{data}"


def read_data_url(url: str) -> tuple[str, str] | None:
    """(MIME type, base64) of what begins as a data URL, None where it is none."""
    head, comma, data = url.removeprefix("data:").partition(",")
    if not comma:
        return None
    if head.endswith(";base64"):
        return head.removesuffix(";base64") or "text/plain", data
    return head or "text/plain", base64.b64encode(unquote_to_bytes(data)).decode()


def part_of_blob(blob: Mapping[str, Any]) -> Media | None:
    """A part by an `inlineData` of camelCase fields; None where a field of it has no place."""
    mime, data = blob.get("mimeType"), blob.get("data")
    name = blob.get("displayName")
    if not isinstance(mime, str) or not isinstance(data, str):
        return None
    if blob.keys() - {"mimeType", "data", "displayName"} or not isinstance(name, str | None):
        return None
    data = standard_base64(data)
    kind, _, subtype = mime.partition("/")
    if name is None and kind == "image":
        return Image(data_url(mime, data))
    if name is None and kind == "audio":
        return Audio(data, _FORMATS.get(subtype, subtype))
    return File(data=data_url(mime, data), filename=name)


def part_of_address(file: Mapping[str, Any]) -> Media | None:
    """A part by a `fileData` of camelCase fields; None where only Google can read its address."""
    uri, mime, name = file.get("fileUri"), file.get("mimeType"), file.get("displayName")
    if not isinstance(uri, str) or not isinstance(mime, str | None):
        return None
    if file.keys() - {"fileUri", "mimeType", "displayName"} or not isinstance(name, str | None):
        return None
    if not is_public(uri):
        return None
    if name is None and (mime or mime_of_url(uri) or "").startswith("image/"):
        return Image(uri)
    return File(url=uri, filename=name)


def is_public(uri: str) -> bool:
    """Whether a provider other than Google could fetch an address."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.hostname not in _PRIVATE_HOSTS


def mime_of_url(url: str) -> str | None:
    """The MIME type that the ending of an address stands for."""
    path = url.partition("?")[0].partition("#")[0]
    return _MIME_OF_EXTENSION.get(path.rpartition(".")[2].lower())


def media_fields(part: Media) -> dict[str, Any] | None:
    """The fields of a part of Gemini's; None where what is there is neither data nor address."""
    match part:
        case Image():
            return _by_url(part.url)
        case Audio():
            mime = _MIME_OF_FORMAT.get(part.format, f"audio/{part.format}")
            return {"inlineData": {"mimeType": mime, "data": part.data}}
        case File(data=str(data)):
            return _by_url(data) if data.startswith("data:") else None
        case File(url=str(url)):
            return _by_url(url)
        case _:
            return None


def _by_url(url: str) -> dict[str, Any] | None:
    if url.startswith("data:"):
        inline = read_data_url(url)
        return inline and {"inlineData": {"mimeType": inline[0], "data": inline[1]}}
    mime = mime_of_url(url)
    return {"fileData": ({"mimeType": mime} if mime else {}) | {"fileUri": url}}
