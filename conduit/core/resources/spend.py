"""What attempts were charged in doubt, and what administrators know better."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from conduit.core.resources.fields import Resource, Time, Usd, UsdSum

ReviewState = Literal["open", "corrected", "all"]
DoubtfulOutcome = Literal["recovered", "ambiguous", "cut", "client_gone", "stopped"]

SignedUsd = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]+$", examples=["-0.50"])]
"""A difference of amounts in USD, which may be below 0."""

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)]


class CorrectionView(Resource):
    """One correction: `difference` was added to what the attempt cost, which was `cost` then."""

    id: str
    at: Time
    difference: SignedUsd
    cost: Usd
    reason: str
    actor: str


class ChargeView(Resource):
    """An attempt and what it was charged.

    `charged` is what it was settled at and `why` says of what that was made; `cost` is what it
    costs by now, after its corrections.
    """

    id: str
    request_id: str
    held_at: Time
    settled_at: Time | None
    state: str
    outcome: str | None
    status: int | None
    error_code: str | None
    ambiguous: bool
    key_id: str
    key: str | None
    alias: str
    provider: str
    model: str
    operation: str
    stream: bool
    usage_source: str
    input_tokens: int
    output_tokens: int
    price_version: str
    hold: Usd
    charged: Usd
    cost: UsdSum
    billed: Usd
    why: str
    corrections: list[CorrectionView]


class NewCorrection(Resource):
    """What an attempt really cost, and how one knows. `again`: it was corrected before."""

    cost: Usd
    reason: Reason
    again: bool = False
