"""Errors in Gemini's format: a provider's into our tree, ours into the client's shape.

The shape is google.rpc.Status in JSON, https://google.aip.dev/193, sometimes inside an array.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from conduit.core.errors import ConduitError
from conduit.gateway.conversation import Failed
from conduit.gateway.dialects.answer_fields import objects, text_or_none
from conduit.gateway.dialects.lenient_json import read_json, write_json
from conduit.gateway.dialects.openai import errors as openai_errors
from conduit.gateway.dialects.openai.errors import Scrub, scrub

_RPC: Final = "type.googleapis.com/google.rpc."
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")
# Refusals of the credential that do not come with a status that says so.
_BAD_KEYS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
_UNPAID = frozenset({"BILLING_DISABLED"})
_STATUS_WORDS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_STATUS_OF_WORD: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def decode_error(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets_scrub: Scrub = scrub
) -> ConduitError:
    """What a provider's error answer means for our caller.

    The tree is that of `openai_errors.decode_error`, to which the details of a status are put in
    its own words: a delay as `retry-after`, a bad key, which comes as 400, as 401.
    """
    report = _report_of(read_json(body))
    if report is None:
        return openai_errors.decode_error(status, headers, body, secrets_scrub=secrets_scrub)
    details = objects(report.get("details"))
    reasons = {text_or_none(item.get("reason")) for item in details}
    if "retry-after" not in headers and (delay := _delay(details)) is not None:
        headers = {**headers, "retry-after": delay}
    if reasons & _BAD_KEYS:
        status = 401
    fields = {
        "message": report.get("message"),
        "code": "insufficient_quota" if reasons & _UNPAID else report.get("status"),
        "param": _violated(details),
    }
    return openai_errors.decode_error(
        status, headers, write_json({"error": fields}), secrets_scrub=secrets_scrub
    )


def failure_of(value: Any) -> Failed | None:
    """The failure that an item of a stream reports, or None where it reports none."""
    report = _report_of(value)
    if report is None:
        return None
    error = openai_errors.reported_error(
        {"error": {"message": text_or_none(report.get("message")) or "no message"}}
    )
    code = report.get("status") or report.get("code")
    return Failed(str(code) if isinstance(code, str | int) else "upstream_error", error.message)


def encode_error(error: ConduitError) -> bytes:
    """The body of an error answer; Google's SDKs pick their exception class by the status."""
    details: list[dict[str, Any]] = [
        {"@type": f"{_RPC}ErrorInfo", "reason": error.code.upper(), "domain": "conduit"}
    ]
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_RPC}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        delay = f"{max(0.0, error.retry_after_s):.3f}".rstrip("0").rstrip(".")
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{delay}s"})
    return _envelope(error.status, _word(error), error.message_and_hint(), details)


def encode_failure(failed: Failed) -> bytes:
    """The same shape for what a provider reported in the middle of its answer."""
    status = _STATUS_OF_WORD.get(failed.code, 502)
    word = failed.code if failed.code in _STATUS_OF_WORD else _STATUS_WORDS[status]
    return _envelope(status, word, failed.message, [])


def _envelope(status: int, word: str, message: str, details: list[dict[str, Any]]) -> bytes:
    fields: dict[str, Any] = {"code": status, "message": message, "status": word}
    if details:
        fields["details"] = details
    return write_json({"error": fields})


def _word(error: ConduitError) -> str:
    """The status word, which is the provider's own where it fits the status."""
    if _STATUS_OF_WORD.get(error.code) == error.status:
        return error.code
    fallback = "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT"
    return _STATUS_WORDS.get(error.status, fallback)


def _report_of(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, list) and value:
        value = value[0]
    report = value.get("error") if isinstance(value, dict) else None
    if isinstance(report, str):
        return {"message": report}
    return report if isinstance(report, dict) else None


def _delay(details: list[dict[str, Any]]) -> str | None:
    for item in details:
        match = _DURATION.fullmatch(text_or_none(item.get("retryDelay")) or "")
        if match is not None:
            return match[1]
    return None


def _violated(details: list[dict[str, Any]]) -> str | None:
    fields = (
        text_or_none(violation.get("field"))
        for item in details
        for violation in objects(item.get("fieldViolations"))
    )
    return next((name for name in fields if name), None)
