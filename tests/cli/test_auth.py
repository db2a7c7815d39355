"""`conduit auth`: what happens to the master key here."""

import json
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_gateway import (
    AT,
    MASTER_KEY,
    NEW_MASTER_KEY,
    VIRTUAL_KEY,
    FakeGateway,
    Refusal,
)

ROTATE = ("auth", "rotate-master")


def stored(shell: Shell) -> dict[str, Any]:
    path = shell.home / "conduit/credentials.toml"
    contexts = tomllib.loads(path.read_text())["contexts"]
    assert isinstance(contexts, dict)
    return contexts


@pytest.fixture
def logged_in(shell: Shell, gateway: FakeGateway) -> Shell:
    """With two contexts for the gateway, and one that has another key."""
    del shell.environment["CONDUIT_MASTER_KEY"], shell.environment["CONDUIT_URL"]
    for name in ("prod", "again"):
        outcome = shell(
            "auth", "login", name, "--url", gateway.url, "--key-stdin", stdin=MASTER_KEY
        )
        assert outcome.code == 0
    add = ("context", "add", "other", "--url", "https://other.invalid", "--key-stdin")
    assert shell(*add, stdin="condt_mk_other").code == 0
    return shell


def test_a_dry_run_of_init_makes_no_key(lonely_shell: Shell, tmp_path: Path) -> None:
    outcome = lonely_shell("auth", "init", "--dry-run", "--out", str(tmp_path / "key"), "--json")
    assert outcome.code == 0
    changes = json.loads(outcome.out)["changes"]
    assert changes == {"file": [None, str(tmp_path / "key")], "master_key": [None, "***"]}
    assert list(tmp_path.glob("key*")) == []
    (tmp_path / "key").write_text("taken")
    assert lonely_shell("auth", "init", "--dry-run", "--out", str(tmp_path / "key")).code == 2


def test_a_dry_run_of_a_login_checks_the_key_and_stores_nothing(
    logged_in: Shell, gateway: FakeGateway
) -> None:
    before = stored(logged_in)
    login = ("auth", "login", "--dry-run", "--url", gateway.url, "--key-stdin")
    outcome = logged_in(*login, "new", "--json", stdin=MASTER_KEY)
    assert json.loads(outcome.out)["changes"] == {
        "context": [None, "new"],
        "url": [None, gateway.url],
        "master_key": [None, "***"],
    }
    assert MASTER_KEY not in outcome.out + outcome.err
    assert logged_in(*login, "prod", stdin=MASTER_KEY).out == ""
    assert logged_in(*login, "prod", stdin="condt_mk_wrong").code == 4
    assert stored(logged_in) == before
    assert gateway.requests("POST") == []


def test_a_dry_run_of_a_logout_forgets_nothing(logged_in: Shell) -> None:
    before = stored(logged_in)
    outcome = logged_in("auth", "logout", "prod", "--dry-run")
    assert (outcome.code, outcome.out) == (0, '- master_key: "***"\n')
    assert stored(logged_in) == before
    assert logged_in("auth", "logout", "nobody", "--dry-run").code == 2


def test_a_rotated_key_takes_the_place_of_the_stored_one(
    logged_in: Shell, gateway: FakeGateway
) -> None:
    outcome = logged_in(*ROTATE, "--confirm", "prod", "-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{NEW_MASTER_KEY}\n", "")
    assert gateway.seen[-1].body == {"grace_s": 86_400}
    kept = {name: table.get("master_key") for name, table in stored(logged_in).items()}
    assert kept == {"prod": NEW_MASTER_KEY, "again": NEW_MASTER_KEY, "other": "condt_mk_other"}


def test_a_rotation_shows_the_key_once_and_says_when_the_former_ends(logged_in: Shell) -> None:
    outcome = logged_in(*ROTATE, "--confirm", "prod", "--grace", "2h")
    assert outcome.out.count(NEW_MASTER_KEY) == 1
    assert NEW_MASTER_KEY not in outcome.err
    assert f"the former one is good until {AT}" in outcome.err
    answer = json.loads(logged_in("-C", "other", *ROTATE, "--dry-run", "--json").out)
    assert answer["body"] == {"grace_s": 86_400}


def test_no_grace_ends_the_former_key_at_once(logged_in: Shell, gateway: FakeGateway) -> None:
    outcome = logged_in(*ROTATE, "--confirm", "prod", "--grace", "0", "--json")
    assert gateway.seen[-1].body == {"grace_s": 0}
    assert json.loads(outcome.out) == {"secret": NEW_MASTER_KEY, "former_expires_at": None}
    assert "the former one has ended" in outcome.err


@pytest.mark.parametrize("flags", [(), ("--yes",), ("--confirm", "other")])
def test_a_rotation_needs_the_name_of_what_it_is_for(
    logged_in: Shell, gateway: FakeGateway, flags: tuple[str, ...]
) -> None:
    outcome = logged_in(*ROTATE, *flags)
    assert outcome.code == 2
    assert "prod" in outcome.err
    assert gateway.requests("POST") == []


@pytest.mark.parametrize("grace", ["1ms", "soon", "-5s", ""])
def test_a_grace_that_is_none_sends_nothing(
    logged_in: Shell, gateway: FakeGateway, grace: str
) -> None:
    assert logged_in(*ROTATE, "--confirm", "prod", "--grace", grace).code == 2
    assert gateway.requests("POST") == []


def test_a_key_of_the_environment_is_told_to_be_replaced_there(
    shell: Shell, gateway: FakeGateway
) -> None:
    host = gateway.url.removeprefix("http://")
    outcome = shell(*ROTATE, "--confirm", host)
    assert outcome.code == 0
    assert NEW_MASTER_KEY in outcome.out
    assert "env CONDUIT_MASTER_KEY" in outcome.err
    assert not (shell.home / "conduit/credentials.toml").exists()


def test_a_rotated_key_goes_to_a_private_file_that_is_not_there_yet(
    logged_in: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    path = tmp_path / "new.key"
    outcome = logged_in(*ROTATE, "--confirm", "prod", "--out", str(path))
    assert outcome.code == 0
    assert path.read_text() == f"{NEW_MASTER_KEY}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert NEW_MASTER_KEY not in outcome.out + outcome.err
    before = len(gateway.seen)
    assert logged_in(*ROTATE, "--confirm", "prod", "--out", str(path)).code == 2
    assert len(gateway.seen) == before


def test_logout_forgets_the_key_of_one_context_alone(
    logged_in: Shell, gateway: FakeGateway
) -> None:
    outcome = logged_in("auth", "logout", "prod")
    assert (outcome.code, outcome.out) == (0, "")
    assert "forgot the master key of context prod" in outcome.err
    assert set(stored(logged_in)) == {"again", "other"}
    again = logged_in("auth", "logout", "prod")
    assert (again.code, "no master key was stored" in again.err) == (0, True)
    assert logged_in("auth", "logout", "nobody").code == 2


def test_logout_leaves_a_virtual_key(shell: Shell, gateway: FakeGateway) -> None:
    path = shell.home / "conduit/credentials.toml"
    shell("context", "add", "prod", "--url", gateway.url, "--key-stdin", stdin=MASTER_KEY)
    path.write_text(path.read_text() + 'virtual_key = "condt_virtual"\n')
    assert shell("auth", "logout", "prod").code == 0
    assert stored(shell) == {"prod": {"url": gateway.url, "virtual_key": "condt_virtual"}}


def test_a_file_that_cannot_be_made_is_refused_before_the_key_is_rotated(
    logged_in: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "new.key"):
        outcome = logged_in(*ROTATE, "--confirm", "prod", "--out", str(path))
        assert outcome.code == 2
        assert "--out" in outcome.err
    assert gateway.requests("POST") == []


def test_a_key_whose_file_fails_all_the_same_is_kept_and_shown(
    logged_in: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    path = tmp_path / "new.key"
    gateway.hold = threading.Event()
    with logged_in.start(*ROTATE, "--confirm", "prod", "--out", str(path)) as rotation:
        deadline = time.monotonic() + 60
        while not gateway.requests("POST") and time.monotonic() < deadline:
            time.sleep(0.01)
        path.write_text("somebody else's")
        gateway.hold.set()
        out, err = rotation.communicate(timeout=60)
    assert rotation.returncode == 2
    assert out.decode() == f"{NEW_MASTER_KEY}\n"
    assert "the file exists already" in err.decode()
    assert stored(logged_in)["prod"]["master_key"] == NEW_MASTER_KEY
    assert [file.name for file in tmp_path.glob("*new.key*")] == ["new.key"]
    assert path.read_text() == "somebody else's"


def test_a_refused_key_is_told_of_with_where_it_came_from(
    shell: Shell, gateway: FakeGateway, tmp_path: Path
) -> None:
    virtual = shell("keys", "list", CONDUIT_MASTER_KEY=VIRTUAL_KEY)
    assert virtual.code == 4
    first, hint, *_ = virtual.err.splitlines()
    assert first == (
        f"error: {gateway.url} wants its master key, and that is a virtual key, "
        "from the variable CONDUIT_MASTER_KEY  [invalid_api_key]"
    )
    assert hint.startswith("  hint: correct CONDUIT_MASTER_KEY, or unset it")
    assert "the variable CONDUIT_MASTER_KEY" in virtual.err
    file = tmp_path / "old.key"
    file.write_text("condt_mk_old")
    from_file = shell("keys", "list", CONDUIT_MASTER_KEY="", CONDUIT_MASTER_KEY_FILE=str(file))
    assert "the variable CONDUIT_MASTER_KEY_FILE" in from_file.err
    login = shell("auth", "login", "--url", gateway.url, "--key-stdin", stdin=VIRTUAL_KEY)
    assert login.code == 4
    assert "that is a virtual key" in login.err
    assert "auth login" not in login.err
    add = ("context", "add", "prod", "--url", gateway.url, "--key-stdin")
    shell(*add, stdin="condt_mk_wrong")
    stored = shell("-C", "prod", "keys", "list")
    assert "context prod" in stored.err
    assert "conduit auth login prod" in stored.err
    assert stored.err.startswith(f"error: prod {gateway.url} does not know the master key from")
    tail = shell("-C", "prod", "logs", "tail", "--no-follow")
    assert (tail.code, tail.err.splitlines()[0]) == (4, stored.err.splitlines()[0])
    [told] = [
        row["detail"]
        for row in json.loads(shell("-C", "prod", "doctor", "--json").out)["data"]
        if row["check"] == "master key"
    ]
    assert told.startswith(f"prod {gateway.url} does not know the master key")
    chat = shell("chat", "hello", "--model", "m", CONDUIT_API_KEY="condt_wrong")
    assert "virtual key from the variable CONDUIT_API_KEY" in chat.err
    gateway.failing = [Refusal(429, "too_many_failed_logins", "too many wrong keys")]
    barred = shell("-C", "prod", "keys", "list")
    assert barred.code == 4
    assert f"prod {gateway.url} does not know the master key" in barred.err.splitlines()[0]
    assert "a right one always is" in barred.err
    master = shell("chat", "hello", "--model", "m", CONDUIT_API_KEY=MASTER_KEY)
    assert master.code == 4
    assert "wants a virtual key, and that is a master key" in master.err.splitlines()[0]


def test_a_login_at_another_url_keeps_what_the_context_says_otherwise(
    shell: Shell, gateway: FakeGateway
) -> None:
    add = ("context", "add", "prod", "--url", "https://old.invalid", "--confirm", "typed")
    shell(*add, "--model", "fast", "--color", "red")
    login = ("auth", "login", "prod", "--url", gateway.url, "--key-stdin")
    assert shell(*login, stdin=MASTER_KEY).code == 0
    row = json.loads(shell("context", "show", "prod", "--json").out)
    kept = (row["url"], row["confirm"], row["default_model"], row["color"])
    assert kept == (gateway.url, "typed", "fast", "red")
