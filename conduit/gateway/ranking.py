"""The internal form of reranking: documents put in the order of their relevance to a query.

What has no field here travels in `extras`, in the words of `dialect`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conduit.gateway.conversation import Usage

Document = str | Mapping[str, Any]
"""A text, or an object that holds one, usually under "text"."""


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """One call for a ranking.

    `top_n` is how many results are wanted, None for all. `return_documents` is whether they bring
    their documents, None for the provider's default.
    """

    model: str
    query: str
    documents: tuple[Document, ...]
    top_n: int | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: int | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """A document by its `index` in the request; the score is comparable within one answer alone."""

    index: int
    relevance_score: float
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class RerankResponse:
    """The results, most relevant first.

    `search_units` are those that the provider tells, which are then the requests of `usage`.
    """

    results: tuple[RankedDocument, ...]
    model: str = ""
    usage: Usage | None = None
    search_units: int | None = None
    id: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)
    dialect: str = ""
