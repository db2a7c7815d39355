"""Identifiers that sort by time."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.ids import new_id, new_ulid, now_ms

FORM = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
moments = st.integers(0, 2**48 - 1)


def moment_of(ulid: str) -> int:
    moment = 0
    for character in ulid[:10]:
        moment = moment * 32 + ALPHABET.index(character)
    return moment


@given(moments)
def test_an_identifier_has_26_characters_of_crockfords_alphabet(at_ms: int) -> None:
    assert FORM.fullmatch(new_ulid(at_ms))


@given(moments)
def test_an_identifier_tells_its_moment(at_ms: int) -> None:
    assert moment_of(new_ulid(at_ms)) == at_ms


@given(moments, moments)
def test_identifiers_sort_as_their_moments_do(first: int, second: int) -> None:
    earlier, later = sorted((first, second))
    if earlier != later:
        assert new_ulid(earlier) < new_ulid(later)


def test_identifiers_of_one_moment_differ() -> None:
    assert len({new_ulid(1) for _ in range(1000)}) == 1000


def test_identifiers_of_one_moment_sort_in_the_order_of_their_making() -> None:
    made = [new_ulid(1) for _ in range(1000)]
    assert made == sorted(made)


def test_an_identifier_is_of_now_unless_told_otherwise() -> None:
    before = time.time_ns() // 1_000_000
    made = moment_of(new_ulid())
    assert before <= made <= now_ms()


def test_an_identifier_carries_its_prefix() -> None:
    prefix, _, ulid = new_id("att", 1).partition("_")
    assert prefix == "att"
    assert FORM.fullmatch(ulid)


@pytest.mark.parametrize("at_ms", [-1, 2**48])
def test_a_moment_that_does_not_fit_is_refused(at_ms: int) -> None:
    with pytest.raises(OverflowError):
        new_ulid(at_ms)


@given(st.lists(st.integers(0, 3 * 1024), min_size=2))
def test_moments_may_go_back_and_forth(at_ms: list[int]) -> None:
    made = [new_ulid(each) for each in at_ms]
    assert [moment_of(each) for each in made] == at_ms
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("boundary", [1024, 2**40, 2**48 - 1024])
def test_ids_sort_past_the_moments_that_share_their_ends(boundary: int) -> None:
    made = [new_ulid(boundary + offset) for offset in range(-3, 4)]
    assert made == sorted(made)
