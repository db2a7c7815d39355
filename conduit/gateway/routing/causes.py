"""What an error says: of where it came from, and of what may be tried instead."""

import re
from typing import Final

from conduit.core.errors import (
    ConduitError,
    NoTargetError,
    UpstreamAuthError,
    UpstreamBusyError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
)
from conduit.gateway.dialects.openai.errors import QUOTA_EXHAUSTED
from conduit.gateway.health.deployments import Effect

CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "string_above_max_length"})
FILTER_CODES: Final = frozenset(
    {"content_filter", "content_policy_violation", "content_filter_error", "data_inspection_failed"}
)
_FORBIDDEN: Final = 403
_TOO_LARGE: Final = 413

# Anthropic, Gemini, Bedrock and servers of open models say it in words alone.
_CONTEXT_WORDS: Final = re.compile(
    r"context (?:length|window|size)|maximum context|prompt is too long|input is too long"
    r"|too many (?:input )?tokens|input token count|exceeds? the (?:maximum|max|limit).{0,40}token",
    re.IGNORECASE,
)
_FILTER_WORDS: Final = re.compile(
    r"content (?:filter|management policy|policy violation)|blocked by .{0,30}(?:safety|filter)",
    re.IGNORECASE,
)


def cause_of(error: ConduitError) -> str:
    """Which of a mapping's fallbacks an error calls for.

    One of error, rate_limit, context_window, content_filter, timeout; "" where another model would
    not help.
    """
    if isinstance(error, UpstreamRejectedError):
        return _cause_of_refusal(error)
    if isinstance(error, UpstreamTimeoutError):
        return "timeout"
    if isinstance(error, UpstreamRateLimitedError):
        return "rate_limit"
    if isinstance(error, UpstreamFailure | NoTargetError):
        return "error"
    return ""


def _cause_of_refusal(error: UpstreamRejectedError) -> str:
    if error.code in CONTEXT_CODES:
        return "context_window"
    if error.code in FILTER_CODES:
        return "content_filter"
    if error.status not in (400, _TOO_LARGE, 422):
        return ""
    if _CONTEXT_WORDS.search(error.message):
        return "context_window"
    return "content_filter" if _FILTER_WORDS.search(error.message) else ""


def effect_of(error: ConduitError | None, status: int | None) -> Effect:
    """What a failed attempt says of its deployment; `status` is the provider's own."""
    if not isinstance(error, UpstreamFailure):
        return Effect.NOTHING
    if error.code == QUOTA_EXHAUSTED:
        return Effect.NO_QUOTA
    if isinstance(error, UpstreamAuthError):
        return Effect.NO_PERMISSION if status == _FORBIDDEN else Effect.INVALID_KEY
    if isinstance(error, UpstreamRateLimitedError):
        return Effect.THROTTLED
    if isinstance(error, UpstreamRejectedError | UpstreamBusyError):
        return Effect.NOTHING
    return Effect.FAILURE
