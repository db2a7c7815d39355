"""Log lines."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import select

from conduit.core.redaction import LiveSecrets
from conduit.gateway.storage.engine import create_engine, writing
from conduit.gateway.storage.keys import insert
from conduit.gateway.storage.migrate import migrate
from conduit.gateway.storage.schema import keys
from conduit.gateway.system.logs import set_up
from tests.gateway import records

CANARY = "name-of-a-customer"


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


async def test_no_level_writes_statements_with_their_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up("text", "debug")
    database = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    try:
        await migrate(database)
        async with writing(database) as connection:
            await insert(connection, records.key(CANARY))
            await connection.execute(select(keys))
    finally:
        await database.dispose()
    logging.getLogger("conduit").debug("ours is heard")
    said = capsys.readouterr().err
    assert "ours is heard" in said
    assert CANARY not in said
    assert "SELECT" not in said.upper()


@pytest.mark.parametrize("name", ["aiosqlite", "sqlalchemy.engine.Engine", "asyncio", "alembic"])
def test_warnings_of_others_are_heard(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "debug")
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("trouble")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "trouble"


ODD = "Qx7~variable.value/0123456789+abcdef"


@pytest.fixture
def secrets() -> LiveSecrets:
    held = LiveSecrets()
    held.hold("test", [ODD])
    return held


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_in_use_is_in_no_part_of_a_line(
    form: Literal["text", "json"], secrets: LiveSecrets, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(form, "debug", secrets.scrub)
    logger = logging.getLogger("conduit.test")
    try:
        raise RuntimeError(f"sent {ODD}") from ValueError({"authorization": f"Bearer {ODD}"})
    except RuntimeError:
        logger.exception("failed with %s", [ODD], stack_info=True, extra={"header": ODD})
    said = capsys.readouterr().err
    assert ODD not in said
    assert "failed with ['[redacted]']" in said
    assert "RuntimeError: sent [redacted]" in said
    assert "Stack (most recent call last)" in said


def test_a_line_has_these_fields_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("json", "info")
    logging.getLogger("conduit.test").info("x", extra={"body": "a prompt", "url": "http://x/?k=1"})
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line).keys() == {"at", "level", "logger", "message"}


def test_one_of_several_workers_says_which_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "text"):
        set_up(form, "info", worker=2)
        logging.getLogger("conduit.test").info("x")
    as_json, as_text = capsys.readouterr().err.splitlines()
    assert json.loads(as_json)["worker"] == 2
    assert as_text.endswith("INFO    worker 2 conduit.test: x")


def test_a_name_cannot_begin_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", "info")
    logging.getLogger("conduit.test").info("key %s", "a\r\n2026-01-01 ERROR forged\x1b[31m\u2028b")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"key a\r\n2026-01-01 ERROR forged\x1b[31m\u2028b")


def test_a_line_that_cannot_be_written_does_not_show_its_arguments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up("text", "info")
    logging.getLogger("conduit.test").info("two %s %s", CANARY)
    said = capsys.readouterr().err
    assert said == "a log line of conduit.test could not be written: TypeError\n"


def test_what_nobody_catches_is_logged_without_secrets(tmp_path: Path) -> None:
    program = (
        "import sys, threading, warnings\n"
        "from conduit.core.redaction import LiveSecrets\n"
        "from conduit.gateway.system.logs import log_crashes, set_up\n"
        "secrets = LiveSecrets(); secrets.hold('test', [sys.argv[1]])\n"
        "set_up('text', 'info', secrets.scrub); log_crashes()\n"
        "def fail(): raise RuntimeError(f'in a thread {sys.argv[1]}')\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "warnings.warn(f'beware of {sys.argv[1]}')\n"
        "class Late:\n"
        "    def __del__(self): raise RuntimeError(f'too late {sys.argv[1]}')\n"
        "Late()\n"
        "raise RuntimeError(f'at last {sys.argv[1]}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, ODD], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert ODD not in done.stdout + done.stderr
    for said in ("in a thread", "beware of", "too late", "at last"):
        assert f"{said} [redacted]" in done.stderr
