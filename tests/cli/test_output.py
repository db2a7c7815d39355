"""The forms of output, on a terminal and off it."""

import contextlib
import csv
import io
import json
import os
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.cli.console import clipped, plain, width_of
from conduit.cli.failures import Failure
from conduit.cli.output import cell, formatted, picked, tab_safe, value_at
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import AT, FakeGateway


def _on_terminal(shell: Shell, *arguments: str) -> tuple[int, str]:
    """Run with stdout on a real pseudo-terminal; what it would show."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        shell.command(*arguments),
        env={**shell.environment, "NO_COLOR": "1", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    process.communicate(timeout=30)
    return process.returncode, b"".join(parts).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "tsv", "id"])
def test_data_is_the_same_bytes_on_a_terminal_and_off_it(
    shell: Shell, gateway: FakeGateway, format: str
) -> None:
    for number in range(3):
        gateway.add("keys", name=f"key-{number}", allowed_models=["a", "b"])
    plain_outcome = shell("keys", "list", "-o", format)
    code, shown = _on_terminal(shell, "keys", "list", "-o", format)
    assert (code, shown) == (0, plain_outcome.out)


def test_the_default_is_a_table_on_a_terminal_and_headerless_tsv_off_it(
    shell: Shell, gateway: FakeGateway
) -> None:
    gateway.add("keys", name="ci")
    assert shell("keys", "list").out == "ci\tactive\tcondt_abc123\t\t*\t\t\n"
    _, shown = _on_terminal(shell, "keys", "list")
    header, row = shown.splitlines()
    assert header.split()[:2] == ["NAME", "STATE"]
    assert row.split()[0] == "ci"
    assert "\x1b" not in shown


def test_json_of_a_list_is_the_shape_of_the_api(conduit: Conduit, gateway: FakeGateway) -> None:
    rows = [gateway.add("keys", name=f"k{number}") for number in range(3)]
    outcome = conduit("keys", "list", "--json")
    assert json.loads(outcome.out) == {"data": rows, "next_cursor": None}
    assert outcome.out == json.dumps(json.loads(outcome.out), indent=2) + "\n"
    assert json.loads(conduit("budgets", "list", "--json").out) == {
        "data": [],
        "next_cursor": None,
    }


def test_all_pages_are_one_document(conduit: Conduit, gateway: FakeGateway) -> None:
    for number in range(7):
        gateway.add("keys", name=f"k{number}")
    page = conduit("keys", "list", "--json", "--limit", "3")
    assert json.loads(page.out)["next_cursor"] == "3"
    step = "conduit keys list --json --limit 3 --cursor 3"
    assert page.err == f"3 of many - use --all, or go on with: {step}\n"
    whole = conduit("keys", "list", "--json", "--limit", "3", "--all")
    assert [row["name"] for row in json.loads(whole.out)["data"]] == [f"k{n}" for n in range(7)]
    assert whole.err == ""


def test_a_limit_beyond_one_page_takes_as_many_pages_as_it_needs(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    for number in range(1200):
        gateway.add("keys", name=f"k{number}")
    outcome = conduit("keys", "list", "--limit", "1.1k", "-o", "jsonl")
    assert len(outcome.out.splitlines()) == 1100
    step = "conduit keys list --limit 1.1k -o jsonl --cursor 1100"
    assert outcome.err == f"1100 of many - use --all, or go on with: {step}\n"
    assert [seen.query["limit"] for seen in gateway.seen] == [["1000"], ["100"]]


def test_csv_has_a_header_and_quotes_what_needs_it(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.add("keys", name='a "b", c', allowed_models=["x", "y"])
    rows = list(csv.DictReader(io.StringIO(conduit("keys", "list", "-o", "csv").out)))
    assert rows[0]["name"] == 'a "b", c'
    assert rows[0]["allowed_models"] == "x,y"


def test_fields_query_and_format_pick_what_is_shown(conduit: Conduit, gateway: FakeGateway) -> None:
    key = gateway.add("keys", name="ci")
    assert conduit("keys", "list", "--fields", "name,version").out == "ci\t1\n"
    picked_json = json.loads(conduit("keys", "list", "--json", "--fields", "name").out)
    assert picked_json["data"] == [{"name": "ci"}]
    assert conduit("keys", "list", "--query", "data[].name").out == "ci\n"
    assert json.loads(conduit("keys", "list", "--json", "--query", "data[].id").out) == [key["id"]]
    assert conduit("keys", "list", "--format", "{name}={version:>3}").out == "ci=  1\n"
    assert conduit("keys", "list", "-q").out == f"{key['id']}\n"
    assert conduit("keys", "list", "--query", "data[").code == 2
    assert conduit("keys", "list", "--format", "{nope}").code == 2


def test_an_environment_variable_sets_the_default_format(
    conduit: Conduit, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.add("keys", name="ci")
    monkeypatch.setenv("CONDUIT_OUTPUT", "id")
    assert conduit("keys", "list").out.startswith("key_")
    assert conduit("keys", "list", "-o", "csv").out.startswith("name,")


def test_a_sorted_list_is_sorted_by_value(conduit: Conduit, gateway: FakeGateway) -> None:
    for number in (10, 9, 11):
        gateway.add("keys", name=f"k{number}", version=number)
    out = conduit("keys", "list", "--sort", "version:desc", "--fields", "version").out
    assert out.split() == ["11", "10", "9"]


@pytest.mark.parametrize(
    ("environment", "arguments", "colored"),
    [
        ({}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({"TERM": "dumb"}, (), False),
        ({}, ("--color", "never"), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
    ],
)
def test_color_is_a_matter_of_the_terminal_and_of_choice(
    shell: Shell,
    gateway: FakeGateway,
    environment: dict[str, str],
    arguments: tuple[str, ...],
    colored: bool,
) -> None:
    gateway.add("keys", name="ci")
    outcome = shell("keys", "list", *arguments, CONDUIT_FORCE_TTY="100", **environment)
    assert ("\x1b[" in outcome.out) is colored
    assert "active" in outcome.out


@pytest.mark.parametrize(
    ("environment", "colored"),
    [
        ({}, False),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"CLICOLOR_FORCE": "0"}, False),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_color_may_be_forced_off_a_terminal(
    shell: Shell, gateway: FakeGateway, environment: dict[str, str], colored: bool
) -> None:
    gateway.add("keys", name="ci")
    assert ("\x1b[" in shell("keys", "list", "-o", "table", **environment).out) is colored
    assert "\x1b[" not in shell("keys", "list", "-o", "csv", **environment).out


def test_glyphs_are_ascii_where_the_encoding_is(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("keys", name="ci")
    outcome = shell("keys", "list", CONDUIT_FORCE_TTY="100", PYTHONIOENCODING="ascii")
    assert "ok active" in outcome.out


def test_a_narrow_terminal_clips_and_wide_does_not(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("keys", name="n" * 64)
    narrow = shell("keys", "list", CONDUIT_FORCE_TTY="80", NO_COLOR="1")
    assert all(width_of(line) <= 80 for line in narrow.out.splitlines())
    assert "\u2026" in narrow.out
    assert "n" * 64 in shell("keys", "list", "-o", "wide", CONDUIT_FORCE_TTY="80").out


def test_control_characters_of_others_do_not_reach_the_terminal(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    gateway.add("keys", name="a\x1b]0;owned\x07b")
    assert "\x1b" not in conduit("keys", "list").out
    assert "\x1b" not in conduit("keys", "show", "a\x1b]0;owned\x07b").out
    assert "\x1b" not in conduit("keys", "show", "\x1b[31mnobody").err


def test_an_empty_list_says_how_to_fill_it_on_stderr(shell: Shell) -> None:
    outcome = shell("keys", "list", CONDUIT_FORCE_TTY="100")
    assert outcome.out == ""
    assert "conduit keys create" in outcome.err


def test_a_reader_that_goes_away_ends_the_command_quietly(
    shell: Shell, gateway: FakeGateway
) -> None:
    for number in range(3000):
        gateway.add("keys", name=f"key-{number}")
    with shell.start("keys", "list", "--all", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


@given(st.text())
def test_a_cell_of_tsv_never_breaks_its_line(text: str) -> None:
    assert not set("\t\n\r") & set(tab_safe(text))


@given(st.text(), st.integers(1, 40))
def test_clipped_text_fits(text: str, columns: int) -> None:
    assert width_of(clipped(text, columns, "\u2026")) <= max(columns, 1)


@given(st.text())
def test_plain_text_holds_no_control_characters(text: str) -> None:
    assert all(
        character.isprintable() or character in "\n\t" or not character.isascii()
        for character in plain(text)
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (["a", 1], "a,1"), ({"a": 1}, '{"a":1}'), ("x", "x")],
)
def test_a_cell_is_full_and_unrounded(value: Any, text: str) -> None:
    assert cell(value) == text


def test_paths_reach_into_records_and_over_lists() -> None:
    row = {"a": {"b": 1}, "list": [{"c": 2}, {"c": 3}]}
    assert value_at(row, "a.b") == 1
    assert value_at(row, "list.c") == [2, 3]
    assert value_at(row, "a.nope.more") is None
    assert picked(row, ["a.b"]) == {"a": {"b": 1}}


@pytest.mark.parametrize("template", ["{id.__class__}", "{0}", "{", "{nope}"])
def test_a_format_reaches_no_further_than_the_record(template: str) -> None:
    with contextlib.suppress(Failure):
        assert "class" not in formatted(template, {"id": "x"})


def test_a_record_shows_moments_and_money_for_people(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("requests", id="req_1", at=AT)
    outcome = shell("logs", "list", CONDUIT_FORCE_TTY="160")
    assert "11-20 12:00:00Z" in outcome.out
    assert "$0.0041" in outcome.out
    assert f"{AT}\t200" in shell("logs", "list").out


def test_json_is_sound_whatever_the_encoding(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("keys", name="caf\u00e9 \ud83d")
    for encoding in ("utf-8", "ascii"):
        outcome = shell("keys", "list", "--json", PYTHONIOENCODING=encoding)
        assert outcome.code == 0
        assert json.loads(outcome.out)["data"][0]["name"] == "caf\u00e9 \ud83d"
        assert shell("keys", "list", PYTHONIOENCODING=encoding).code == 0


def test_what_is_copied_from_a_table_is_clipped_last(shell: Shell, gateway: FakeGateway) -> None:
    row = gateway.add("requests", id="req_01M7X8CZTDK437XT2J9YQXYRMD", alias="a" * 40)
    outcome = shell("logs", "list", CONDUIT_FORCE_TTY="110", NO_COLOR="1")
    assert row["id"] in outcome.out
    assert "11-20 12:00:00Z" in outcome.out
    assert all(width_of(line) <= 110 for line in outcome.out.splitlines())


def _table(shell: Shell, columns: int, *arguments: str) -> tuple[str, str]:
    outcome = shell(*arguments, CONDUIT_FORCE_TTY=str(columns), NO_COLOR="1")
    assert outcome.code == 0
    return outcome.out, outcome.err


@pytest.mark.parametrize("columns", [60, 72, 80, 90, 100, 110, 120])
def test_no_number_of_a_request_is_cut_however_narrow_the_terminal(
    shell: Shell, gateway: FakeGateway, columns: int
) -> None:
    gateway.add(
        "requests",
        id="req_01M7X8CZTDK437XT2J9YQXYRMD",
        alias="anthropic/claude-something-long",
        provider="openrouter-production",
        key="continuous-integration",
        cost="0.0000066",
        input_tokens=1_234_567,
        output_tokens=123_456,
    )
    out, err = _table(shell, columns, "logs", "list")
    assert all(width_of(line) <= columns for line in out.splitlines())
    assert "$0.0000066" in out
    assert "11-20 12:00:00Z" in out
    for title, whole in (("IN", "1,234,567"), ("OUT", "123,456"), ("TOOK", "812ms")):
        assert (whole in out.split()) is (title in out.split())
        assert (title in out.split()) is (title.lower() not in err)
    assert ("-o wide" in err) is ("PROVIDER" not in out)


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_budget_of_a_key_is_not_cut(shell: Shell, gateway: FakeGateway, columns: int) -> None:
    budget = {"spent": "1234.56", "limit": "10000.00", "period": "total"}
    gateway.add("keys", name="production-europe", budgets=[budget], expires_at=AT, last_used_at=AT)
    out, err = _table(shell, columns, "keys", "list")
    assert all(width_of(line) <= columns for line in out.splitlines())
    assert "$1,234.56 / $10,000.00" in out
    assert "last used" in err
    assert out.count("2026-11-20 12:00:00Z") == ("EXPIRES" in out) + ("LAST" in out)


def test_where_all_fits_nothing_is_left_out(shell: Shell, gateway: FakeGateway) -> None:
    gateway.add("keys", name="ci")
    out, err = _table(shell, 80, "keys", "list")
    assert "LAST USED" in out
    assert err == ""


def test_a_budget_s_amounts_are_whole_at_eighty_columns(shell: Shell, gateway: FakeGateway) -> None:
    scope = {"kind": "key", "id": "key_01M7X8CZTDK437XT2J9YQXYRMD"}
    gateway.add("budgets", scope=scope, limit="1234567.89", spent="0.0000123", held="12.34")
    out, _ = _table(shell, 80, "budgets", "list")
    assert all(width_of(line) <= 80 for line in out.splitlines())
    assert {"$1,234,567.89", "$0.000012", "$12.34"} <= set(out.split())


def test_further_pages_are_told_of_with_quiet_too(conduit: Conduit, gateway: FakeGateway) -> None:
    for number in range(3):
        gateway.add("keys", name=f"k{number}")
    assert "2 of many" in conduit("keys", "list", "-q", "--limit", "2").err
    assert "2 of many" in conduit("keys", "list", "--limit", "2").err


@pytest.mark.parametrize("expression", ["nothing", "data[?name=='x']", "data[0].nothing"])
@pytest.mark.parametrize("format", ["json", "tsv"])
def test_a_query_that_yields_nothing_says_so(
    conduit: Conduit, gateway: FakeGateway, expression: str, format: str
) -> None:
    gateway.add("keys", name="ci", version=0)
    outcome = conduit("keys", "list", "--query", expression, "-o", format)
    assert outcome.code == 0
    assert outcome.err == "--query: it yields nothing\n"
    assert conduit("keys", "list", "--query", "data[0].version", "-o", format).err == ""


@pytest.mark.parametrize("flag", ["--sort", "--fields"])
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "tsv"])
def test_a_field_that_there_is_not_is_refused_with_those_there_are(
    conduit: Conduit, gateway: FakeGateway, flag: str, form: str
) -> None:
    gateway.add("keys", name="ci")
    outcome = conduit("keys", "list", flag, "nope", "-o", form)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{flag}: there is no field 'nope' (known: id, start," in outcome.err


def test_a_record_s_unknown_field_is_refused_too(conduit: Conduit, gateway: FakeGateway) -> None:
    gateway.add("keys", name="ci")
    assert conduit("keys", "show", "ci", "--fields", "name,nope").code == 2
    assert conduit("keys", "show", "ci", "--fields", "name").out == "name\tci\n"


@pytest.mark.parametrize(("order", "names"), [("asc", "a b c"), ("desc", "b a c")])
def test_what_has_no_value_is_sorted_last_either_way(
    conduit: Conduit, gateway: FakeGateway, order: str, names: str
) -> None:
    for name, used in (("c", None), ("a", "2026-01-01"), ("b", "2026-01-02")):
        gateway.add("keys", name=name, last_used_at=used)
    outcome = conduit("keys", "list", "--sort", f"last_used_at:{order}", "--fields", "name")
    assert outcome.out.split() == names.split()


def test_a_filter_that_nothing_fits_is_no_first_step(shell: Shell, gateway: FakeGateway) -> None:
    assert "nothing matches" in shell("logs", "list", "--key", "ci", CONDUIT_FORCE_TTY="80").err
    assert "no requests yet" in shell("logs", "list", CONDUIT_FORCE_TTY="80").err
    gateway.add("keys", name="ci")
    listed = shell("keys", "list", "--filter", "name:x", CONDUIT_FORCE_TTY="80")
    assert listed.err == "nothing matches\n"


@pytest.mark.parametrize(
    "command",
    [("keys", "list"), ("logs", "list"), ("logs", "tail"), ("events", "list"), ("events", "tail")],
)
def test_a_filter_that_is_none_is_refused_everywhere_alike(
    conduit: Conduit, gateway: FakeGateway, command: tuple[str, ...]
) -> None:
    gateway.add("keys", name="ci")
    outcome = conduit(*command, "--filter", "nonsense:x")
    assert outcome.code == 2
    assert "--filter:" in outcome.err
