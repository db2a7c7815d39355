"""Budgets: how much a scope may spend in a period."""

from typing import Literal

from pydantic import model_validator

from conduit.core.resources.fields import Patch, Resource, Time, TimeZone, Usd

ScopeKind = Literal["key", "group", "mapping", "gateway"]
Period = Literal["total", "day", "week", "month"]
Mode = Literal["hard", "soft"]


class BudgetScope(Resource):
    """`id` is the id of a key or a group, or a mapping's alias; the gateway has none."""

    kind: ScopeKind
    id: str = ""

    @model_validator(mode="after")
    def _named_unless_there_is_one(self) -> "BudgetScope":
        if (self.kind == "gateway") is bool(self.id):
            raise ValueError("id: a key, a group and a mapping are named, the gateway is not")
        return self


class NewBudget(Resource):
    """`scope.id` is the id or name of a key or a group, or a mapping's alias that has no star.

    A period is one of `timezone`; weeks begin on Monday.
    """

    scope: BudgetScope
    period: Period = "total"
    timezone: TimeZone = "UTC"
    limit: Usd
    mode: Mode = "hard"


class BudgetView(Resource):
    """`spent` and `held` are the numbers that are enforced, of the present period.

    `scope_name` is what people call the scope: the name of the key or group, or the alias.
    `reset` is what resets took out of `spent` in this period: both together are what calls cost.
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
    reset: str = "0.00"
    period_start: Time | None
    created_at: Time
    version: int


class BudgetPatch(Patch):
    limit: Usd | None = None
    mode: Mode | None = None
    version: int | None = None
