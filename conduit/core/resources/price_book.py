"""The price book as a whole: which one is in force, and putting a newer one in its place."""

from typing import Any

from pydantic import Field

from conduit.core.resources.fields import JsonObject, Resource


class PriceBookView(Resource):
    """The book in force: `installed` where it is newer than the one of this release."""

    version: str
    installed: bool
    shipped_version: str
    generated_from: str
    models: int


class PriceBookUpdate(Resource):
    """`book` is the content of a release's `prices.json`; null is the book of this release.

    `dry_run` tells what it would change; `expected` is the version that the plan was made for.
    """

    book: JsonObject | None = None
    dry_run: bool = False
    expected: str | None = Field(default=None, max_length=100)


class PriceChange(Resource):
    """Old and new of each component of the price of a mapped model, null where there is none.

    Amounts are USD per million units; `tiers` are told as text.
    """

    provider: str
    model: str
    changes: dict[str, tuple[Any, Any]]


class PriceBookChange(Resource):
    """What an update did, or would do; `changes` are those of prices that are in force.

    `removes_unused` is whether a file that does not count goes: a damaged or an older one.
    """

    version_before: str
    version: str
    installed: bool
    dry_run: bool
    removes_unused: bool
    models: int
    changes: list[PriceChange]
