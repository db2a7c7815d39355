"""Pictures, documents, sound and video as blocks of Bedrock's Converse format."""

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from conduit.gateway.conversation import Audio, File, Image
from conduit.gateway.dialects.target import InexpressibleError

IMAGE_TYPES: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_VIDEO_TYPES: Final[Mapping[str, str]] = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
_DOCUMENT_TYPES: Final[Mapping[str, str]] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_AUDIO: Final = frozenset(
    {"mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg"}
    | {"mpga", "pcm", "webm"}
)
_PLACES: Final[Mapping[str, Mapping[str, str]]] = {
    "image": IMAGE_TYPES,
    "video": _VIDEO_TYPES,
    "document": _DOCUMENT_TYPES,
}
_SUFFIXES: Final[Mapping[str, tuple[str, str]]] = {
    form: (place, form) for place, types in _PLACES.items() for form in types.values()
} | {"jpg": ("image", "jpeg"), "mpg": ("video", "mpg"), "3gp": ("video", "three_gp")}

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z\s\-()\[\]]")
_LONGEST_NAME: Final = 200


def image_block(image: Image) -> dict[str, Any]:
    """Raises InexpressibleError for a picture that Bedrock would have to fetch."""
    if image.url.startswith("s3://"):
        place, form = _by_suffix(image.url)
        if place != "image":
            raise InexpressibleError("image", "Bedrock tells a picture in S3 by its suffix")
        return {"image": {"format": form, "source": _in_s3(image.url)}}
    if not image.url[:5].lower() == "data:":
        raise InexpressibleError(
            "image", "Bedrock fetches no pictures from URLs: send the picture itself, as a data URL"
        )
    media_type, data = _data_url(image.url, "image")
    form = IMAGE_TYPES.get(media_type, "")
    if not form:
        raise InexpressibleError("image", "Bedrock takes pictures as PNG, JPEG, GIF or WebP")
    return {"image": {"format": form, "source": {"bytes": data}}}


def audio_block(audio: Audio) -> dict[str, Any]:
    form = audio.format.removeprefix("audio/")
    if form not in _AUDIO:
        raise InexpressibleError("audio", f"Bedrock takes sound as {', '.join(sorted(_AUDIO))}")
    return {"audio": {"format": form, "source": {"bytes": _base64(audio.data, "audio")}}}


class FileBlocks:
    """Writes the files of one request, in which no two documents may have the same name."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def block(self, file: File) -> dict[str, Any]:
        """Raises InexpressibleError for a file that Bedrock cannot see or does not know."""
        if file.url is not None and file.url.startswith("s3://"):
            place, form = _by_suffix(file.filename or file.url)
            return self._block(place, form, _in_s3(file.url), file.filename)
        if file.data is None:
            raise InexpressibleError(
                "file", "Bedrock takes files as base64 data, or by an s3:// address"
            )
        media_type, data = "", file.data
        if file.data[:5].lower() == "data:":
            media_type, data = _data_url(file.data, "file")
        else:
            data = _base64(file.data, "file")
        place, form = _by_type(media_type) or _by_suffix(file.filename or "")
        return self._block(place, form, {"bytes": data}, file.filename)

    def _block(
        self, place: str, form: str, source: Mapping[str, Any], filename: str | None
    ) -> dict[str, Any]:
        if not place:
            raise InexpressibleError(
                "file", f"Bedrock takes no files of this kind; it takes {', '.join(_SUFFIXES)}"
            )
        fields: dict[str, Any] = {"format": form, "source": source}
        if place == "document":
            fields = {"format": form, "name": self._name(filename), "source": source}
        return {place: fields}

    def _name(self, filename: str | None) -> str:
        """The file's name with what Bedrock allows in it."""
        stem = (filename or "").rpartition(".")[0] or filename or ""
        text = " ".join(_NOT_IN_NAMES.sub("-", stem).split())[: _LONGEST_NAME - 8] or "document"
        name, number = text, 1
        while name in self._names:
            number += 1
            name = f"{text} ({number})"
        self._names.add(name)
        return name


def _data_url(url: str, feature: str) -> tuple[str, str]:
    """(media type, base64) of a data URL."""
    match = _DATA_URL.match(url)
    if match is None:
        raise InexpressibleError(feature, "it is not a data URL")
    media_type, data = match[1].strip().lower(), url[match.end() :]
    if "base64" in match[2].lower():
        return media_type, _base64(data, feature)
    return media_type, binascii.b2a_base64(unquote_to_bytes(data), newline=False).decode()


def _base64(data: str, feature: str) -> str:
    """The data as it stands, where it is base64; raises InexpressibleError where it is not."""
    try:
        if binascii.a2b_base64(data.encode("ascii"), strict_mode=True):
            return data
    except (ValueError, UnicodeEncodeError):
        pass
    raise InexpressibleError(feature, "its data is not base64")


def _by_type(media_type: str) -> tuple[str, str] | None:
    for place, types in _PLACES.items():
        if media_type in types:
            return place, types[media_type]
    return None


def _by_suffix(name: str) -> tuple[str, str]:
    return _SUFFIXES.get(name.rpartition(".")[2].lower(), ("", ""))


def _in_s3(url: str) -> dict[str, Any]:
    return {"s3Location": {"uri": url}}
