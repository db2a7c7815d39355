"""Notifications: what an operator should know."""

from typing import Literal

from conduit.core.resources.fields import Resource, Time

NotificationKind = Literal[
    "budget_threshold", "key_expiring", "credential_failed", "price_unknown", "unusual_spend"
]
NotificationState = Literal["open", "acknowledged", "all"]
Severity = Literal["info", "warning", "critical"]


class NotificationSubject(Resource):
    """What it is about; the id of a credential is `PROVIDER/NAME`, of a model `PROVIDER/MODEL`."""

    kind: Literal["budget", "key", "credential", "model", "gateway"]
    id: str
    name: str


class NotificationView(Resource):
    """A notification is open until it is acknowledged. `details` holds the numbers of `message`.

    Of a budget these are `threshold_percent`, `spent_nanodollars`, `limit_nanodollars` and
    `period_start_ms`, of a key that expires `expires_at_ms` and `days`, of a credential `until_ms`,
    when it is tried again, of unusual spending `spent_nanodollars` since `since_ms` and
    `usual_nanodollars` an hour.
    """

    id: str
    at: Time
    kind: NotificationKind
    severity: Severity
    subject: NotificationSubject
    message: str
    details: dict[str, int]
    acknowledged_at: Time | None
    acknowledged_by: str | None


class NotificationRule(Resource):
    """When a notification of a kind is raised, in words; `settings` are those that it goes by."""

    id: NotificationKind
    severities: list[Severity]
    when: str
    settings: dict[str, str | int | float | bool | None]


class Acknowledgement(Resource):
    """How many notifications were acknowledged."""

    acknowledged: int
