"""Admin operations on models: what clients may call, and who serves it."""

import pytest

from tests.gateway.admin.calls import SIMULATED, AdminApi


async def test_a_model_tells_who_serves_it_and_for_what(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    targets = [
        {"provider": "sim", "model": "simulated-small"},
        {"provider": "sim", "model": "simulated-large", "order": 1},
    ]
    await api.made("/admin/mappings", {"alias": "team/fast", "targets": targets})
    shown = (await api.get("/admin/models/team/fast")).body
    assert (shown["available"], shown["provider"], shown["model"]) == (
        True,
        "sim",
        "simulated-small",
    )
    assert shown["operations"] == ["chat", "completion", "embedding"]
    assert shown["simulated"]
    assert shown["price_source"] == "book"
    assert shown["reasons"] == []


async def test_what_nothing_can_serve_says_why(api: AdminApi) -> None:
    await api.made("/admin/providers", {"name": "o", "type": "openai"})
    targets = [{"provider": "o", "model": "m"}]
    await api.made("/admin/mappings", {"alias": "m", "targets": targets})
    shown = (await api.get("/admin/models/m")).body
    assert (shown["available"], shown["operations"], shown["provider"]) == (False, [], None)
    assert shown["reasons"] == ["o/m: the provider has no usable credential"]


async def test_any_name_that_a_client_may_use_is_found(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    targets = [{"provider": "sim", "model": "*"}]
    await api.made("/admin/mappings", {"alias": "sim*", "targets": targets})
    assert (await api.get("/admin/models/simulated-large")).body["model"] == "simulated-large"
    missing = await api.get("/admin/models/gpt-4o")
    assert (missing.status, missing.error) == (404, "model_not_found")


async def test_models_are_listed_by_name_and_disabled_mappings_are_none(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    targets = [{"provider": "sim", "model": "simulated-small"}]
    for alias in ("c", "a", "b"):
        enabled = alias != "b"
        body = {"alias": alias, "targets": targets, "enabled": enabled}
        await api.made("/admin/mappings", body)
    assert [each["id"] for each in await api.listed("/admin/models?limit=1")] == ["a", "c"]


async def test_a_model_tells_what_it_can_do_and_what_is_not_known(api: AdminApi) -> None:
    await api.made("/admin/providers", {**SIMULATED, "name": "a"})
    said = {"vision": False, "audio": None, "context_tokens": 4096}
    targets = [{"provider": "a", "model": "simulated-large", "capabilities": said}]
    await api.made("/admin/mappings", {"alias": "m", "targets": targets})
    can = (await api.get("/admin/models/m")).body["capabilities"]
    assert (can["chat"], can["tools"], can["schema"]) == (True, True, True)
    assert (can["vision"], can["audio"], can["embeddings"]) == (False, None, None)
    assert can["context_tokens"] == 4096
    shown = (await api.get("/admin/mappings/m")).body
    assert shown["targets"][0]["capabilities"] == said


async def test_models_are_listed_by_what_they_are_known_to_do(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    await api.made("/admin/providers", {"name": "o", "type": "openai"})
    said: dict[str, dict[str, object]] = {"a": {}, "b": {"vision": False}, "c": {"audio": True}}
    for alias, capabilities in said.items():
        target = {"provider": "sim", "model": "simulated-small", "capabilities": capabilities}
        await api.made("/admin/mappings", {"alias": alias, "targets": [target]})
    unserved = {"alias": "d", "targets": [{"provider": "o", "model": "m"}]}
    await api.made("/admin/mappings", unserved)

    async def listed(wanted: str) -> list[str]:
        rows = await api.listed(f"/admin/models?limit=1&capability={wanted}")
        return [row["id"] for row in rows]

    assert await listed("vision") == ["a", "c"]
    assert await listed("vision,audio") == ["c"]
    assert await listed("embeddings") == []  # not known of any
    refused = await api.get("/admin/models?capability=vision,flying")
    assert (refused.status, refused.error) == (422, "validation_failed")
    assert "flying is none; there are chat, vision" in refused.message


async def test_what_nothing_serves_has_no_capabilities(api: AdminApi) -> None:
    await api.made("/admin/providers", {"name": "o", "type": "openai"})
    targets = [{"provider": "o", "model": "m"}]
    await api.made("/admin/mappings", {"alias": "m", "targets": targets})
    assert (await api.get("/admin/models/m")).body["capabilities"] is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"flying": True}, "flying is no capability"),
        ({"vision": 1}, "vision must be true or false"),
        ({"context_tokens": 0}, "context_tokens must be a positive integer"),
    ],
)
async def test_a_capability_that_there_is_not_is_refused(
    api: AdminApi, said: dict[str, object], reason: str
) -> None:
    await api.made("/admin/providers", SIMULATED)
    targets = [{"provider": "sim", "model": "m", "capabilities": said}]
    refused = await api.post("/admin/mappings", {"alias": "m", "targets": targets})
    assert (refused.status, refused.error) == (422, "validation_failed")
    assert reason in refused.text
    assert "targets.0.capabilities" in refused.text
