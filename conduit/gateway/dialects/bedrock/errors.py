"""Errors of Bedrock, as answers and as the exceptions in a stream.

An error answer of AWS's REST protocol names its kind in the header `x-amzn-errortype` (before a
colon) or in the body's `__type` (behind a hash), and says what happened in `message` or `Message`.
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.core.errors import (
    ConduitError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
)
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.openai import errors as openai_errors
from conduit.gateway.dialects.openai.errors import Scrub, scrub

# IncompleteSignature comes with 400, and a quota of the account's with 400 as well.
_CREDENTIAL: Final = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
_LIMITS: Final = frozenset({"ThrottlingException", "ServiceQuotaExceededException"})
# With 424: the model failed, not the request.
_MODEL: Final = frozenset({"ModelErrorException", "ModelStreamErrorException"})


def decode_error(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets_scrub: Scrub = scrub
) -> ConduitError:
    """What an error answer means for our caller: as `openai_errors.decode_error` tells it."""
    value = read_json(body)
    fields = value if isinstance(value, dict) else {}
    kind = _kind(headers, fields)
    if isinstance(value, dict):
        message = message_of(fields, kind)
        body = write_json({"error": {"message": message, "code": kind or None}})
    error = openai_errors.decode_error(status, headers, body, secrets_scrub=secrets_scrub)
    return _by_kind(kind, error, status)


def message_of(fields: Mapping[str, Any], kind: str) -> str:
    """The words of an error; its kind where it has none."""
    for name in ("message", "Message", "originalMessage"):
        text = fields.get(name)
        if isinstance(text, str) and text:
            # A wrong signature is answered with all that was signed, the session token included.
            return text.partition("\n\nThe Canonical String")[0]
    return kind


def _kind(headers: Mapping[str, str], fields: Mapping[str, Any]) -> str:
    named = headers.get("x-amzn-errortype") or headers.get("X-Amzn-ErrorType")
    if not named:
        named = fields.get("__type") or fields.get("code")
    return named.partition(":")[0].rpartition("#")[2] if isinstance(named, str) else ""


def _by_kind(kind: str, error: ConduitError, status: int) -> ConduitError:
    if kind in _CREDENTIAL and not isinstance(error, UpstreamAuthError):
        return UpstreamAuthError(
            f"The provider refused the gateway's credential ({status})",
            hint=f"the provider said: {error.message}",
        )
    if kind in _LIMITS and not isinstance(error, UpstreamRateLimitedError):
        return UpstreamRateLimitedError(error.message, retry_after_s=error.retry_after_s)
    if kind in _MODEL:
        return UpstreamFailure(f"The provider answered with status {status}: {error.message}")
    return error
