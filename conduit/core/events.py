"""Event structs and their names.

An event is `{boot, seq, at_ms, kind, data}`. `boot` is the id of the gateway process, `seq` counts
from 1 within it. Kinds are `noun.verb_past`; fields of `data` are only ever added.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

ENDED_BY_SOMEBODY = frozenset({"client_gone", "stopped"})
"""Outcomes of requests that nothing failed in: the client hung up, or they were ended from here."""


class EventKind(StrEnum):
    REQUEST_STARTED = "request.started"
    REQUEST_FINISHED = "request.finished"
    KEY_CREATED = "key.created"
    KEY_UPDATED = "key.updated"
    KEY_ROTATED = "key.rotated"
    KEY_DELETED = "key.deleted"
    GROUP_CREATED = "group.created"
    GROUP_UPDATED = "group.updated"
    GROUP_DELETED = "group.deleted"
    GROUP_BALANCE_CHANGED = "group.balance_changed"
    PROVIDER_CREATED = "provider.created"
    PROVIDER_UPDATED = "provider.updated"
    PROVIDER_DELETED = "provider.deleted"
    PROVIDER_HEALTH_CHANGED = "provider.health_changed"
    CREDENTIAL_CREATED = "credential.created"
    CREDENTIAL_UPDATED = "credential.updated"
    CREDENTIAL_DELETED = "credential.deleted"
    MAPPING_CREATED = "mapping.created"
    MAPPING_UPDATED = "mapping.updated"
    MAPPING_DELETED = "mapping.deleted"
    BUDGET_CREATED = "budget.created"
    BUDGET_UPDATED = "budget.updated"
    BUDGET_DELETED = "budget.deleted"
    BUDGET_SPEND_RESET = "budget.spend_reset"
    SPEND_CORRECTED = "spend.corrected"
    REQUESTS_PURGED = "requests.purged"
    CACHE_CLEARED = "cache.cleared"
    PRICE_SET = "price.set"
    PRICE_REMOVED = "price.removed"
    PRICE_BOOK_UPDATED = "price_book.updated"
    NOTIFICATION_RAISED = "notification.raised"
    NOTIFICATION_ACKNOWLEDGED = "notification.acknowledged"
    AUTH_FAILED = "auth.failed"
    BANS_LIFTED = "bans.lifted"
    MASTER_KEY_ROTATED = "master_key.rotated"
    STATS_SAMPLED = "stats.sampled"
    GATEWAY_STARTED = "gateway.started"
    GATEWAY_STOPPING = "gateway.stopping"
    GATEWAY_SHEDDING_CHANGED = "gateway.shedding_changed"
    GATEWAY_LIMITER_CHANGED = "gateway.limiter_changed"
    GATEWAY_CLOCK_JUMPED = "gateway.clock_jumped"

    @classmethod
    def _missing_(cls, value: object) -> "EventKind | None":
        return cls._value2member_map_.get(event_name(str(value)))  # type: ignore[return-value]


class Publish(Protocol):
    """Tells those who listen of an event."""

    def __call__(self, kind: EventKind, facts: Mapping[str, Any], /) -> object: ...


def event_name(name: str) -> str:
    """The name of events that may be called by another one too: `alert.raised` by its noun."""
    noun, dot, rest = name.partition(".")
    return f"{_NOUNS.get(noun, noun)}{dot}{rest}"


# What operators of other systems look for; events themselves always have the second name.
_NOUNS: Mapping[str, str] = {"alert": "notification"}


DESCRIPTIONS: Mapping[EventKind, str] = {
    EventKind.REQUEST_STARTED: "A request was admitted and its alias found; nothing was sent yet.",
    EventKind.REQUEST_FINISHED: "A request ended, well or badly; the data is its record.",
    EventKind.KEY_CREATED: "A virtual key was made.",
    EventKind.KEY_UPDATED: "A virtual key was changed, enabled or disabled.",
    EventKind.KEY_ROTATED: "A virtual key got a new secret; the former one ends at its time.",
    EventKind.KEY_DELETED: "A virtual key was deleted.",
    EventKind.GROUP_CREATED: "A group of keys was made.",
    EventKind.GROUP_UPDATED: "A group was changed, enabled or disabled.",
    EventKind.GROUP_DELETED: "A group was deleted.",
    EventKind.GROUP_BALANCE_CHANGED: (
        "Money was paid into the prepaid balance of a group, or taken out of it by hand."
    ),
    EventKind.PROVIDER_CREATED: "A provider was added.",
    EventKind.PROVIDER_UPDATED: "A provider was changed, enabled or disabled.",
    EventKind.PROVIDER_DELETED: "A provider was removed.",
    EventKind.PROVIDER_HEALTH_CHANGED: (
        "A target's breaker opened or closed, or a credential was left out or taken back."
    ),
    EventKind.CREDENTIAL_CREATED: "A credential of a provider was added.",
    EventKind.CREDENTIAL_UPDATED: "A credential of a provider was changed, enabled or disabled.",
    EventKind.CREDENTIAL_DELETED: "A credential of a provider was removed.",
    EventKind.MAPPING_CREATED: "A model mapping was added.",
    EventKind.MAPPING_UPDATED: "A model mapping was changed, enabled or disabled.",
    EventKind.MAPPING_DELETED: "A model mapping was deleted.",
    EventKind.BUDGET_CREATED: "A budget was made and counts from now on.",
    EventKind.BUDGET_UPDATED: "The limit or the mode of a budget was changed.",
    EventKind.BUDGET_DELETED: "A budget was deleted.",
    EventKind.BUDGET_SPEND_RESET: "What a budget had spent in its present period was set to 0.",
    EventKind.SPEND_CORRECTED: "What an attempt cost was corrected, and its budgets with it.",
    EventKind.REQUESTS_PURGED: "Records of old requests were deleted.",
    EventKind.CACHE_CLEARED: "Answers that were kept for the same request were forgotten.",
    EventKind.PRICE_SET: "A price of the operator was set.",
    EventKind.PRICE_REMOVED: "A price of the operator was removed.",
    EventKind.PRICE_BOOK_UPDATED: "Another price book was put in force.",
    EventKind.NOTIFICATION_RAISED: "There is something that an operator should know.",
    EventKind.NOTIFICATION_ACKNOWLEDGED: "A notification was acknowledged, or all that were open.",
    EventKind.AUTH_FAILED: "Somebody was refused at the door; told at most once a second.",
    EventKind.BANS_LIFTED: "Addresses whose wrong keys were put off begin anew.",
    EventKind.MASTER_KEY_ROTATED: "The master key was replaced; the former one ends at its time.",
    EventKind.STATS_SAMPLED: "Rates and percentiles of the last second, while somebody listens.",
    EventKind.GATEWAY_STARTED: "The gateway began to serve.",
    EventKind.GATEWAY_STOPPING: "The gateway takes no more requests and is about to end.",
    EventKind.GATEWAY_SHEDDING_CHANGED: "New requests are refused as overloaded, or taken again.",
    EventKind.GATEWAY_LIMITER_CHANGED: (
        "Redis, in which rate limits are shared, does not answer any more, or answers again."
    ),
    EventKind.GATEWAY_CLOCK_JUMPED: (
        "The clock of the machine was set by more than a minute, or the machine slept."
    ),
}
"""What each kind tells of, in a sentence for operators."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `data` holds ids, names, counters; never prompts or secrets."""

    boot: str
    seq: int
    at_ms: int
    kind: EventKind
    data: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "boot": self.boot,
            "seq": self.seq,
            "at_ms": self.at_ms,
            "kind": self.kind.value,
            "data": self.data,
        }
