"""Signatures on their way through clients of other dialects."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.dialects.gemini import signatures as gemini_signatures
from conduit.gateway.dialects.signatures import UNSIGNED, made_here, read, written

NAMES = st.sampled_from(["openai_chat", "anthropic_messages", "gemini"])


@given(st.text(), NAMES, NAMES)
def test_a_signature_comes_back_as_it_left(signature: str, signed_by: str, client: str) -> None:
    if signed_by != client or not signature.startswith("conduit:"):
        assert read(written(signature, signed_by, client), client) == (signature, signed_by)


def test_in_its_own_dialect_a_signature_is_left_alone() -> None:
    assert written("EqQB", "gemini", "gemini") == "EqQB"


@pytest.mark.parametrize("text", ["", "EqQB", "conduit:", "conduit:gemini"])
def test_what_bears_no_other_name_is_of_the_client_s_own_dialect(text: str) -> None:
    assert read(text, "anthropic_messages") == (text, "anthropic_messages")


@pytest.mark.parametrize(
    ("body", "made"),
    [
        (b'{"encrypted_content": "conduit:gemini:S"}', True),
        (b'{"reasoning_signature": "* 0 conduit:gemini:S"}', True),
        (b'{"id": "msg_conduit_1_0"}', True),
        (b'{"encrypted_content": "gAAA", "id": "msg_1"}', False),
    ],
)
def test_what_was_left_by_an_answer_of_another_dialect_is_noticed(body: bytes, made: bool) -> None:
    assert made_here(body) is made


@pytest.mark.parametrize(
    "field",
    [
        {"signature": UNSIGNED},
        {"thoughtSignature": gemini_signatures.write_signature("sig", "anthropic_messages")},
        {"thoughtSignature": gemini_signatures.write_redacted("data", "anthropic_messages")},
        {"id": "msg_conduit_1"},
    ],
)
def test_what_was_left_in_a_request_is_seen_in_whatever_way_it_is_written(
    field: dict[str, str],
) -> None:
    assert made_here(json.dumps(field).encode())
    assert not made_here(b'{"signature": "EqQBCkYIBxgCKkA0c2lnbmF0dXJl"}')
