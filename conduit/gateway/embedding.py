"""The internal form of embeddings: texts to be embedded, and their vectors.

As with conversations, every format decodes into these values and encodes from them; what has no
field here travels in `extras`, in the words of `dialect`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from conduit.gateway.conversation import Usage

EncodingFormat = Literal["float", "base64"]

InputType = Literal[
    "query",
    "document",
    "classification",
    "clustering",
    "similarity",
    "question_answering",
    "fact_verification",
    "code_query",
]


@dataclass(frozen=True, slots=True)
class TextParts:
    """One content of several texts, of which the provider makes one vector."""

    texts: tuple[str, ...]


EmbeddingInput = str | tuple[int, ...] | TextParts
"""A text, the numbers of its tokens, or several texts that are one content."""

Vector = tuple[float, ...] | str
"""Numbers as the provider wrote them, or base64 of them as little-endian float32."""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """One call for embeddings.

    `single` is whether the client gave one input by itself rather than a list. `input_type` is
    what the vectors are for, where that is told. `dimensions` None is the model's own number.
    """

    model: str
    inputs: tuple[EmbeddingInput, ...]
    single: bool = False
    dimensions: int | None = None
    encoding_format: EncodingFormat = "float"
    input_type: InputType | None = None
    user: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """The vectors, in the order of the inputs; `model` is empty where the provider names none."""

    vectors: tuple[Vector, ...]
    model: str = ""
    usage: Usage | None = None
    id: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)
    dialect: str = ""
