"""Field types that the admin resources share."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from conduit.core.money import parse_usd
from conduit.core.resources.fields import (
    Alias,
    ModelName,
    Name,
    Page,
    Patch,
    Resource,
    Time,
    Usd,
    time_ms,
    time_text,
)

YEAR_9999_MS = 253_402_300_799_999


class Amount(Resource):
    usd: Usd


class Change(Patch):
    nullable = frozenset({"until"})

    usd: Usd | None = None
    until: Time | None = None
    version: int | None = None


class Moment(Resource):
    at: Time | None


class Names(Resource):
    name: Name = "x"
    alias: Alias = "x"
    model: ModelName = "x"


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [("5", "5.00"), ("$5", "5.00"), ("0.10", "0.10"), ("0.1000000000", "0.10"), ("007", "7.00")],
)
def test_money_is_stored_in_its_canonical_form(given_text: str, canonical: str) -> None:
    assert Amount(usd=given_text).usd == canonical


@given(st.integers(0, 2**63 - 1))
def test_canonical_money_is_the_same_amount(nanodollars: int) -> None:
    text = f"{nanodollars // 10**9}.{nanodollars % 10**9:09d}"
    assert parse_usd(Amount(usd=text).usd) == nanodollars


@pytest.mark.parametrize("value", ["-1", "1e3", "", "five", "0.0000000001", 5, 5.0, None])
def test_money_that_is_not_a_decimal_text_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Amount.model_validate({"usd": value})


@given(st.integers(0, YEAR_9999_MS))
def test_a_time_survives_being_written_and_read(at_ms: int) -> None:
    assert time_ms(str(time_text(at_ms))) == at_ms


@given(st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)))
def test_a_time_is_stored_in_utc_with_milliseconds(moment: datetime) -> None:
    stored = Moment(at=moment.isoformat()).at
    assert stored is not None
    assert stored.endswith("Z")
    assert abs(datetime.fromisoformat(stored) - moment).total_seconds() < 0.002
    assert Moment(at=stored).at == stored


def test_a_time_with_another_offset_is_turned_into_utc() -> None:
    assert Moment(at="2026-01-31T01:30:00+02:00").at == "2026-01-30T23:30:00.000Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-01-31",
        "2026-01-31T00:00:00",
        "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_time_without_offset_or_meaning_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Moment(at=text)


def test_no_time_stays_none() -> None:
    assert time_text(None) is None
    assert Moment(at=None).at is None


@pytest.mark.parametrize("name", ["a", "A-1.b_c", "0", "a" * 64])
def test_a_plain_name_is_taken(name: str) -> None:
    assert Names(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "_a", "a b", "a/b", "../a", "a\n", "ä", "a" * 65, "a\x00"]
)
def test_a_name_that_is_not_safe_in_paths_and_shells_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Names(name=name)


@pytest.mark.parametrize(
    "alias", ["gpt-4o", "meta-llama/Llama-3:free", "*", "gpt-*", "@cf/model", "a+b"]
)
def test_an_alias_may_be_written_as_vendors_write(alias: str) -> None:
    assert Names(alias=alias).alias == alias


@pytest.mark.parametrize("alias", ["", " a", "a b", "-a", "/a", "a?b", "a\n", "a" * 201, "é"])
def test_an_alias_with_other_characters_is_refused(alias: str) -> None:
    with pytest.raises(ValidationError):
        Names(alias=alias)


@pytest.mark.parametrize("model", ["", "a b", "a\t", "é", "a" * 201])
def test_a_model_name_is_printable_ascii_without_spaces(model: str) -> None:
    with pytest.raises(ValidationError):
        Names(model=model)


def test_a_resource_refuses_fields_it_does_not_know() -> None:
    with pytest.raises(ValidationError) as refused:
        Amount.model_validate({"usd": "1", "eur": "1"})
    assert refused.value.errors()[0]["loc"] == ("eur",)
    assert refused.value.errors()[0]["type"] == "extra_forbidden"


def test_a_resource_cannot_be_changed() -> None:
    amount = Amount(usd="1")
    with pytest.raises(ValidationError):
        amount.usd = "2"


def test_a_page_holds_its_resources_and_the_next_cursor() -> None:
    page = Page[Amount].model_validate({"data": [{"usd": "1"}]})
    assert page.model_dump() == {"data": [{"usd": "1.00"}], "next_cursor": None}


def test_a_change_names_the_fields_that_it_changes() -> None:
    assert Change(until=None).model_fields_set == {"until"}
    assert Change().model_fields_set == set()
    assert Change(version=None).version is None


def test_null_is_refused_where_it_would_mean_nothing() -> None:
    with pytest.raises(ValidationError, match="may not be null; leave it out") as refusal:
        Change(usd=None)
    assert refusal.value.errors()[0]["loc"] == ("usd",)


def test_the_schema_of_a_change_says_where_null_is_taken() -> None:
    fields = Change.model_json_schema()["properties"]
    assert fields["usd"]["type"] == "string"
    assert "default" not in fields["usd"]
    assert {"type": "null"} in fields["until"]["anyOf"]
    assert fields["until"]["anyOf"][0]["format"] == "date-time"


@pytest.mark.parametrize("text", ["", "now", "2026-13-01T00:00:00Z", "1"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="a time is written as 2026-01-31T00:00:00Z"):
        time_ms(text)


@given(st.from_regex(Amount.model_json_schema()["properties"]["usd"]["pattern"], fullmatch=True))
def test_the_pattern_of_money_fits_what_is_taken(text: str) -> None:
    """What it fits is refused only for its size: too many digits, before or after the point."""
    refusal = ""
    try:
        parse_usd(text)
    except ValueError as error:
        refusal = str(error)
    assert not refusal or "too large" in refusal or "at most nine decimals" in refusal
