"""Providers, credentials and models from the command line, against a real gateway."""

import json
from pathlib import Path

import pytest

from tests.e2e.cli import Cli, editor
from tests.e2e.conftest import Running
from tests.e2e.processes import free_port
from tests.fakes.upstream import FakeUpstream

SECRET = "sk-typed-by-hand-0000000000000001"


@pytest.fixture
async def cli(running: Running, tmp_path: Path) -> Cli:
    return Cli(tmp_path, running.url, running.master_key, await running.key())


async def test_adding_asks_for_everything_a_person_has_not_said(
    cli: Cli, running: Running, fake: FakeUpstream
) -> None:
    outcome = await cli.converse(
        "providers",
        "add",
        answers=[
            ("Type, by number or name: ", "openai_compatible"),
            ("Name [openai_compatible]: ", "lab"),
            ("Base URL", fake.base_url),
            ("Provider's API key (empty for none): ", ""),
            ("[all]: ", "fake-t*"),
        ],
    )
    assert outcome.code == 0, outcome.out
    assert "OpenAI-compatible server" in outcome.out
    assert "added provider lab; it offers 3 models" in outcome.out
    assert "mapped 1 model: fake-tools" in outcome.out
    mapping = await running.admin("GET", "/mappings/fake-tools")
    assert mapping["targets"][0]["provider"] == "lab"


async def test_a_type_is_picked_by_its_number_and_its_key_is_typed_unseen(
    cli: Cli, running: Running, fake: FakeUpstream
) -> None:
    types = (await running.admin("GET", "/provider-types?limit=1000"))["data"]
    number = [kind["name"] for kind in types].index("openai") + 1
    outcome = await cli.converse(
        "providers",
        "add",
        "--base-url",
        fake.base_url,
        answers=[
            ("Type, by number or name: ", str(number)),
            ("Name [openai]: ", ""),
            ("Provider's API key: ", SECRET),
            ("[all]: ", "none"),
        ],
    )
    assert outcome.code == 0, outcome.out
    assert SECRET not in outcome.out
    provider = await running.admin("GET", "/providers/openai")
    assert provider["credentials"][0]["state"] == "ready"
    assert fake.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert len((await running.admin("GET", "/mappings"))["data"]) == 1


async def test_a_person_is_asked_by_what_the_type_says_of_itself(
    cli: Cli, running: Running, fake: FakeUpstream
) -> None:
    outcome = await cli.converse(
        "providers",
        "add",
        "vertex",
        answers=[
            ("such as https://LOCATION-aiplatform.googleapis.com/v1/projects/", fake.base_url),
            ("Provider's API key: ", SECRET),
        ],
    )
    assert outcome.code == 0, outcome.out
    assert "the JSON of a service account's key; " in outcome.out
    assert "give it with --key-file" in outcome.out
    assert "whether its key is good is not known" in outcome.out
    assert "conduit mappings add ALIAS --to vertex/MODEL" in outcome.out
    unlisted = await cli("providers", "models", "vertex")
    assert (unlisted.code, unlisted.out) == (5, "")
    assert "do not list their models" in unlisted.err


async def test_types_say_what_each_needs(cli: Cli) -> None:
    rows = {row["name"]: row for row in (await cli("providers", "types", "--json")).json["data"]}
    assert rows["bedrock"]["credential_forms"][0] == "API_KEY"
    assert (rows["bedrock"]["lists_models"], rows["openai"]["lists_models"]) == (False, True)
    assert rows["cloudflare"]["base_url_form"].startswith("https://api.cloudflare.com/")
    told = (await cli("providers", "types", "-o", "wide", "--filter", "name:azure")).out
    assert "(https://RESOURCE.openai.azure.com/openai/v1)" in told
    assert 'API_KEY or {"tenant_id"' in told


async def test_a_model_that_is_tested_gets_a_card(cli: Cli) -> None:
    (await cli("providers", "add", "simulator")).ok()
    card = (await cli("providers", "test", "simulator", "--model", "simulated-small")).ok()
    assert '"capability":"streaming","ok":true' in card.out
    shown = await cli(
        "providers", "test", "simulator", "--model", "simulated-small", CONDUIT_FORCE_TTY="100"
    )
    for line in ("it called the tool, with fitting arguments", "not tried"):
        assert line in shown.out
    one = await cli(
        "providers", "test", "simulator", "--model", "simulated-small", "--format", "{ok}"
    )
    assert one.out == "true\n"
    several = await cli(
        "providers", "test", "simulator", "fake", "--model", "simulated-small", "--json"
    )
    assert [row["checks"] for row in several.json["data"]] == [[], []]


async def test_where_nobody_can_be_asked_the_missing_flag_is_named(cli: Cli) -> None:
    no_type = await cli("providers", "add")
    assert no_type.code == 2
    assert "TYPE is needed" in no_type.err
    no_url = await cli("providers", "add", "openai_compatible")
    assert no_url.code == 2
    assert "--base-url" in no_url.err
    of_a_form = await cli("providers", "add", "cloudflare")
    assert "it looks like https://api.cloudflare.com/client/v4/accounts/" in of_a_form.err
    no_key = await cli("providers", "add", "openai")
    assert no_key.code == 2
    assert "--key-stdin" in no_key.err


async def test_a_provider_whose_test_fails_is_kept_disabled(cli: Cli, running: Running) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/v1"
    outcome = await cli(
        *("providers", "add", "openai", "--name", "bad", "--base-url", nobody, "--key-stdin"),
        stdin=SECRET,
    )
    assert outcome.code == 7
    assert "is disabled" in outcome.err
    assert not (await running.admin("GET", "/providers/bad"))["enabled"]


async def test_every_model_can_be_mapped_at_once_and_twice_does_no_harm(
    cli: Cli, running: Running
) -> None:
    planned = (await cli("providers", "models", "fake", "--import", "--dry-run")).ok()
    assert planned.out.count("POST /admin/mappings") == 3
    assert len((await running.admin("GET", "/mappings"))["data"]) == 1
    first = (await cli("providers", "models", "fake", "--import", "--json")).ok()
    assert {row["alias"] for row in first.json["data"]} == {"fake", "fake-tools", "fake-echo"}
    again = (await cli("providers", "models", "fake", "--import")).ok()
    assert "every model of fake has an alias" in again.err
    assert len((await running.admin("GET", "/mappings"))["data"]) == 4


async def test_a_provider_is_edited_as_text(cli: Cli, running: Running, tmp_path: Path) -> None:
    swap = "path.write_text(path.read_text().replace('enabled = true', 'enabled = false'))"
    outcome = await cli.converse("providers", "edit", "fake", VISUAL=editor(tmp_path, swap))
    assert outcome.code == 0, outcome.out
    assert not (await running.admin("GET", "/providers/fake"))["enabled"]
    untouched = await cli.converse("providers", "edit", "fake", VISUAL=editor(tmp_path, ""))
    assert "nothing was changed" in untouched.out


async def test_an_edit_of_a_stale_provider_is_refused_and_the_text_kept(
    cli: Cli, running: Running, tmp_path: Path
) -> None:
    """Somebody else changes the provider while the editor is open."""
    meanwhile = (
        "import os, urllib.request\n"
        "text = path.read_text()\n"
        "request = urllib.request.Request(\n"
        "    os.environ['CONDUIT_URL'] + '/admin/providers/fake', method='PATCH',\n"
        "    data=b'{\"enabled\": true}', headers={'content-type': 'application/json',\n"
        "    'authorization': 'Bearer ' + os.environ['CONDUIT_MASTER_KEY']})\n"
        "urllib.request.urlopen(request).read()\n"
        "path.write_text(text.replace('enabled = true', 'enabled = false'))"
    )
    outcome = await cli.converse("providers", "edit", "fake", VISUAL=editor(tmp_path, meanwhile))
    assert outcome.code == 6
    assert "somebody changed it meanwhile" in outcome.out
    kept = outcome.out.partition("what you wrote is kept in ")[2].split()[0]
    assert "enabled = false" in Path(kept).read_text()
    Path(kept).unlink()
    assert (await running.admin("GET", "/providers/fake"))["enabled"]


async def test_an_edit_needs_a_terminal(cli: Cli) -> None:
    outcome = await cli("providers", "edit", "fake", EDITOR="true")
    assert outcome.code == 2
    assert "conduit providers update" in outcome.err


async def test_the_primary_credential_is_the_one_that_is_sent(cli: Cli, fake: FakeUpstream) -> None:
    second = "sk-second-0000000000000000000002"
    await cli("providers", "credentials", "add", "fake", "--name", "b", "--key-stdin", stdin=second)
    (await cli("providers", "test", "fake")).ok()
    assert second not in fake.requests[-1].headers["authorization"]
    changed = (await cli("providers", "credentials", "primary", "fake", "b", "--json")).ok()
    assert changed.json["primary"]
    (await cli("providers", "test", "fake")).ok()
    assert fake.requests[-1].headers["authorization"] == f"Bearer {second}"
    (await cli("models", "ping", "fake")).ok()
    assert fake.requests[-1].headers["authorization"] == f"Bearer {second}"
    (await cli("providers", "credentials", "disable", "fake", "b")).ok()
    (await cli("providers", "test", "fake")).ok()
    assert second not in fake.requests[-1].headers["authorization"]


async def test_each_credential_is_tested_by_itself(cli: Cli, fake: FakeUpstream) -> None:
    second = "sk-second-0000000000000000000002"
    add = ("providers", "credentials", "add", "fake", "--name", "b")
    (await cli(*add, "--key-stdin", stdin=second)).ok()
    assert (await cli("providers", "credentials", "test", "fake", "b", "--json")).ok().json["ok"]
    assert fake.requests[-1].headers["authorization"] == f"Bearer {second}"
    (await cli("providers", "credentials", "disable", "fake", "b")).ok()
    refused = await cli("providers", "credentials", "test", "fake", "b")
    assert refused.code == 9
    assert "disabled" in refused.out


async def test_a_model_of_a_provider_is_asked_on_demand(cli: Cli, fake: FakeUpstream) -> None:
    asked = (await cli("providers", "test", "fake", "--model", "fake-in7-out3", "--json")).ok()
    # Text, a stream, a tool and a schema: 7 in at 1 and 3 out at 2 USD a million, each.
    assert (asked.json["input_tokens"], asked.json["output_tokens"]) == (28, 12)
    assert asked.json["cost"] == "0.000052"
    caps = sorted(json.loads(request.body)["max_tokens"] for request in fake.requests[-4:])
    assert caps == [16, 16, 64, 64]
    failed = await cli("providers", "test", "fake", "--model", "fake-status500", "--json")
    assert failed.code == 9
    assert not failed.json["ok"]


async def test_several_providers_are_switched_by_a_filter(cli: Cli, running: Running) -> None:
    for name in ("x1", "x2"):
        await running.admin("POST", "/providers", {"name": name, "type": "simulator"})
    unconfirmed = await cli("providers", "disable", "--filter", "type:simulator")
    assert unconfirmed.code == 2
    assert "--yes" in unconfirmed.err
    done = (await cli("providers", "disable", "--filter", "type:simulator", "--yes", "--json")).ok()
    assert {row["name"] for row in done.json["data"]} == {"x1", "x2"}
    assert (await running.admin("GET", "/providers/fake"))["enabled"]
    planned = (await cli("providers", "enable", "x1", "--dry-run")).ok()
    assert "enabled" in planned.out
    assert not (await running.admin("GET", "/providers/x1"))["enabled"]


async def test_models_say_who_serves_them_and_why_not(cli: Cli, running: Running) -> None:
    shown = (await cli("models", "show", "fake-n1", "--json")).ok().json
    assert (shown["provider"], shown["model"], shown["available"]) == ("fake", "fake-n1", True)
    assert (shown["input"], shown["output"], shown["price_source"]) == ("1.00", "2.00", "override")
    await running.admin("PATCH", "/providers/fake", {"enabled": False})
    listed = (await cli("models", "list", "--json")).ok().json["data"]
    assert [(row["id"], row["available"]) for row in listed] == [("fake*", False)]
    assert listed[0]["reasons"] == ["fake/fake*: the provider is disabled"]
    missing = await cli("models", "show", "nothing-such")
    assert missing.code == 5


async def test_a_ping_is_a_real_request_that_is_recorded_and_charged(
    cli: Cli, running: Running
) -> None:
    pinged = (await cli("models", "ping", "fake-in12-out34", "--json")).ok().json
    assert (pinged["provider"], pinged["cost"]) == ("fake", "0.00008")
    record = await running.last_record()
    assert (record["id"], record["cost"]) == (pinged["request_id"], "0.00008")
    failed = await cli("models", "ping", "fake-status500")
    assert failed.code == 7
    nobody = await cli("models", "ping", "fake", CONDUIT_API_KEY="")
    assert nobody.code == 4


async def test_the_key_of_a_provider_is_replaced_by_another(
    cli: Cli, running: Running, fake: FakeUpstream
) -> None:
    flags = ("providers", "credentials")
    (await cli(*flags, "add", "fake", "--name", "b", "--key-stdin", stdin="sk-former")).ok()
    (await cli(*flags, "update", "fake", "b", "--key-stdin", stdin=SECRET)).ok()
    (await cli(*flags, "test", "fake", "b")).ok()
    assert fake.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
    changed = (await cli(*flags, "update", "fake", "b", "--env", "LAB_KEY", "--json")).ok()
    assert changed.json["source"].startswith("env")
    planned = await cli(*flags, "update", "fake", "b", "--key-stdin", "--dry-run", stdin=SECRET)
    assert SECRET not in planned.ok().out + planned.err
    assert (await cli(*flags, "update", "fake", "b")).code == 2


async def test_a_budget_tells_whose_it_is(cli: Cli) -> None:
    (await cli("keys", "create", "whose", "--budget", "5")).ok()
    listed = (await cli("budgets", "list", "--json")).ok().json["data"]
    assert "whose" in [row["scope_name"] for row in listed]
    shown = (await cli("budgets", "update", "key:whose", "--limit", "6", "--json")).ok().json
    assert (shown["scope_name"], shown["limit"]) == ("whose", "6.00")
