"""Budgets: how much a scope may spend in a period."""

from typing import Literal

from pydantic import Field

from conduit.core.resources.fields import Patch, Resource, Time, Usd

ScopeKind = Literal["key"]
Period = Literal["total"]
Mode = Literal["hard", "soft"]


class BudgetScope(Resource):
    kind: ScopeKind
    id: str


class NewBudget(Resource):
    """`scope.id` is a key's id or name."""

    scope: BudgetScope
    period: Period = "total"
    timezone: str = Field(default="UTC", examples=["UTC", "Europe/Berlin"])
    limit: Usd
    mode: Mode = "hard"


class BudgetView(Resource):
    """`spent` and `held` are the numbers that are enforced, of the present period.

    `scope_name` is what people call the scope: the key's name.
    """

    id: str
    scope: BudgetScope
    scope_name: str | None = None
    period: str
    timezone: str
    limit: Usd
    mode: str
    spent: str
    held: str
    period_start: Time | None
    created_at: Time
    version: int


class BudgetPatch(Patch):
    limit: Usd | None = None
    mode: Mode | None = None
    version: int | None = None
