"""The net itself: a leak that is planted fails a session in which every test passes."""

import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from conduit.core.keys import make_master_key, make_virtual_key
from tests.canary import leaks_in, marked, secrets_in

ROOT = Path(__file__).parents[1]


IN_WORKERS = ("-p", "xdist", "-n", "2")


def session_of(
    folder: Path, *lines: str, mark: str = "", options: Sequence[str] = ()
) -> tuple[int, str]:
    """A session with one test that passes: its exit code and what it says."""
    test = folder / "test_planted.py"
    body = "".join(f"    {line}\n" for line in lines)
    test.write_text(
        "import logging, sys\n\nimport pytest\n\n"
        "from conduit.core.keys import make_master_key, make_virtual_key\n"
        "from tests.canary import marked\n\n\n"
        f"{mark}\ndef test_planted(tmp_path):\n{body}"
    )
    left_behind = folder / "left behind"
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += options
    outcome = subprocess.run(
        [*command, "-c", os.devnull, "--basetemp", str(left_behind), str(test)],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # which takes half the time
        capture_output=True,
        text=True,
        timeout=100,
    )
    shutil.rmtree(left_behind, ignore_errors=True)  # or the outer session would find it too
    return outcome.returncode, outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("print(marked('planted'))", "captured stdout call of "),
        ("print(f'oops {make_virtual_key()}', file=sys.stderr)", "captured stderr call of "),
        ("logging.getLogger('x').warning('%s', make_master_key())", "captured log call of "),
        ("(tmp_path / 'gateway.log').write_text(f'a{make_virtual_key()}')", "gateway.log"),
        ("(tmp_path / 'conduit.db').write_bytes(marked('x').encode() + b'\\0')", "conduit.db"),
    ],
)
def test_a_planted_leak_fails_the_session(line: str, where: str, tmp_path: Path) -> None:
    code, said = session_of(tmp_path, line)
    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "1 passed" in said
    _, _, summary = said.partition("secrets found in what the tests left behind")
    assert where in summary


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("print(marked('planted'))", "captured stdout call of "),
        ("(tmp_path / 'gateway.log').write_text(f'a{make_virtual_key()}')", "gateway.log"),
    ],
)
def test_it_is_found_too_where_workers_run_the_tests(line: str, where: str, tmp_path: Path) -> None:
    code, said = session_of(tmp_path, line, options=IN_WORKERS)
    assert code == pytest.ExitCode.TESTS_FAILED, said
    assert "1 passed" in said
    _, _, summary = said.partition("secrets found in what the tests left behind")
    assert summary.count(where) == 1


def test_a_clean_session_and_a_file_for_a_secret_pass(tmp_path: Path) -> None:
    line = "(tmp_path / 'app.key').write_text(make_virtual_key()); print('condt_abc, sk-123')"
    code, said = session_of(tmp_path, line)
    assert code == pytest.ExitCode.OK, said


@pytest.mark.parametrize("options", [(), IN_WORKERS], ids=["one process", "workers"])
def test_a_test_that_plants_a_secret_says_so(tmp_path: Path, options: Sequence[str]) -> None:
    line = "(tmp_path / 'gateway.log').write_text(make_virtual_key())"
    code, said = session_of(tmp_path, line, mark="@pytest.mark.plants_secrets", options=options)
    assert code == pytest.ExitCode.OK, said


def test_a_find_does_not_repeat_the_secret() -> None:
    secrets = [make_virtual_key(), make_master_key(), marked("x")]
    found = list(secrets_in("\0".join(secrets).encode()))
    assert len(found) == 3
    assert not [each for each in found for secret in secrets if secret in each]


@pytest.mark.parametrize(
    "text", ["condt_" + "a" * 49, "condt_mk_…", "condt_short", "marked secret"]
)
def test_what_only_looks_like_a_key_is_no_find(text: str) -> None:
    assert not list(secrets_in(text.encode()))


def test_pictures_of_screens_are_searched(tmp_path: Path) -> None:
    pictures = tmp_path / "__snapshots__"
    pictures.mkdir()
    (pictures / "keys.svg").write_text(f"<svg><text>{(secret := make_virtual_key())}</text></svg>")
    (found,) = leaks_in(tmp_path, "*.svg")
    assert found.endswith("keys.svg")
    assert secret not in found
    (pictures / "keys.svg").unlink()


def test_what_is_packed_is_searched(tmp_path: Path) -> None:
    packed = tmp_path / "bodies"  # removed at the end, or the session's own net would find it
    packed.mkdir()
    secret = make_virtual_key()
    (packed / "backup.gz").write_bytes(gzip.compress(f'{{"x": "{secret}"}}'.encode()))
    with zipfile.ZipFile(packed / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("status.json", f"{secret}" * 20)
    with closing(sqlite3.connect(packed / "2026-11-30.db")) as database, database:
        database.execute("CREATE TABLE bodies (request_id TEXT, content BLOB)")
        database.execute("INSERT INTO bodies VALUES ('req', ?)", (zlib.compress(secret.encode()),))
    (packed / "keys.snapshot").write_text(secret)
    (packed / "torn.gz").write_bytes(b"\x1f\x8b torn")
    found = {Path(each.rpartition(" in ")[2]).name for each in leaks_in(tmp_path)}
    shutil.rmtree(packed)
    assert found == {"backup.gz", "bundle.zip", "2026-11-30.db", "keys.snapshot"}
