import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import (
    InsufficientQuotaError,
    PriceUnknownError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
)
from conduit.gateway.dialects.openai.errors import (
    MAX_MESSAGE_BYTES,
    decode_error,
    encode_error,
    error_frame,
    refuses_stream_usage,
    retry_after,
    scrub,
)


def body(**error: Any) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize("status", [400, 404, 409, 413, 415, 422, 451])
def test_a_rejected_request_keeps_the_provider_s_words(status: int) -> None:
    error = decode_error(
        status, {}, body(message="bad", type="t", param="messages", code="too_long")
    )
    assert isinstance(error, UpstreamRejectedError)
    assert (error.status, error.message, error.type) == (status, "bad", "t")
    assert (error.param, error.code, error.retryable) == ("messages", "too_long", False)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_the_operator_s_matter(status: int) -> None:
    error = decode_error(status, {}, body(message="Incorrect API key: sk-abc123def", code="x"))
    assert isinstance(error, UpstreamAuthError)
    assert error.status == 502
    assert "Incorrect" not in error.message
    assert error.hint == "the provider said: Incorrect API key: [redacted]"


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (429, {"code": "insufficient_quota"}),
        (429, {"type": "insufficient_quota"}),
        (403, {"code": "billing_hard_limit_reached"}),
        (402, {"message": "Insufficient Balance"}),
    ],
)
def test_the_provider_s_quota_is_not_the_caller_s(status: int, fields: dict[str, Any]) -> None:
    error = decode_error(status, {"retry-after": "1"}, body(**fields))
    assert isinstance(error, UpstreamAuthError)
    assert not isinstance(error, InsufficientQuotaError)
    assert (error.status, error.code) == (502, "upstream_quota_exhausted")
    assert (error.retryable, error.should_retry) == (False, False)
    assert UpstreamAuthError.code == "upstream_auth_error"


def test_a_rate_limit_says_when_to_come_back() -> None:
    error = decode_error(429, {"retry-after": "7"}, body(message="slow down"))
    assert isinstance(error, UpstreamRateLimitedError)
    assert (error.status, error.retry_after_s, error.message) == (429, 7.0, "slow down")


@pytest.mark.parametrize("status", [500, 502, 503, 529, 408, 302, 199])
def test_anything_else_is_the_provider_s_failure(status: int) -> None:
    error = decode_error(status, {"retry-after": "3"}, b"")
    assert type(error) is UpstreamFailure
    assert (error.status, error.retry_after_s) == (502, 3.0)
    assert str(status) in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, 86_400.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 99 Foo 2020 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 06 Jan 2020 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Mon, 06 Jan 2020 00:00:00 -0000"}, 0.0),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_as_a_date_counts_from_now() -> None:
    at = datetime.now(UTC) + timedelta(seconds=60)
    seconds = retry_after({"retry-after": format_datetime(at, usegmt=True)})
    assert seconds is not None
    assert 50 < seconds <= 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"error": "plain"}', "plain"),
        (b'{"message": "top"}', "top"),
        (b'{"detail": [{"msg": "x"}]}', '[{"msg":"x"}]'),
        (b'[{"error": {"message": "listed"}}]', "listed"),
        (b'{"error": {"message": null, "detail": "d"}}', "d"),
        (b"not json", "not json"),
        (b'{"error": {"message": "half \\ud83d"}}', "half"),
        (b"\xff\xfe", "��"),
        (b"", "The provider refused the request with status 400"),
        (b"5", "The provider refused the request with status 400"),
    ],
)
def test_the_message_is_found(text: bytes, said: str) -> None:
    assert said in decode_error(400, {}, text).message


@pytest.mark.parametrize(
    "page", [b"<html><body>x</body></html>", b"<!DOCTYPE html><p>y", b"  <H1>Bad Gateway</H1>"]
)
def test_an_html_page_is_not_passed_on(page: bytes) -> None:
    assert "an HTML page" in decode_error(502, {}, page).message
    assert b"<" not in encode_error(decode_error(502, {}, page))


def test_a_long_message_is_cut_at_a_character() -> None:
    message = decode_error(400, {}, body(message="é" * 5000)).message
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    assert message.endswith("é…")


def test_control_characters_do_not_pass() -> None:
    error = decode_error(400, {}, body(message="a\x1b[31mb\x00", code="x\ny", type=5, param={}))
    assert isinstance(error, UpstreamRejectedError)
    assert error.message == "a [31mb"
    assert (error.code, error.type, error.param) == ("upstream_rejected", "5", None)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-abcdef123456",
        "sk-proj-ab_cd-ef123456",
        "sk-proj-****************abcd",
        "gsk_abcdef123456",
        "xai-abcdef123456",
        "csk-abcdef123456",
        "hf_abcdefghijkl",
        "AIzaSyA0123456789abcdef",
        "AKIAABCDEFGHIJKLMNOP",
        "Bearer abcdef123456",
        "eyJhbGciOiJI.eyJzdWIi.c2ln",
        "condt_abcdef123456",
    ],
)
def test_what_looks_like_a_key_is_scrubbed(secret: str) -> None:
    assert scrub(f"your key {secret}, was refused") == "your key [redacted], was refused"


def test_a_known_secret_is_scrubbed_whatever_it_looks_like() -> None:
    secrets_scrub = partial(scrub, secrets=("hunter2", ""))
    error = decode_error(
        400, {}, body(message="no hunter2 here", code="hunter2"), secrets_scrub=secrets_scrub
    )
    assert "hunter2" not in error.message + error.code


def test_no_part_of_a_secret_is_left_where_a_message_is_cut() -> None:
    secret = "Odd~" + "x" * 196
    for shift in range(0, 240, 40):
        echoes = "y" * shift + f" {secret}" * 400
        error = decode_error(
            400, {}, body(message=echoes), secrets_scrub=partial(scrub, secrets=(secret,))
        )
        assert "Odd" not in error.message
        assert "xx" not in error.message


def test_no_part_of_a_secret_is_left_where_a_name_is_cut() -> None:
    secret = "Odd~" + "x" * 196
    error = decode_error(
        400, {}, body(message="m", code=secret), secrets_scrub=partial(scrub, secrets=(secret,))
    )
    assert error.code == "[redacted]"


def test_ordinary_text_is_left_alone() -> None:
    text = "Unknown field `key_name`; ask-me-anything, task-oriented, max_tokens: 5"
    assert scrub(text) == text


@given(st.integers(100, 599), st.binary(max_size=200))
def test_no_answer_of_a_provider_raises(status: int, text: bytes) -> None:
    error = decode_error(status, {}, text)
    assert json.loads(encode_error(error))["error"]["message"]


@pytest.mark.parametrize(
    ("status", "fields", "refused"),
    [
        (400, {"message": "Unknown parameter: 'stream_options'."}, True),
        (422, {"message": [{"loc": ["body", "stream_options", "include_usage"]}]}, True),
        (400, {"message": "no", "param": "stream_options"}, True),
        (400, {"message": "no"}, False),
        (404, {"message": "stream_options"}, False),
        (500, {"message": "stream_options"}, False),
    ],
)
def test_a_refusal_of_stream_usage_is_recognised(
    status: int, fields: dict[str, Any], refused: bool
) -> None:
    assert refuses_stream_usage(decode_error(status, {}, body(**fields))) is refused


def test_an_error_frame_is_one_event_in_openai_s_shape() -> None:
    error = UpstreamFailure("cut")
    assert error_frame(error) == (
        b'data: {"error":{"message":"cut","type":"upstream_error","param":null,'
        b'"code":"upstream_error"}}\n\n'
    )


def test_a_hint_follows_the_message() -> None:
    error = PriceUnknownError("the model 'm' has no price", hint="conduit prices set p/m")
    said = json.loads(encode_error(error))["error"]["message"]
    assert said == "the model 'm' has no price (hint: conduit prices set p/m)"
    assert b"(hint: conduit prices set p/m)" in error_frame(error)


@pytest.mark.parametrize(("status", "code"), [(401, "x"), (403, "x"), (402, "insufficient_quota")])
def test_what_a_provider_said_of_our_credential_reaches_no_caller(status: int, code: str) -> None:
    error = decode_error(status, {}, body(message="canary of the account", code=code))
    assert error.hint is not None
    assert b"canary" not in encode_error(error)
