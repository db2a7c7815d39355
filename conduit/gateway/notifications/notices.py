"""What is worth telling an operator, as values: nothing here waits or stores."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from conduit.core import people
from conduit.core.moments import DAY_MS
from conduit.core.money import format_usd
from conduit.core.resources.fields import time_text
from conduit.gateway.health.registry import Change
from conduit.gateway.ledger.balances import Spending
from conduit.gateway.ledger.budgets import BudgetTerms
from conduit.gateway.storage.keys import StoredKey
from conduit.gateway.storage.notifications import CREDENTIAL_FAILED

Severity = Literal["info", "warning", "critical"]

THRESHOLDS: Final = (50, 75, 90, 100)
"""Percent of a budget's limit, ascending."""
EXPIRY_DAYS: Final = (1, 7)
"""Ascending: the less time is left, the more a key needs attention."""
FAILURES: Final = frozenset({"invalid_key", "no_quota", "no_permission"})
"""Why a credential is left out, as the health of providers calls it."""
READY: Final = "ready"

_SEVERITIES: Final[Mapping[int, Severity]] = {
    50: "info",
    75: "warning",
    90: "warning",
    100: "critical",
}
_PERIODS: Final[Mapping[str, str]] = {"day": "daily ", "week": "weekly ", "month": "monthly "}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell, unless `dedupe` or one of `covered_by` has been told before."""

    kind: str
    severity: Severity
    subject: tuple[str, str, str]  # kind, id, name
    message: str
    dedupe: str
    covered_by: tuple[str, ...] = ()
    details: Mapping[str, int] = field(default_factory=dict)


# Budgets


def thresholds_reached(spending: Spending) -> tuple[int, ...]:
    """Ascending."""
    terms, spent = spending.terms, spending.spent
    return tuple(each for each in THRESHOLDS if terms.has_reached(each, spent))


def had_nothing(terms: BudgetTerms) -> bool:
    """Whether a prepaid balance had nothing left to spend when it was last credited."""
    return terms.prepaid and terms.limit_nanodollars <= terms.spent_before


def budget_dedupes(budget_id: str, period_start_ms: int) -> dict[int, str]:
    """What each threshold of a budget in a period is known by."""
    start = f"budget_threshold:{budget_id}:{period_start_ms}"
    return {threshold: f"{start}:{threshold}" for threshold in THRESHOLDS}


def of_budget(spending: Spending, threshold: int) -> Notice:
    """Of a budget that has reached a threshold; none is told once a higher one has been."""
    terms = spending.terms
    # Of a prepaid balance, what has become of it since it was last credited.
    limit = terms.limit_nanodollars - terms.spent_before
    spent = spending.spent - terms.spent_before
    dedupes = budget_dedupes(terms.id, spending.period_start_ms)
    budget = "prepaid balance" if terms.prepaid else f"{_PERIODS.get(terms.period, '')}budget"
    message = (
        f"{terms.label} has reached {threshold} % of its {budget}: "
        f"{_dollars(spent)} of {_dollars(limit)}"
    )
    if threshold == THRESHOLDS[-1]:
        message += "; calls are refused" if terms.hard else "; calls are served all the same"
    return Notice(
        kind="budget_threshold",
        severity=_SEVERITIES[threshold],
        subject=("budget", terms.id, _scope_of(terms)),
        message=message,
        dedupe=dedupes[threshold],
        covered_by=tuple(dedupes[each] for each in THRESHOLDS if each > threshold),
        details={
            "threshold_percent": threshold,
            "spent_nanodollars": spent,
            "limit_nanodollars": limit,
            "period_start_ms": spending.period_start_ms,
        },
    )


def _scope_of(terms: BudgetTerms) -> str:
    """`key:NAME`, `mapping:ALIAS` or `gateway`, as commands name a budget."""
    if terms.scope_kind == "gateway":
        return "gateway"
    return f"{terms.scope_kind}:{terms.scope_name or terms.scope_id}"


def _dollars(nanodollars: int) -> str:
    return people.money(format_usd(nanodollars))


# Keys


def of_key(key: StoredKey, at_ms: int) -> Notice | None:
    """Of a key that expires soon; another expiry is another matter."""
    if key.expires_at_ms is None or key.expires_at_ms <= at_ms:
        return None
    left_ms = key.expires_at_ms - at_ms
    days = next((each for each in EXPIRY_DAYS if left_ms <= each * DAY_MS), None)
    if days is None:
        return None
    start = f"key_expiring:{key.id}:{key.expires_at_ms}"
    span = "a day" if days == 1 else f"{days} days"
    moment = str(time_text(key.expires_at_ms))[:16].replace("T", " ")
    return Notice(
        kind="key_expiring",
        severity="critical" if days == EXPIRY_DAYS[0] else "warning",
        subject=("key", key.id, key.name),
        message=f'key "{key.name}" expires within {span}, on {moment} UTC',
        dedupe=f"{start}:{days}",
        covered_by=tuple(f"{start}:{each}" for each in EXPIRY_DAYS if each < days),
        details={"expires_at_ms": key.expires_at_ms, "days": days},
    )


# Credentials


def concerns_credential(change: Change) -> bool:
    """Whether a credential was left out for its own sake, or taken back."""
    if change.before == change.after:
        return False
    return change.after in FAILURES or (change.after == READY and change.before in FAILURES)


def credential_dedupes(change: Change) -> dict[str, str]:
    """What each failure of a credential is known by."""
    start = f"{CREDENTIAL_FAILED}:{change.provider}/{change.credential}:{change.model or ''}"
    return {failure: f"{start}:{failure}" for failure in FAILURES}


def of_credential(change: Change) -> Notice:
    """Of a credential that was left out."""
    return Notice(
        kind=CREDENTIAL_FAILED,
        severity="warning" if change.after == "no_permission" else "critical",
        subject=("credential", f"{change.provider}/{change.credential}", change.credential),
        message="".join(_credential_sentence(change)),
        dedupe=credential_dedupes(change)[change.after],
        details={} if change.until_ms is None else {"until_ms": change.until_ms},
    )


def _credential_sentence(change: Change) -> Iterator[str]:
    yield f'credential "{change.credential}" of provider "{change.provider}" is left out'
    match change.after:
        case "invalid_key":
            yield ": the provider refuses its key"
        case "no_quota":
            yield ": it has no quota left at the provider"
        case _:
            yield f' for model "{change.model}": it may not use it'


# Prices


def of_unknown_price(provider: str, model: str) -> Notice:
    """Of a model of which calls are free because no price is known."""
    name = f"{provider}/{model}"
    return Notice(
        kind="price_unknown",
        severity="warning",
        subject=("model", name, name),
        message=f"calls of {name} are charged nothing, as no price is known for it",
        dedupe=f"price_unknown:{name}",
    )
