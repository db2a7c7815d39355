"""Secrets taken out of text."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core import redaction
from conduit.core.keys import make_master_key, make_virtual_key
from conduit.core.redaction import LiveSecrets, redacted, redacted_fields, scrubbed

ODD = "Qx7~variable.value/0123456789+abcdef"
_VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=80)

LOOKS = [
    "sk-abcdef123456",
    "sk-proj-ab_cd-ef123456",
    "sk-ant-api03-ab_cd-ef123456",
    "sk-proj-****************abcd",
    "gsk_abcdef123456",
    "xai-abcdef123456",
    "csk-abcdef123456",
    "fw_abcdef123456",
    "pplx-abcdef123456",
    "nvapi-abcdef123456",
    "hf_abcdefghijkl",
    "r8_abcdefghijkl",
    "ghp_abcdefghijkl",
    "AIzaSyA0123456789abcdef",
    "AKIAABCDEFGHIJKLMNOP",
    "Bearer abcdef123456",
    "bearer averylongwordofletters",
    "eyJhbGciOiJI.eyJzdWIi.c2ln",
    "condt_abcdef123456",
    make_virtual_key(),
    make_master_key(),
]


@pytest.mark.parametrize("secret", LOOKS, ids=range(len(LOOKS)))
def test_what_looks_like_a_secret_is_taken_out(secret: str) -> None:
    assert scrubbed(f"your key {secret}, was refused") == "your key [redacted], was refused"
    assert secret not in redacted(f"your key {secret}, was refused")
    assert json.loads(scrubbed(json.dumps({"key": secret}))) == {"key": "[redacted]"}


@given(
    st.lists(
        st.sampled_from([*LOOKS, "sk-", "://", "https://u:pass@h", "bearer ", "İ", "AIza", "eyJ"])
        | st.text(" \n.:/@-_*a1", max_size=12)
    ).map("".join)
)
def test_looking_only_where_a_sign_stands_finds_what_a_whole_search_finds(text: str) -> None:
    assert scrubbed(text) == redaction._SECRETS.sub(redaction._blanked, text)
    assert redacted(text) == redaction._SECRETS.sub(redaction._shortened, text)


@pytest.mark.parametrize(
    "text",
    [
        "Unknown field `key_name`; ask-me-anything, task-oriented, max_tokens: 5",
        "send it as 'Authorization: Bearer condt_mk_…'",
        "bearer authentication is needed",
        "listening on http://127.0.0.1:5000, see http://[::1]:80/a@b",
        "sk-learn and hf_ and condt_mk_",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert scrubbed(text) == redacted(text) == text


def test_the_password_of_a_url_goes_and_the_rest_of_it_stays() -> None:
    text = "cannot reach postgresql://conduit:hunter2@db.internal:5432/conduit"
    clean = "cannot reach postgresql://conduit:[redacted]@db.internal:5432/conduit"
    assert scrubbed(text) == redacted(text) == clean


def test_people_see_the_beginning_and_the_last_four() -> None:
    assert redacted("key sk-proj-Canary0000000001.") == "key sk-...0001."
    assert redacted("Bearer abcdef123456789") == "Bearer ...6789"
    assert redacted("sk-12345678") == "sk-[redacted]"  # of which four would be half


def test_the_contents_of_secret_fields_are_replaced() -> None:
    value = {"credential": {"secret": "x", "env": None}, "list": [{"api_key": "y"}], "n": 1}
    assert redacted_fields(value) == {
        "credential": {"secret": "***", "env": None},
        "list": [{"api_key": "***"}],
        "n": 1,
    }


@given(_VISIBLE)
def test_a_secret_in_use_is_found_however_it_is_written(secret: str) -> None:
    secrets = LiveSecrets()
    secrets.hold("test", [secret])
    for text in (secret, json.dumps(secret), repr(secret), repr({"a": f"x {secret}"})):
        assert secret not in secrets.scrub(f"sent {text}.")
        assert json.dumps(secret)[1:-1] not in secrets.scrub(f"sent {text}.")


@given(st.lists(_VISIBLE, min_size=1, max_size=5), st.text(max_size=80))
def test_json_stays_json(held: list[str], beside: str) -> None:
    secrets = LiveSecrets()
    secrets.hold("test", held)
    body = json.dumps({"beside": beside, "echo": held, "n": 5}).encode()
    clean = json.loads(secrets.scrub_json(body))
    assert clean["n"] == 5
    assert not set(clean["echo"]) & set(held)


def test_json_without_a_secret_is_the_same_object() -> None:
    body = b'{"a": "\xff"}'
    assert LiveSecrets().scrub_json(body) is body


def test_of_two_secrets_that_begin_alike_nothing_is_left() -> None:
    secrets = LiveSecrets()
    secrets.hold("test", [ODD, ODD + "-and-its-end"])
    assert secrets.scrub(f"{ODD}-and-its-end") == "[redacted]"


def test_a_short_secret_is_a_word_and_not_a_part_of_one() -> None:
    secrets = LiveSecrets()
    secrets.hold("test", ["postgres", "x", ""])
    assert secrets.scrub("postgresql: no password postgres, x") == (
        "postgresql: no password [redacted], x"
    )


def test_owners_replace_their_own_secrets_only_and_replaced_ones_stay_hidden() -> None:
    secrets = LiveSecrets()
    secrets.hold("credentials", [ODD])
    secrets.hold("settings", ["another-secret-0123456789"])
    secrets.hold("credentials", ["third~secret~0123456789"])
    text = f"{ODD} another-secret-0123456789 third~secret~0123456789"
    assert secrets.scrub(text) == "[redacted] [redacted] [redacted]"
    assert "secret" not in repr(secrets).replace("LiveSecrets", "")


def test_no_other_module_keeps_a_list_of_its_own() -> None:
    package = Path(__file__).parents[2] / "conduit"
    lists = [
        path.name
        for path in package.rglob("*.py")
        if "gsk" in (text := path.read_text(encoding="utf-8")) and "re.compile" in text
    ]
    assert lists == ["redaction.py"]


def test_a_secret_of_digits_leaves_the_numbers_of_json_alone() -> None:
    secrets = LiveSecrets()
    secrets.hold("settings", ["12345678"])
    clean = secrets.scrub_json(b'{"seq":12345678,"error":"12345678 was refused","12345678":[1.5]}')
    assert json.loads(clean) == {
        "seq": 12345678,
        "error": "[redacted] was refused",
        "[redacted]": [1.5],
    }
