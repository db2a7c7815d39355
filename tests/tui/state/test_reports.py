"""Questions of the usage screen, and what is made of their answers."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from conduit.tui.state.reports import (
    METRICS,
    PERIODS,
    Ask,
    Look,
    Only,
    Reports,
    ask_of,
    columns_of,
    file_name,
    series_of,
    shares_of,
    tokens_read,
    tokens_written,
    trend_in,
    trend_of,
    written,
)
from conduit.tui.widgets.drawing.plots import plotted
from tests.tui.made import report, row

NOW = datetime(2026, 11, 20, 22, 2, 11, tzinfo=UTC)
TODAY, WEEK, THIRTY, MONTH, ALL = PERIODS


@pytest.mark.parametrize(
    ("period", "since"),
    [
        (TODAY, "2026-11-20T00:00:00Z"),
        (WEEK, "2026-11-14T00:00:00Z"),
        (THIRTY, "2026-10-22T00:00:00Z"),
        (MONTH, "2026-11-01T00:00:00Z"),
        (ALL, None),
    ],
    ids=lambda given: getattr(given, "name", ""),
)
def test_a_period_is_of_whole_days_and_ends_now(period: object, since: str | None) -> None:
    ask = ask_of(Look(), period, NOW)  # type: ignore[arg-type]
    assert ask.query() == {"by": "model", "since": since, "until": None}


def test_a_look_into_a_row_is_narrowed_to_it_and_grouped_by_something_else() -> None:
    look = Look().into(row("gpt-4o"))
    assert look == Look("key", (Only("model", "gpt-4o", "gpt-4o"),))
    assert look is not None
    deeper = look.into({**row("ci"), "key_id": "key_1"})
    assert deeper is not None
    assert deeper.by not in ("model", "key")
    ask = ask_of(deeper, THIRTY, NOW)
    assert dict(ask.only) == {"model": "gpt-4o", "key": "key_1"}
    assert ask.query()["key"] == "key_1"


def test_what_has_no_name_cannot_be_looked_into() -> None:
    assert Look("group").into(row("")) is None


def test_the_value_of_a_tag_is_nothing_that_a_report_can_be_narrowed_to() -> None:
    assert Look("tag:team").into(row("a")) is None
    assert trend_in(Ask("tag:team", None, None), row("a"), THIRTY) is None
    assert file_name(Ask("tag:a/b", None, None), THIRTY, "csv") == "usage-30d-by-tag-a-b.csv"
    assert trend_in(Ask("group", None, None), row(""), THIRTY) is None


def test_a_look_into_a_day_is_of_its_hours_and_into_an_hour_of_its_models() -> None:
    day = Look("day").into(row("2026-11-03"))
    assert day is not None
    ask = ask_of(day, THIRTY, NOW)
    assert (ask.by, ask.since, ask.until) == (
        "hour",
        "2026-11-03T00:00:00Z",
        "2026-11-04T00:00:00Z",
    )
    hour = day.into(row("2026-11-03T05:00:00Z"))
    assert hour is not None
    ask = ask_of(hour, THIRTY, NOW)
    assert (ask.by, ask.since, ask.until) == (
        "model",
        "2026-11-03T05:00:00Z",
        "2026-11-03T06:00:00Z",
    )
    assert trend_of(ask, THIRTY).by == "hour"


def test_the_course_of_a_row_is_asked_for_it_alone() -> None:
    ask = Ask("key", "2026-11-01T00:00:00Z", None, (("model", "gpt-4o"),))
    course = trend_in(ask, {**row("ci"), "key_id": "key_1"}, MONTH)
    assert course is not None
    assert course.by == "day"
    assert course.only == (("model", "gpt-4o"), ("key", "key_1"))
    assert trend_in(Ask("day", None, None), row("2026-11-03"), MONTH) is None


def test_days_without_use_are_drawn_as_nothing() -> None:
    query = {"by": "day", "since": "2026-11-17T00:00:00Z"}
    found = report(query, row("2026-11-18", cost="2"), row("2026-11-20", cost="3"))
    series = series_of(found, METRICS[0], NOW)
    assert series is not None
    assert series.values == [0.0, 2.0, 0.0, 3.0]
    assert series.begins == datetime(2026, 11, 17, tzinfo=UTC)
    assert series.ends == datetime(2026, 11, 21, tzinfo=UTC)
    assert sum(series.values) == 5.0


def test_all_time_begins_with_the_first_use() -> None:
    found = report({"by": "day"}, row("2026-11-19", cost="2"))
    series = series_of(found, METRICS[0], NOW)
    assert series is not None
    assert series.values == [2.0, 0.0]
    assert series_of(report({"by": "day"}), METRICS[0], NOW) is None


def test_hours_of_a_narrowed_time_end_with_it() -> None:
    query = {"by": "hour", "since": "2026-11-18T00:00:00Z", "until": "2026-11-19T00:00:00Z"}
    series = series_of(report(query, row("2026-11-18T23:00:00Z", requests=4)), METRICS[1], NOW)
    assert series is not None
    assert series.step == timedelta(hours=1)
    assert len(series.values) == 24
    assert series.values[23] == 4


def test_no_value_is_lost_where_there_are_more_than_columns() -> None:
    values = [1.0] * 168
    assert sum(columns_of(values, 40)) == 168
    assert len(columns_of(values, 40)) == 40
    assert columns_of([1.0, 2.0], 5) == [1.0, 1.0, 2.0, 2.0]
    assert columns_of([], 5) == []


def test_a_share_is_exact_and_of_the_whole_and_not_of_what_is_listed() -> None:
    found = report({"by": "model"}, row("a", cost="0.10"), cost="0.40")
    assert shares_of(found) == {"a": 0.25}
    assert shares_of(report({"by": "model"}, row("a"))) == {"a": 0.0}


def test_a_plot_shows_the_least_there_is() -> None:
    assert plotted([0, 1, 8, 16], 2, "12345678") == ["   8", " 188"]
    assert plotted([0, 0], 2, "12") == ["", ""]


def test_an_answer_that_comes_too_late_for_its_gateway_is_dropped() -> None:
    known, ask = Reports(), Ask("model", None, None)
    known.of(1).begin(ask)
    assert known.at(ask).is_reading
    assert known.of(2).at(ask).value is None
    known.answer(ask, report({}), at_ms=5, epoch=1)
    assert known.at(ask).value is None
    known.answer(ask, report({}), at_ms=5, epoch=2)
    known.fail(ask, "timed out", epoch=2)
    assert known.at(ask).value is not None, "the last good one stays"
    assert known.at(ask).error == "timed out"
    known.forgive()
    assert known.at(ask).error is None


def test_what_is_written_is_what_was_answered() -> None:
    found = report({"by": "key"}, {**row("ci", cost="1.25", requests=3), "key_id": "key_1"})
    assert json.loads(written(found, "json")) == found
    lines = list(csv.DictReader(io.StringIO(written(found, "csv"))))
    assert [(line["key"], line["id"], line["cost"], line["requests"]) for line in lines] == [
        ("ci", "key_1", "1.25", "3")
    ]


def test_answers_are_kept_up_to_a_number_and_the_oldest_go_first() -> None:
    known = Reports()
    asks = [Ask("model", None, None, (("key", str(number)),)) for number in range(400)]
    for ask in asks:
        known.answer(ask, report({}), at_ms=1, epoch=0)
    assert len(known.by_ask) == 300
    assert known.at(asks[0]).value is None
    assert known.at(asks[-1]).value is not None


def test_all_tokens_count_and_each_once() -> None:
    """Reasoning is paid as output is, and often most of it."""
    told = row(
        "gpt-4o",
        input_tokens=1,
        cache_read_tokens=20,
        cache_write_tokens=300,
        cache_write_1h_tokens=100,
        output_tokens=4_000,
        reasoning_tokens=50_000,
        audio_tokens=900_000,
        output_audio_tokens=600_000,
    )
    assert tokens_read(told) == 300_321
    assert tokens_written(told) == 654_000
    [tokens] = [each for each in METRICS if each.name == "tokens"]
    assert tokens.of(told) == 654_001  # what came from a cache has a column of its own
