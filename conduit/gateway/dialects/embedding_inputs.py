"""What the encoders of requests for embeddings have in common."""

from collections.abc import Mapping
from typing import Any

from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError
from conduit.gateway.embedding import EmbeddingInput, EmbeddingRequest, TextParts


def texts_of(request: EmbeddingRequest) -> list[str]:
    """The inputs as texts; the numbers of tokens mean something to their own model alone."""
    return [text_of(item) for item in request.inputs]


def text_of(item: EmbeddingInput) -> str:
    """The text of an input that is one."""
    whole = whole_input(item)
    if not isinstance(whole, str):
        raise InexpressibleError("inputs", "This model's provider takes texts, no token numbers")
    return whole


def whole_input(item: EmbeddingInput) -> str | tuple[int, ...]:
    """An input that is no content of several parts: how Google joins these is its own affair."""
    if isinstance(item, TextParts):
        reason = "This model's provider makes one embedding of one text, not of several parts"
        raise InexpressibleError("inputs", reason)
    return item


def texts_within(item: EmbeddingInput) -> tuple[str, ...]:
    """Every text of an input, none of the numbers of tokens."""
    match item:
        case TextParts(texts):
            return texts
        case str():
            return (item,)
        case _:
            return ()


def extras_of(request: EmbeddingRequest, losses: Losses) -> Mapping[str, Any]:
    """The extras that go out as they stand."""
    extras = request.extras
    if not losses.is_own and request.input_type is not None:
        # OpenAI's clients say it in a field beside the format's own, and it has a place of its own.
        extras = {name: value for name, value in extras.items() if name != "input_type"}
    return losses.own(extras)
