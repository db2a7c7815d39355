"""The built-in estimator against counts of two public vocabularies."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.tokens import (
    estimate_tokens,
    estimate_tokens_utf8,
    tokens_per_kilobyte,
    upper_estimate,
    usual_media,
)

FIXTURE = Path(__file__).parent.parent / "fixtures" / "tokens" / "texts.json"
TEXTS: list[dict[str, Any]] = json.loads(FIXTURE.read_text(encoding="utf-8"))["texts"]
ENGLISH_AND_CODE = [each for each in TEXTS if each["group"] == "english_and_code"]
PROSE_AND_CODE = [each for each in TEXTS if each["name"] != "numbers_csv"]


def name_of(text: dict[str, Any]) -> str:
    return str(text["name"])


@pytest.mark.parametrize("text", ENGLISH_AND_CODE, ids=name_of)
@pytest.mark.parametrize("vocabulary", ["o200k_base", "cl100k_base"])
def test_english_and_code_are_estimated_within_a_tenth(
    text: dict[str, Any], vocabulary: str
) -> None:
    assert estimate_tokens(text["text"]) == pytest.approx(text[vocabulary], rel=0.1)


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_any_text_is_estimated_within_a_fifth_of_the_present_vocabulary(
    text: dict[str, Any],
) -> None:
    assert estimate_tokens(text["text"]) == pytest.approx(text["o200k_base"], rel=0.2)


@pytest.mark.parametrize("text", PROSE_AND_CODE, ids=name_of)
def test_the_upper_estimate_of_prose_and_code_is_at_most_a_twentieth_too_low(
    text: dict[str, Any],
) -> None:
    encoded = text["text"].encode("utf-8")
    assert upper_estimate(len(encoded), 0, 0, 0) >= text["o200k_base"] * 0.95


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), (" ", 1), ("Hello", 1), ("Hello world", 2), ("\n", 1), ("\x00", 1)],
)
def test_short_texts_are_counted_as_they_are(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize("character", ["=", "a", "A", "1", " ", "\n", "é", "ж", "中", "😀"])
def test_a_long_run_of_one_character_is_never_absurd(character: str) -> None:
    assert 1 <= estimate_tokens(character * 1000) <= 4 * 1000


@given(st.text())
def test_every_text_has_an_estimate_between_nothing_and_its_bytes(text: str) -> None:
    encoded = text.encode("utf-8")
    assert bool(text) <= estimate_tokens(text) <= 2 * len(encoded)
    assert estimate_tokens(text) == estimate_tokens_utf8(encoded)


def test_a_lone_surrogate_is_estimated_like_any_character() -> None:
    assert estimate_tokens("a\ud800b") >= 1


@given(st.text(), st.text())
def test_an_estimate_hardly_changes_when_a_text_is_split(left: str, right: str) -> None:
    apart = estimate_tokens(left) + estimate_tokens(right)
    assert abs(apart - estimate_tokens(left + right)) <= 5


def test_an_upper_estimate_rounds_bytes_up() -> None:
    assert [upper_estimate(size, 0, 0, 0) for size in (0, 1, 3, 4)] == [0, 1, 1, 2]


def test_an_upper_estimate_adds_each_medium() -> None:
    text = upper_estimate(300, 0, 0, 0)
    image = upper_estimate(0, 1, 0, 0)
    audio = upper_estimate(0, 0, 1, 0)
    file = upper_estimate(0, 0, 0, 1)
    assert upper_estimate(300, 2, 3, 4) == text + 2 * image + 3 * audio + 4 * file
    assert min(image, audio, file) > 0


def test_a_model_that_counts_images_dearly_has_a_higher_maximum() -> None:
    # 2,833 tokens and 5,667 for each of 8 tiles.
    assert upper_estimate(0, 1, 0, 0, model="gpt-4o-mini-2024-07-18") == 48_169
    assert upper_estimate(0, 1, 0, 0, model="gpt-4o") < 48_169


@given(st.text(max_size=200))
def test_a_short_text_is_as_dense_as_it_is_estimated(text: str) -> None:
    encoded = text.encode("utf-8")
    estimated = estimate_tokens_utf8(encoded)
    by_density = len(encoded) * tokens_per_kilobyte(encoded) / 1000
    assert estimated <= by_density <= estimated + len(encoded) / 1000


@pytest.mark.parametrize("text", TEXTS, ids=name_of)
def test_samples_tell_the_density_of_a_long_text(text: dict[str, Any]) -> None:
    encoded = (text["text"] * 200).encode("utf-8")
    whole = 1000 * estimate_tokens_utf8(encoded) / len(encoded)
    assert tokens_per_kilobyte(encoded) == pytest.approx(whole, rel=0.05)


def test_media_are_most_often_less_than_they_may_be() -> None:
    assert usual_media(0, 0, 0) == 0
    for media in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 3, 4)):
        assert 0 < usual_media(*media) < upper_estimate(0, *media)
