"""What the encoders of requests for embeddings have in common."""

from collections.abc import Mapping
from typing import Any

from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError
from conduit.gateway.embedding import EmbeddingRequest


def texts_of(request: EmbeddingRequest) -> list[str]:
    """The inputs as texts; the numbers of tokens mean something to their own model alone."""
    texts = [item for item in request.inputs if isinstance(item, str)]
    if len(texts) < len(request.inputs):
        raise InexpressibleError("inputs", "This model's provider takes texts, no token numbers")
    return texts


def extras_of(request: EmbeddingRequest, losses: Losses) -> Mapping[str, Any]:
    """The extras that go out as they stand."""
    extras = request.extras
    if not losses.is_own and request.input_type is not None:
        # OpenAI's clients say it in a field beside the format's own, and it has a place of its own.
        extras = {name: value for name, value in extras.items() if name != "input_type"}
    return losses.own(extras)
