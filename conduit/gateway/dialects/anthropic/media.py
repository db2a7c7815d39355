"""Images and documents of Anthropic's format, whose sources are base64, text, a URL or an id.

Sources: platform.claude.com/docs "Vision", "PDF support", "Files API" (document and image blocks).
"""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from conduit.gateway.conversation import File, Image
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError

_PDF: Final = "application/pdf"
_PLAIN: Final = "text/plain"
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")


def decode_image(source: Mapping[str, Any], mark: Mapping[str, Any] | None) -> Image | None:
    """The image in a source, or None where the internal form has no place for all of it."""
    match source:
        case {"type": "base64", "media_type": str(kind), "data": str(data), **rest}:
            if rest or not _MEDIA_TYPE.fullmatch(kind):
                return None
            return Image(f"data:{kind};base64,{data}", cache_mark=mark)
        case {"type": "url", "url": str(url), **rest}:
            return None if rest or url.startswith("data:") else Image(url, cache_mark=mark)
        case _:
            return None


def decode_document(
    source: Mapping[str, Any], title: str | None, mark: Mapping[str, Any] | None
) -> File | None:
    """The document in a source, or None where the internal form has no place for all of it."""
    match source:
        case {"type": "base64", "media_type": "application/pdf", "data": str(data)} if (
            len(source) == 3
        ):
            return File(data=f"data:{_PDF};base64,{data}", filename=title, cache_mark=mark)
        case {"type": "url", "url": str(url)} if len(source) == 2:
            return File(url=url, filename=title, cache_mark=mark)
        case {"type": "file", "file_id": str(file_id)} if len(source) == 2:
            return File(file_id=file_id, filename=title, cache_mark=mark)
        case {"type": "text", "media_type": "text/plain", "data": str(text)} if len(source) == 3:
            return _text_file(text, title, mark)
        case _:
            return None


def _text_file(text: str, title: str | None, mark: Mapping[str, Any] | None) -> File | None:
    try:
        encoded = base64.b64encode(text.encode()).decode()
    except UnicodeEncodeError:  # half a surrogate pair
        return None
    return File(data=f"data:{_PLAIN};base64,{encoded}", filename=title, cache_mark=mark)


def encode_image(image: Image, losses: Losses) -> dict[str, Any]:
    losses.lack_if(detail=image.detail not in (None, "auto"))
    if not image.url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    kind, data = _read_data_url(image.url, "image")
    return {"type": "image", "source": _base64(kind, data)}


def encode_file(file: File, losses: Losses) -> dict[str, Any]:
    """A document block, or an image block for a file that is a picture."""
    if file.data is not None and _kind_of(file.data).lower().startswith("image/"):
        losses.lack_if(filename=file.filename)
        return encode_image(Image(file.data), losses)
    title = {} if file.filename is None else {"title": file.filename}
    return {"type": "document", "source": _source(file, losses), **title}


def _source(file: File, losses: Losses) -> dict[str, Any]:
    if file.data is not None:
        return _data_source(file.data)
    if file.url is not None:
        return {"type": "url", "url": file.url}
    if file.file_id is not None and losses.is_own:
        return {"type": "file", "file_id": file.file_id}
    raise InexpressibleError(
        "file", "A file must be sent with its content: its id is known to another provider alone"
    )


def _data_source(url: str) -> dict[str, Any]:
    kind, data = _read_data_url(url, "file")
    if kind.lower() == _PDF:
        return _base64(_PDF, data)
    if kind.lower().startswith("text/") or kind.lower() == "application/json":
        try:
            text = base64.b64decode(data, validate=True).decode()
        except ValueError as error:  # no base64, or no UTF-8 inside it
            raise InexpressibleError("file", "A text file must be base64 of UTF-8") from error
        return {"type": "text", "media_type": _PLAIN, "data": text}
    raise InexpressibleError("file", f'A file must be a PDF or text, not "{kind}"')


def _base64(kind: str, data: str) -> dict[str, Any]:
    return {"type": "base64", "media_type": kind, "data": data}


def _kind_of(url: str) -> str:
    return url.removeprefix("data:").partition(",")[0].partition(";")[0]


def _read_data_url(url: str, feature: str) -> tuple[str, str]:
    """(media type, base64) of a data URL; raises InexpressibleError where it is none."""
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not comma:
        raise InexpressibleError(feature, f"The {feature} must be a data URL with its media type")
    if not head.endswith(";base64"):
        try:
            data = base64.b64encode(unquote_to_bytes(data)).decode()
        except UnicodeEncodeError as error:
            raise InexpressibleError(feature, f"The {feature} is not valid UTF-8") from error
    return _kind_of(head) or _PLAIN, data
