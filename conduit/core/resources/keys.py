"""Virtual keys."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from conduit.core.resources.budgets import BudgetView, Mode, Period
from conduit.core.resources.fields import (
    JsonObject,
    ModelPattern,
    Name,
    Patch,
    Resource,
    Time,
    TimeZone,
    Usd,
    UsdSum,
)
from conduit.core.resources.limits import AllowedIps, RateLimits, RateLimitView
from conduit.core.resources.tags import Metadata, Tags
from conduit.core.resources.usage import AttemptSums

SecretState = Literal["current", "former", "ended"]
UsageBy = Literal["alias", "provider", "model", "day"]
MOST_GRACE_S = 90 * 86_400


class KeyBudget(Resource):
    limit: Usd
    period: Period = "total"
    timezone: TimeZone = "UTC"
    mode: Mode = "hard"


class NewKey(Resource):
    """`allowed_models` are names of aliases, with `*` for any run of characters.

    `log_bodies` says whether the bodies of its requests are kept; null leaves it to the setting.
    With `allow_direct` a request may also name `provider/model`, as far as `allowed_models` fit it.
    With `priority` it is served also when all but the reserved slots are taken. `group` is the id
    or the name of the group that it is in: what it may do, both have to allow.
    """

    name: Name
    allowed_models: list[ModelPattern] = Field(default_factory=lambda: ["*"], max_length=1000)
    expires_at: Time | None = None
    budget: KeyBudget | None = None
    log_bodies: bool | None = None
    allow_direct: bool = False
    limits: RateLimits = Field(default_factory=list)
    allowed_ips: AllowedIps = Field(default_factory=list)
    priority: bool = False
    group: Name | None = None
    tags: Tags = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)


class KeyView(Resource):
    id: str
    name: str
    start: str
    enabled: bool
    state: str
    allowed_models: list[str]
    budgets: list[BudgetView]
    expires_at: Time | None
    log_bodies: bool | None
    allow_direct: bool
    limits: list[RateLimitView]
    allowed_ips: list[str]
    priority: bool
    group: str | None
    """The name of the group that it is in."""
    group_id: str | None
    tags: dict[str, str]
    metadata: JsonObject
    last_used_at: Time | None
    former_expires_at: Time | None
    """Until when the secret before the last rotation is good; null where it is not."""
    created_at: Time
    updated_at: Time
    version: int


class CreatedKey(KeyView):
    """The only answer that ever holds the key itself."""

    secret: str = Field(repr=False)


class KeyRotation(Resource):
    """For how long the present secret stays good beside the new one."""

    grace_s: int = Field(default=0, ge=0, le=MOST_GRACE_S)


class KeyDigest(Resource):
    """The SHA-256 of a key, in hexadecimal: a key is looked up without being sent."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class KeyCheck(KeyView):
    """The key that a secret belongs to. `usable` says whether a request with it is admitted."""

    secret_state: SecretState
    usable: bool


class KeyUsageSums(AttemptSums):
    """Sums over a key's attempts, as `/admin/usage` has them, and over its request records.

    The records are counted as far as they are kept: `recorded` are all, those too that were refused
    or answered from what is kept, `failed` those that did not succeed. `avoided` is what answers
    that were kept would have cost, and no part of `cost`.
    """

    recorded: int
    failed: int
    avoided: UsdSum


class KeyUsageGroup(KeyUsageSums):
    """What has `group` in common; null for requests that have no such thing."""

    group: str | None


class KeyUsage(Resource):
    """What a key has used. At most 1000 groups: the last days, or the dearest of others."""

    key_id: str
    key: str
    since: Time | None
    until: Time | None
    by: UsageBy | None
    total: KeyUsageSums
    groups: list[KeyUsageGroup]


class KeyPatch(Patch):
    """`expires_at` null removes the expiry; a field that is left out stays as it is.

    `limits` are all of the key's from now on; what has been counted of one that stays is kept.
    `group` null takes the key out of its group; what it has spent stays with that.
    So are `tags` and `metadata` all that there is of them.
    """

    nullable = frozenset({"expires_at", "log_bodies", "group"})

    name: Name | None = None
    enabled: bool | None = None
    allowed_models: list[ModelPattern] | None = Field(default=None, max_length=1000)
    expires_at: Time | None = None
    log_bodies: bool | None = None
    allow_direct: bool | None = None
    limits: RateLimits | None = None
    allowed_ips: AllowedIps | None = None
    priority: bool | None = None
    group: Name | None = None
    tags: Tags | None = None
    metadata: Metadata | None = None
    version: int | None = None
