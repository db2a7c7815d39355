"""Models: what clients may call."""

from dataclasses import dataclass

from pydantic import Field

from conduit.core.resources.fields import Resource


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """What a model can do at its provider; null where that is not known.

    `vision` and `audio` are of the input; `schema` is whether it keeps to a JSON schema by itself
    (a tool stands in for it elsewhere); the sizes are in tokens.
    """

    chat: bool | None = None
    vision: bool | None = None
    tools: bool | None = None
    schema: bool | None = None
    reasoning: bool | None = None
    embeddings: bool | None = None
    audio: bool | None = None
    context_tokens: int | None = None
    output_tokens: int | None = None


class ModelView(Resource):
    """A name that clients may use, and the first target that would serve it at this moment.

    `provider`, `model`, the price in USD per million tokens, the sizes and the capabilities are
    that target's; all are null where nothing can serve the name. `reasons` say why other targets
    cannot.
    """

    id: str
    available: bool
    operations: list[str] = Field(default_factory=list)
    provider: str | None = None
    model: str | None = None
    simulated: bool = False
    input: str | None = None
    output: str | None = None
    price_source: str | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: ModelCapabilities | None = None
    reasons: list[str] = Field(default_factory=list)
