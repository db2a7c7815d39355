"""Answers that are kept for the same request: figures, and forgetting them."""

from pydantic import Field

from conduit.core.resources.fields import Resource, Time, Usd


class CacheCounts(Resource):
    """`entries` and `bytes` are of now, all else counts since the start.

    `bypassed` are answers that were not looked for, or not kept; `avoided` is what hits would have
    cost.
    """

    entries: int
    bytes: int
    hits: int
    misses: int
    bypassed: int
    avoided: Usd


class AliasCacheView(CacheCounts):
    """The same of one mapping, by its alias."""

    alias: str


class CacheView(CacheCounts):
    """All that is kept, its limits, and each alias that has kept anything since the start."""

    since: Time
    limit_bytes: int
    entry_limit_bytes: int
    max_entries: int
    aliases: list[AliasCacheView]


class CacheEntryView(Resource):
    """An answer that is kept, without its content: who asked for what, and until when it counts.

    `model` is what was asked for, `alias` that of its mapping; `cost` is what a hit avoids.
    """

    id: str
    alias: str
    model: str
    key_id: str
    key: str | None
    bytes: int
    content_type: str | None
    cost: Usd
    age_s: int
    stored_at: Time
    expires_at: Time


class CacheClearing(Resource):
    """Which answers to forget: those that all of these fit, all of them where nothing is given.

    `alias` is a mapping's, or a model that fits one with `*`; `key` the id or name of the one that
    asked.
    """

    alias: str | None = Field(default=None, min_length=1, max_length=512)
    key: str | None = Field(default=None, min_length=1, max_length=200)
    older_than_s: int | None = Field(default=None, ge=0, le=3650 * 86_400)


class CacheCleared(Resource):
    cleared: int
