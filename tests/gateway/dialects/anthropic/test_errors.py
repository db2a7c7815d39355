import json
from typing import Any

import pytest

from conduit.core.errors import (
    AuthenticationError,
    ConduitError,
    ConflictError,
    InsufficientQuotaError,
    InvalidRequestError,
    ModelNotFoundError,
    NoTargetError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RequestTimeoutError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    ValidationFailedError,
)
from conduit.gateway.dialects.anthropic.dialect import (
    StreamEncoder,
    decode_count,
    decode_error,
    decode_response,
    encode_count,
    encode_error,
)


def body(kind: str, message: str = "it said so", **more: Any) -> bytes:
    error = {"type": kind, "message": message, **more}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "error_class"),
    [
        (400, "invalid_request_error", UpstreamRejectedError),
        (401, "authentication_error", UpstreamAuthError),
        (403, "permission_error", UpstreamAuthError),
        (404, "not_found_error", UpstreamRejectedError),
        (413, "request_too_large", UpstreamRejectedError),
        (429, "rate_limit_error", UpstreamRateLimitedError),
        (500, "api_error", UpstreamFailure),
        (529, "overloaded_error", UpstreamFailure),
    ],
)
def test_a_provider_s_status_has_its_class(
    status: int, kind: str, error_class: type[ConduitError]
) -> None:
    error = decode_error(status, {"retry-after": "3"}, body(kind))
    assert type(error) is error_class
    if isinstance(error, UpstreamRejectedError):
        assert (error.status, error.type, error.message) == (status, kind, "it said so")
    elif not isinstance(error, UpstreamAuthError):
        assert error.retry_after_s == 3


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (402, body("billing_error")),
        (403, body("billing_error")),
        (429, body("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"})),
        (400, body("invalid_request_error", "Your credit balance is too low to access the API.")),
    ],
)
def test_an_account_without_money_is_the_operator_s_matter(status: int, text: bytes) -> None:
    error = decode_error(status, {}, text)
    assert isinstance(error, UpstreamAuthError)
    assert (error.code, error.should_retry) == ("upstream_quota_exhausted", False)


@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'{"error": "plain"}', b'{"error": 5}'])
def test_an_odd_error_body_is_survived(text: bytes) -> None:
    assert decode_error(400, {}, text).status == 400


def test_secrets_are_taken_out_of_what_a_provider_says() -> None:
    text = body("invalid_request_error", "bad sk-live-secret")
    error = decode_error(400, {}, text, secrets_scrub=lambda said: said.replace("sk-live", "X"))
    assert error.message == "bad X-secret"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequestError("x"), "invalid_request_error"),
        (ValidationFailedError("x"), "invalid_request_error"),
        (AuthenticationError("x"), "authentication_error"),
        (PermissionDeniedError("x"), "permission_error"),
        (ModelNotFoundError("x"), "not_found_error"),
        (RequestTimeoutError("x"), "timeout_error"),
        (ConflictError("x"), "conflict_error"),
        (PayloadTooLargeError("x"), "request_too_large"),
        (InsufficientQuotaError("x"), "rate_limit_error"),
        (UpstreamFailure("x"), "api_error"),
        (NoTargetError("x"), "overloaded_error"),
        (UpstreamTimeoutError("x"), "timeout_error"),
    ],
)
def test_a_client_reads_the_type_that_belongs_to_the_status(error: ConduitError, kind: str) -> None:
    assert json.loads(encode_error(error, request_id="req_2")) == {
        "type": "error",
        "error": {"type": kind, "message": "x"},
        "request_id": "req_2",
    }


def test_a_hint_is_told_unless_it_is_the_operator_s() -> None:
    said = json.loads(encode_error(InvalidRequestError("no", hint="do so")))
    assert said["error"]["message"] == "no (hint: do so)"
    said = json.loads(encode_error(UpstreamAuthError("no", hint="the key is bad")))
    assert said["error"]["message"] == "no"


def test_a_stream_that_fails_ends_in_an_error_event() -> None:
    encoder = StreamEncoder()
    frame = encoder.fail(UpstreamFailure("cut"))
    assert frame.startswith(b"event: error\ndata: ")
    assert frame.endswith(b"\n\n")
    assert json.loads(frame.partition(b"data: ")[2])["error"]["message"] == "cut"
    assert encoder.finish() == b""


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "not a message"),
        (b"[]", "not a message"),
        (b'{"content": 5}', "not a message"),
        (body("overloaded_error", "Overloaded"), "Overloaded"),
        (b'{"error": "plain"}', "plain"),
    ],
)
def test_what_is_no_answer_is_the_provider_s_failure(text: bytes, match: str) -> None:
    with pytest.raises(UpstreamFailure, match=match):
        decode_response(text)


def test_a_count_goes_there_and_back() -> None:
    assert decode_count(encode_count(2095)) == 2095


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"[]", "not a count"),
        (b'{"input_tokens": true}', "not a count"),
        (b'{"input_tokens": -1}', "not a count"),
        (body("api_error", "down"), "down"),
    ],
)
def test_what_is_no_count_is_the_provider_s_failure(text: bytes, match: str) -> None:
    with pytest.raises(UpstreamFailure, match=match):
        decode_count(text)
