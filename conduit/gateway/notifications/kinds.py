"""When each kind of notification is raised, for whoever asks."""

from dataclasses import dataclass
from typing import Final

from conduit.core.resources.notifications import NotificationKind, Severity
from conduit.gateway.notifications.notices import EXPIRY_DAYS, THRESHOLDS
from conduit.gateway.notifications.unusual import USUAL_HOURS


@dataclass(frozen=True, slots=True)
class NotificationKindRule:
    """`settings` are the names of those that it goes by."""

    kind: NotificationKind
    severities: tuple[Severity, ...]
    when: str
    settings: tuple[str, ...] = ()


def _listed(numbers: tuple[int, ...]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}"


RULES: Final = (
    NotificationKindRule(
        "budget_threshold",
        ("info", "warning", "critical"),
        f"a budget has spent {_listed(THRESHOLDS)} % of its limit",
    ),
    NotificationKindRule(
        "credential_failed",
        ("warning", "critical"),
        "a provider refuses a credential: its key, its rights or its quota",
    ),
    NotificationKindRule(
        "key_expiring",
        ("warning", "critical"),
        f"a key expires within {_listed(EXPIRY_DAYS)} days",
    ),
    NotificationKindRule(
        "price_unknown",
        ("warning",),
        "a call was charged nothing, as no price of its model is known",
        ("unknown_price",),
    ),
    NotificationKindRule(
        "unusual_spend",
        ("warning",),
        f"an hour costs far more than usual in the last {USUAL_HOURS // 24} days, by key or in all",
        ("unusual_spend_factor", "unusual_spend_floor_usd"),
    ),
)
"""In ascending order of their kinds."""
