"""Errors in Anthropic's wire format: a provider's into our tree, ours into the client's shape.

Source: platform.claude.com/docs "Errors", and the classes by status of the official SDK.
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.core.errors import ConduitError, UpstreamFailure
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.openai import errors as openai_errors
from conduit.gateway.dialects.openai.errors import Scrub, reported_error, scrub

_BILLING: Final = "billing_error"
_SPEND_LIMIT: Final = "_spend_limit_reached"  # the end of several codes
_NO_CREDIT: Final = "credit balance is too low"
_PAYMENT_REQUIRED: Final = 402
_OVERLOADED: Final = 529

_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: _BILLING,
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    _OVERLOADED: "overloaded_error",
}


def decode_error(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets_scrub: Scrub = scrub
) -> ConduitError:
    """What a provider's error answer means for our caller.

    An account without money is told by 402, by 429 or 403 with its word, or by a sentence in a 400.
    """
    if _is_out_of_money(body):
        status = _PAYMENT_REQUIRED
    return openai_errors.decode_error(status, headers, body, secrets_scrub=secrets_scrub)


def _is_out_of_money(body: bytes) -> bool:
    error = _error_of(read_json(body))
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else ""
    message = error.get("message")
    return (
        error.get("type") == _BILLING
        or (isinstance(code, str) and code.endswith(_SPEND_LIMIT))
        or (isinstance(message, str) and _NO_CREDIT in message)
    )


def failure_in(value: Any) -> UpstreamFailure:
    """The failure that an error object in the place of an answer reports."""
    return UpstreamFailure(reported_error(_error_of(value)).message)


def reported_failure(value: Any) -> tuple[str, str]:
    """(code, message) of an error event; codes are the API's types of errors."""
    error = _error_of(value)
    kind = error.get("type")
    return kind if isinstance(kind, str) else "api_error", reported_error(error).message


def _error_of(value: Any) -> Mapping[str, Any]:
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def encode_error(error: ConduitError, *, request_id: str | None = None) -> bytes:
    """The body of an error answer; the SDK picks its class by the status, callers by the type."""
    fields = {"type": error_type(error.status), "message": error.message_and_hint()}
    return write_json({"type": "error", "error": fields, "request_id": request_id})


def error_frame(error: ConduitError) -> bytes:
    """The event that ends a stream which failed after it had begun."""
    return b"event: error\ndata: " + encode_error(error) + b"\n\n"


def failure_frame(code: str, message: str) -> bytes:
    """The event that passes on an error which the provider has told inside the stream."""
    kind = code if code in _TYPES.values() else "api_error"
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}
    return b"event: error\ndata: " + write_json(error) + b"\n\n"


def error_type(status: int) -> str:
    """The word of the API for errors of a status."""
    default = "api_error" if status >= 500 else "invalid_request_error"
    return _TYPES.get(status, default)
