import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import (
    AuthenticationError,
    BudgetHeldError,
    ConduitError,
    InsufficientQuotaError,
    InvalidRequestError,
    ModelNotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ShuttingDownError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from conduit.gateway.dialects.gemini.dialect import decode_error, encode_error
from conduit.gateway.dialects.gemini.errors import failure_of
from conduit.gateway.dialects.openai.errors import QUOTA_EXHAUSTED, scrub

RPC = "type.googleapis.com/google.rpc."


def body(*details: dict[str, Any], **error: Any) -> bytes:
    return json.dumps({"error": {**error, "details": list(details)}}).encode()


def test_a_rejected_request_keeps_the_provider_s_words() -> None:
    violation = {"fieldViolations": [{"field": "contents[0]", "description": "d"}, {}]}
    error = decode_error(
        400, {}, body(violation, {}, code=400, message="bad", status="INVALID_ARGUMENT")
    )
    assert isinstance(error, UpstreamRejectedError)
    assert (error.status, error.message, error.code) == (400, "bad", "INVALID_ARGUMENT")
    assert (error.param, error.type) == ("contents[0]", "invalid_request_error")


@pytest.mark.parametrize("reason", ["API_KEY_INVALID", "API_KEY_EXPIRED"])
def test_a_bad_key_is_the_operator_s_matter_though_it_comes_as_400(reason: str) -> None:
    error = decode_error(400, {}, body({"reason": reason}, message="API key not valid"))
    assert isinstance(error, UpstreamAuthError)
    assert error.hint == "the provider said: API key not valid"


def test_an_account_without_billing_is_out_of_money() -> None:
    error = decode_error(403, {}, body({"reason": "BILLING_DISABLED"}, message="m"))
    assert isinstance(error, UpstreamAuthError)
    assert (error.code, error.should_retry) == (QUOTA_EXHAUSTED, False)


@pytest.mark.parametrize(
    ("headers", "delay", "wait_s"),
    [
        ({}, "48s", 48),
        ({}, "1.5s", 1.5),
        ({}, "soon", None),
        ({}, 5, None),
        ({"retry-after": "7"}, "48s", 7),
    ],
)
def test_a_delay_in_the_details_is_kept(
    headers: dict[str, str], delay: Any, wait_s: float | None
) -> None:
    info = {"@type": f"{RPC}RetryInfo", "retryDelay": delay}
    error = decode_error(429, headers, body({}, info, message="slow", status="RESOURCE_EXHAUSTED"))
    assert isinstance(error, UpstreamRateLimitedError)
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    "text",
    [
        b'[{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}]',
        b'{"error": "overloaded"}',
        b'{"message": "overloaded"}',
        b"overloaded",
    ],
)
def test_every_shape_of_an_error_is_read(text: bytes) -> None:
    error = decode_error(503, {}, text)
    assert isinstance(error, UpstreamFailure)
    assert error.message == "The provider answered with status 503: overloaded"


def test_secrets_and_pages_do_not_get_through() -> None:
    hide = partial(scrub, secrets=["hunter22"])
    error = decode_error(500, {}, body(message="key hunter22"), secrets_scrub=hide)
    assert "hunter22" not in error.message
    assert "HTML page" in decode_error(502, {}, b"<html><body>x</body></html>").message


def test_what_is_no_error_is_no_failure() -> None:
    assert failure_of({"candidates": []}) is None
    assert failure_of({"error": None}) is None
    assert failure_of([]) is None


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}}, "UNAVAILABLE", "m"),
        ([{"error": {"code": 503, "message": "m"}}], "503", "m"),
        ({"error": "m"}, "upstream_error", "m"),
        ({"error": {"status": {}}}, "upstream_error", "no message"),
        ({"error": {"message": "key sk-abcdefgh1234"}}, "upstream_error", "key [redacted]"),
    ],
)
def test_a_failure_inside_a_stream_is_told(value: Any, code: str, message: str) -> None:
    failure = failure_of(value)
    assert failure is not None
    assert (failure.code, failure.message) == (code, f"The provider reported an error: {message}")


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (InvalidRequestError("m"), 400, "INVALID_ARGUMENT"),
        (AuthenticationError("m"), 401, "UNAUTHENTICATED"),
        (PermissionDeniedError("m"), 403, "PERMISSION_DENIED"),
        (ModelNotFoundError("m"), 404, "NOT_FOUND"),
        (PayloadTooLargeError("m"), 413, "INVALID_ARGUMENT"),
        (InsufficientQuotaError("m"), 429, "RESOURCE_EXHAUSTED"),
        (ConduitError("m"), 500, "INTERNAL"),
        (UpstreamFailure("m"), 502, "UNAVAILABLE"),
        (ShuttingDownError("m"), 503, "UNAVAILABLE"),
        (UpstreamTimeoutError("m"), 504, "DEADLINE_EXCEEDED"),
        (UpstreamRejectedError("m", code="FAILED_PRECONDITION"), 400, "FAILED_PRECONDITION"),
        (UpstreamRejectedError("m", status=404, code="INTERNAL"), 404, "NOT_FOUND"),
    ],
)
def test_an_error_has_the_word_of_its_status(error: ConduitError, status: int, word: str) -> None:
    fields = json.loads(encode_error(error))["error"]
    assert (fields["code"], fields["status"], fields["message"]) == (status, word, "m")
    assert fields["details"][0]["reason"] == error.code.upper()


def test_an_error_says_what_to_do_about_it() -> None:
    error = BudgetHeldError("held", hint="wait", param="contents", retry_after_s=1.5)
    fields = json.loads(encode_error(error))["error"]
    assert fields["message"] == "held (hint: wait)"
    assert fields["details"][1:] == [
        {
            "@type": f"{RPC}BadRequest",
            "fieldViolations": [{"field": "contents", "description": "held"}],
        },
        {"@type": f"{RPC}RetryInfo", "retryDelay": "1.5s"},
    ]
    secret = UpstreamAuthError("refused", hint="the provider said: key x")
    assert json.loads(encode_error(secret))["error"]["message"] == "refused"


def test_an_error_that_is_written_is_read_again() -> None:
    error = decode_error(429, {}, encode_error(RateLimitedError("slow", retry_after_s=3)))
    assert isinstance(error, UpstreamRateLimitedError)
    assert (error.message, error.retry_after_s) == ("slow", 3)


@given(st.integers(400, 599), st.binary())
def test_no_body_breaks_the_reading_of_an_error(status: int, text: bytes) -> None:
    assert isinstance(decode_error(status, {}, text), ConduitError)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "status", "details", "reason", "retryDelay"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_shape_breaks_the_reading_of_an_error(value: Any) -> None:
    assert isinstance(decode_error(400, {}, json.dumps(value).encode()), ConduitError)
    failure_of(value)
