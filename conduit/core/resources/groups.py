"""Groups of virtual keys, and their prepaid balances."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from conduit.core.resources.budgets import BudgetView
from conduit.core.resources.fields import ModelPattern, Name, Patch, Resource, Time, Usd
from conduit.core.resources.limits import AllowedIps, RateLimits, RateLimitView

TransactionKind = Literal["credit", "debit", "refund", "adjustment"]

Description = Annotated[str, StringConstraints(max_length=500)]
Reason = Annotated[str, StringConstraints(max_length=500)]
IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
SignedUsd = Annotated[
    str, Field(json_schema_extra={"pattern": r"^-?[0-9]+\.[0-9]{2,9}$", "examples": ["-12.34"]})
]
"""An amount that this gateway gives, below zero where it is taken out or owed."""


class NewGroup(Resource):
    """What its keys may do at most: a call is allowed where the key and the group both allow it.

    `limits` are of all calls of all its keys together. With `prepaid` nothing is served before the
    balance of the group is credited; a first transaction makes a group prepaid too.
    """

    name: Name
    description: Description = ""
    enabled: bool = True
    allowed_models: list[ModelPattern] = Field(default_factory=lambda: ["*"], max_length=1000)
    limits: RateLimits = Field(default_factory=list)
    allowed_ips: AllowedIps = Field(default_factory=list)
    prepaid: bool = False


class PrepaidView(Resource):
    """`balance` is `paid_in` less what calls since `since` have `spent`; `held` is out of it for
    calls that run.
    """

    paid_in: SignedUsd
    spent: Usd
    held: Usd
    balance: SignedUsd
    since: Time


class GroupView(Resource):
    """`budgets` are the group's own, `keys` how many keys are in it. `prepaid` is null for a group
    that has no prepaid balance.
    """

    id: str
    name: str
    description: str
    enabled: bool
    allowed_models: list[str]
    limits: list[RateLimitView]
    allowed_ips: list[str]
    budgets: list[BudgetView]
    prepaid: PrepaidView | None
    keys: int
    created_at: Time
    updated_at: Time
    version: int


class GroupPatch(Patch):
    """`limits` are all of the group's from now on; what has been counted of one that stays is kept.

    The keys of a group that is not enabled are refused.
    """

    name: Name | None = None
    description: Description | None = None
    enabled: bool | None = None
    allowed_models: list[ModelPattern] | None = Field(default=None, max_length=1000)
    limits: RateLimits | None = None
    allowed_ips: AllowedIps | None = None
    version: int | None = None


class NewTransaction(Resource):
    """`credit` and `refund` add `amount` to the balance, `debit` takes it out; an `adjustment`
    adds it, or takes it out with `negative`.

    What would leave less than nothing is refused, unless `allow_negative`. Asked for again under
    the same `idempotency_key`, a transaction is not made again: the first one is the answer.
    """

    kind: TransactionKind
    amount: Usd
    negative: bool = False
    reason: Reason = ""
    allow_negative: bool = False
    idempotency_key: IdempotencyKey | None = None


class TransactionView(Resource):
    """`amount` is below zero for what was taken out, `balance` what was left after it.

    `actor` is whose it was, `client` the program that asked, `address` where it asked from.
    """

    id: str
    group_id: str
    at: Time
    kind: TransactionKind
    amount: SignedUsd
    balance: SignedUsd
    reason: str
    actor: str
    client: str | None
    address: str | None
    idempotency_key: str | None
