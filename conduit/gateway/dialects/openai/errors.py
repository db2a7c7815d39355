"""Errors in OpenAI's wire format: a provider's into our tree, ours into the client's shape."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from conduit.core.errors import (
    ConduitError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
)
from conduit.core.redaction import MARK, scrubbed
from conduit.gateway.dialects.frames.sse import event_of
from conduit.gateway.dialects.lenient_json import read_json, write_json

MAX_MESSAGE_BYTES: Final = 2048
_LOOKED_AT: Final = 5 * MAX_MESSAGE_BYTES
_MAX_NAME = 128
_MAX_RETRY_AFTER_S = 86_400.0

QUOTA_EXHAUSTED: Final = "upstream_quota_exhausted"
_QUOTA_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "insufficient_balance", "quota_exceeded"}
)

_HTML = re.compile(r"<(?:!doctype|html|head|body|title|center|h1|p)\b", re.IGNORECASE)

Scrub = Callable[[str], str]


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without known secrets and without anything that looks like one.

    A provider may echo a key that is not the one we sent.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, MARK)
    return scrubbed(text)


def decode_error(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets_scrub: Scrub = scrub
) -> ConduitError:
    """What a provider's error answer means for our caller."""
    report = _report(body, secrets_scrub)
    retry_after_s = retry_after(headers)
    if _is_quota(status, report):
        return _quota_exhausted(status, report)
    if status in (401, 403):
        return UpstreamAuthError(
            f"The provider refused the gateway's credential ({status})",
            hint=f"the provider said: {report.message}" if report.message else None,
        )
    if status == 429:
        return UpstreamRateLimitedError(
            report.message or "The provider's own rate limit was reached",
            retry_after_s=retry_after_s,
        )
    if 400 <= status < 500 and status != 408:
        return UpstreamRejectedError(
            report.message or f"The provider refused the request with status {status}",
            status=status,
            code=report.code,
            type=report.type,
            param=report.param,
        )
    text = f"The provider answered with status {status}"
    return UpstreamFailure(
        f"{text}: {report.message}" if report.message else text, retry_after_s=retry_after_s
    )


def reported_error(payload: Any, *, secrets_scrub: Scrub = scrub) -> ConduitError:
    """An error that a provider reported in an answer whose status said 200."""
    report = _report_of(payload, secrets_scrub)
    said = f": {report.message}" if report.message else ""
    return UpstreamFailure(f"The provider reported an error{said}")


def reported_words(payload: Any, *, secrets_scrub: Scrub = scrub) -> tuple[str, str]:
    """The code and the text of an error that was reported inside a stream, scrubbed."""
    report = _report_of(payload, secrets_scrub)
    return (
        report.code or report.type or "upstream_error",
        report.message or "The provider reported an error",
    )


def refuses_stream_usage(error: ConduitError) -> bool:
    """Whether a provider's refusal is about our asking for usage in a stream.

    Then the call is made again without it, and the provider is remembered.
    """
    if not isinstance(error, UpstreamRejectedError) or error.status not in (400, 422):
        return False
    said = f"{error.param} {error.message}"
    return "stream_options" in said or "include_usage" in said


def encode_error(error: ConduitError) -> bytes:
    """The body of an error answer; OpenAI's SDK picks its exception class by the status."""
    return write_json(
        {
            "error": {
                "message": error.message_and_hint(),
                "type": error.type,
                "param": error.param,
                "code": error.code,
            }
        }
    )


def error_frame(error: ConduitError) -> bytes:
    """The event that ends a stream which failed after it had begun; no [DONE] may follow."""
    return event_of(encode_error(error))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` in either of its forms."""
    wait_s = _number(headers.get("retry-after-ms"))
    if wait_s is not None:
        return _bounded(wait_s / 1000)
    text = headers.get("retry-after")
    wait_s = _number(text)
    if wait_s is not None:
        return _bounded(wait_s)
    if text is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return _bounded((at - datetime.now(UTC)).total_seconds())


class _Report:
    """The strings of an error answer, checked and scrubbed."""

    __slots__ = ("code", "message", "param", "type")

    def __init__(self, fields: Mapping[str, Any], message: str, secrets_scrub: Scrub) -> None:
        self.message = message
        self.code = _name(fields.get("code"), secrets_scrub)
        self.type = _name(fields.get("type"), secrets_scrub)
        self.param = _name(fields.get("param"), secrets_scrub)


def _report(body: bytes, secrets_scrub: Scrub) -> _Report:
    value = read_json(body)
    if value is None:
        return _Report({}, _message(body.decode("utf-8", "replace"), secrets_scrub), secrets_scrub)
    return _report_of(value, secrets_scrub)


def _report_of(value: Any, secrets_scrub: Scrub) -> _Report:
    """Reads `{"error": {…}}`, `{"error": "…"}`, `{"message": …}` and `{"detail": …}`, and the first
    of `{"errors": [{…}]}`, which is Cloudflare's."""
    if isinstance(value, dict) and "error" not in value and isinstance(value.get("errors"), list):
        value = value["errors"]
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error", value) if isinstance(value, dict) else value
    fields = error if isinstance(error, dict) else {}
    text: Any = error if isinstance(error, str) else None
    for name in ("message", "detail", "msg"):
        if text is None:
            text = fields.get(name)
    if text is not None and not isinstance(text, str):
        text = write_json(text).decode()
    return _Report(fields, _message(text or "", secrets_scrub), secrets_scrub)


def _message(text: str, secrets_scrub: Scrub) -> str:
    # A proxy's error page says nothing to a caller, and may hold anything.
    if _HTML.search(text[:1024]):
        return "an HTML page instead of an error (from a proxy before the provider, most likely)"
    # Cut once before scrubbing, for its cost; what stands at that cut may be part of a secret, and
    # goes as well. The cut after it cannot split one.
    scrubbed_text = secrets_scrub(text[:_LOOKED_AT])
    text = scrubbed_text[:-MAX_MESSAGE_BYTES] if len(text) > _LOOKED_AT else scrubbed_text
    text = "".join(char if char.isprintable() or char == "\n" else " " for char in text).strip()
    cut = text.encode("utf-8", "replace")
    if len(cut) <= MAX_MESSAGE_BYTES:
        return cut.decode()
    return cut[: MAX_MESSAGE_BYTES - 3].decode("utf-8", "ignore") + "…"


def _name(value: Any, secrets_scrub: Scrub) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.isprintable() or not value:
        return None
    return secrets_scrub(value[:MAX_MESSAGE_BYTES])[:_MAX_NAME]


def _is_quota(status: int, report: _Report) -> bool:
    if status == 402:
        return True
    return status in (403, 429) and (report.code in _QUOTA_CODES or report.type in _QUOTA_CODES)


def _quota_exhausted(status: int, report: _Report) -> UpstreamAuthError:
    """The account at the provider is out of money.

    Not the caller's quota, so neither 429 nor `insufficient_quota`, which their SDK would take for
    it; like a refused credential it needs the operator, and asking again cannot help.
    """
    error = UpstreamAuthError(
        f"The gateway's account at the provider has no quota left ({status})",
        hint=f"the provider said: {report.message}" if report.message else None,
    )
    error.code = QUOTA_EXHAUSTED
    error.should_retry = False
    return error


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _bounded(wait_s: float) -> float:
    return min(max(wait_s, 0.0), _MAX_RETRY_AFTER_S)
