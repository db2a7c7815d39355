"""Admin operations on mappings."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from conduit.gateway.config.configuration import Configuration
from tests.fakes.upstream import FakeUpstream
from tests.gateway.admin.calls import PUBLIC, SIMULATED, AdminApi

TARGETS = [{"provider": "sim", "model": "m-1"}]


@pytest.fixture(autouse=True)
async def provider(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)


async def test_a_mapping_is_made_shown_changed_and_deleted(
    api: AdminApi, configuration: Configuration, kinds: Callable[[], list[str]]
) -> None:
    made = await api.made("/admin/mappings", {"alias": "fast", "targets": TARGETS})
    assert made["targets"] == [
        {
            "provider": "sim",
            "model": "m-1",
            "order": 0,
            "weight": 1,
            "params": {},
            "capabilities": {},
        }
    ]
    assert (await api.get(f"/admin/mappings/{made['id']}")).body == made
    assert configuration.snapshot.mappings["fast"].targets[0].model == "m-1"

    targets = [{"provider": "sim", "model": "m-2", "order": 3, "params": {"temperature": 0.5}}]
    changed = await api.patch("/admin/mappings/fast", {"targets": targets, "version": 1})
    assert changed.body["targets"][0]["order"] == 3
    assert configuration.snapshot.mappings["fast"].targets[0].params == {"temperature": 0.5}

    assert (await api.patch("/admin/mappings/fast", {"enabled": False})).status == 200
    assert configuration.snapshot.mappings == {}
    assert (await api.delete("/admin/mappings/fast")).status == 204
    assert (await api.get("/admin/mappings/fast")).status == 404
    assert kinds()[1:] == [
        "mapping.created",
        "mapping.updated",
        "mapping.updated",
        "mapping.deleted",
    ]


@pytest.mark.parametrize("alias", ["meta/llama-3.1:free", "a/b/c", "gpt-4o", "vendor/*", "@x+y"])
async def test_an_alias_may_hold_what_vendors_write(api: AdminApi, alias: str) -> None:
    await api.made("/admin/mappings", {"alias": alias, "targets": TARGETS})
    for path in (alias, quote(alias, safe="")):
        assert (await api.get(f"/admin/mappings/{path}")).body["alias"] == alias
    assert (await api.delete(f"/admin/mappings/{quote(alias, safe='')}")).status == 204


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"targets": []}, "targets"),
        ({"targets": [{"provider": "none", "model": "m"}]}, "targets.0.provider"),
        ({"targets": [{"provider": "sim"}]}, "targets.0.model"),
        ({"targets": [{"provider": "sim", "model": "m", "prize": 1}]}, "targets.0.prize"),
        ({"alias": "a*b"}, "alias"),
        ({"alias": ""}, "alias"),
        ({"strategy": "magic"}, "strategy"),
        ({"fallbacks": [{"on": "error", "alias": "fast"}]}, "fallbacks"),
        ({"fallbacks": [{"on": "boredom", "alias": "slow"}]}, "fallbacks.0.on"),
    ],
)
async def test_a_mapping_that_makes_no_sense_is_refused(
    api: AdminApi, changes: dict[str, object], said: str
) -> None:
    body = {"alias": "fast", "targets": TARGETS, **changes}
    answer = await api.post("/admin/mappings", body)
    assert (answer.status, answer.error) == (422, "validation_failed")
    assert said in answer.message
    assert await api.listed("/admin/mappings") == []


async def test_fallbacks_may_not_lead_in_a_circle(api: AdminApi) -> None:
    def mapping(alias: str, fallback: str | None) -> dict[str, object]:
        fallbacks = [{"on": "error", "alias": fallback}] if fallback else []
        return {"alias": alias, "targets": TARGETS, "fallbacks": fallbacks}

    await api.made("/admin/mappings", mapping("c", None))
    await api.made("/admin/mappings", mapping("b", "c"))
    await api.made("/admin/mappings", mapping("a", "b"))
    answer = await api.patch("/admin/mappings/c", {"fallbacks": [{"on": "error", "alias": "a"}]})
    assert answer.status == 422
    assert "lead back to c" in answer.message


def falling(alias: str, *fallbacks: str, **fields: object) -> dict[str, object]:
    return {
        "alias": alias,
        "targets": TARGETS,
        "fallbacks": [{"on": "error", "alias": each} for each in fallbacks],
        **fields,
    }


@pytest.mark.parametrize(
    ("present", "last", "said"),
    [
        ([falling("rr"), falling("wa/*", "rr")], falling("rr", "wa/foo"), "rr"),
        ([falling("rr")], falling("wa/*", "wa/foo"), "wa/*, which takes wa/foo"),
        # What is disabled takes its name again once it is enabled; until then a wildcard does.
        ([falling("*"), falling("off", "*", enabled=False)], falling("*", "off"), "*"),
        ([falling("b"), falling("w*", "b"), falling("wa", enabled=False)], falling("b", "wa"), "b"),
    ],
)
async def test_a_circle_through_a_wildcard_is_refused(
    api: AdminApi, present: list[dict[str, object]], last: dict[str, object], said: str
) -> None:
    for each in present:
        await api.made("/admin/mappings", each)
    if last["alias"] in {each["alias"] for each in present}:
        path = f"/admin/mappings/{quote(str(last['alias']), safe='')}"
        answer = await api.patch(path, {"fallbacks": last["fallbacks"]})
    else:
        answer = await api.post("/admin/mappings", last)
    assert (answer.status, answer.body["error"]["param"]) == (422, "fallbacks")
    assert f"lead back to {said}" in answer.message


async def test_a_longer_start_is_not_the_wildcard_that_falls_back_to_it(api: AdminApi) -> None:
    await api.made("/admin/mappings", falling("wa/small"))
    await api.made("/admin/mappings", falling("wa/*", "wa/small"))


async def test_a_fallback_to_what_nothing_takes_is_refused_by_name(api: AdminApi) -> None:
    await api.made("/admin/mappings", falling("good"))
    answer = await api.post("/admin/mappings", falling("fast", "good", "godo"))
    assert (answer.status, answer.body["error"]["param"]) == (422, "fallbacks.1.alias")
    assert "there is no mapping godo" in answer.message
    await api.made("/admin/mappings", falling("fast", "good"))
    patch = {"fallbacks": [{"on": "error", "alias": "godo"}]}
    answer = await api.patch("/admin/mappings/fast", patch)
    assert answer.body["error"]["param"] == "fallbacks.0.alias"
    # A wildcard takes it, and a key may name a model of a provider directly.
    await api.made("/admin/mappings", falling("go*"))
    assert (await api.patch("/admin/mappings/fast", patch)).status == 200
    await api.made("/admin/mappings", falling("direct", "sim/small"))


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({"version": 9, "enabled": False}, 409),
        ({"targets": None}, 422),
        ({"targets": [{"provider": "none", "model": "m"}]}, 422),
        ({"alias": "other"}, 422),
        ({"strategy": "simple", "fallbacks": []}, 200),
    ],
)
async def test_a_patch_is_checked(api: AdminApi, patch: dict[str, object], status: int) -> None:
    await api.made("/admin/mappings", {"alias": "fast", "targets": TARGETS})
    assert (await api.patch("/admin/mappings/fast", patch)).status == status


async def test_an_alias_can_be_had_once(api: AdminApi) -> None:
    await api.made("/admin/mappings", {"alias": "fast", "targets": TARGETS})
    answer = await api.post("/admin/mappings", {"alias": "fast", "targets": TARGETS})
    assert answer.status == 409


async def test_mappings_are_listed_by_alias(api: AdminApi) -> None:
    for alias in ("b/x", "a", "c"):
        await api.made("/admin/mappings", {"alias": alias, "targets": TARGETS})
    found = await api.listed("/admin/mappings?limit=1")
    assert [each["alias"] for each in found] == ["a", "b/x", "c"]


async def test_each_target_of_a_mapping_is_asked_in_its_order(api: AdminApi) -> None:
    async with FakeUpstream() as fake:
        await api.made("/admin/providers", {**PUBLIC, "base_url": fake.base_url})
        targets = [
            {"provider": "acme", "model": "fake-status500", "order": 1},
            {"provider": "acme", "model": "fake", "params": {"temperature": 0.5}},
        ]
        await api.made("/admin/mappings", {"alias": "team/both", "targets": targets})
        tested = await api.post("/admin/mappings/team/both/test", {})
        sent = {each.model: json.loads(each.body) for each in fake.requests}
    assert (tested.status, tested.body["ok"], tested.body["answered"]) == (200, False, 1)
    assert [(each["model"], each["ok"]) for each in tested.body["targets"]] == [
        ("fake", True),
        ("fake-status500", False),
    ]
    assert sent["fake"]["temperature"] == 0.5
    assert (await api.post("/admin/mappings/nothing/test", {})).status == 404
    assert (await api.post("/admin/mappings/team/both/test", {"model": "other"})).status == 422
