"""Reading the answer to a chat, whichever transport brought it: text, usage, errors; pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from conduit.client.api import Record, error_of
from conduit.client.errors import ApiError, ProviderFailed
from conduit.client.tool_calls import ToolCalls

GATEWAY_CODES = frozenset(
    {
        "budget_exceeded",
        "budget_held",
        "conflict",
        "database_unavailable",
        "deadline_exceeded",
        "head_too_large",
        "idempotency_in_progress",
        "idempotency_key_reused",
        "idempotency_reply_not_kept",
        "insufficient_quota",
        "internal_error",
        "invalid_api_key",
        "invalid_request",
        "ledger_unavailable",
        "limiter_unavailable",
        "method_not_allowed",
        "model_not_found",
        "no_healthy_deployment",
        "not_a_gateway",
        "not_found",
        "not_ready",
        "overloaded",
        "payload_too_large",
        "permission_denied",
        "price_unknown",
        "request_loop",
        "rate_limit_exceeded",
        "request_cancelled",
        "request_timeout",
        "sealed",
        "server_shutting_down",
        "tokens_exceed_limit",
        "too_many_failed_logins",
        "unavailable",
        "unexpected_answer",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_media_type",
        "validation_failed",
    }
)
"""Of an answer that does not say whose its error is."""

_STREAM_CODES = frozenset(
    {"budget_exceeded", "deadline_exceeded", "request_cancelled", "server_shutting_down"}
)
"""With which the gateway itself ends a stream; its head cannot say whose the error is."""

_SOURCE = "x-conduit-error-source"


@dataclass(frozen=True, slots=True)
class Usage:
    input_tokens: int
    output_tokens: int


class AnswerReader:
    """Takes a stream's bytes as they come and gives its text.

    `usage`, `finish_reason` and `tool_calls` are known once the text has ended, `ended` says
    whether the end mark has come, `reasoning` holds what the model has thought so far. Raises
    ProviderFailed where the stream tells of an error or is none.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.tool_calls = ToolCalls()
        self.reasoning: list[str] = []
        self.ended = False
        self._pending = b""
        self._parts: list[str] = []

    def feed(self, block: bytes) -> Iterator[str]:
        """The text in a block; lines end in LF or CRLF, a blank line ends an event."""
        *lines, self._pending = (self._pending + block).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r").decode("utf-8", "replace")
            if line.startswith("data:"):
                self._parts.append(line[5:].removeprefix(" "))
            elif not line and self._parts:
                event = "\n".join(self._parts)
                self._parts = []
                yield from self._take(event)

    def _take(self, event: str) -> Iterator[str]:
        if event == "[DONE]":
            self.ended = True
            return
        try:
            chunk = json.loads(event)
        except ValueError as error:
            raise self.broken("the answer holds an event that is not JSON") from error
        if not isinstance(chunk, dict):
            raise self.broken("the answer holds an event that is no object")
        if isinstance(chunk.get("error"), dict):
            raise _stream_error(self.headers, event)
        self.usage = usage_of(chunk) or self.usage
        for choice in chunk.get("choices") or ():
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            delta = choice.get("delta") or {}
            self.tool_calls.take(choice.get("index") or 0, delta)
            self.reasoning += _reasoning_in(delta)
            text = delta.get("content")
            if isinstance(text, str) and text:
                yield text

    def broken(self, message: str) -> ProviderFailed:
        """The error of an answer that ended before its end."""
        return ProviderFailed(
            code="upstream_error",
            message=message,
            request_id=self.headers.get("x-request-id"),
            status=502,
            retryable=True,
        )


def _reasoning_in(message: Record) -> list[str]:
    """What a message, or a piece of one, tells of the model's thinking; it has two names."""
    text = message.get("reasoning_content") or message.get("reasoning")
    return [text] if isinstance(text, str) else []


def reasoning_of(answer: Record) -> str:
    """What a whole answer tells of the model's thinking."""
    messages = (choice.get("message") or {} for choice in answer.get("choices") or ())
    return "".join(piece for message in messages for piece in _reasoning_in(message))


def usage_of(answer: Record) -> Usage | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))


def chat_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error that an answer tells of; ProviderFailed where it is not the gateway's own."""
    error = error_of(status, headers, body)
    source = headers.get(_SOURCE)
    # A provider's own refusal keeps its code, which may be anything, one of these too.
    own = error.code in GATEWAY_CODES if source is None else source == "gateway"
    return error if own else _of_the_provider(error)


def _stream_error(headers: Mapping[str, str], event: str) -> ApiError:
    error = error_of(502, headers, event.encode())
    return error if error.code in _STREAM_CODES else _of_the_provider(error)


def _of_the_provider(error: ApiError) -> ProviderFailed:
    return ProviderFailed(
        code=error.code,
        message=error.message,
        hint=error.hint,
        request_id=error.request_id,
        status=error.status,
        retryable=error.retryable,
    )
