"""Admin operations on the answers that are kept."""

from typing import Any

from conduit.core.errors import NotFoundError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.money import format_usd
from conduit.core.resources.cache import AliasCacheView, CacheCleared, CacheClearing, CacheView
from conduit.core.resources.fields import time_text
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.cache.answers import Counts, Unwanted
from conduit.gateway.storage import keys
from conduit.gateway.storage.engine import reading


async def _show(call: Call[None, None]) -> CacheView:
    figures = call.admin.cache.figures()
    return CacheView(
        entries=figures.entries,
        bytes=figures.bytes,
        **_counts(figures.total),
        since=str(time_text(figures.since_ms)),
        limit_bytes=figures.limits.total_bytes,
        entry_limit_bytes=figures.limits.entry_bytes,
        max_entries=figures.limits.entries,
        aliases=[
            AliasCacheView(
                alias=each.alias, entries=each.entries, bytes=each.bytes, **_counts(each.counts)
            )
            for each in figures.aliases
        ],
    )


async def _clear(call: Call[CacheClearing, None]) -> CacheCleared:
    admin, wanted = call.admin, call.body
    key_id = None if wanted.key is None else await _key_id(admin, wanted.key)
    cleared = admin.cache.clear(Unwanted(wanted.alias, key_id, wanted.older_than_s))
    facts = {
        "alias": wanted.alias,
        "key_id": key_id,
        "older_than_s": wanted.older_than_s,
        "cleared": cleared,
    }
    admin.bus.publish(EventKind.CACHE_CLEARED, facts)
    return CacheCleared(cleared=cleared)


async def _key_id(admin: AdminContext, name_or_id: str) -> str:
    try:
        async with reading(admin.database) as connection:
            return (await keys.find(connection, name_or_id)).id
    except NotFoundError as error:
        raise ValidationFailedError(f"key: {error.message}", param="key") from error


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "hits": counts.hits,
        "misses": counts.misses,
        "bypassed": counts.bypassed,
        "avoided": format_usd(counts.avoided_nanodollars),
    }


OPERATIONS = (
    AdminOperation(
        "cache.show", "GET", "/admin/cache", "Show what is kept of answers", _show, CacheView
    ),
    AdminOperation(
        "cache.clear",
        "POST",
        "/admin/cache/clear",
        "Forget answers that are kept",
        _clear,
        CacheCleared,
        body=CacheClearing,
    ),
)
