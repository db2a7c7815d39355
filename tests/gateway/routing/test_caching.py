"""What of the configuration an answer that is kept depends on."""

from dataclasses import replace

import pytest

from conduit.gateway.config.snapshot import (
    AliasMapping,
    Fallback,
    Policy,
    Snapshot,
    Target,
    Upstream,
)
from conduit.gateway.routing.caching import caching_of
from tests.gateway.exchanges import mapping, snapshot, upstream

KEEPING = Policy(cache_ttl_s=60)
FAST = replace(
    mapping("fast", Target("one", "m")), policy=KEEPING, fallbacks=(Fallback("error", "slow"),)
)
SLOW = replace(mapping("slow", Target("one", "n")), fallbacks=(Fallback("error", "fast"),))


def origin(fast: AliasMapping = FAST, slow: AliasMapping = SLOW, *upstreams: Upstream) -> bytes:
    found = caching_of(fast, snapshot([fast, slow], list(upstreams or [upstream()])))
    assert found is not None
    return found.origin


def test_an_alias_keeps_nothing_of_itself() -> None:
    configuration: Snapshot = snapshot([SLOW])
    assert caching_of(SLOW, configuration) is None


def test_the_policy_says_for_how_long_and_for_whom() -> None:
    shared = replace(FAST, policy=Policy(cache_ttl_s=5, cache_scope="shared"))
    found = [caching_of(each, snapshot([each])) for each in (FAST, shared)]
    assert [(each.alias, each.ttl_s, each.shared) for each in found if each is not None] == [
        ("fast", 60, False),
        ("fast", 5, True),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        origin(replace(FAST, version=2)),
        origin(replace(FAST, id="map_new")),
        origin(FAST, replace(SLOW, version=2)),
        origin(FAST, SLOW, upstream(base_url="http://127.0.0.1:2/v1")),
        origin(FAST, SLOW, upstream(id="prov_new")),
        origin(FAST, SLOW, upstream(type_name="groq")),
    ],
)
def test_what_is_changed_has_another_origin(changed: bytes) -> None:
    assert changed != origin() == origin()
