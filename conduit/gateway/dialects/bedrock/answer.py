"""Content blocks of a Bedrock answer that come whole, and the parts that they are."""

import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from conduit.gateway.conversation import Audio, Citation, Image, Opaque
from conduit.gateway.dialects.answer_fields import object_or_empty, text_or_empty
from conduit.gateway.dialects.bedrock.media import IMAGE_TYPES
from conduit.gateway.dialects.bedrock.parts import NAME

_MEDIA_TYPES = {form: media_type for media_type, form in reversed(list(IMAGE_TYPES.items()))}


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_client_call(use: Mapping[str, Any]) -> bool:
    """Whether a `toolUse` is for the client: the service names a type for the calls it runs itself.

    The reference knows `server_tool_use` alone; Claude's calls of the client's tools come with
    `tool_use` for all that.
    """
    return use.get("type") in (None, "tool_use")


def block_part(block: Mapping[str, Any], deltas: Sequence[Any]) -> Image | Audio | Opaque:
    """The part that a block is, with the deltas that followed it in a stream."""
    match block:
        case {"image": {"format": str(form)} as image}:
            data = joined_base64([_bytes_of(each) for each in (image, *_inner(deltas, "image"))])
            if data and form in _MEDIA_TYPES:
                return Image(f"data:{_MEDIA_TYPES[form]};base64,{data}")
        case {"audio": {"format": str(form)} as audio} if _bytes_of(audio):
            return Audio(_bytes_of(audio), form)
        case {"toolUse": dict() as use} if deltas:
            pieces = [text_or_empty(each.get("input")) for each in _inner(deltas, "toolUse")]
            return _opaque({"toolUse": {**use, "input": "".join(pieces)}})
        case {"toolResult": dict() as result} if deltas:
            content = [item for each in deltas for item in list_of(each.get("toolResult"))]
            return _opaque({"toolResult": {**result, "content": content}})
    return _opaque(block)


def citation_of(raw: Mapping[str, Any]) -> Citation:
    """A source. Bedrock's locations are places in the source, not in the text it is cited for."""
    location = object_or_empty(raw.get("location"))
    source = text_or_empty(raw.get("source"))
    url = text_or_empty(object_or_empty(location.get("web")).get("url"))
    if not url and source.startswith(("http://", "https://")):
        url = source
    cited = "".join(
        text_or_empty(object_or_empty(item).get("text"))
        for item in list_of(raw.get("sourceContent"))
    )
    return Citation(
        NAME,
        raw,
        url=url or None,
        title=text_or_empty(raw.get("title")) or None,
        cited_text=cited or None,
    )


def joined_base64(pieces: Iterable[str]) -> str:
    """Base64 of the bytes of all pieces; each of them is base64 of its own."""
    pieces = [piece for piece in pieces if piece]
    if len(pieces) <= 1:
        return "".join(pieces)
    try:
        whole = b"".join(binascii.a2b_base64(piece) for piece in pieces)
    except ValueError:
        return "".join(pieces)
    return binascii.b2a_base64(whole, newline=False).decode()


def _inner(deltas: Sequence[Any], name: str) -> list[Mapping[str, Any]]:
    return [object_or_empty(object_or_empty(each).get(name)) for each in deltas]


def _bytes_of(fields: Mapping[str, Any]) -> str:
    return text_or_empty(object_or_empty(fields.get("source")).get("bytes"))


def _opaque(block: Mapping[str, Any]) -> Opaque:
    return Opaque(NAME, "content", block)
