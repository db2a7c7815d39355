"""Virtual and master keys: their form, checksum and what is shown of them."""

import hashlib
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.keys import (
    digest_of,
    displayed_start,
    is_master_key,
    is_virtual_key,
    make_master_key,
    make_virtual_key,
)

BASE62 = string.digits + string.ascii_letters
VIRTUAL = make_virtual_key()
MASTER = make_master_key()


def test_a_virtual_key_has_43_random_and_6_checksum_characters() -> None:
    assert re.fullmatch(r"condt_[0-9A-Za-z]{43}[0-9A-Za-z]{6}", VIRTUAL)
    assert is_virtual_key(VIRTUAL)


def test_a_master_key_differs_by_its_prefix() -> None:
    assert re.fullmatch(r"condt_mk_[0-9A-Za-z]{49}", MASTER)
    assert is_master_key(MASTER)


def test_neither_kind_passes_for_the_other() -> None:
    assert not is_virtual_key(MASTER)
    assert not is_master_key(VIRTUAL)


def test_no_two_keys_are_alike() -> None:
    assert len({make_virtual_key() for _ in range(200)}) == 200


def test_the_random_part_uses_the_whole_alphabet() -> None:
    seen = {character for _ in range(200) for character in make_virtual_key()[7:49]}
    assert seen == set(BASE62)


@given(st.integers(len("condt_"), len(VIRTUAL) - 1), st.sampled_from(BASE62))
def test_the_checksum_finds_every_changed_character(position: int, character: str) -> None:
    changed = VIRTUAL[:position] + character + VIRTUAL[position + 1 :]
    assert is_virtual_key(changed) is (changed == VIRTUAL)


@given(st.integers(len("condt_mk_"), len(MASTER) - 1), st.sampled_from(BASE62))
def test_the_checksum_of_a_master_key_finds_every_changed_character(
    position: int, character: str
) -> None:
    changed = MASTER[:position] + character + MASTER[position + 1 :]
    assert is_master_key(changed) is (changed == MASTER)


@given(st.integers(len("condt_"), len(VIRTUAL) - 2))
def test_the_checksum_finds_swapped_neighbours(position: int) -> None:
    left, right = VIRTUAL[position], VIRTUAL[position + 1]
    swapped = VIRTUAL[:position] + right + left + VIRTUAL[position + 2 :]
    assert is_virtual_key(swapped) is (left == right)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "condt_",
        pytest.param(VIRTUAL[:-1], id="too short"),
        pytest.param(VIRTUAL + "0", id="too long"),
        pytest.param(VIRTUAL + "\n", id="line end"),
        pytest.param(" " + VIRTUAL, id="space before"),
        pytest.param(VIRTUAL.upper(), id="upper case"),
        pytest.param(VIRTUAL[:-1] + "_", id="underscore"),
        pytest.param(VIRTUAL[:-1] + "é", id="accent"),
        pytest.param(VIRTUAL.replace("condt_", "sk-"), id="other prefix"),
        "condt_" + "٣" * 49,
    ],
)
def test_a_text_of_another_form_is_not_a_key(text: str) -> None:
    assert not is_virtual_key(text)
    assert not is_master_key(text)


@given(st.text())
def test_no_text_by_chance_is_a_key(text: str) -> None:
    assert not is_virtual_key(text)
    assert not is_master_key(text)
    assert len(digest_of(text.encode("utf-8", "replace").decode("utf-8"))) == 32


def test_a_key_is_stored_as_its_sha_256() -> None:
    assert digest_of(VIRTUAL) == hashlib.sha256(VIRTUAL.encode()).digest()


def test_what_is_shown_of_a_key_is_its_prefix_and_six_characters() -> None:
    assert displayed_start(VIRTUAL) == VIRTUAL[:12]
    assert displayed_start(VIRTUAL).startswith("condt_")
