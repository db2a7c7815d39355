"""Files of settings and of declared configuration that are named and cannot be used."""

from pathlib import Path

import pytest

from tests.cli.conftest import Shell

COMMANDS = (
    ("config", "validate"),
    ("config", "apply"),
    ("config", "diff"),
    ("prices", "import"),
    ("mappings", "import"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_file_that_is_not_there_is_a_wrong_use_and_named_once(
    shell: Shell, tmp_path: Path, command: tuple[str, ...], suffix: str
) -> None:
    missing = str(tmp_path / f"missing{suffix}")
    outcome = shell(*command, missing)
    assert outcome.code == 2
    assert outcome.out == ""
    assert (
        outcome.err == f"error: {missing} cannot be read: No such file or directory  [bad_file]\n"
    )


def test_a_file_that_is_wrong_inside_is_a_negative_check(shell: Shell, tmp_path: Path) -> None:
    wrong = tmp_path / "gateway.toml"
    wrong.write_text("port = [")
    outcome = shell("config", "validate", str(wrong), "--json")
    assert outcome.code == 9
    assert '"ok": false' in outcome.out


@pytest.mark.parametrize(
    ("flags", "label"),
    [
        (("chat", "hello", "--key-file"), "--key-file"),
        (("chat", "hello", "--schema"), "--schema"),
    ],
)
def test_an_option_with_a_missing_file_names_it_once(
    shell: Shell, tmp_path: Path, flags: tuple[str, ...], label: str
) -> None:
    missing = str(tmp_path / "missing")
    outcome = shell(*flags, missing)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {label} {missing}: No such file or directory  [")


def test_a_missing_master_key_file_is_named_once(lonely_shell: Shell, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    outcome = lonely_shell("serve", "--port", "0", CONDUIT_MASTER_KEY_FILE=missing)
    assert outcome.code == 2
    assert f"{missing}: No such file or directory" in outcome.err
    assert outcome.err.count(missing) == 1
