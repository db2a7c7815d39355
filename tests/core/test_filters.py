"""The filter language: what it accepts, refuses, prints and matches."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.filters import (
    COLUMN_OF_FIELD,
    MAXIMUM_CHARACTERS,
    REQUEST_FIELDS,
    TEXT_FIELDS,
    FieldKind,
    Filter,
    Term,
    compile_filter,
    matches,
    operand,
    parse_filter,
)

RECORD: dict[str, object] = {
    "id": "req_01JD",
    "key_name": "ci",
    "alias": "gpt-4o",
    "provider": "openai",
    "model": "gpt-4o-2024-08-06",
    "status": 200,
    "outcome": "succeeded",
    "error_code": None,
    "operation": "chat",
    "stream": True,
    "duration_ms": 812,
    "ttft_ms": None,
    "input_tokens": 1000,
    "output_tokens": 204,
    "cost_nanodollars": 4_100_000,
    "client_ip": "::1",
}


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("  \t\n ", ()),
        ("status:429", (Term("status", "=", ("429",)),)),
        ("status:=0429", (Term("status", "=", ("429",)),)),
        ("STATUS:>=400", (Term("status", ">=", ("400",)),)),
        ("ms:<10 ms:<=10", (Term("ms", "<", ("10",)), Term("ms", "<=", ("10",)))),
        ("model:gpt-*,claude-*", (Term("model", "=", ("gpt-*", "claude-*")),)),
        ("-provider:openai", (Term("provider", "=", ("openai",), negated=True),)),
        ("timeout", (Term(None, "=", ("timeout",)),)),
        ("-timeout", (Term(None, "=", ("timeout",), negated=True),)),
        ('"two words"', (Term(None, "=", ("two words",)),)),
        ('alias:"a b","c,d"', (Term("alias", "=", ("a b", "c,d")),)),
        (r'alias:"say \"x\" \\"', (Term("alias", "=", (r'say "x" \ '.strip(),)),)),
        ('"llama3:8b"', (Term(None, "=", ("llama3:8b",)),)),
        ("ip:::1", (Term("ip", "=", ("::1",)),)),
        ("cost:>$0.0100", (Term("cost", ">", ("0.01",)),)),
        ("stream:YES", (Term("stream", "=", ("true",)),)),
    ],
)
def test_a_filter_is_read_into_terms(text: str, terms: tuple[Term, ...]) -> None:
    assert parse_filter(text) == Filter(terms)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("llama3:8b", "unknown field 'llama3'; the fields are id, key, alias, provider"),
        ("model:>x", "model is a text: it cannot be compared with >"),
        ("stream:>true", "stream is a boolean"),
        ("stream:maybe", "stream is true or false, not 'maybe'"),
        ("status:abc", "status is a whole number, not 'abc'"),
        ("status:4*", "status is a whole number"),
        ("status:-1", "status is a whole number"),
        ("tokens:9999999999999999999", "is too large for tokens"),
        ("cost:x", "cost is in USD, such as 0.01"),
        ("cost:0.00000000001", "at most nine decimals"),
        ("status:", "lacks a value after status:"),
        ("status:>=", "lacks a value after status:>="),
        ("status:>=400,500", "takes one value, not 2"),
        ("model:a,", "lacks a value after model:"),
        ("-", "lacks a word to look for"),
        ('alias:"open', "a double quote is not closed"),
        (r'"\n"', "a backslash escapes nothing"),
        ('""', "lacks a word"),
        ('"a"b', "a space is missing before 'b'"),
        ("a\x00b", "cannot be printed"),
        ("a\ud800", "cannot be printed"),
        ("x" * (MAXIMUM_CHARACTERS + 1), "at most 2000 characters"),
        ("a " * 51, "at most 50 terms"),
        ("a" + ",a" * 100, "at most 100 values"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # the sentence is checked below
        parse_filter(text)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("status:200", True),
        ("status:200,429", True),
        ("status:>=400", False),
        ("status:<400 ms:>812", False),
        ("status:<400 ms:>=812", True),
        ("model:gpt-4o", False),
        ("model:gpt-4o*", True),
        ("model:GPT-4O*06", True),
        ("model:*2024*06", True),
        ("model:*06*2024*", False),
        ("alias:gpt-4o*gpt-4o", False),
        ("-model:gpt-4o*", False),
        ("key:ci", True),
        ("error:timeout", False),
        ("-error:timeout", True),
        ("ttft:<100000", False),
        ("-ttft:<100000", True),
        ("tokens:1204", True),
        ("cost:0.0041", True),
        ("cost:>0.0041", False),
        ("stream:true", True),
        ("stream:false", False),
        ("2024-08", True),
        ("OPENAI", True),
        ("anthropic", False),
        ("-anthropic", True),
        ("anthropic,openai", True),
        ("812", False),
        ("open*i", True),
    ],
)
def test_a_record_is_matched(text: str, holds: bool) -> None:
    assert matches(parse_filter(text), RECORD) is holds
    assert compile_filter(parse_filter(text))(RECORD) is holds


def test_an_event_that_is_no_whole_record_is_matched_by_the_fields_own_name() -> None:
    started: dict[str, object] = {"id": "req_1", "key": "ci", "alias": "a", "stream": False}
    assert matches(parse_filter("key:ci stream:false"), started)
    assert not matches(parse_filter("tokens:>=0"), started)


def test_every_field_has_its_columns() -> None:
    assert COLUMN_OF_FIELD.keys() == REQUEST_FIELDS.keys()
    assert "provider" in TEXT_FIELDS
    assert "status" not in TEXT_FIELDS


def test_a_pattern_of_many_stars_is_matched_in_linear_time() -> None:
    predicate = compile_filter(parse_filter("model:" + "*a" * 500 + "*b"))
    assert not predicate({"model": "a" * 50_000})


def test_operands_are_typed() -> None:
    assert operand(FieldKind.INTEGER, "400") == 400
    assert operand(FieldKind.MONEY, "0.01") == 10_000_000
    assert operand(FieldKind.BOOLEAN, "false") is False
    assert operand(FieldKind.TEXT, "400") == "400"


def test_another_set_of_fields_can_be_given() -> None:
    fields = {"size": FieldKind.INTEGER, "name": FieldKind.TEXT}
    assert parse_filter("size:>3", fields).terms == (Term("size", ">", ("3",)),)
    with pytest.raises(ValueError, match="the fields are size, name"):
        parse_filter("status:1", fields)


PIECES = st.sampled_from(
    [*REQUEST_FIELDS, ":", ">=", "<", "=", "-", ",", '"', "\\", "*", " ", "400", "0.5", "true", "a"]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join)))
def test_any_text_is_read_or_refused_and_what_was_read_prints_to_itself(text: str) -> None:
    try:
        parsed = parse_filter(text)
    except ValueError:
        return
    assert parse_filter(str(parsed)) == parsed
    assert isinstance(matches(parsed, RECORD), bool)


PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
VALUES = st.text(PRINTABLE, min_size=1, max_size=20)


@given(
    st.lists(
        st.builds(
            Term,
            st.one_of(st.none(), st.sampled_from(TEXT_FIELDS)),
            st.just("="),
            st.lists(VALUES, min_size=1, max_size=3).map(tuple),
            st.booleans(),
        ),
        max_size=5,
    ).map(tuple)
)
def test_any_terms_survive_printing_and_reading(terms: tuple[Term, ...]) -> None:
    assert parse_filter(str(Filter(terms))) == Filter(terms)


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=8))
def test_wildcards_match_as_a_regular_expression_would(pattern: str, text: str) -> None:

    if not pattern:
        return
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
    assert matches(parse_filter(f"model:{pattern}"), {"model": text}) is expected
