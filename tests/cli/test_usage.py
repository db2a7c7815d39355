"""What was used and spent, as the command line tells it."""

import csv
import io
import json

import pytest

from conduit.core.groupings import GROUPINGS
from tests.cli.conftest import Conduit, Shell
from tests.cli.fake_gateway import FakeGateway, Refusal
from tests.cli.test_completion import offered


def test_all_is_one_row_that_a_program_reads(conduit: Conduit, gateway: FakeGateway) -> None:
    outcome = conduit("usage")
    assert outcome.out == "total\t3\t1000\t50\t204\t9\t0.0041\t0.004\n"
    assert "of 4 attempts: 1 estimated, 2 ambiguous" in outcome.err
    assert "$0.010 is held for 1 open call" in outcome.err
    assert set(gateway.seen[-1].query) == {"since"}
    assert conduit("usage", "-q").err == ""


def test_groups_are_rows_and_the_total_is_told_beside_them(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    outcome = conduit("usage", "--by", "model", "-o", "csv")
    first, second = csv.DictReader(io.StringIO(outcome.out))
    assert (first["group"], first["cost"]) == ("gpt-4o", "0.003075")
    assert (second["group"], second["cost"]) == ("gpt-4o-mini", "0.001025")
    assert "share" not in first
    assert "3 requests sent, $0.0041 in all" in outcome.err
    assert "2 rows of many" in outcome.err
    assert conduit("usage", "--by", "key", "-o", "id").out == "ci\nold\n"


def test_words_stand_for_options(conduit: Conduit, gateway: FakeGateway) -> None:
    for words, options in (
        (("summary",), ()),
        (("by", "key"), ("--by", "key")),
        (("top",), ("--by", "model")),
        (("export",), ("--by", "day", "-o", "csv")),
        (("export", "--by", "key", "--json"), ("--by", "key", "--json")),
    ):
        assert conduit("usage", *words).out == conduit("usage", *options).out
    gateway.seen.clear()
    for wrong in (("by",), ("bottom",), ("by", "key", "--by", "day"), ("by", "colour")):
        outcome = conduit("usage", *wrong)
        assert (outcome.code, outcome.out) == (2, "")
    assert gateway.seen == []


def test_json_is_the_answer_of_the_gateway(conduit: Conduit) -> None:
    document = json.loads(conduit("usage", "--by", "key", "--json").out)
    assert [group["group"] for group in document["groups"]] == ["ci", "old"]
    assert document["total"]["ambiguous"] == 2
    assert conduit("usage", "--query", "total.cost").out == "0.0041\n"
    lines = conduit("usage", "--by", "key", "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["group"] for line in lines] == ["ci", "old"]


def test_what_is_asked_for_reaches_the_gateway(conduit: Conduit, gateway: FakeGateway) -> None:
    key = gateway.add("keys", name="production")
    until = "2026-11-20T00:00:00Z"
    conduit(
        *("usage", "--since", "ever", "--until", until, "--by", "hour", "--key", "prod"),
        *("--provider", "p", "--model", "m", "--alias", "a", "--timezone", "Asia/Kolkata"),
    )
    assert {name: value for name, (value,) in gateway.seen[-1].query.items()} == {
        "until": until,
        "by": "hour",
        "timezone": "Asia/Kolkata",
        "key": key["id"],
        "provider": "p",
        "model": "m",
        "alias": "a",
        "most": "20000",
    }
    conduit("usage", "--key", "gone")
    assert gateway.seen[-1].query["key"] == ["gone"]  # the gateway knows deleted keys


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "colour"), f"--by: {', '.join(GROUPINGS)} or tag:NAME is expected, not 'colour'"),
        (("--by", "tag:"), "or tag:NAME is expected, not 'tag:'"),
        (("--since", "soon"), "--since: neither a time nor a duration: 'soon'"),
        (("--by", "day", "--plot", "pie"), "--plot: bar or line is expected, not 'pie'"),
        (("--plot", "bar"), "say which, such as --by day"),
        (("--by", "model", "--plot", "line"), "and not by model"),
        (("--by", "day", "--plot", "bar", "-o", "csv"), "leave it out"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_it_is_sent(
    conduit: Conduit, gateway: FakeGateway, arguments: tuple[str, ...], said: str
) -> None:
    outcome = conduit("usage", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert gateway.seen == []


def test_a_terminal_shows_the_share_of_each_row(shell: Shell) -> None:
    table = shell("usage", "--by", "model", CONDUIT_FORCE_TTY="100", NO_COLOR="1").out
    heading, first, second = table.splitlines()
    assert heading.endswith("SHARE")
    assert "OVER TIME" not in heading
    assert first.endswith("\u2588" * 8 + "    75%")
    assert second.endswith("\u2588" * 2 + " " * 8 + "  25%")
    for environment in ({}, {"CONDUIT_FORCE_TTY": "120", "PYTHONIOENCODING": "ascii"}):
        plain = shell("usage", "--by", "model", "-o", "table", NO_COLOR="1", **environment).out
        assert "########    75%" in plain
        assert plain.isascii()


def test_a_wide_terminal_draws_a_line_for_each_row(shell: Shell, gateway: FakeGateway) -> None:
    wide = {"CONDUIT_FORCE_TTY": "120", "NO_COLOR": "1"}
    ever = ("usage", "--by", "model", "--since", "2026-11-18", "--until", "2026-11-22")
    heading, first, second = shell(*ever, **wide).out.splitlines()
    assert heading.endswith("OVER TIME")
    assert first.endswith("  \u2584\u2581\u2588\u2581")
    assert second.endswith("  \u2581\u2588\u2581\u2581")
    ascii_only = shell(*ever, PYTHONIOENCODING="ascii", **wide).out
    assert ascii_only.splitlines()[1].endswith("  -_#_")
    hours = ("--since", "2026-11-20T12:00:00Z", "--until", "2026-11-20T14:00:00Z")
    by_hour = shell("usage", "--by", "model", *hours, **wide).out.splitlines()
    assert gateway.seen[-1].query["series"] == ["hour"]
    assert [line.split()[-1] for line in by_hour[1:]] == ["\u2588\u2581", "\u2581\u2588"]
    drawn = shell(*ever, "--plot", **wide).out.splitlines()
    assert drawn[1].startswith("gpt-4o       $0.0031  \u2584\u2581\u2588\u2581  \u2588")
    gateway.failing = [Refusal(422, "validation_failed", "series: too many")]
    assert "OVER TIME" not in shell(*ever, **wide).out  # a time too long is no error


def test_programs_have_the_series_where_they_ask_for_it(
    conduit: Conduit, gateway: FakeGateway
) -> None:
    asked = ("usage", "--by", "model", "--json")
    assert [row["series"] for row in json.loads(conduit(*asked).out)["groups"]] == [None, None]
    assert "series" not in gateway.seen[-1].query
    told = json.loads(conduit(*asked, "--series").out)["groups"]
    assert [len(row["series"]) for row in told] == [2, 1]
    rows = csv.DictReader(io.StringIO(conduit(*asked[:-1], "--series", "-o", "csv").out))
    assert json.loads(next(rows)["series"]) == told[0]["series"]
    refused = conduit("usage", "--by", "day", "--series")
    assert (refused.code, refused.out) == (2, "")


def test_days_and_hours_show_how_the_cost_went(shell: Shell) -> None:
    terminal = {"CONDUIT_FORCE_TTY": "120", "NO_COLOR": "1"}
    days = shell("usage", "--by", "day", **terminal)
    heading, first, second = days.out.splitlines()
    assert heading.endswith("COST OVER TIME")
    assert first.startswith("2026-11-18 ")
    assert first.endswith(" " + "\u2588" * 10)
    assert second.endswith(" " + "\u2588" * 3)
    assert "in all  #_:" in days.err  # the day between cost nothing
    hours = shell("usage", "--by", "hour", **terminal).out.splitlines()
    assert hours[1].startswith("2026-11-20 12:00Z ")


def test_a_narrow_terminal_leaves_the_bars_out_first(shell: Shell) -> None:
    outcome = shell("usage", "--by", "model", CONDUIT_FORCE_TTY="50", NO_COLOR="1")
    assert "SHARE" not in outcome.out
    assert "COST" in outcome.out
    assert "too narrow for: " in outcome.err


def test_a_shell_is_offered_what_each_command_groups_by(shell: Shell) -> None:
    assert offered(shell, "conduit usage --by ") == [*GROUPINGS, "tag:"]
    assert offered(shell, "conduit usage --plot ") == ["bar", "line"]
    for flag in ("--format", "--output", "-o"):
        assert offered(shell, f"conduit logs export {flag} ") == ["jsonl", "csv"]
    assert offered(shell, "conduit keys usage ci --by ") == ["model", "alias", "provider", "day"]


def test_rows_are_drawn_beside_one_another(shell: Shell) -> None:
    outcome = shell("usage", "--by", "model", "--plot", "bar", CONDUIT_FORCE_TTY="80")
    title, first, second = outcome.out.splitlines()
    assert title == "cost, USD"
    assert first.startswith("gpt-4o       $0.0031  \u2588")
    assert second.startswith("gpt-4o-mini  $0.0010  \u2588")
    assert len(first) == 80
    assert first.count("\u2588") == pytest.approx(3 * second.count("\u2588"), abs=2)
    assert "3 requests" in outcome.err


def test_a_plot_of_no_kind_is_one_of_bars(shell: Shell) -> None:
    bars = shell("usage", "--by", "model", "--plot", "bar").out
    assert shell("usage", "--by", "model", "--plot").out == bars
    assert shell("usage", "--plot", "--by", "model").out == bars
    assert shell("usage", "--plot=bar", "--by", "model").out == bars


@pytest.mark.parametrize("kind", ["bar", "line"])
def test_days_are_drawn_upwards_in_the_width_that_there_is(shell: Shell, kind: str) -> None:
    environment = {"CONDUIT_FORCE_TTY": "60", "PYTHONIOENCODING": "utf-8"}
    drawn = shell("usage", "--by", "day", "--plot", kind, **environment).out
    lines = drawn.splitlines()
    assert len(lines) == 16
    assert max(map(len, lines)) <= 60
    assert "cost, USD" in lines[0]
    assert "$0.00\u2524" in drawn
    plain = shell("usage", "--by", "day", "--plot", kind, PYTHONIOENCODING="ascii").out
    assert plain.isascii()
    assert ("#" if kind == "bar" else "*") in plain
