"""Moderation in OpenAI's format (`POST /v1/moderations`), which goes to its own kind alone.

The format is that of `moderation_create_params.py` in
openai/openai-python. A request is checked and sent as it stood, and its answer relayed: that of
other vendors has categories of its own, and says of no input that it is flagged (Mistral).
"""

from dataclasses import dataclass
from typing import Final

from conduit.gateway.dialects.fields import (
    Fields,
    read_object_field,
    read_objects,
    read_text,
    wrong,
)
from conduit.gateway.dialects.strict_json import read_object

NAME: Final = "openai_moderations"


@dataclass(frozen=True, slots=True)
class ModerationRequest:
    """What a call brings: its texts, and how many images; `model` None is the provider's own."""

    model: str | None
    texts: tuple[str, ...]
    images: int = 0


def decode_request(body: bytes) -> ModerationRequest:
    """A client's request; raises an InvalidRequestError that names the field."""
    fields = read_object(body).values
    model = read_text(fields, "model")
    if model == "":
        raise wrong("model", "must be a non-empty string")
    given = fields.get("input")
    if isinstance(given, str):
        return ModerationRequest(model, (given,))
    if not isinstance(given, list) or not given:
        raise wrong("input", "must be a string, an array of strings, or of parts; not empty")
    if all(isinstance(item, str) for item in given):
        return ModerationRequest(model, tuple(given))
    texts = [_text(part, f"input[{at}].") for at, part in enumerate(read_objects(fields, "input"))]
    said = tuple(text for text in texts if text is not None)
    return ModerationRequest(model, said, images=len(texts) - len(said))


def _text(part: Fields, where: str) -> str | None:
    """The text of a part, None for an image."""
    kind = read_text(part, "type", where)
    if kind == "text":
        text = read_text(part, "text", where)
        if text is None:
            raise wrong(f"{where}text", "must be a string")
        return text
    if kind != "image_url":
        raise wrong(f"{where}type", 'must be "text" or "image_url"')
    image = read_object_field(part, "image_url", where) or {}
    if not read_text(image, "url", f"{where}image_url."):
        raise wrong(f"{where}image_url.url", "must be a non-empty string")
    return None
