"""Admin operations on notifications."""

from typing import Any

from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.core.resources.fields import Page, time_text
from conduit.core.resources.notifications import (
    Acknowledgement,
    NotificationKind,
    NotificationRule,
    NotificationState,
    NotificationView,
)
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.notifications.kinds import RULES
from conduit.gateway.storage import notifications
from conduit.gateway.storage.engine import reading, writing
from conduit.gateway.storage.notifications import StoredNotification, WantedNotifications
from conduit.gateway.storage.rows import page_of

_PATH = "/admin/notifications"
_ONE = _PATH + "/{notification}"


class NotificationQuery(ListQuery):
    state: NotificationState = "open"
    kind: NotificationKind | None = None


async def _list(call: Call[None, NotificationQuery]) -> Page[NotificationView]:
    query = call.query
    wanted = WantedNotifications(query.state, query.kind)
    async with reading(call.admin.database) as connection:
        found = await notifications.page(connection, wanted, query.window())
    return page(found, [_view(each) for each in found.rows])


async def _show(call: Call[None, None]) -> NotificationView:
    async with reading(call.admin.database) as connection:
        return _view(await notifications.find(connection, call.names["notification"]))


async def _acknowledge(call: Call[None, None]) -> NotificationView:
    """One that is acknowledged already stays as it is."""
    wanted, by = call.names["notification"], call.by.actor
    async with writing(call.admin.database) as connection:
        count = await notifications.acknowledge(connection, now_ms(), by, notification_id=wanted)
        found = await notifications.find(connection, wanted)
    _tell(call, {"id": wanted, "acknowledged": count, "by": by})
    return _view(found)


async def _rules(call: Call[None, ListQuery]) -> Page[NotificationRule]:
    settings = {setting.name: setting.value for setting in call.admin.settings()}
    rules = [
        NotificationRule(
            id=rule.kind,
            severities=list(rule.severities),
            when=rule.when,
            settings={name: settings[name] for name in rule.settings if name in settings},
        )
        for rule in RULES
    ]
    found = page_of(rules, lambda rule: rule.id, call.query.window())
    return page(found, found.rows)


async def _acknowledge_all(call: Call[None, None]) -> Acknowledgement:
    by = call.by.actor
    async with writing(call.admin.database) as connection:
        count = await notifications.acknowledge(connection, now_ms(), by)
    _tell(call, {"id": None, "acknowledged": count, "by": by})
    return Acknowledgement(acknowledged=count)


def _tell(call: Call[None, None], facts: dict[str, Any]) -> None:
    if facts["acknowledged"]:
        call.admin.bus.publish(EventKind.NOTIFICATION_ACKNOWLEDGED, facts)


def _view(notification: StoredNotification) -> NotificationView:
    return NotificationView.model_validate(
        {
            "id": notification.id,
            "at": time_text(notification.at_ms),
            "kind": notification.kind,
            "severity": notification.severity,
            "subject": {
                "kind": notification.subject_kind,
                "id": notification.subject_id,
                "name": notification.subject_name,
            },
            "message": notification.message,
            "details": dict(notification.details),
            "acknowledged_at": time_text(notification.acknowledged_at_ms),
            "acknowledged_by": notification.acknowledged_by,
        }
    )


OPERATIONS = (
    AdminOperation(
        "notifications.list",
        "GET",
        _PATH,
        "List notifications, the newest first",
        _list,
        Page[NotificationView],
        query=NotificationQuery,
    ),
    AdminOperation(
        "notifications.rules",
        "GET",
        "/admin/notification-rules",
        "List when notifications are raised",
        _rules,
        Page[NotificationRule],
        query=ListQuery,
    ),
    AdminOperation(
        "notifications.acknowledge_all",
        "POST",
        _PATH + "/acknowledge",
        "Acknowledge all open notifications",
        _acknowledge_all,
        Acknowledgement,
    ),
    AdminOperation(
        "notifications.show", "GET", _ONE, "Show a notification", _show, NotificationView
    ),
    AdminOperation(
        "notifications.acknowledge",
        "POST",
        _ONE + "/acknowledge",
        "Acknowledge a notification",
        _acknowledge,
        NotificationView,
    ),
)
