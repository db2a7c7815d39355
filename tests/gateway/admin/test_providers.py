"""Admin operations on providers, their types and their models."""

import json
from collections.abc import Callable

import pytest

from conduit.gateway.config.configuration import Configuration
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream
from tests.gateway.admin.calls import PUBLIC, SIMULATED, AdminApi


async def test_a_provider_is_made_shown_changed_and_deleted(
    api: AdminApi, configuration: Configuration, kinds: Callable[[], list[str]]
) -> None:
    made = await api.made("/admin/providers", PUBLIC)
    assert made["base_url"] == "https://api.acme.invalid/v1"
    assert (made["allow_private"], made["enabled"], made["simulated"]) == (False, True, False)
    assert configuration.snapshot.upstreams["acme"].id == made["id"]
    for name_or_id in ("acme", made["id"]):
        assert (await api.get(f"/admin/providers/{name_or_id}")).body == made

    changed = await api.patch("/admin/providers/acme", {"enabled": False, "version": 1})
    assert changed.status == 200
    assert (changed.body["enabled"], changed.body["version"]) == (False, 2)
    assert not configuration.snapshot.upstreams["acme"].enabled

    assert (await api.delete("/admin/providers/acme")).status == 204
    assert (await api.get("/admin/providers/acme")).status == 404
    assert configuration.snapshot.upstreams == {}
    assert kinds() == ["provider.created", "provider.updated", "provider.deleted"]


async def test_the_simulator_needs_nothing_and_says_what_it_is(api: AdminApi) -> None:
    made = await api.made("/admin/providers", SIMULATED)
    assert (made["base_url"], made["simulated"]) == ("simulator:", True)
    refused = await api.post(
        "/admin/providers", {**SIMULATED, "name": "x", "base_url": "https://a.invalid"}
    )
    assert refused.status == 422


async def test_the_base_url_defaults_to_that_of_the_type(api: AdminApi) -> None:
    made = await api.made("/admin/providers", {"name": "o", "type": "openai"})
    assert made["base_url"] == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("base_url", "allow_private", "stored"),
    [
        (
            "https://api.acme.invalid/prefix/v1/",
            False,
            ("https://api.acme.invalid/prefix/v1", False),
        ),
        ("http://127.0.0.1:11434/v1", False, ("http://127.0.0.1:11434/v1", True)),
        ("http://localhost:11434", False, ("http://localhost:11434", True)),
        ("http://[::1]:8000/v1", False, ("http://[::1]:8000/v1", True)),
        ("http://10.0.0.7/v1", True, ("http://10.0.0.7/v1", True)),
        ("http://llm.internal/v1", True, ("http://llm.internal/v1", True)),
    ],
)
async def test_private_addresses_are_taken_as_said_and_recorded(
    api: AdminApi, base_url: str, allow_private: bool, stored: tuple[str, bool]
) -> None:
    body = {**PUBLIC, "base_url": base_url, "allow_private": allow_private}
    made = await api.made("/admin/providers", body)
    assert (made["base_url"], made["allow_private"]) == stored


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "http://api.acme.invalid/v1"},
        {"base_url": "https://10.0.0.7/v1"},
        {"base_url": "https://169.254.169.254/v1", "allow_private": False},
        {"base_url": "https://user:pass@api.acme.invalid/v1"},
        {"base_url": "https://api.acme.invalid/v1?key=1"},
        {"base_url": "https://api.acme.invalid/v1#x"},
        {"base_url": "ftp://api.acme.invalid"},
        {"base_url": "simulator:"},
    ],
)
async def test_a_base_url_that_may_not_be_called_is_refused(
    api: AdminApi, changes: dict[str, object]
) -> None:
    answer = await api.post("/admin/providers", {**PUBLIC, **changes})
    assert (answer.status, answer.error) == (422, "validation_failed")
    assert answer.message.startswith("base_url: ")


async def test_an_unknown_type_is_refused_with_those_there_are(api: AdminApi) -> None:
    answer = await api.post("/admin/providers", {**PUBLIC, "type": "none"})
    assert answer.status == 422
    assert "simulator" in answer.message


async def test_a_name_can_be_had_once(api: AdminApi) -> None:
    await api.made("/admin/providers", PUBLIC)
    answer = await api.post("/admin/providers", PUBLIC)
    assert (answer.status, answer.error) == (409, "conflict")


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({"enabled": False, "version": 7}, 409),
        ({"enabled": None}, 422),
        ({"name": "other"}, 422),
        ({"base_url": "http://10.0.0.7/v1"}, 422),
        ({"base_url": "http://10.0.0.7/v1", "allow_private": True}, 200),
        ({}, 200),
    ],
)
async def test_a_patch_is_checked(api: AdminApi, patch: dict[str, object], status: int) -> None:
    await api.made("/admin/providers", PUBLIC)
    assert (await api.patch("/admin/providers/acme", patch)).status == status


async def test_private_addresses_cannot_be_forbidden_while_the_base_url_is_one(
    api: AdminApi,
) -> None:
    body = {**PUBLIC, "base_url": "http://10.0.0.7/v1", "allow_private": True}
    await api.made("/admin/providers", body)
    answer = await api.patch("/admin/providers/acme", {"allow_private": False})
    assert answer.status == 422


async def test_a_provider_that_serves_mappings_cannot_be_deleted(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    for alias in ("one", "two"):
        targets = [{"provider": "sim", "model": "m"}]
        await api.made("/admin/mappings", {"alias": alias, "targets": targets})
    answer = await api.delete("/admin/providers/sim")
    assert (answer.status, answer.error) == (409, "conflict")
    assert "one, two" in answer.message
    await api.delete("/admin/mappings/one")
    await api.delete("/admin/mappings/two")
    assert (await api.delete("/admin/providers/sim")).status == 204


async def test_providers_are_listed_by_name_page_by_page(api: AdminApi) -> None:
    for name in ("c", "a", "b"):
        await api.made("/admin/providers", {**SIMULATED, "name": name})
    first = (await api.get("/admin/providers?limit=2")).body
    assert [each["name"] for each in first["data"]] == ["a", "b"]
    assert [each["name"] for each in await api.listed("/admin/providers?limit=2")] == list("abc")


async def test_the_types_are_those_of_the_registry(api: AdminApi) -> None:
    found = {each["name"]: each for each in await api.listed("/admin/provider-types?limit=3")}
    assert {"openai", "openai_compatible", "simulator"} <= found.keys()
    assert found["simulator"]["simulated"]
    assert found["openai"]["environment"] == ["OPENAI_API_KEY"]
    assert found["openai_compatible"]["default_base_url"] is None
    assert "chat" in found["openai"]["operations"]


async def test_a_provider_is_tested_without_spending_a_token(api: AdminApi) -> None:
    async with FakeUpstream(models=("b-model", "a-model")) as fake:
        body = {**PUBLIC, "base_url": fake.base_url, "credential": {"secret": "sk-the-secret"}}
        await api.made("/admin/providers", body)
        tested = (await api.post("/admin/providers/acme/test")).body
        models = await api.listed("/admin/providers/acme/models?limit=1")
        seen = {(each.method, each.headers["authorization"]) for each in fake.requests}
    assert (tested["ok"], tested["models"], tested["error"]) == (True, 2, None)
    assert tested["latency_ms"] >= 0
    assert [each["model"] for each in models] == ["a-model", "b-model"]
    assert seen == {("GET", "Bearer sk-the-secret")}


async def test_a_model_says_under_which_aliases_it_is_mapped(api: AdminApi) -> None:
    async with FakeUpstream(models=("m",)) as fake:
        body = {**PUBLIC, "base_url": fake.base_url, "credential": {"secret": "sk-the-secret"}}
        await api.made("/admin/providers", body)
        targets = [{"provider": "acme", "model": "m"}]
        await api.made("/admin/mappings", {"alias": "fast", "targets": targets})
        (model,) = await api.listed("/admin/providers/acme/models")
    assert model == {"provider": "acme", "model": "m", "aliases": ["fast"]}


async def test_a_provider_that_cannot_be_reached_fails_its_test(api: AdminApi) -> None:
    async with FakeUpstream() as fake:
        gone = fake.base_url
    body = {**PUBLIC, "base_url": gone, "credential": {"secret": "sk-the-secret"}}
    await api.made("/admin/providers", body)
    tested = (await api.post("/admin/providers/acme/test")).body
    assert not tested["ok"]
    assert tested["error"].startswith("provider acme did not answer")
    answer = await api.get("/admin/providers/acme/models")
    assert (answer.status, answer.error) == (502, "upstream_error")


async def test_a_provider_without_a_credential_fails_its_test(api: AdminApi) -> None:
    await api.made("/admin/providers", {"name": "o", "type": "openai"})
    tested = (await api.post("/admin/providers/o/test")).body
    assert not tested["ok"]
    assert "no usable credential" in tested["error"]


async def test_the_simulator_passes_its_test(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    assert (await api.post("/admin/providers/sim/test")).body["ok"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/providers/x"),
        ("PATCH", "/admin/providers/x"),
        ("DELETE", "/admin/providers/x"),
        ("POST", "/admin/providers/x/test"),
        ("GET", "/admin/providers/x/models"),
        ("GET", "/admin/providers/x/credentials"),
        ("PATCH", "/admin/providers/x/credentials/y"),
        ("DELETE", "/admin/providers/x/credentials/y"),
    ],
)
async def test_a_provider_that_is_not_there_is_not_found(
    api: AdminApi, method: str, path: str
) -> None:
    answer = await api.call(method, path, {})
    assert (answer.status, answer.error) == (404, "not_found")


async def test_a_list_of_models_is_kept_for_its_pages_and_asked_anew_on_demand(
    api: AdminApi,
) -> None:
    async with FakeUpstream(models=("a", "b", "c")) as fake:
        body = {**PUBLIC, "base_url": fake.base_url, "credential": {"secret": "sk-the-secret"}}
        await api.made("/admin/providers", body)
        path = "/admin/providers/acme/models"
        assert len(await api.listed(f"{path}?limit=1")) == 3
        assert len(fake.requests) == 1
        fake.models = ("a", "d")
        assert len(await api.listed(path)) == 3
        fresh = await api.listed(f"{path}?refresh=true&limit=1")
        assert [each["model"] for each in fresh] == ["a", "d"]
        assert len(fake.requests) == 2
        await api.patch("/admin/providers/acme/credentials/default", {"secret": "sk-another-one"})
        await api.listed(path)
        assert len(fake.requests) == 3


@pytest.mark.parametrize(
    ("operation", "path", "question"),
    [
        ("chat", "/v1/chat/completions", "messages"),
        ("completion", "/v1/completions", "prompt"),
        ("embedding", "/v1/embeddings", "input"),
    ],
)
async def test_a_probe_asks_a_model_for_a_few_words(
    api: AdminApi, operation: str, path: str, question: str
) -> None:
    async with FakeUpstream() as fake:
        body = {**PUBLIC, "base_url": fake.base_url, "credential": {"secret": "sk-the-secret"}}
        await api.made("/admin/providers", body)
        await api.put("/admin/prices/acme/*", {"input": "1", "output": "2"})
        asked = {"model": "fake-in10-out5", "operation": operation}
        probed = await api.post("/admin/providers/acme/probe", asked)
        sent = fake.requests[-1]
    assert (probed.body["ok"], probed.body["input_tokens"]) == (True, 10)
    assert probed.body["cost"] == ("0.00001" if operation == "embedding" else "0.00002")
    assert sent.path == path
    assert question in json.loads(sent.body)
    assert sent.headers["authorization"] == "Bearer sk-the-secret"


async def test_a_probe_that_fails_tells_why_without_the_secret(api: AdminApi) -> None:
    secret = "sk-echoed-0123456789abcdef"
    async with FakeUpstream() as fake:
        body = {**PUBLIC, "base_url": fake.base_url, "credential": {"secret": secret}}
        await api.made("/admin/providers", body)
        said = json.dumps({"error": {"message": f"the key {secret} is worn out"}}).encode()
        fake.script(Behaviour(status=400, raw_body=said))
        refused = await api.post("/admin/providers/acme/probe", {"model": "fake"})
    assert not refused.body["ok"]
    assert "worn out" in refused.body["error"]
    assert secret not in refused.text
    gone = await api.post("/admin/providers/acme/probe", {"model": "fake"})
    assert (gone.status, gone.body["ok"], gone.body["cost"]) == (200, False, None)
    await api.made("/admin/providers", {"name": "g", "type": "groq"})
    unoffered = await api.post("/admin/providers/g/probe", {"model": "m", "operation": "embedding"})
    assert unoffered.body["error"] == "the provider does not offer embedding"


async def test_a_card_tells_what_a_model_did_and_what_was_not_tried(api: AdminApi) -> None:
    await api.made("/admin/providers", {"name": "sim", "type": "simulator"})
    asked = {"model": "simulated-large", "card": True}
    card = (await api.post("/admin/providers/sim/probe", asked)).body
    alone = (await api.post("/admin/providers/sim/probe", {"model": "simulated-large"})).body
    checks = {each["capability"]: each["ok"] for each in card["checks"]}
    assert checks == {
        "text": True,
        "streaming": True,
        "tools": True,
        "schema": True,
        "vision": None,
        "audio": None,
        "reasoning": None,
    }
    assert alone["checks"] == []
    assert card["output_tokens"] > alone["output_tokens"] > 0
    assert float(card["cost"]) > float(alone["cost"]) > 0


async def test_a_card_of_a_model_that_does_not_answer_tries_no_more(api: AdminApi) -> None:
    async with FakeUpstream() as fake:
        body = {**PUBLIC, "base_url": fake.base_url, "credential": {"secret": "sk-the-secret"}}
        await api.made("/admin/providers", body)
        fake.script(Behaviour(status=404, raw_body=b'{"error":{"message":"no such model"}}'))
        card = (await api.post("/admin/providers/acme/probe", {"model": "x", "card": True})).body
        assert len(fake.requests) == 1
    assert (card["ok"], card["cost"]) == (False, None)
    text, *others = card["checks"]
    assert (text["ok"], "no such model" in text["detail"]) == (False, True)
    assert {each["ok"] for each in others} == {None}
    assert others[0]["detail"] == "not tried, as the model did not answer"


async def test_a_provider_without_a_list_is_tested_by_its_address(api: AdminApi) -> None:
    async with FakeUpstream() as fake:
        body = {**PUBLIC, "type": "cloudflare", "base_url": fake.base_url}
        await api.made("/admin/providers", {**body, "credential": {"secret": "sk-the-secret"}})
        tested = (await api.post("/admin/providers/acme/test")).body
        path = "/admin/providers/acme/credentials/default/test"
        of_credential = (await api.post(path)).body
        assert not any("authorization" in each.headers for each in fake.requests)
        listed = await api.get("/admin/providers/acme/models")
    for each in (tested, of_credential):
        assert (each["ok"], each["models"], each["error"]) == (True, None, None)
        assert "whether its key is good is not known" in each["note"]
    assert (listed.status, listed.error) == (404, "not_found")
    gone = (await api.post("/admin/providers/acme/test")).body
    assert (gone["ok"], gone["note"]) == (False, None)
    assert "did not answer" in gone["error"]
