"""Bedrock's error answers, and what it reports of usage."""

import json
from typing import Any

import pytest

from conduit.core.errors import (
    ConduitError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
)
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.bedrock.dialect import decode_error
from conduit.gateway.dialects.bedrock.usage import reported_usage, usage_from_bedrock


def error(status: int, kind: str, body: Any, **headers: str) -> ConduitError:
    named = {"x-amzn-errortype": kind} if kind else {}
    return decode_error(status, {**named, **headers}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "ValidationException", UpstreamRejectedError),
        (404, "ResourceNotFoundException", UpstreamRejectedError),
        (400, "ServiceQuotaExceededException", UpstreamRateLimitedError),
        (429, "ThrottlingException:http://internal.amazon.com/coral/", UpstreamRateLimitedError),
        (429, "ModelNotReadyException", UpstreamRateLimitedError),
        (403, "AccessDeniedException", UpstreamAuthError),
        (403, "ExpiredTokenException", UpstreamAuthError),
        (400, "IncompleteSignatureException", UpstreamAuthError),
        (408, "ModelTimeoutException", UpstreamFailure),
        (424, "ModelErrorException", UpstreamFailure),
        (500, "InternalServerException", UpstreamFailure),
        (503, "ServiceUnavailableException", UpstreamFailure),
    ],
)
def test_each_exception_has_its_place_in_our_tree(
    status: int, kind: str, expected: type[ConduitError]
) -> None:
    found = error(status, kind, {"message": "what happened"})
    assert type(found) is expected
    assert "what happened" in found.message + (found.hint or "")


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"message": "small"}, "small", "upstream_rejected"),
        ({"Message": "large"}, "large", "upstream_rejected"),
        ({"__type": "com.amazon.coral#ValidationException", "message": "m"}, "m", None),
        ({"code": "ValidationException"}, "ValidationException", None),
        ({"__type": 5}, "The provider refused the request with status 400", "upstream_rejected"),
    ],
)
def test_the_words_and_the_kind_stand_in_several_places(
    body: Any, message: str, code: str | None
) -> None:
    found = error(400, "", body)
    assert isinstance(found, UpstreamRejectedError)
    assert (found.message, found.code) == (message, code or "ValidationException")


def test_the_header_is_found_in_either_case_and_a_wait_is_kept() -> None:
    found = decode_error(
        400,
        {"X-Amzn-ErrorType": "ServiceQuotaExceededException", "retry-after": "3"},
        b'{"message": "m"}',
    )
    assert isinstance(found, UpstreamRateLimitedError)
    again = error(429, "ThrottlingException", {"message": "m"}, **{"retry-after": "3"})
    assert again.retry_after_s == 3


def test_what_was_signed_is_not_repeated() -> None:
    said = (
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key.\n\nThe Canonical String for this request should have been\n"
        "'POST\nx-amz-security-token:IQoJsecret\n'"
    )
    found = error(403, "InvalidSignatureException", {"message": said})
    assert "Secret Access Key" in (found.hint or "")
    assert "IQoJ" not in (found.hint or "")


@pytest.mark.parametrize("body", [b"", b"<html><body>Bad gateway</body></html>", b"[]", b"down"])
def test_a_body_of_another_kind_is_survived(body: bytes) -> None:
    found = decode_error(502, {}, body)
    assert type(found) is UpstreamFailure
    assert "<html" not in found.message


@pytest.mark.parametrize(
    ("raw", "buckets"),
    [
        ({"inputTokens": 3, "outputTokens": 5}, (3, 0, 0, 0, 5)),
        (
            {
                "inputTokens": 3,
                "outputTokens": 5,
                "cacheReadInputTokens": 100,
                "cacheWriteInputTokens": 70,
                "totalTokens": 178,
            },
            (3, 100, 70, 0, 5),
        ),
        (
            {
                "inputTokens": 0,
                "cacheWriteInputTokens": 70,
                "cacheDetails": [
                    {"ttl": "1h", "inputTokens": 50},
                    {"ttl": "5m", "inputTokens": 20},
                    "x",
                ],
            },
            (0, 0, 20, 50, 0),
        ),
        (
            {
                "inputTokens": 1,
                "cacheWriteInputTokens": 7,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 50}],
            },
            (1, 0, 0, 7, 0),
        ),
        ({"inputTokens": -1, "outputTokens": True, "cacheReadInputTokens": "x"}, (0, 0, 0, 0, 0)),
        ({"inputTokens": float("nan"), "outputTokens": 2.0}, (0, 0, 0, 0, 2)),
    ],
)
def test_usage_is_disjoint_and_adds_up(raw: Any, buckets: tuple[int, ...]) -> None:
    found = usage_from_bedrock(raw)
    assert found == Usage(
        input_tokens=buckets[0],
        cache_read_tokens=buckets[1],
        cache_write_5m_tokens=buckets[2],
        cache_write_1h_tokens=buckets[3],
        output_tokens=buckets[4],
        raw=raw,
        output_untold="outputTokens" not in raw,
    )
    if "totalTokens" in raw:
        assert found.total_input_tokens + found.total_output_tokens == raw["totalTokens"]


@pytest.mark.parametrize("raw", [None, [], {}, {"metrics": 1}])
def test_where_no_usage_is_reported_there_is_none(raw: Any) -> None:
    assert reported_usage(raw) is None
    assert reported_usage({"inputTokens": 0}) is not None
