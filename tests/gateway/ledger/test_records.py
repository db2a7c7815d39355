"""The form of journal lines."""

import zlib
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.ledger.records import (
    INT64_MAX,
    BadLineError,
    BudgetClosed,
    BudgetOpened,
    ProgressRecord,
    Record,
    RequestRecord,
    TopUpRecord,
    bounded,
    decode_line,
    storable_line,
    storable_lines,
)
from conduit.gateway.storage.requests import StoredRequest

records = st.one_of(
    st.builds(ProgressRecord, st.text(), st.integers(0, INT64_MAX)),
    st.builds(TopUpRecord, st.text(), st.integers(0, INT64_MAX)),
    st.builds(BudgetClosed, st.text()),
    st.builds(
        BudgetOpened, st.text(), st.text(), st.text(), st.text(), st.text(), st.integers(0, 2**50)
    ),
)


@given(records)
def test_a_record_comes_back_as_it_went_in_but_for_what_cannot_be_stored(record: Record) -> None:
    line = storable_line(record)[1]
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    back = decode_line(line[:-1])
    assert type(back) is type(record)
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, str):
            value = value.replace("\x00", "\ufffd")
        assert getattr(back, name) == value


@pytest.mark.parametrize("character", ["\ud800", "\x00"])
def test_a_character_that_cannot_be_stored_is_replaced(character: str) -> None:
    back = decode_line(storable_line(BudgetClosed(f"a{character}b"))[1][:-1])
    assert back == BudgetClosed("a\ufffdb")


@given(st.lists(records, max_size=5))
def test_lines_of_several_are_the_lines_of_each(several: list[Record]) -> None:
    each = [storable_line(record) for record in several]
    assert storable_lines(several) == (
        [record for record, _ in each],
        b"".join(line for _, line in each),
    )


@pytest.mark.parametrize("character", ["\ud800", "\x00", "\\u0000", "\n"])
def test_what_one_record_cannot_store_changes_no_other(character: str) -> None:
    several: list[Record] = [BudgetClosed("a\\b"), BudgetClosed(character), TopUpRecord("c", 1)]
    each = [storable_line(record) for record in several]
    assert storable_lines(several) == (
        [record for record, _ in each],
        b"".join(line for _, line in each),
    )


@given(records, st.data())
def test_a_line_with_one_bit_changed_is_refused(record: Record, data: st.DataObject) -> None:
    line = bytearray(storable_line(record)[1][:-1])
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BadLineError):
        decode_line(bytes(line))


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_one_error(line: bytes) -> None:
    with pytest.raises(BadLineError):
        decode_line(line)


def test_a_sound_line_of_a_later_release_is_refused() -> None:
    json = b'["shared_hold","att_1"]'
    with pytest.raises(BadLineError, match="no record that this release knows"):
        decode_line(b"%08x %b" % (zlib.crc32(json), json))


def test_numbers_are_bounded_to_64_bits_without_a_sign() -> None:
    assert [bounded(n) for n in (-1, 0, 7, INT64_MAX, INT64_MAX + 1)] == [
        0,
        0,
        7,
        INT64_MAX,
        INT64_MAX,
    ]


def test_a_record_in_the_journal_and_a_row_of_the_log_tell_the_same() -> None:
    assert set(RequestRecord.__struct_fields__) == {each.name for each in fields(StoredRequest)}
