"""The state of a running gateway."""

from typing import Literal

from pydantic import Field

from conduit.core.resources.bodies import BodiesStatus
from conduit.core.resources.fields import JsonObject, Resource, Time
from conduit.core.resources.limits import RateLimitView


class LedgerView(Resource):
    available: bool
    reason: str | None
    sync: str
    open_holds: int
    held: str
    waiting: int
    journal_bytes_unapplied: int


class SheddingView(Resource):
    """Why new requests are refused as overloaded, if they are, and what is measured for it.

    `refused` counts them by reason since the start. With `slots` in flight all are refused but
    those of priority keys.
    """

    reasons: list[str]
    refused: dict[str, int]
    slots: int
    loop_lag_p99_ms: float
    descriptors_percent: float | None
    memory_percent: float | None


class LimiterView(Resource):
    """Where rate limits are counted: `none`, in this process alone, or in Redis, up or down.

    `gateways` share them, as far as is known; `failures`: how often Redis did not answer.
    """

    store: Literal["none", "up", "down"]
    gateways: int
    failures: int


class StatusView(Resource):
    """`revision` is that of the configuration in force; `warnings` are for the operator.

    `worker` is which of the `workers` answers. What is counted here is its own, as its events are.
    `limits` are the rate limits of all requests together, as they stand.
    """

    version: str
    boot: str
    started_at: Time
    uptime_s: int
    ready: bool
    draining: bool
    revision: int
    database: str
    providers: int
    mappings: int
    keys: int
    in_flight: int
    event_seq: int
    ledger: LedgerView
    bodies: BodiesStatus
    rss_bytes: int | None
    shedding: SheddingView | None = None
    worker: int = 1
    workers: int = 1
    limiter: LimiterView | None = None
    limits: list[RateLimitView] = Field(default_factory=list)
    warnings: list[str]


class Caller(Resource):
    """Who is asking."""

    role: Literal["master"] = "master"


class FindingView(Resource):
    """One invariant of the ledger, checked."""

    invariant: str
    title: str
    ok: bool
    detail: str
    violations: list[str]


class LedgerCheck(Resource):
    ok: bool
    findings: list[FindingView]
    counts: JsonObject


class SettingView(Resource):
    """A setting in force and where its value came from; secrets are shown as `***`.

    `settable`: whether the admin API may change it. `restart_needed`: whether a change counts only
    after a restart.
    """

    name: str
    value: str | int | float | bool | None
    origin: str
    description: str
    settable: bool = True
    restart_needed: bool = False


class SettingsPatch(Resource):
    """New values by name; null goes back to what counts without the settings file.

    `expected`: settings as they were read, by name; where one is another now, nothing changes.
    """

    values: dict[str, str | int | float | bool | None] = Field(min_length=1, max_length=100)
    expected: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict, max_length=100
    )


class SettingsReload(Resource):
    """Settings that have changed, and those that count only after a restart.

    `workers` is how many processes read them: the one that answers, and the others a moment later.
    """

    changed: list[str]
    restart_needed: list[str]
    workers: int = 1


class EventView(Resource):
    boot: str
    seq: int
    at_ms: int
    kind: str
    data: JsonObject


class EventPage(Resource):
    """Events after a number; `gap` where some of them cannot be had any more."""

    boot: str
    data: list[EventView]
    last_seq: int
    gap: JsonObject | None = None
