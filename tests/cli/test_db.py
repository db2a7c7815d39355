"""`conduit db` on a real database of this machine, of either engine."""

import asyncio
import gzip
import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conduit.gateway.storage.migrate import HEAD
from tests import postgresql
from tests.cli.conftest import Conduit, Outcome, Shell


@pytest.fixture
def started(lonely_shell: Shell) -> Iterator[Shell]:
    """A gateway with a few requests; it runs until the test ends."""
    outcome = lonely_shell("up", "-d", "--port", "0")
    assert outcome.code == 0, outcome.err
    assert lonely_shell("chat", "-p", "max_tokens=5", "hello").code == 0
    yield lonely_shell
    lonely_shell("down", "--yes")


@pytest.fixture
def stopped(started: Shell) -> Shell:
    """The same after the gateway was stopped."""
    assert started("down", "--yes").code == 0
    return started


@pytest.fixture
def schema_url() -> Iterator[str]:
    """An empty schema of PostgreSQL."""
    postgresql.require_server()
    loop = asyncio.new_event_loop()
    schema = postgresql.own_schema()
    yield loop.run_until_complete(schema.__aenter__())
    loop.run_until_complete(schema.__aexit__(None, None, None))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def _row(outcome: Outcome) -> dict[str, object]:
    assert outcome.code == 0, outcome.err
    row: dict[str, object] = json.loads(outcome.out)
    return row


def test_the_state_of_a_running_gateways_database(started: Shell) -> None:
    row = _row(started("db", "status", "--check", "--json"))
    assert (row["ok"], row["state"], row["engine"]) == (True, "current", "sqlite")
    assert (row["schema"], row["newest_schema"]) == (HEAD, HEAD)
    assert row["gateway_runs"] is True
    assert row["problems"] == []
    assert row["location"] == str(started.home / "conduit/data/conduit.db")


def test_a_database_that_is_not_there_is_not_made_by_looking(
    conduit: Conduit, tmp_path: Path
) -> None:
    outcome = conduit("db", "status")
    assert outcome.code == 2
    assert "there is no database" in outcome.err
    assert not (tmp_path / "conduit/data").exists()


def test_a_check_is_negative_for_a_schema_that_is_behind(conduit: Conduit) -> None:
    assert conduit("db", "migrate", "--to", "0001").code == 0
    outcome = conduit("db", "status", "--check", "-o", "json")
    assert outcome.code == 9
    assert json.loads(outcome.out)["state"] == "behind"
    script = conduit("db", "migrate", "--sql").out
    assert conduit("db", "migrate", "--dry-run").out.startswith("BEGIN;")
    assert "CREATE TABLE adjustments" in script
    assert f"'{HEAD}'" in script
    assert conduit("db", "migrate").code == 0
    assert conduit("db", "status", "--check").code == 0
    assert "nothing to run" in conduit("db", "migrate", "--sql").err
    assert "already" in conduit("db", "migrate").err


@pytest.mark.parametrize(("to", "said"), [("0042", "there is no schema"), ("0001", "backup")])
def test_a_schema_that_is_not_ahead_is_refused(conduit: Conduit, to: str, said: str) -> None:
    conduit("db", "migrate")
    outcome = conduit("db", "migrate", "--to", to)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_check_is_negative_for_a_damaged_database(stopped: Shell) -> None:
    file = stopped.home / "conduit/data/conduit.db"
    content = bytearray(file.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    file.write_bytes(content)
    outcome = stopped("db", "status", "--check", "--json")
    assert outcome.code in (2, 9), outcome.err
    assert "malformed" in outcome.err or json.loads(outcome.out)["state"] == "damaged"


def test_a_backup_of_a_running_gateway_is_restored_once_it_has_stopped(
    started: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "b.gz"
    row = _row(started("db", "backup", str(file), "--json"))
    assert row["schema"] == HEAD
    assert row["bytes"] == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    assert "--force" in started("db", "backup", str(file)).err
    said = started("db", "backup", str(file), "--force").err
    assert "sealing key is not in it" in said
    assert started("chat", "-p", "max_tokens=5", "again").code == 0
    refused = started("db", "restore", str(file), "--confirm", "conduit.db")
    assert refused.code == 6
    assert "stop it first" in refused.err
    started("down", "--yes")
    assert started("db", "restore", str(file)).code == 2
    wrong = started("db", "restore", str(file), "--confirm", "other.db")
    assert wrong.code == 2
    planned = started("db", "restore", str(file), "--dry-run")
    assert planned.code == 0
    assert len(_row(started("db", "stats", "--json"))["tables"]) > 10  # type: ignore[arg-type]
    done = _row(started("db", "restore", str(file), "--confirm", "conduit.db", "--json"))
    assert done["journal_kept"]
    again = started("up", "-d", "--port", "0")
    assert again.code == 0, again.err
    assert len(started("logs", "list", "-q").out.split()) == 1
    assert started("doctor", "ledger").code == 0


def test_a_backup_goes_through_a_pipe_and_not_to_a_terminal(stopped: Shell) -> None:
    piped = subprocess.run(
        stopped.command("db", "backup", "-"),
        env=stopped.environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert json.loads(gzip.decompress(piped.stdout).splitlines()[0])["schema"] == HEAD
    master, slave = pty.openpty()
    refused = subprocess.run(
        stopped.command("db", "backup", "-"),
        env=stopped.environment,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(slave)
    os.close(master)
    assert refused.returncode == 2
    assert b"not for a terminal" in refused.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"hello", "not a backup"), (gzip.compress(b"{}\n"), "not a backup")],
    ids=["text", "gzip"],
)
def test_a_file_that_is_no_backup_is_refused(
    conduit: Conduit, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "b.gz"
    path.write_bytes(content)
    outcome = conduit("db", "restore", str(path))
    assert outcome.code == 1
    assert said in outcome.err
    assert conduit("db", "restore", str(tmp_path / "none.gz")).code == 1


def test_a_dry_run_of_a_vacuum_tells_what_it_could_give_back(stopped: Shell) -> None:
    before = (stopped.home / "conduit/data/conduit.db").read_bytes()
    outcome = stopped("db", "vacuum", "--dry-run", "--json")
    row = _row(outcome)
    assert row["dry_run"] is True
    assert isinstance(row["spare_bytes"], int)
    assert "nothing was changed" in outcome.err
    assert (stopped.home / "conduit/data/conduit.db").read_bytes() == before


def test_space_is_given_back_and_tables_are_counted(started: Shell) -> None:
    row = _row(started("db", "vacuum", "--json"))
    assert isinstance(row["bytes_after"], int)
    stats = _row(started("db", "stats", "--json"))
    tables = {each["name"]: each for each in stats["tables"]}  # type: ignore[attr-defined]
    assert tables["requests"]["rows"] == tables["ledger"]["rows"] == 1
    assert stats["oldest_request_at"] == stats["newest_request_at"]
    text = started("db", "stats")
    assert "requests\t1\t" in text.out
    assert "requests from " in text.err


def test_everything_goes_over_to_postgresql_and_back(
    stopped: Shell, schema_url: str, tmp_path: Path
) -> None:
    name = postgresql.SERVER.rpartition("/")[2].partition("?")[0]
    refused = stopped("db", "convert", "--to-env", "TARGET", TARGET=schema_url)
    assert refused.code == 2
    assert f"--confirm {name}" in refused.err
    done = stopped("db", "convert", "--to-env", "TARGET", "--confirm", name, TARGET=schema_url)
    assert done.code == 0, done.err
    assert "requests\t1\t" in done.out
    assert "CONDUIT_DATABASE_URL" in done.err
    again = stopped("db", "convert", "--to-env", "TARGET", "--confirm", name, TARGET=schema_url)
    assert again.code == 6
    assert "not empty" in again.err
    stopped.environment["CONDUIT_DATABASE_URL"] = schema_url
    row = _row(stopped("db", "status", "--check", "--json"))
    assert (row["engine"], row["state"]) == ("postgresql", "current")
    assert row["size_bytes"]
    assert _row(stopped("db", "vacuum", "--json"))["bytes_after"]
    up = stopped("up", "-d", "--port", "0")
    assert up.code == 0, up.err
    assert stopped("chat", "-p", "max_tokens=5", "hello").code == 0
    assert stopped("doctor", "ledger").code == 0
    assert stopped("db", "backup", str(tmp_path / "b.gz")).code == 0
    stopped("down", "--yes")
    assert stopped("doctor", "ledger", "--offline").code == 0
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path / 'back.db'}\n")
    back = ("db", "convert", "--to-file", str(tmp_path / "url"), "--confirm", "back.db")
    assert stopped(*back).code == 0
    del stopped.environment["CONDUIT_DATABASE_URL"]
    tables = _row(stopped("db", "stats", "--db", str(tmp_path / "back.db"), "--json"))["tables"]
    assert {"name": "requests", "rows": 2} in [
        {"name": each["name"], "rows": each["rows"]}
        for each in tables  # type: ignore[attr-defined]
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--to", "postgresql://u:s3cret-word@127.0.0.1:9/d"),
        ("--to", "postgresql://u:s3cret/word@127.0.0.1:9/d"),
        ("--to", "postgresql://127.0.0.1:9/d?password=s3cret-word"),
        ("--db", "postgresql://u:s3cret-word@127.0.0.1:9/d", "--to", "{folder}/x.db"),
        ("--db", "postgresql://u:s3cret/word@127.0.0.1:9/d", "--to", "{folder}/x.db"),
    ],
)
def test_a_password_is_shown_nowhere(
    conduit: Conduit, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    conduit("db", "migrate")
    arguments = tuple(word.replace("{folder}", str(tmp_path)) for word in arguments)
    for more in (("--confirm", "d"), ("--confirm", "x.db"), ("--dry-run",), ("--json",)):
        outcome = conduit("db", "convert", *arguments, *more)
        assert "s3cret" not in outcome.out + outcome.err, outcome


@pytest.mark.parametrize(
    "arguments",
    [(), ("--to", "a.db", "--to-env", "B"), ("--to-env", "NOT_SET"), ("--to-file", "/nowhere")],
)
def test_one_way_of_naming_the_target_is_needed(
    conduit: Conduit, arguments: tuple[str, ...]
) -> None:
    conduit("db", "migrate")
    assert conduit("db", "convert", *arguments).code == 2


def test_a_server_that_does_not_answer_is_unreachable(conduit: Conduit) -> None:
    outcome = conduit("db", "status", "--db", "postgresql://u@127.0.0.1:9/d")
    assert outcome.code == 3
    assert "cannot be used" in outcome.err


def test_a_failed_conversion_leaves_no_empty_target(conduit: Conduit, tmp_path: Path) -> None:
    target = tmp_path / "x.db"
    nobody = ("--db", "postgresql://u@127.0.0.1:9/d")
    outcome = conduit("db", "convert", *nobody, "--to", str(target), "--confirm", "x.db")
    assert outcome.code == 3
    assert list(tmp_path.glob("x.db*")) == []
