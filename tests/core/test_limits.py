"""Rate limits as people write them."""

import pytest

from conduit.core.limits import Limit, limits_in, limits_text_of


def test_limits_are_read_from_a_line() -> None:
    assert limits_in("rpm=600,burst=20 tpd=9000,shadow  concurrent=5,closed") == (
        Limit("rpm", 600, 20),
        Limit("tpd", 9000, shadow=True),
        Limit("concurrent", 5, on_store_down="closed"),
    )
    assert limits_in("rpd=5,timezone=Europe/Berlin,shadow") == (
        Limit("rpd", 5, shadow=True, timezone="Europe/Berlin"),
    )
    assert limits_in("tpm=100k,burst=2K tpd=1M") == (
        Limit("tpm", 100_000, 2000),
        Limit("tpd", 1_000_000),
    )
    assert limits_in("rpm=600 rpm=60,model=gpt-4*,burst=5") == (
        Limit("rpm", 600),
        Limit("rpm", 60, 5, model="gpt-4*"),
    )
    assert limits_in(None) == limits_in(" ") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rpm=600,burst=20 tpd=9000,shadow concurrent=5,closed",
        "rpd=5,timezone=Europe/Berlin,shadow rpm=60,burst=5,model=gpt-4*,shadow,closed",
    ],
)
def test_limits_are_written_as_they_are_read(text: str) -> None:
    assert limits_text_of(limits_in(text)) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rpm", "no limit"),
        ("rph=5", "no limit"),
        ("rpm=0", "above 0"),
        ("rpm=5.5", "whole number"),
        ("rpm=k", "whole number"),
        ("rpm=0k", "above 0"),
        ("rpm=5kk", "whole number"),
        ("rpm=5 rpm=6", "twice"),
        ("rpm=5,model=a rpm=6,model=a", "rpm:a is there twice"),
        ("rpm=5,model=", "says nothing"),
        ("rpm=5,burst=6", "at most"),
        ("rpd=5,burst=2", "requests a day"),
        ("rpm=5,open", "'open'"),
        ("rpd=5,timezone=Mars/Olympus", "no time zone"),
        ("tpd=5,timezone", "no time zone"),
        ("tpm=5,timezone=UTC", "tokens a minute"),
        ("rpm=9999999999999", "above 0"),
    ],
)
def test_what_is_no_limit_is_told(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        limits_in(text)


def test_a_limit_of_a_model_is_told_from_others_and_counts_what_its_pattern_means() -> None:
    own = Limit("rpm", 60, model="gpt-4*")
    assert (own.name, Limit("rpm", 60).name) == ("rpm:gpt-4*", "rpm")
    assert own.text == "60 requests a minute for the model gpt-4*"
    assert [own.counts(name) for name in ("gpt-4o", "gpt-4", "GPT-4o", "my-gpt-4")] == [
        True,
        True,
        False,
        False,
    ]
    assert Limit("rpm", 60).counts("anything")
    assert Limit("rpm", 1, model="a[b]?").counts("a[b]?")
    assert not Limit("rpm", 1, model="a[b]?").counts("abc")
