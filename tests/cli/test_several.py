"""Commands over several records, and how they are confirmed."""

import csv
import io
import json
import threading
from typing import Any

import pytest

from conduit.cli.selection import selected
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import MASTER_KEY, FakeGateway
from tests.cli.terminal import Terminal


@pytest.fixture(autouse=True)
def keys(gateway: FakeGateway) -> None:
    for name in ("ci-one", "ci-two", "web"):
        gateway.add("keys", name=name)


def disabled(gateway: FakeGateway) -> list[str]:
    return [row["name"] for row in gateway.tables["keys"] if not row["enabled"]]


def test_what_is_printed_for_several_records_is_one_list(conduit: Conduit) -> None:
    names = ("ci-one", "web")
    document = json.loads(conduit("keys", "disable", *names, "--json").out)
    assert [row["name"] for row in document["data"]] == ["ci-one", "web"]
    rows = list(csv.DictReader(io.StringIO(conduit("keys", "disable", *names, "-o", "csv").out)))
    assert [row["name"] for row in rows] == ["ci-one", "web"]
    one = json.loads(conduit("keys", "disable", "web", "--json").out)
    assert one["name"] == "web"


def test_what_failed_among_several_is_told_and_the_rest_is_done(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    outcome = conduit("keys", "disable", "ci-one", "nobody", "web", "--json")
    assert outcome.code == 8
    assert [row["name"] for row in json.loads(outcome.out)["data"]] == ["ci-one", "web"]
    assert disabled(gateway) == ["ci-one", "web"]
    assert "nobody" in outcome.err


def test_a_filter_chooses_records_once_that_is_confirmed(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    refused = conduit("keys", "disable", "--filter", "name:ci-*")
    assert refused.code == 2
    assert "Change 2 keys: ci-one, ci-two?" in refused.err
    assert disabled(gateway) == []
    assert conduit("keys", "disable", "--filter", "name:ci-*", "--yes").code == 0
    assert disabled(gateway) == ["ci-one", "ci-two"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--filter", "name:nothing", "--yes"), "holds for none"),
        (("--filter", "nonsense:x", "--yes"), "unknown field"),
        (("--filter", "name:x", "web", "--yes"), "exclude each other"),
        ((), "NAME is needed"),
    ],
)
def test_a_choice_of_nothing_is_refused(
    conduit: Conduit, gateway: FakeGateway, arguments: tuple[str, ...], said: str
) -> None:
    outcome = conduit("keys", "disable", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert disabled(gateway) == []


def test_several_are_deleted_after_one_question(shell: Shell, gateway: FakeGateway) -> None:
    with Terminal(shell, "keys", "delete", "ci-one", "web") as terminal:
        shown = terminal.until("Type y to confirm: ")
        assert "Delete 2 keys: ci-one, web?" in shown
        terminal.type("y")
        assert terminal.end() == 0
    assert [row["name"] for row in gateway.tables["keys"]] == ["ci-two"]


def test_a_list_is_filtered_by_its_own_fields(conduit: Conduit) -> None:
    assert conduit("keys", "list", "--filter", "name:ci-*", "--fields", "name").out.split() == [
        "ci-one",
        "ci-two",
    ]
    assert conduit("keys", "list", "--filter", "-name:ci-*", "--fields", "name").out == "web\n"
    assert conduit("keys", "list", "--filter", "enabled:maybe").code == 2
    few = conduit("keys", "list", "--filter", "enabled:true", "--limit", "2", "-o", "tsv")
    assert len(few.out.splitlines()) == 2
    assert few.err == "2 of 3 - use --all\n"


ROWS: list[dict[str, Any]] = [
    {"id": "a", "name": "2024", "n": 5, "on": True, "inner": {"spent": "1.50"}, "tags": ["x"]},
    {
        "id": "b",
        "name": "web",
        "n": 7,
        "on": False,
        "inner": {"spent": "10.00"},
        "tags": ["x", "y"],
    },
    {"id": "c", "name": None, "n": None, "on": None, "inner": None, "tags": []},
]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", "abc"),
        ("n:>5", "b"),
        ("n:5", "a"),
        ("-n:5", "bc"),
        ("inner.spent:>2", "b"),
        ("inner.spent:1.5", "a"),
        ("tags:y", "b"),
        ("tags:x", "ab"),
        ("name:20*", "a"),
        ("name:WEB", "b"),
        ("on:true", "a"),
        ("web", "b"),
        ("n:>=5 on:false", "b"),
        ("id:a,c", "ac"),
    ],
)
def test_a_filter_holds_for_values_of_any_kind(text: str, ids: str) -> None:
    assert "".join(row["id"] for row in selected(text, ROWS)) == ids


STRICT = ("context", "add", "prod", "--confirm", "typed", "--key-stdin", "--url")


def test_a_context_may_want_names_typed(shell: Shell, gateway: FakeGateway) -> None:
    assert shell(*STRICT, gateway.url, stdin=MASTER_KEY).code == 0
    delete = ("-C", "prod", "keys", "delete", "web")
    refused = shell(*delete, "--yes")
    assert refused.code == 2
    assert "--confirm web" in refused.err
    assert shell(*delete, "--confirm", "wbe").code == 2
    assert len(gateway.tables["keys"]) == 3
    assert shell(*delete, "--confirm", "web").code == 0
    assert len(gateway.tables["keys"]) == 2


def test_several_through_a_strict_context_want_their_number_typed(
    shell: Shell, gateway: FakeGateway
) -> None:
    shell(*STRICT, gateway.url, stdin=MASTER_KEY)
    with Terminal(shell, "-C", "prod", "keys", "delete", "web", "ci-one") as terminal:
        terminal.until("Type 2 keys to confirm: ")
        terminal.type("y")
        terminal.until("nothing was changed")
        assert terminal.end() == 2
    assert len(gateway.tables["keys"]) == 3


def test_what_is_waited_for_is_told_on_a_terminal_after_a_moment(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.hold = threading.Event()
    with Terminal(shell, "keys", "list") as terminal:
        terminal.until(f"waiting for {gateway.url}")
        gateway.hold.set()
        terminal.until("\x1b[K")  # and is wiped away again
        terminal.until("ci-one")
        assert terminal.end() == 0


def test_nothing_is_told_of_waiting_off_a_terminal(shell: Shell, gateway: FakeGateway) -> None:
    gateway.delay_s = 0.5
    assert shell("keys", "list").err == ""


def test_ids_for_another_command_are_all_of_them(conduit: Conduit, gateway: FakeGateway) -> None:
    for number in range(60):
        gateway.add("keys", name=f"many-{number}")
    for flags in (("-q",), ("-o", "id"), ("-q", "--filter", "name:*")):
        outcome = conduit("keys", "list", *flags)
        assert (len(outcome.out.split()), outcome.err) == (63, "")
    few = conduit("keys", "list", "-q", "--limit", "50")
    assert len(few.out.split()) == 50
    assert "use --all" in few.err
    assert len(conduit("keys", "list", "-o", "tsv").out.splitlines()) == 50


def test_ids_on_a_terminal_are_a_page_with_a_hint(shell: Shell, gateway: FakeGateway) -> None:
    for number in range(60):
        gateway.add("keys", name=f"many-{number}")
    outcome = shell("keys", "list", "-q", CONDUIT_FORCE_TTY="80")
    assert len(outcome.out.split()) == 50
    assert "use --all" in outcome.err


def test_no_names_on_stdin_are_nothing_to_do(shell: Shell, gateway: FakeGateway) -> None:
    for verb in ("disable", "delete"):
        outcome = shell("keys", verb, "-", stdin="\n")
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "nothing to do\n")
    assert disabled(gateway) == []


def test_a_dry_run_needs_no_leave_to_change(shell: Shell, gateway: FakeGateway) -> None:
    add = ("context", "add", "ro", "--read-only", "--key-stdin", "--url", gateway.url)
    shell(*add, stdin=MASTER_KEY)
    assert shell("-C", "ro", "keys", "disable", "web", "--dry-run").code == 0
    assert shell("-C", "ro", "keys", "disable", "web").code == 4
    assert disabled(gateway) == []
