"""Admin operations on credentials."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from conduit.gateway.config.configuration import Configuration
from conduit.gateway.storage.engine import Database, reading
from conduit.gateway.storage.schema import credentials
from tests.gateway.admin.calls import PUBLIC, AdminApi

CANARY = "sk-canary-0123456789wxyz"
PATH = "/admin/providers/acme/credentials"


@pytest.fixture
async def provider(api: AdminApi) -> None:
    """A provider without a credential."""
    await api.made("/admin/providers", PUBLIC)


async def stored(database: Database) -> str:
    async with reading(database) as connection:
        return str((await connection.execute(select(credentials))).all())


@pytest.mark.usefixtures("provider")
async def test_a_secret_is_sealed_and_never_shown_again(
    api: AdminApi, database: Database, configuration: Configuration
) -> None:
    answer = await api.post(PATH, {"secret": f" {CANARY}\n"})
    assert answer.status == 201
    shown = answer.body
    assert (shown["name"], shown["source"], shown["state"]) == ("default", "sealed", "ready")
    assert (shown["hint"], shown["host"]) == ("wxyz", "api.acme.invalid")
    assert configuration.snapshot.upstreams["acme"].credentials[0].secret == CANARY
    for text in (
        answer.text,
        (await api.get("/admin/providers")).text,
        (await api.get(PATH)).text,
        await stored(database),
    ):
        assert "canary" not in text


@pytest.mark.usefixtures("provider")
async def test_a_reference_is_stored_as_such(
    api: AdminApi, environment: dict[str, str], tmp_path: Path, configuration: Configuration
) -> None:
    environment["ACME_KEY"] = CANARY
    (tmp_path / "secret").write_text(CANARY)
    by_env = await api.made(PATH, {"name": "a", "env": "ACME_KEY"})
    by_file = await api.made(PATH, {"name": "b", "file": str(tmp_path / "secret")})
    assert (by_env["source"], by_env["state"]) == ("env:ACME_KEY", "ready")
    assert (by_file["source"], by_file["state"]) == (f"file:{tmp_path}/secret", "ready")
    ready = configuration.snapshot.upstreams["acme"].credentials
    assert {each.name: each.secret for each in ready} == {"a": CANARY, "b": CANARY}


@pytest.mark.usefixtures("provider")
async def test_a_reference_to_nothing_is_missing_until_it_is_there(
    api: AdminApi, environment: dict[str, str], configuration: Configuration
) -> None:
    made = await api.made(PATH, {"env": "ACME_KEY"})
    assert (made["state"], made["hint"]) == ("missing", None)
    environment["ACME_KEY"] = CANARY
    await configuration.reload()
    (found,) = await api.listed(PATH)
    assert (found["state"], found["hint"]) == ("ready", "wxyz")


async def test_a_provider_is_made_with_its_credential_or_not_at_all(api: AdminApi) -> None:
    refused = await api.post("/admin/providers", {**PUBLIC, "credential": {"secret": "a b"}})
    assert refused.status == 422
    assert refused.message.startswith("credential.secret: ")
    assert await api.listed("/admin/providers") == []
    made = await api.made("/admin/providers", {**PUBLIC, "credential": {"secret": CANARY}})
    assert [each["state"] for each in made["credentials"]] == ["ready"]


@pytest.mark.usefixtures("provider")
async def test_another_host_leaves_credentials_unusable_until_they_are_entered_again(
    api: AdminApi, configuration: Configuration
) -> None:
    await api.made(PATH, {"secret": CANARY})
    moved = await api.patch("/admin/providers/acme", {"base_url": "https://evil.invalid/v1"})
    assert [each["state"] for each in moved.body["credentials"]] == ["wrong_host"]
    assert [*configuration.snapshot.upstreams["acme"].credentials] == []

    entered = await api.patch(f"{PATH}/default", {"secret": CANARY + "2", "version": 1})
    assert (entered.body["state"], entered.body["host"]) == ("ready", "evil.invalid")
    assert configuration.snapshot.upstreams["acme"].credentials[0].secret == CANARY + "2"


@pytest.mark.usefixtures("provider")
async def test_another_path_on_the_same_host_changes_nothing_for_credentials(
    api: AdminApi,
) -> None:
    await api.made(PATH, {"secret": CANARY})
    moved = await api.patch("/admin/providers/acme", {"base_url": "https://api.acme.invalid/v2"})
    assert [each["state"] for each in moved.body["credentials"]] == ["ready"]


@pytest.mark.usefixtures("provider")
async def test_a_credential_is_disabled_and_enabled_without_its_secret(api: AdminApi) -> None:
    made = await api.made(PATH, {"secret": CANARY})
    disabled = await api.patch(f"{PATH}/{made['id']}", {"enabled": False})
    assert (disabled.body["state"], disabled.body["version"]) == ("disabled", 2)
    assert (await api.patch(f"{PATH}/default", {"enabled": True})).body["state"] == "ready"


@pytest.mark.usefixtures("provider")
async def test_a_secret_takes_the_place_of_a_reference(api: AdminApi) -> None:
    await api.made(PATH, {"env": "ACME_KEY"})
    changed = await api.patch(f"{PATH}/default", {"secret": CANARY})
    assert (changed.body["source"], changed.body["state"]) == ("sealed", "ready")


@pytest.mark.usefixtures("provider")
async def test_a_credential_is_deleted(api: AdminApi, kinds: Callable[[], list[str]]) -> None:
    await api.made(PATH, {"secret": CANARY})
    assert (await api.delete(f"{PATH}/default")).status == 204
    assert await api.listed(PATH) == []
    assert (await api.delete(f"{PATH}/default")).status == 404
    assert kinds()[1:] == ["credential.created", "credential.deleted"]


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"secret": ""},
        {"secret": "with\nnewline"},
        {"secret": "a", "env": "B"},
        {"env": "1BAD"},
        {"file": "relative/path"},
        {"name": "bad name", "secret": "a"},
        {"secret": "a", "host": "x"},
    ],
)
async def test_a_credential_that_makes_no_sense_is_refused(
    api: AdminApi, body: dict[str, str]
) -> None:
    assert (await api.post(PATH, body)).status == 422
    assert await api.listed(PATH) == []


@pytest.mark.usefixtures("provider")
async def test_a_stale_version_is_a_conflict(api: AdminApi) -> None:
    await api.made(PATH, {"secret": CANARY})
    answer = await api.patch(f"{PATH}/default", {"enabled": False, "version": 2})
    assert answer.status == 409


async def test_the_primary_credential_comes_first_and_the_others_keep_their_order(
    api: AdminApi, configuration: Configuration, environment: dict[str, str]
) -> None:
    environment |= {"A": "secret-a-000000", "B": "secret-b-000000", "C": "secret-c-000000"}
    await api.made("/admin/providers", PUBLIC)
    path = "/admin/providers/acme/credentials"
    for name in "ABC":
        await api.made(path, {"name": name, "env": name})

    def order() -> list[str]:
        return [each.name for each in configuration.snapshot.upstreams["acme"].credentials]

    assert order() == ["A", "B", "C"]
    changed = await api.patch(f"{path}/C", {"primary": True})
    assert (changed.status, changed.body["primary"]) == (200, True)
    assert order() == ["C", "A", "B"]
    await api.patch(f"{path}/B", {"primary": True})
    assert order() == ["B", "C", "A"]
    shown = await api.listed(path)
    assert {each["name"]: each["primary"] for each in shown} == {"A": False, "B": True, "C": False}
    assert (await api.patch(f"{path}/A", {"primary": False})).status == 422


async def test_a_credential_that_is_entered_anew_takes_the_place_of_the_old_one(
    api: AdminApi, configuration: Configuration, environment: dict[str, str]
) -> None:
    environment["NEW"] = "secret-new-000000"
    await api.made("/admin/providers", {**PUBLIC, "credential": {"secret": "sk-old-0000000000"}})
    path = "/admin/providers/acme/credentials/default"
    answer = await api.patch(path, {"env": "NEW"})
    assert (answer.body["source"], answer.body["state"]) == ("env:NEW", "ready")
    assert [each.secret for each in configuration.snapshot.upstreams["acme"].credentials] == [
        "secret-new-000000"
    ]
    assert (await api.get(path)).body == answer.body
    assert (await api.patch(path, {"env": "NEW", "secret": "sk-x-00000000"})).status == 422
    assert (await api.patch(path, {"file": "relative"})).status == 422


async def test_a_credential_that_is_not_ready_is_tested_without_a_call(api: AdminApi) -> None:
    await api.made("/admin/providers", {**PUBLIC, "credential": {"env": "NOWHERE"}})
    tested = await api.post("/admin/providers/acme/credentials/default/test")
    assert tested.status == 200
    assert (tested.body["ok"], tested.body["latency_ms"]) == (False, None)
    assert tested.body["error"] == "it cannot be used: its state is missing"


@pytest.mark.usefixtures("provider")
async def test_an_exported_secret_opens_for_the_same_host_alone(
    api: AdminApi, configuration: Configuration
) -> None:
    await api.made(PATH, {"secret": CANARY})
    answer = await api.get(f"{PATH}/default/sealed")
    assert answer.headers["cache-control"] == "no-store"
    exported = answer.body
    assert exported["host"] == "api.acme.invalid"
    assert CANARY not in answer.text
    again = await api.made(PATH, {"name": "again", "sealed": exported["sealed"]})
    assert (again["source"], again["fingerprint"]) == ("sealed", exported["fingerprint"])
    ready = configuration.snapshot.upstreams["acme"].credentials
    assert [each.secret for each in ready] == [CANARY, CANARY]

    other = {"name": "other", "type": "openai_compatible", "base_url": "https://other.invalid/v1"}
    await api.made("/admin/providers", other)
    path = "/admin/providers/other/credentials"
    refused = await api.post(path, {"sealed": exported["sealed"]})
    assert (refused.status, refused.error) == (422, "validation_failed")
    assert "does not open here for other.invalid" in refused.message
    await api.made(path, {"secret": "sk-of-the-other-0123456789"})
    refused = await api.patch(f"{path}/default", {"sealed": exported["sealed"]})
    assert refused.status == 422


@pytest.mark.usefixtures("provider")
async def test_a_sealed_secret_takes_the_place_of_another_credential(
    api: AdminApi, configuration: Configuration
) -> None:
    await api.made(PATH, {"name": "a", "secret": CANARY})
    await api.made(PATH, {"name": "b", "env": "ACME_KEY"})
    exported = (await api.get(f"{PATH}/a/sealed")).body["sealed"]
    assert (await api.patch(f"{PATH}/b", {"sealed": exported})).body["source"] == "sealed"
    assert [each.secret for each in configuration.snapshot.upstreams["acme"].credentials] == [
        CANARY,
        CANARY,
    ]


@pytest.mark.usefixtures("provider")
async def test_what_is_not_sealed_or_no_export_is_refused(api: AdminApi) -> None:
    await api.made(PATH, {"name": "a", "env": "ACME_KEY"})
    reference = await api.get(f"{PATH}/a/sealed")
    assert (reference.status, reference.error) == (409, "conflict")
    await api.made(PATH, {"name": "b", "secret": CANARY})
    exported = (await api.get(f"{PATH}/b/sealed")).body["sealed"]
    for sealed in (exported[:-4] + "AAAA", "c1.x.1.y.z", "c1.nonsense", "plain"):
        refused = await api.post(PATH, {"name": "c", "sealed": sealed})
        assert refused.status == 422, refused.text
    both = await api.post(PATH, {"name": "c", "sealed": exported, "secret": CANARY})
    assert both.status == 422
