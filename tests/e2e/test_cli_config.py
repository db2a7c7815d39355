"""Settings of a running gateway, read and changed from the command line."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.e2e.cli import Cli, editor
from tests.e2e.conftest import Running

COMMENTED = """\
# Written by hand.
log_level = "warning"  # quiet nights

gap_timeout_s = 60.0
"""


@pytest.fixture
def cli(running: Running, tmp_path: Path) -> Cli:
    return Cli(tmp_path, running.url, running.master_key)


@pytest.fixture
def file(running: Running) -> Path:
    """The settings file of the gateway."""
    return running.gateway.read_settings.file


async def test_a_setting_is_read_alone(cli: Cli) -> None:
    assert (await cli("config", "get", "max_attempts")).ok().out == "3\n"
    assert (await cli("config", "get", "max_attempts", "--json")).ok().json["origin"] == "default"
    missing = await cli("config", "get", "max_attemps")
    assert missing.code == 5
    assert "did you mean: max_attempts" in missing.err
    listed = (await cli("config", "list", "--json")).ok().json["data"]
    assert {"port", "max_attempts"} <= {row["name"] for row in listed}


async def test_a_setting_is_written_into_its_file_and_counts_at_once(
    cli: Cli, running: Running, file: Path
) -> None:
    file.write_text(COMMENTED)
    outcome = (await cli("config", "set", "max_attempts", "5")).ok()
    assert "changed: " in outcome.err
    assert file.read_text() == COMMENTED + "max_attempts = 5\n"
    assert file.stat().st_mode & 0o777 == 0o644
    assert running.gateway.settings.max_attempts == 5
    (await cli("config", "set", "log_level", "error")).ok()
    assert 'log_level = "error"  # quiet nights' in file.read_text()
    (await cli("config", "unset", "log_level", "max_attempts")).ok()
    assert file.read_text() == "# Written by hand.\n\ngap_timeout_s = 60.0\n"
    assert running.gateway.settings.max_attempts == 3


async def test_a_file_that_was_not_there_is_for_its_owner_alone(cli: Cli, file: Path) -> None:
    (await cli("config", "set", "drain_s", "1.5")).ok()
    assert file.read_text() == "drain_s = 1.5\n"
    assert file.stat().st_mode & 0o777 == 0o600


async def test_what_counts_after_a_restart_is_said(cli: Cli, running: Running, file: Path) -> None:
    outcome = (await cli("config", "set", "log_format", "json")).ok()
    assert "restart the gateway for log_format" in outcome.err
    assert 'log_format = "json"' in file.read_text()
    assert running.gateway.settings.log_format == "text"


@pytest.mark.parametrize(
    ("setting", "value", "code", "said"),
    [
        ("max_attempts", "99", 6, "setting max_attempts"),
        ("max_attempts", "many", 6, "setting max_attempts"),
        ("master_key", "x" * 40, 6, "not set from afar"),
        ("sealing_key", "x" * 40, 6, "not set from afar"),
        ("database_url", "sqlite:///other.db", 6, "not set from afar"),
        ("no_such_thing", "1", 5, "there is no setting"),
    ],
)
async def test_what_cannot_be_set_is_refused_and_nothing_is_written(
    cli: Cli, file: Path, setting: str, value: str, code: int, said: str
) -> None:
    outcome = await cli("config", "set", setting, value)
    assert outcome.code == code
    assert said in outcome.err
    assert value not in outcome.err or len(value) < 30
    assert not file.exists()


async def test_a_value_that_would_not_count_is_refused(
    cli: Cli, running: Running, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDUIT_MAX_ATTEMPTS", "4")
    outcome = await cli("config", "set", "max_attempts", "5")
    assert outcome.code == 6
    assert "comes from env CONDUIT_MAX_ATTEMPTS" in outcome.err
    assert not file.exists()


async def test_a_dry_run_tells_the_old_value_and_writes_nothing(cli: Cli, file: Path) -> None:
    planned = (await cli("config", "set", "max_attempts", "5", "--dry-run")).ok()
    assert "- values.max_attempts: 3\n+ values.max_attempts: 5" in planned.out
    assert not file.exists()


async def test_a_dry_run_never_shows_what_could_be_a_secret(cli: Cli) -> None:
    secret = "a-secret-in-the-wrong-place-000000000000"
    outcome = await cli("config", "set", "sealing_key", secret, "--dry-run")
    assert outcome.code == 2
    assert secret not in outcome.out + outcome.err


async def test_a_broken_file_is_named_and_left_alone(cli: Cli, file: Path) -> None:
    file.write_text("max_attempts = \n")
    outcome = await cli("config", "set", "drain_s", "1")
    assert outcome.code == 6
    assert "gateway.toml cannot be read" in outcome.err
    assert file.read_text() == "max_attempts = \n"


async def test_what_somebody_else_changes_while_settings_are_edited_stays(
    cli: Cli, file: Path, tmp_path: Path
) -> None:
    (await cli("config", "set", "max_attempts", "4")).ok()
    script = (
        f"pathlib.Path({str(file)!r}).write_text('max_attempts = 9')\n"
        "path.write_text(path.read_text().replace('max_attempts = 4', 'max_attempts = 7'))"
    )
    outcome = await cli.converse("config", "edit", VISUAL=editor(tmp_path, script))
    assert outcome.code == 6, outcome.out
    assert "max_attempts is 9, no longer 4" in outcome.out
    assert file.read_text() == "max_attempts = 9"


async def test_settings_are_edited_as_text(
    cli: Cli, running: Running, file: Path, tmp_path: Path
) -> None:
    file.write_text(COMMENTED)
    (await cli("config", "reload")).ok()
    script = (
        "text = path.read_text()\n"
        "assert 'log_level = \"warning\"' in text and '# max_attempts = 3' in text\n"
        "assert 'master_key' not in text\n"
        "text = text.replace('# max_attempts = 3', 'max_attempts = 7')\n"
        "path.write_text(text.replace('gap_timeout_s = 60.0', ''))"
    )
    outcome = await cli.converse("config", "edit", VISUAL=editor(tmp_path, script))
    assert outcome.code == 0, outcome.out
    assert running.gateway.settings.max_attempts == 7
    assert running.gateway.settings.gap_timeout_s == 120
    assert tomllib.loads(file.read_text()) == {"log_level": "warning", "max_attempts": 7}
    assert file.read_text().startswith(COMMENTED.partition("\n\n")[0])


async def test_the_schema_names_every_setting(cli: Cli) -> None:
    schema = json.loads((await cli("config", "schema")).ok().out)
    assert schema["properties"]["max_attempts"]["maximum"] == 10


async def test_a_settings_file_is_checked_without_a_gateway(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(COMMENTED)
    good = (await cli("config", "validate", str(file), "--json", CONDUIT_MASTER_KEY="")).ok().json
    assert good == {"ok": True, "file": str(file), "holds": "settings", "problems": []}
    file.write_text('max_attempts = 99\nport = "x"\nnonsense = 1\n')
    bad = await cli("config", "validate", str(file), "--json")
    assert bad.code == 9
    assert [line.split()[1] for line in bad.json["problems"]] == [
        "max_attempts:",
        "port:",
        "nonsense:",
    ]
    assert (await cli("config", "validate", str(tmp_path / "gone.toml"))).code == 2
    usual = (await cli("config", "validate")).ok()
    assert "the defaults count" in usual.err
