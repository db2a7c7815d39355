"""Admin operations on the answers that are kept."""

import re
from collections.abc import Sequence
from typing import Any

from conduit.core.errors import NotFoundError, ValidationFailedError
from conduit.core.events import EventKind
from conduit.core.ids import now_ms
from conduit.core.money import format_usd
from conduit.core.resources.cache import (
    AliasCacheView,
    CacheCleared,
    CacheClearing,
    CacheEntryView,
    CacheView,
)
from conduit.core.resources.fields import Page, time_text
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.wire import ListQuery, page
from conduit.gateway.cache.answers import Counts, Unwanted
from conduit.gateway.cache.store import Entry
from conduit.gateway.storage import keys
from conduit.gateway.storage.engine import reading
from conduit.gateway.storage.rows import page_of

_ENTRIES = "/admin/cache/entries"
_DIGEST = re.compile(r"([0-9a-f]{2}){1,64}")


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


async def _entries(call: Call[None, ListQuery]) -> Page[CacheEntryView]:
    found = page_of(call.admin.cache.entries(), _id_of, call.query.window())
    return page(found, await _views(call.admin, found.rows))


async def _entry(call: Call[None, None]) -> CacheEntryView:
    wanted = call.names["entry"]
    entry = call.admin.cache.entry(bytes.fromhex(wanted)) if _DIGEST.fullmatch(wanted) else None
    if entry is None:
        raise NotFoundError("no answer of this id is kept")
    (view,) = await _views(call.admin, (entry,))
    return view


def _id_of(entry: Entry) -> str:
    return entry.place.digest.hex()


async def _views(admin: AdminContext, entries: Sequence[Entry]) -> list[CacheEntryView]:
    async with reading(admin.database) as connection:
        names = await keys.names_of(connection, {entry.place.key_id for entry in entries})
    now, at_ms = admin.cache.store.clock(), now_ms()
    views = []
    for entry in entries:
        age_s = max(0.0, now - entry.stored_at)
        stored_at_ms = at_ms - round(age_s * 1000)
        place, answer = entry.place, entry.answer
        views.append(
            CacheEntryView(
                id=_id_of(entry),
                alias=place.alias,
                model=place.model,
                key_id=place.key_id,
                key=names.get(place.key_id),
                bytes=entry.size_bytes,
                content_type=answer.headers.get("content-type"),
                cost=format_usd(answer.cost_nanodollars),
                age_s=int(age_s),
                stored_at=str(time_text(stored_at_ms)),
                expires_at=str(time_text(stored_at_ms + round(place.ttl_s * 1000))),
            )
        )
    return views


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
    AdminOperation(
        "cache.entries",
        "GET",
        _ENTRIES,
        "List the answers that are kept, without their content",
        _entries,
        Page[CacheEntryView],
        query=ListQuery,
    ),
    AdminOperation(
        "cache.entry",
        "GET",
        _ENTRIES + "/{entry}",
        "Show an answer that is kept, without its content",
        _entry,
        CacheEntryView,
    ),
)
