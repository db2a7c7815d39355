"""Every error that a caller can meet, as one tree.

    ConduitError
    ├── RequestError                  400  what the caller sent cannot be served as it is
    │   ├── InvalidRequestError       400  malformed body or field
    │   ├── UnknownParameterError     400  a field that a client may not set
    │   ├── UnsupportedParameterError 400  a field that the provider's format cannot say
    │   ├── PayloadTooLargeError      413
    │   ├── HeadTooLargeError         431  a header line, or all of them, beyond the limits
    │   ├── UnsupportedMediaError     415
    │   ├── MethodNotAllowedError     405
    │   ├── RequestLoopError          508  it has come through too many gateways
    │   ├── TokensExceedLimitError    400  larger than all that a rate limit ever allows
    │   ├── PriceUnknownError         400  a hard budget needs a price, and the model has none
    │   ├── IdempotencyKeyReusedError 422  another request was answered under this Idempotency-Key
    │   ├── RequestTimeoutError       408  the body did not arrive in time
    │   └── ValidationFailedError     422  an admin resource that breaks a rule
    ├── AuthenticationError           401  no key, or not one of ours
    ├── PermissionDeniedError         403  a good key that may not do this
    ├── NotFoundError                 404
    │   └── ModelNotFoundError        404  no alias of that name for this key
    ├── ConflictError                 409  name taken, or a stale version
    │   ├── IdempotencyInProgressError 409  a request with this Idempotency-Key is being answered
    │   └── ReplyNotKeptError         409  it was answered, and the answer cannot be given again
    ├── RequestCancelledError         409  an operator ended the request
    ├── DeadlinePassedError           504  the client wanted its answer sooner
    ├── LimitError                    429
    │   ├── InsufficientQuotaError    429  the budget is spent: do not retry
    │   ├── BudgetExceededError       429  a stream outgrew what the budget can pay
    │   ├── BudgetHeldError           429  money is held by running calls: retry soon
    │   └── RateLimitedError          429
    │       └── FailedLoginsError     429  too many wrong keys from one address
    ├── UpstreamFailure               502  the provider failed
    │   ├── UpstreamAuthError         502  the provider refused our credential
    │   ├── UpstreamRateLimitedError  429  the provider's own limit
    │   ├── UpstreamRejectedError     4xx  the provider says the request is wrong
    │   ├── UpstreamBusyError         503  no connection to it became free in time
    │   └── UpstreamTimeoutError      504
    └── UnavailableError              503
        ├── NoTargetError             503  every target of the alias is out of service
        ├── DatabaseUnavailableError  503  nothing can be said of the key without the database
        ├── OverloadedError           503  too much at once: nothing was begun for the request
        ├── LedgerUnavailableError    503  no money can be held: nothing is dispatched
        ├── LimiterUnavailableError   503  a rate limit cannot be counted, and must be
        ├── GatewaySealedError        503  the key that opens the credentials is not there
        └── ShuttingDownError         503

An error carries what every dialect and the CLI need to show it; the error middleware and the
dialects turn it into an envelope, nothing else does.
"""

from collections.abc import Mapping


class ConduitError(Exception):
    """An error with a stable code, an HTTP status and a message fit for the caller.

    `type` is OpenAI's error family, `param` the offending field, `hint` the next step for a
    person, `retry_after_s` becomes `Retry-After`. `should_retry` becomes `x-should-retry` and is
    None where the client's own rules are right.
    """

    status: int = 500
    code: str = "internal_error"
    type: str = "server_error"
    retryable: bool = False
    should_retry: bool | None = None
    headers: Mapping[str, str] = {}
    """Headers of its answer beside those that follow from the rest: how rate limits stand."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param
        self.retry_after_s = retry_after_s

    def message_and_hint(self) -> str:
        """Both in one text, for clients whose errors have no field for the next step."""
        return self.message if self.hint is None else f"{self.message} (hint: {self.hint})"


class RequestError(ConduitError):
    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class InvalidRequestError(RequestError):
    """A malformed body or field; `param` names it."""


class UnknownParameterError(RequestError):
    code = "unknown_parameter"


class UnsupportedParameterError(RequestError):
    """What the request asks for cannot be said to this provider; another one may take it."""

    code = "unsupported_parameter"


class PayloadTooLargeError(RequestError):
    status = 413
    code = "payload_too_large"


class HeadTooLargeError(RequestError):
    status = 431
    code = "head_too_large"


class UnsupportedMediaError(RequestError):
    status = 415
    code = "unsupported_media_type"


class RequestLoopError(RequestError):
    """The request has come through so many gateways that they must be sending it in a circle."""

    status = 508
    code = "request_loop"
    should_retry = False


class MethodNotAllowedError(RequestError):
    status = 405
    code = "method_not_allowed"


class PriceUnknownError(RequestError):
    code = "price_unknown"


class IdempotencyKeyReusedError(RequestError):
    """Another request was answered under this `Idempotency-Key`: the client has mixed them up."""

    status = 422
    code = "idempotency_key_reused"


class RequestTimeoutError(RequestError):
    status = 408
    code = "request_timeout"
    retryable = True


class ValidationFailedError(RequestError):
    status = 422
    code = "validation_failed"


class AuthenticationError(ConduitError):
    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class PermissionDeniedError(ConduitError):
    status = 403
    code = "permission_denied"
    type = "permission_error"


class NotFoundError(ConduitError):
    status = 404
    code = "not_found"
    type = "invalid_request_error"


class ModelNotFoundError(NotFoundError):
    code = "model_not_found"


class ConflictError(ConduitError):
    status = 409
    code = "conflict"
    type = "invalid_request_error"


class IdempotencyInProgressError(ConflictError):
    """A request with this `Idempotency-Key` is being answered: its reply can be had afterwards."""

    code = "idempotency_in_progress"
    retryable = True


class ReplyNotKeptError(ConflictError):
    """A request with this `Idempotency-Key` was answered, and its reply cannot be given again.

    To send it once more would be charged once more, so that the client has to want it.
    """

    code = "idempotency_reply_not_kept"
    should_retry = False


class RequestCancelledError(ConduitError):
    """An operator ended the request while it ran; sending it again is not what was meant."""

    status = 409
    code = "request_cancelled"
    should_retry = False


class LimitError(ConduitError):
    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    retryable = True


class InsufficientQuotaError(LimitError):
    """The spent money alone leaves no room; a retry cannot help."""

    code = "insufficient_quota"
    type = "insufficient_quota"
    retryable = False
    should_retry = False


class BudgetExceededError(LimitError):
    """A stream was stopped because the budget cannot pay for more of it."""

    code = "budget_exceeded"
    type = "insufficient_quota"
    retryable = False
    should_retry = False


class BudgetHeldError(LimitError):
    """Only money held by running calls is in the way; it comes back when they settle."""

    code = "budget_held"


class RateLimitedError(LimitError):
    """One of our own limits; the message names the scope and the limit."""


class TokensExceedLimitError(RequestError):
    """A single call is larger than all that a limit ever allows: to wait would be in vain."""

    code = "tokens_exceed_limit"


class FailedLoginsError(RateLimitedError):
    """Too many wrong keys have come from an address; a good one is always let in."""

    code = "too_many_failed_logins"
    retryable = False
    should_retry = False


class UpstreamFailure(ConduitError):
    """The provider failed: an error status, a cut or unparsable answer, no connection."""

    status = 502
    code = "upstream_error"
    type = "upstream_error"
    retryable = True


class UpstreamAuthError(UpstreamFailure):
    """The provider refused our credential, which is the operator's matter, not the caller's."""

    code = "upstream_auth_error"
    retryable = False
    should_retry = False

    def message_and_hint(self) -> str:
        """The message alone: the hint quotes what the provider said of the credential."""
        return self.message


class UpstreamRateLimitedError(UpstreamFailure):
    status = 429
    code = "upstream_rate_limited"
    type = "rate_limit_error"


class UpstreamRejectedError(UpstreamFailure):
    """The provider answered 4xx: its own status, code and scrubbed message are passed on."""

    status = 400
    code = "upstream_rejected"
    type = "invalid_request_error"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.code = code or self.code
        self.type = type or self.type


class UpstreamBusyError(UpstreamFailure):
    """All connections to the provider were taken for too long, which says nothing of it."""

    status = 503
    code = "upstream_busy"


class UpstreamTimeoutError(UpstreamFailure):
    status = 504
    code = "upstream_timeout"


class DeadlinePassedError(ConduitError):
    """The time that the client gave its request is over, which says nothing of the provider."""

    status = 504
    code = "deadline_exceeded"


class UnavailableError(ConduitError):
    status = 503
    code = "unavailable"
    retryable = True


class NoTargetError(UnavailableError):
    code = "no_healthy_deployment"


class DatabaseUnavailableError(UnavailableError):
    """Neither memory nor the copy on disk knows the key: it may be good, so this is no 401."""

    code = "database_unavailable"


class OverloadedError(UnavailableError):
    """The gateway has as much to do as it can; nothing of this request was begun."""

    code = "overloaded"


class LedgerUnavailableError(UnavailableError):
    code = "ledger_unavailable"


class LimiterUnavailableError(UnavailableError):
    """What several gateways count a limit in does not answer, and the limit may not be guessed."""

    code = "limiter_unavailable"


class GatewaySealedError(UnavailableError):
    """Stored credentials cannot be opened, which is the operator's matter: do not retry."""

    code = "sealed"
    retryable = False
    should_retry = False


class ShuttingDownError(UnavailableError):
    code = "server_shutting_down"


def admin_envelope(error: ConduitError, request_id: str | None) -> Mapping[str, object]:
    """The one error shape of the admin API, the CLI and the TUI."""
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "hint": error.hint,
            "request_id": request_id,
            "status": error.status,
            "retryable": error.retryable,
        }
    }
