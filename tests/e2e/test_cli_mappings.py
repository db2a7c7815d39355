"""Mappings from the command line, against a real gateway."""

from pathlib import Path

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import Running
from tests.fakes.upstream import FakeUpstream


@pytest.fixture
def cli(running: Running, tmp_path: Path) -> Cli:
    return Cli(tmp_path, running.url, running.master_key)


async def test_targets_are_stored_with_order_and_weight(cli: Cli, running: Running) -> None:
    added = await cli(
        *("mappings", "add", "fast", "--to", "fake/a", "--to", "fake/b", "--to", "fake/c"),
        *("--weight", "3", "--weight", "2", "--order", "1", "--order", "1", "--order", "2"),
    )
    assert added.ok().err.startswith("added mapping fast")
    targets = (await running.admin("GET", "/mappings/fast"))["targets"]
    assert [(t["model"], t["order"], t["weight"]) for t in targets] == [
        ("a", 1, 3),
        ("b", 1, 2),
        ("c", 2, 1),
    ]
    too_many = await cli("mappings", "update", "fast", "--to", "fake/a", "--order", *"12")
    assert too_many.code == 2


async def test_answers_are_kept_as_long_as_the_command_line_says(
    cli: Cli, running: Running
) -> None:
    add = ("mappings", "add", "fast", "--to", "fake/fake")
    kept = await cli(*add, "--cache-ttl", "10m", "-o", "wide")
    assert "10m" in kept.ok().out
    await cli("mappings", "update", "fast", "--cache-scope", "shared")
    mapping = await running.admin("GET", "/mappings/fast")
    assert (mapping["policy"]["cache_ttl_s"], mapping["policy"]["cache_scope"]) == (600, "shared")
    assert len(mapping["targets"]) == 1
    client = running.openai(await running.key())
    for cache in ("miss", "hit"):
        raw = await client.embeddings.with_raw_response.create(model="fast", input="x")
        assert raw.headers["x-conduit-cache"] == cache
    await running.gateway.ledger.caught_up()
    shown = (await cli("logs", "list", "--filter", "cache:hit", "--json")).json["data"]
    assert [(row["cost"], row["avoided"]) for row in shown] == [("0.00", "0.000012")]
    stats = (await cli("cache", "stats", "--json")).json
    assert (stats["hits"], stats["avoided"], stats["aliases"][0]["alias"]) == (
        1,
        "0.000012",
        "fast",
    )
    used = (await cli("keys", "usage", "test", "--json")).json["total"]
    assert (used["requests"], used["recorded"]) == (1, 2)
    assert (used["cost"], used["avoided"]) == ("0.000012", "0.000012")
    cleared = await cli("cache", "clear", "--model", "fast", "--key", "test", "--yes", "--json")
    assert cleared.json == {"cleared": 1}
    await cli("mappings", "update", "fast", "--cache-ttl", "off")
    mapping = await running.admin("GET", "/mappings/fast")
    assert (mapping["policy"]["cache_ttl_s"], mapping["policy"]["cache_scope"]) == (None, "shared")
    for wrong in (("--cache-ttl", "0.2s"), ("--cache-ttl", "long"), ("--cache-scope", "all")):
        assert (await cli("mappings", "update", "fast", *wrong)).code == 2


@pytest.mark.parametrize(
    ("models", "code", "answered"),
    [
        (("fake", "fake-n1"), 0, 2),
        (("fake", "fake-status500"), 9, 1),
        (("fake-status500", "fake-status429"), 7, 0),
    ],
)
async def test_each_target_is_asked(
    cli: Cli, running: Running, models: tuple[str, str], code: int, answered: int
) -> None:
    targets = [{"provider": "fake", "model": model} for model in models]
    await running.admin("POST", "/mappings", {"alias": "both", "targets": targets})
    outcome = await cli("mappings", "test", "both", "--json")
    assert outcome.code == code, outcome.err
    result = outcome.json
    assert (result["ok"], result["answered"]) == (code == 0, answered)
    assert [(each["provider"], each["model"]) for each in result["targets"]] == [
        ("fake", model) for model in models
    ]


async def test_a_wildcard_is_tested_under_a_name_that_it_serves(
    cli: Cli, fake: FakeUpstream
) -> None:
    unnamed = await cli("mappings", "test", "fake*")
    assert unnamed.code == 6
    assert "name one of them" in unnamed.err
    assert (await cli("mappings", "test", "fake*", "--model", "gpt-4o")).code == 6
    (await cli("mappings", "test", "fake*", "--model", "fake-n3")).ok()
    assert fake.requests[-1].model == "fake-n3"


async def test_a_disabled_provider_fails_the_test_without_being_asked(
    cli: Cli, running: Running, fake: FakeUpstream
) -> None:
    await running.admin("PATCH", "/providers/fake", {"enabled": False})
    outcome = await cli("mappings", "test", "fake*", "--model", "fake")
    assert outcome.code == 7
    assert "the provider is disabled" in outcome.out
    assert fake.requests == []


async def test_discovery_names_what_has_no_mapping_and_maps_it(cli: Cli, running: Running) -> None:
    target = {"provider": "fake", "model": "fake"}
    await running.admin("POST", "/mappings", {"alias": "mine", "targets": [target]})
    listed = (await cli("mappings", "discover", "--json")).ok().json["data"]
    assert [row["model"] for row in listed] == ["fake-echo", "fake-tools"]
    some = ("mappings", "discover", "fake", "--filter", "model:*tools", "--import")
    assert "mapped 1 model" in (await cli(*some)).ok().err
    assert [row["model"] for row in (await cli("mappings", "discover", "--json")).json["data"]] == [
        "fake-echo"
    ]


async def test_a_person_is_asked_which_to_map(cli: Cli, running: Running) -> None:
    outcome = await cli.converse("mappings", "discover", answers=[("[all]: ", "")])
    assert outcome.code == 0, outcome.out
    aliases = {row["alias"] for row in (await running.admin("GET", "/mappings"))["data"]}
    assert aliases == {"fake*", "fake", "fake-echo", "fake-tools"}


async def test_what_is_exported_can_be_imported_elsewhere(
    cli: Cli, running: Running, tmp_path: Path
) -> None:
    add = ("mappings", "add", "fast", "--to", "fake/a", "--to", "fake/b", "--weight", "5")
    (await cli(*add)).ok()
    file = tmp_path / "mappings.toml"
    (await cli("mappings", "export", "--out", str(file))).ok()
    assert file.stat().st_mode & 0o777 == 0o600
    before = (await running.admin("GET", "/mappings"))["data"]
    (await cli("mappings", "delete", "fast", "fake*", "--yes")).ok()

    unconfirmed = await cli("mappings", "import", str(file))
    assert unconfirmed.code == 2
    assert "--yes" in unconfirmed.err
    planned = (await cli("mappings", "import", str(file), "--dry-run", "--json")).ok()
    assert [row["action"] for row in planned.json["data"]] == ["add", "add"]
    assert (await running.admin("GET", "/mappings"))["data"] == []
    (await cli("mappings", "import", str(file), "--yes")).ok()
    after = (await running.admin("GET", "/mappings"))["data"]
    fields = ("alias", "strategy", "targets", "fallbacks", "enabled")
    assert [[row[name] for name in fields] for row in after] == [
        [row[name] for name in fields] for row in before
    ]
    again = (await cli("mappings", "import", str(file))).ok()
    assert again.out == ""


async def test_an_import_shows_a_person_the_plan(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text(
        '{"mappings": [{"alias": "fake*", "enabled": false},'
        ' {"alias": "new", "targets": [{"provider": "fake", "model": "m"}]}]}'
    )
    outcome = await cli.converse(
        "mappings", "import", str(file), answers=[("Type y to confirm: ", "y")]
    )
    assert outcome.code == 0, outcome.out
    assert "~ mapping fake*\n    enabled: true -> false\n+ mapping new\n" in outcome.out
    assert "1 to add, 1 to change" in outcome.out
