"""Every command in every form it can be asked for: the form, or one line that refuses it."""

import csv
import io
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from conduit.cli.output import FORMATS
from conduit.cli.reference import command_tree
from conduit.client.conversations import Conversations, Turn, new_conversation
from tests.cli.conftest import Shell

WORDS = {
    "down": "--dry-run",
    "chat": "hello -m simulated-small",
    "embed": "hello -m simulated-embedding --dims 8",
    "conversations show": "{conversation}",
    "conversations search": "hello",
    "conversations export": "{conversation}",
    "conversations delete": "{conversation} --dry-run",
    "logs show": "{request}",
    "logs tail": "--no-follow",
    "logs export": "--since ever",
    "logs replay": "{request} --dry-run",
    "logs purge": "--before 90d --dry-run",
    "requests cancel": "{request} --dry-run",
    "keys show": "first",
    "keys create": "another --dry-run",
    "keys rotate": "first --dry-run",
    "keys update": "first --rpm 60 --dry-run",
    "keys enable": "first --dry-run",
    "keys disable": "first --dry-run",
    "keys delete": "first --dry-run",
    "keys usage": "first",
    "keys reset-spend": "first --dry-run",
    "keys check": "--key-env VIRTUAL",
    "groups show": "team",
    "groups create": "another --dry-run",
    "groups update": "team --rpm 60 --dry-run",
    "groups enable": "team --dry-run",
    "groups disable": "team --dry-run",
    "groups delete": "team --dry-run",
    "groups credit": "team 5 --reason because --dry-run",
    "groups debit": "team 5 --reason because --dry-run",
    "groups refund": "team 5 --reason because --dry-run",
    "groups adjust": "team 5 --reason because --dry-run",
    "groups transactions": "team",
    "groups members": "team",
    "groups usage": "team",
    "budgets show": "{budget}",
    "budgets create": "--scope gateway --limit 50 --period month --dry-run",
    "budgets update": "{budget} --limit 60 --dry-run",
    "budgets reset-spend": "{budget} --dry-run",
    "budgets delete": "{budget} --dry-run",
    "limits show": "gateway",
    "limits set": "gateway --rpm 6000 --dry-run",
    "usage": "--by day",
    "spend show": "{attempt}",
    "spend correct": "{attempt} --cost 1 --reason because --dry-run",
    "cache clear": "--dry-run",
    "cache set-ttl": "simulated-small 10m --dry-run",
    "providers credentials list": "main",
    "providers credentials add": "main --name b --key-env VIRTUAL --dry-run",
    "providers credentials update": "main {credential} --key-env VIRTUAL --dry-run",
    "providers credentials test": "main {credential}",
    "providers credentials primary": "main {credential} --dry-run",
    "providers credentials enable": "main {credential} --dry-run",
    "providers credentials disable": "main {credential} --dry-run",
    "providers credentials remove": "main {credential} --dry-run",
    "providers show": "main",
    "providers add": "openai --name b --key-env VIRTUAL --dry-run",
    "providers update": "main --base-url http://127.0.0.1:9/v1 --dry-run",
    "providers enable": "main --dry-run",
    "providers disable": "main --dry-run",
    "providers drain": "main --dry-run",
    "providers health": "simulator",
    "providers remove": "main --dry-run",
    "providers test": "simulator",
    "providers models": "simulator",
    "models show": "simulated-small",
    "models ping": "simulated-small",
    "mappings show": "simulated-small",
    "mappings add": "another --to simulator/simulated-small --dry-run",
    "mappings update": "simulated-small --strategy random --dry-run",
    "mappings enable": "simulated-small --dry-run",
    "mappings disable": "simulated-small --dry-run",
    "mappings delete": "simulated-small --dry-run",
    "mappings test": "simulated-small",
    "mappings import": "{document} --dry-run",
    "mappings discover": "simulator",
    "route show": "simulated-small",
    "route set-strategy": "simulated-small random --dry-run",
    "route explain": "simulated-small",
    "route simulate": "simulated-small",
    "breakers open": "simulator --dry-run",
    "breakers close": "simulator --dry-run",
    "breakers reset": "simulator --dry-run",
    "ip-filters add": "198.51.100.0/24 --deny --dry-run",
    "ip-filters remove": "203.0.113.0/24 --deny --dry-run",
    "bans remove": "--all --dry-run",
    "prices show": "simulator/simulated-small",
    "prices set": "simulator/simulated-small --input 1 --output 2 --dry-run",
    "prices history": "simulated-small",
    "prices remove": "simulator/simulated-small --dry-run",
    "prices explain": "simulated-small",
    "prices estimate": "simulated-small --in 1k --out 1k",
    "prices update": "--dry-run",
    "prices import": "{prices} --dry-run",
    "prices diff": "{prices}",
    "translate": "--from chat --to messages --model m",
    "config get": "log_level",
    "config set": "log_level debug --dry-run",
    "config unset": "log_level --dry-run",
    "config reload": "--dry-run",
    "config validate": "",
    "config diff": "{document}",
    "config rollback": "{revision} --dry-run",
    "config import": "{document} --dry-run",
    "config apply": "{document} --dry-run",
    "db migrate": "--sql",
    "db backup": "{backup} --force",
    "db restore": "{backup} --dry-run",
    "db vacuum": "--dry-run",
    "db convert": "--to {copy} --dry-run",
    "context show": "local",
    "context use": "local --dry-run",
    "context add": "another --url http://127.0.0.1:9 --dry-run",
    "context update": "local --color red --dry-run",
    "context rename": "local here --dry-run",
    "context remove": "local --dry-run",
    "auth init": "",
    "auth login": "--key-env MASTER --dry-run",
    "auth logout": "--dry-run",
    "auth rotate-master": "--dry-run",
    "help": "exit-codes",
}
# What never ends or asks a person, what has a test of its own, and what only a rare event makes.
ELSEWHERE = {
    "up": "it has no -o: it says what a person does first",
    "serve": "it has no -o: its log is its output",
    "completion": "it has no -o: it prints a script for a shell",
    "tui": "it has no -o: it is a screen",
    "open": "it has no -o: it prints an address",
    "events tail": "it does not end; tests/cli/test_events.py",
    "config edit": "it opens an editor; tests/cli/test_config_files.py",
    "cache get": "an answer that is kept takes two calls; tests/e2e/test_cli_doors.py",
    "notifications show": "a notification takes a budget; tests/cli/test_notifications.py",
    "notifications ack": "the same",
    "bans show": "a ban takes many wrong keys; tests/e2e/test_bans.py",
    "providers edit": "it opens an editor; tests/cli/test_secrets.py",
}
# Commands that are another thing than records, and the forms they have of it.
OWN_FORMS = {
    "chat": {"json", "jsonl"},
    "logs export": {"jsonl", "csv"},
    "conversations export": {"json", "jsonl"},
    "db migrate": set(),
    "logs tail": {"json", "jsonl", "tsv", "id"},
    "mappings export": {"json", "jsonl"},
    "prices export": {"json", "jsonl", "csv"},
    "config export": {"json", "jsonl"},
    "config schema": {"json", "jsonl"},
    "spec": {"json", "jsonl"},
}
REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
TESTED = [form for form in FORMATS if form not in ("table", "wide")]
NAME = re.compile(r"[a-z][a-z0-9_.]*")


def _is_json(text: str) -> None:
    assert isinstance(json.loads(text), dict)


def _is_lines_of_json(text: str) -> None:
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())


def _is_csv(text: str) -> None:
    header, *rows = csv.reader(io.StringIO(text))
    assert all(NAME.fullmatch(name) for name in header), header
    assert all(len(row) == len(header) for row in rows)


def _is_lines(text: str) -> None:
    """No document, plan or text of another form, of which the first characters tell."""
    assert not text.startswith(("{\n", "# ", "+ ", "- ", "GET ", "POST ", "PATCH ", "DELETE "))


CHECKS = {
    "json": _is_json,
    "jsonl": _is_lines_of_json,
    "csv": _is_csv,
    "tsv": _is_lines,
    "id": _is_lines,
}


def _leaves(node: dict[str, Any]) -> Iterator[str]:
    for each in node["commands"]:
        if not each["commands"] or each["options"]:
            yield each["path"].removeprefix("conduit ")
        yield from _leaves(each)


COMMANDS = [path for path in dict.fromkeys(_leaves(command_tree())) if path not in ELSEWHERE]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, dict[str, str]]]:
    """`conduit` with a gateway that has been used a little, and the names of what it holds."""
    home = tmp_path_factory.mktemp("forms")
    shell = Shell(home, None)
    shell.environment |= {"CONDUIT_LOG_BODIES": "true"}
    started = shell("up", "-d", "--port", "0")
    assert started.code == 0, started.err
    try:
        yield shell, _fill(shell)
    finally:
        shell("down", "--yes")


def _fill(shell: Shell) -> dict[str, str]:
    def done(*words: str) -> str:
        outcome = shell(*words)
        assert outcome.code == 0, outcome
        return outcome.out.strip()

    stored = tomllib.loads((shell.home / "conduit/credentials.toml").read_text())
    keys = stored["contexts"]["local"]
    shell.environment |= {"MASTER": keys["master_key"], "VIRTUAL": keys["virtual_key"]}
    given = ("--name", "main", "--base-url", "http://127.0.0.1:9/v1", "--key-env", "VIRTUAL")
    done("providers", "add", "openai_compatible", *given, "--no-test")
    done("groups", "create", "team")
    done("config", "set", "denied_ips", "203.0.113.0/24")
    done("chat", "-m", "simulated-small", "hello")
    talks = Conversations(shell.home / "conduit/state/conversations")
    talk = new_conversation("http://127.0.0.1:9", "simulated-small")
    talks.append(talk, Turn("user", "hello"), Turn("assistant", "hello", model="m", cost="0.1"))
    places = {
        name: str(shell.home / name)
        for name in ("document.toml", "prices.toml", "backup", "copy.db")
    }
    done("config", "export", "--out", places["document.toml"])
    done("prices", "set", "main/m", "--input", "1", "--output", "2")
    done("prices", "export", "--out", places["prices.toml"])
    done("db", "backup", places["backup"])
    request = done("logs", "list", "-q")
    return {
        "request": request,
        "attempt": json.loads(done("logs", "show", request, "--json"))["attempt_list"][0]["id"],
        "budget": done("budgets", "create", "--scope", "key:first", "--limit", "9", "-q"),
        "conversation": done("conversations", "list", "-q"),
        "credential": json.loads(done("providers", "credentials", "list", "main", "--json"))[
            "data"
        ][0]["name"],
        "revision": json.loads(done("config", "history", "--json"))["data"][-1]["revision"],
        **{name.partition(".")[0]: place for name, place in places.items()},
    }


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_has_the_form_that_was_asked_for_or_refuses_it_in_a_line(
    used: tuple[Shell, dict[str, str]], path: str
) -> None:
    shell, names = used
    words = [*path.split(), *WORDS.get(path, "").format_map(names).split()]
    forms = OWN_FORMS.get(path, set(TESTED) - ({"id"} if "--dry-run" in words else set()))
    stdin = REQUEST if path == "translate" else ""
    found = {form: shell(*words, "-o", form, stdin=stdin) for form in TESTED}
    for form, outcome in found.items():
        if form in forms:
            assert outcome.code in (0, 9), (form, outcome)
            # A tail is lines in both forms: it has no end.
            is_lines = path == "logs tail" and form == "json"
            CHECKS["jsonl" if is_lines else form](outcome.out)
        elif path in OWN_FORMS or outcome.code:
            assert (outcome.code, outcome.out) == (2, ""), (form, outcome)
            assert len(outcome.err.splitlines()) <= 2
        else:  # a plan whose lines have ids of their own
            CHECKS[form](outcome.out)
    if "json" in forms and path != "logs tail":
        is_empty = json.loads(found["json"].out).get("data") == []
        assert is_empty or all(found[form].out.strip() for form in forms)


@pytest.mark.parametrize(
    "words",
    [
        "logs show {request} --curl",
        "logs show {request} --request",
        "spec --tree",
        "spec --markdown",
        "help keys create",
        "conversations export {conversation} --out {copy}",
    ],
)
def test_a_text_that_has_one_form_refuses_the_others(
    used: tuple[Shell, dict[str, str]], words: str
) -> None:
    shell, names = used
    given = words.format_map(names).split()
    refused = shell(*given, "-o", "csv")
    assert (refused.code, refused.out) == (2, "")
    assert re.match(r"error: --output: .* not as csv  \[usage\]\n", refused.err)
    assert shell(*given, CONDUIT_OUTPUT="csv").code == 0  # meant for what has it


def test_what_was_done_on_this_machine_is_told_in_the_form_that_was_asked_for(
    shell: Shell,
) -> None:
    added = shell("context", "add", "prod", "--url", "https://gw.example", "--json")
    assert json.loads(added.out)["name"] == "prod"
    used = shell("context", "use", "prod", "-o", "csv")
    assert used.out == "current,url\nprod,https://gw.example\n"
    assert json.loads(shell("auth", "logout", "prod", "--json").out)["forgotten"] is False
    renamed = shell("context", "rename", "prod", "live", "-o", "jsonl")
    assert json.loads(renamed.out)["name"] == "live"
    assert json.loads(shell("context", "remove", "live", "--yes", "--json").out)["deleted"] is True
    assert json.loads(shell("down", "--json").out)["stopped"] is False
    assert shell("context", "add", "prod", "--url", "https://gw.example").out == ""
