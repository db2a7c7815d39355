"""What can go wrong between a front-end and its gateway.

ClientError
├── Unreachable             no answer: wrong address, no gateway, no network
├── BrokenOff               an answer began and did not come to its end
└── ApiError                the gateway answered with an error
    ├── AuthenticationFailed    401: the token is not one of this gateway's
    └── ProviderFailed          the provider behind the gateway failed
"""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Anything a front-end shows instead of an answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(ClientError):
    """No answer came; the message names the address, never the token."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class BrokenOff(ClientError):
    """An answer that began and did not come to its end: what has come is not all."""


class ApiError(ClientError):
    """An error envelope of the admin API, field by field."""

    def __init__(  # noqa: PLR0913  # the fields of the envelope
        self,
        code: str,
        message: str,
        param: str | None = None,
        hint: str | None = None,
        request_id: str | None = None,
        status: int = 500,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.hint = hint
        self.request_id = request_id
        self.status = status
        self.retryable = retryable


class AuthenticationFailed(ApiError):
    """The gateway refused the token: trying again with the same one cannot help."""


class ProviderFailed(ApiError):
    """The gateway did its part; the provider behind it failed, or its answer broke off."""


def error_of_envelope(status: int, body: object) -> ApiError:
    """The error of an answer's status and decoded body, also where no gateway wrote that body."""
    envelope = body.get("error") if isinstance(body, Mapping) else None
    fields: Mapping[str, Any] = envelope if isinstance(envelope, Mapping) else {}
    kind = AuthenticationFailed if status == 401 else ApiError
    return kind(
        code=str(fields.get("code") or "unexpected_answer"),
        message=str(fields.get("message") or f"the gateway answered with status {status}"),
        param=_text(fields.get("param")),
        hint=_text(fields.get("hint")),
        request_id=_text(fields.get("request_id")),
        status=status,
        retryable=bool(fields.get("retryable", status >= 500)),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
