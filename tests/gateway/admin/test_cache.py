"""Admin operations on the answers that are kept."""

from collections.abc import Mapping
from typing import Any

import pytest

from conduit.core.events import EventKind
from conduit.gateway.cache.answers import AnswerCache
from conduit.gateway.cache.store import Answer, Place
from tests.gateway.admin.calls import AdminApi

PATH = "/admin/cache"
CLEAR = "/admin/cache/clear"


@pytest.fixture
async def key_id(api: AdminApi) -> str:
    return str((await api.made("/admin/keys", {"name": "ci"}))["id"])


@pytest.fixture(autouse=True)
def now(cache: AnswerCache, key_id: str) -> list[float]:
    """What the clock of the cache shows. Three answers are kept, the first for a minute by now."""
    time = [1_000.0]
    cache.store.clock = lambda: time[0]
    keep(cache, 1, "gpt-*", "gpt-4o", key_id)
    time[0] += 60
    keep(cache, 2, "gpt-*", "gpt-5", "key_other")
    keep(cache, 3, "fast", "fast", key_id)
    return time


def keep(cache: AnswerCache, number: int, alias: str, model: str, key: str) -> None:
    place = Place(b"%d" % number, alias, model, key, 600)
    first, again = cache.recall(alias), cache.recall(alias)
    first.place = place
    first.keep(Answer({}, b"x" * 100, 4_100_000))
    again.look(place)
    for recall in (first, again):
        recall.end()


async def test_what_is_kept_is_shown_in_all_and_by_alias(api: AdminApi) -> None:
    shown = (await api.get(PATH)).body
    assert (shown["entries"], shown["hits"], shown["misses"], shown["bypassed"]) == (3, 3, 3, 0)
    assert shown["avoided"] == "0.0123"
    assert (shown["limit_bytes"], shown["entry_limit_bytes"]) == (100_000, 10_000)
    assert shown["max_entries"] == 10
    fast, gpt = shown["aliases"]
    assert (fast["alias"], fast["entries"], fast["avoided"]) == ("fast", 1, "0.0041")
    assert (gpt["alias"], gpt["entries"], gpt["hits"]) == ("gpt-*", 2, 2)
    assert fast["bytes"] + gpt["bytes"] == shown["bytes"]


async def test_what_is_over_is_not_shown_any_more(api: AdminApi, now: list[float]) -> None:
    now[0] += 600
    shown = (await api.get(PATH)).body
    assert (shown["entries"], shown["bytes"], shown["hits"]) == (0, 0, 3)


@pytest.mark.parametrize(
    ("body", "cleared"),
    [
        ({}, 3),
        ({"alias": "gpt-*"}, 2),
        ({"alias": "gpt-5"}, 1),
        ({"alias": "other"}, 0),
        ({"key": "ci"}, 2),
        ({"older_than_s": 60}, 1),
        ({"older_than_s": 0}, 3),
        ({"alias": "fast", "key": "ci", "older_than_s": 60}, 0),
        ({"alias": "gpt-*", "key": "ci"}, 1),
    ],
)
async def test_answers_are_forgotten_by_alias_key_and_age(
    api: AdminApi,
    body: dict[str, Any],
    cleared: int,
    published: list[tuple[EventKind, Mapping[str, Any]]],
) -> None:
    answer = await api.post(CLEAR, body)
    assert (answer.status, answer.body) == (200, {"cleared": cleared})
    assert (await api.get(PATH)).body["entries"] == 3 - cleared
    kind, facts = published[-1]
    assert (kind, facts["cleared"]) == (EventKind.CACHE_CLEARED, cleared)


async def test_a_key_that_there_is_not_is_named(api: AdminApi) -> None:
    answer = await api.post(CLEAR, {"key": "none"})
    assert (answer.status, answer.error) == (422, "validation_failed")
    assert "key: " in answer.message
    assert (await api.post(CLEAR, {"older_than_s": -1})).status == 422
