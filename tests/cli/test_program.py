"""How the program names itself in what it tells people to type."""

import subprocess
import sys
from pathlib import Path

import pytest

from conduit.cli.program import invocation


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed script that has been called, in a folder below the working folder."""
    folder = tmp_path / ".venv/bin"
    folder.mkdir(parents=True)
    path = folder / "conduit"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(path), "up"])
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    return path


def test_the_name_is_enough_where_a_shell_finds_it(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(script.parent))
    assert invocation() == "conduit"


def test_a_link_to_the_script_is_the_script(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/conduit").symlink_to(script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert invocation() == "conduit"


def test_without_a_path_it_is_named_from_the_working_folder(script: Path) -> None:
    assert invocation() == ".venv/bin/conduit"


def test_another_program_of_that_name_is_not_taken_for_it(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conduit").write_bytes(script.read_bytes())
    (tmp_path / "conduit").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert invocation() == ".venv/bin/conduit"


def test_elsewhere_the_whole_path_is_told(
    script: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert invocation() == str(script)


def test_in_its_own_folder_it_is_not_left_to_the_path(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(script.parent)
    assert invocation() == "./conduit"


def test_a_path_with_spaces_can_be_pasted(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = script.parent.rename(tmp_path / "my bin")
    monkeypatch.setattr(sys, "argv", [str(folder / "conduit")])
    assert invocation() == "'my bin/conduit'"


def test_a_module_without_a_script_is_called_through_its_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/conduit/cli/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert invocation() == f"{tmp_path / 'python'} -m conduit.cli"


def test_what_it_says_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    ended = subprocess.run(
        f"{invocation()} --version", shell=True, capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("conduit ")
