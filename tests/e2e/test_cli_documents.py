"""Configuration as a document: exported, compared, applied to a real gateway."""

import json
from pathlib import Path

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import UPSTREAM_SECRET, Running

LAB = """\
[[providers]]
name = "lab"
type = "openai_compatible"
base_url = "http://10.0.0.7/v1"
allow_private = true

[[providers.credentials]]
name = "default"
from = "env:LAB_KEY"

[[mappings]]
alias = "lab-model"
targets = [{provider = "lab", model = "m", params = {temperature = 0.2}}]

[[prices]]
provider = "lab"
model = "m"
input = "1"
output = 2
"""


@pytest.fixture
def cli(running: Running, tmp_path: Path) -> Cli:
    return Cli(tmp_path, running.url, running.master_key)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wanted.toml"
    path.write_text(LAB)
    return path


async def test_an_export_is_the_gateway_and_holds_no_secret(cli: Cli, tmp_path: Path) -> None:
    exported = (await cli("config", "export")).ok().out
    assert 'from = "sealed"' in exported
    assert UPSTREAM_SECRET not in exported
    for name, text in (
        ("same.toml", exported),
        ("same.json", (await cli("config", "export", "--json")).ok().out),
    ):
        path = tmp_path / name
        path.write_text(text)
        same = await cli("config", "diff", str(path))
        assert (same.code, same.out) == (0, "")


async def test_a_document_is_applied_once_and_then_holds(
    cli: Cli, running: Running, file: Path
) -> None:
    differing = await cli("config", "diff", str(file), "--json")
    assert differing.code == 9
    unconfirmed = await cli("config", "apply", str(file))
    assert (unconfirmed.code, len((await running.admin("GET", "/providers"))["data"])) == (2, 1)
    applied = (await cli("config", "apply", str(file), "--yes", "--json")).ok()
    assert [(row["action"], row["noun"]) for row in applied.json["data"]] == [
        ("add", "provider"),
        ("add", "credential"),
        ("add", "mapping"),
        ("add", "price"),
    ]
    assert "made 4 changes" in applied.err
    credential = (await running.admin("GET", "/providers/lab"))["credentials"][0]
    assert (credential["source"], credential["primary"]) == ("env:LAB_KEY", True)
    target = (await running.admin("GET", "/mappings/lab-model"))["targets"][0]
    assert target["params"] == {"temperature": 0.2}
    assert (await running.admin("GET", "/prices/lab/m"))["output"] == "2.00"
    again = (await cli("config", "apply", str(file))).ok()
    assert again.out == ""


async def test_only_pruning_removes_and_it_wants_a_typed_name(
    cli: Cli, running: Running, file: Path
) -> None:
    (await cli("config", "apply", str(file), "--yes")).ok()
    assert (await running.admin("GET", "/providers/fake"))["name"] == "fake"
    place = running.url.partition("://")[2]
    refused = await cli("config", "apply", str(file), "--prune", "--yes")
    assert refused.code == 2
    assert f"--confirm {place}" in refused.err
    wrong = await cli("config", "apply", str(file), "--prune", "--confirm", "elsewhere")
    assert wrong.code == 2
    assert (await running.admin("GET", "/providers/fake"))["name"] == "fake"
    pruned = await cli("config", "apply", str(file), "--prune", "--confirm", place, "--json")
    assert [(row["action"], row["name"]) for row in pruned.ok().json["data"]] == [
        ("remove", "fake/*"),
        ("remove", "fake*"),
        ("remove", "fake"),
    ]
    await running.admin("GET", "/providers/fake", status=404)


async def test_a_person_sees_the_plan_before_it_is_made(cli: Cli, file: Path) -> None:
    outcome = await cli.converse(
        "config", "apply", str(file), answers=[("Type y to confirm: ", "n")]
    )
    assert outcome.code == 2
    assert '+ provider lab\n    type: "openai_compatible"' in outcome.out
    assert "4 to add" in outcome.out
    assert (await cli("providers", "show", "lab")).code == 5


async def test_another_order_of_credentials_makes_another_one_primary(
    cli: Cli, running: Running, file: Path
) -> None:
    (await cli("config", "apply", str(file), "--yes")).ok()
    second = '[[providers.credentials]]\nname = "second"\nfrom = "env:SECOND"\n\n'
    head, rest = LAB.split("[[providers.credentials]]", 1)
    file.write_text(f"{head}{second}[[providers.credentials]]{rest}")
    (await cli("config", "apply", str(file), "--yes")).ok()
    (await cli("config", "apply", str(file), "--yes")).ok()
    assert (await cli("config", "diff", str(file), "--json")).code == 9  # the lab is not all
    own = (await running.admin("GET", "/providers/lab"))["credentials"]
    assert [(each["name"], each["primary"]) for each in own] == [
        ("second", True),
        ("default", False),
    ]


async def test_what_no_document_can_do_is_left_to_hand(
    cli: Cli, running: Running, file: Path
) -> None:
    file.write_text(LAB.replace("env:LAB_KEY", "sealed"))
    outcome = await cli("config", "apply", str(file), "--yes")
    assert outcome.code == 8
    assert "conduit providers credentials add lab --name default" in outcome.out
    assert (await running.admin("GET", "/mappings/lab-model"))["alias"] == "lab-model"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[prices]]", "[[pricelist]]", "there is no such section"),
        ('alias = "lab-model"', 'name = "lab-model"', "needs its alias"),
        ("allow_private = true", 'allow_private = "yes"', "allow_private"),
        ("env:LAB_KEY", "sk-a-secret-in-the-wrong-place", "no secret"),
        ("output = 2", "output = 0.00000000001", "output"),
        ("output = 2", "", "a price has input and output"),
        ("targets = [{provider", "targets = [{place", "needs provider and model"),
        ("[[mappings]]", "[[mappings", "is not TOML"),
    ],
)
async def test_a_document_that_cannot_be_meant_changes_nothing(
    cli: Cli, running: Running, file: Path, old: str, new: str, said: str
) -> None:
    file.write_text(LAB.replace(old, new))
    outcome = await cli("config", "apply", str(file), "--yes")
    assert outcome.code == 2
    assert said in outcome.err
    assert "sk-a-secret" not in outcome.err
    assert (await cli("config", "validate", str(file))).code == 9
    await running.admin("GET", "/providers/lab", status=404)


async def test_keys_are_changed_by_name_and_none_is_made(
    cli: Cli, running: Running, file: Path
) -> None:
    secret = await running.key("ci")
    exported = (await cli("config", "export")).ok().out
    assert 'name = "ci"' in exported
    assert secret not in exported
    file.write_text('[[keys]]\nname = "ci"\nallowed_models = ["gpt-*"]\n\n[[keys]]\nname = "new"\n')
    outcome = await cli("config", "apply", str(file), "--yes")
    assert outcome.code == 8
    assert "conduit keys create new" in outcome.out
    key = await running.admin("GET", "/keys/ci")
    assert (key["allowed_models"], key["enabled"]) == (["gpt-*"], True)
    await running.admin("GET", "/keys/new", status=404)


async def test_what_fails_halfway_is_told_with_what_was_done(
    cli: Cli, running: Running, file: Path
) -> None:
    file.write_text(LAB.replace('targets = [{provider = "lab"', 'targets = [{provider = "nobody"'))
    outcome = await cli("config", "apply", str(file), "--yes")
    assert outcome.code == 6
    assert "2 of 4 changes were made" in outcome.err
    assert "failed at: add mapping lab-model" in outcome.err
    assert (await running.admin("GET", "/providers/lab"))["name"] == "lab"
    await running.admin("GET", "/prices/lab/m", status=404)


async def test_a_null_parameter_is_exported_as_json_alone(cli: Cli, running: Running) -> None:
    target = {"provider": "fake", "model": "m", "params": {"top_p": None}}
    await running.admin("POST", "/mappings", {"alias": "nulled", "targets": [target]})
    as_toml = await cli("config", "export")
    assert as_toml.code == 2
    assert "-o json" in as_toml.err
    exported = json.loads((await cli("config", "export", "-o", "json")).ok().out)
    assert exported["mappings"][1]["targets"][0]["params"] == {"top_p": None}


async def test_mappings_that_fall_back_to_each_other_may_stand_in_any_order(
    cli: Cli, running: Running, tmp_path: Path
) -> None:
    def mapping(alias: str, *fallbacks: str) -> dict[str, object]:
        targets = [{"provider": "fake", "model": "m"}]
        to = [{"on": "error", "alias": each} for each in fallbacks]
        return {"alias": alias, "targets": targets, "fallbacks": to}

    path = tmp_path / "wanted.json"
    mappings = [mapping("a", "b"), mapping("b", "w/any"), mapping("w/*", "c"), mapping("c")]
    path.write_text(json.dumps({"mappings": mappings}))
    (await cli("config", "import", str(path), "--yes")).ok()
    assert (await running.admin("GET", "/mappings/a"))["fallbacks"][0]["alias"] == "b"
    # The other way round, from the end.
    mappings = [mapping("c", "b"), mapping("w/*"), mapping("b", "a"), mapping("a", "w/any")]
    path.write_text(json.dumps({"mappings": mappings}))
    (await cli("config", "import", str(path), "--yes")).ok()
    assert (await cli("config", "diff", str(path))).out.count("alias") == 0
    assert (await running.admin("GET", "/mappings/c"))["fallbacks"][0]["alias"] == "b"


async def test_what_has_limits_is_exported_in_every_form(
    cli: Cli, running: Running, tmp_path: Path
) -> None:
    limits = [
        {"kind": "rpm", "limit": 60},
        {"kind": "tpm", "limit": 900, "burst": 50, "model": "fake-n*"},
        {"kind": "rpd", "limit": 5, "timezone": "Europe/Berlin", "shadow": True},
    ]
    await running.key("ci", limits=limits)
    await running.admin("POST", "/groups", {"name": "eng", "limits": limits})
    await running.admin("PATCH", "/mappings/fake*", {"limits": limits})
    for name, form in (("same.toml", []), ("same.json", ["--json"])):
        path = tmp_path / name
        path.write_text((await cli("config", "export", *form)).ok().out)
        same = await cli("config", "diff", str(path))
        assert (same.code, same.out) == (0, "")


async def test_a_price_of_a_provider_is_no_price_of_each_of_its_models(
    cli: Cli, running: Running, tmp_path: Path
) -> None:
    for number in range(3):
        target = {"provider": "fake", "model": f"m-{number}"}
        await running.admin("POST", "/mappings", {"alias": f"a-{number}", "targets": [target]})
    await running.admin("PUT", "/prices/fake/m-1", {"input": "7", "output": "7"})
    exported = (await cli("prices", "export", "--json")).ok()
    assert [row["model"] for row in exported.json["prices"]] == ["*", "m-1"]
    path = tmp_path / "prices.json"
    path.write_text(exported.out.replace('"input": "1.00"', '"input": "9.00"'))
    (await cli("prices", "import", str(path), "--yes")).ok()
    same = await cli("prices", "diff", str(path))
    assert (same.code, same.out) == (0, "")
    assert (await running.admin("GET", "/prices/fake/m-0"))["input"] == "9.00"
    listed = (await running.admin("GET", "/prices"))["data"]
    assert {row["model"]: row["set_for"] for row in listed} == {
        **{"*": "*", "m-0": "*", "m-1": "m-1", "m-2": "*"},
    }
