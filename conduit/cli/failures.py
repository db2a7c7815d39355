"""Exit codes, and the one place that turns what went wrong into one of them and into words."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeGuard

from conduit.cli.console import Console, plain
from conduit.client.blocking import TimedOut
from conduit.client.contexts import ContextError
from conduit.client.errors import (
    ApiError,
    AuthenticationFailed,
    BrokenOff,
    ClientError,
    ProviderFailed,
    Unreachable,
)
from conduit.core.redaction import redacted


class Exit(IntEnum):
    """What the exit code says; `conduit help exit-codes` prints this."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_PERMITTED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    UPSTREAM = 7
    PARTIAL = 8
    NEGATIVE = 9
    TIMEOUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_MEANINGS: Mapping[Exit, str] = {
    Exit.OK: "ok",
    Exit.REFUSED: "refused or failed by the gateway (5xx, unclassified)",
    Exit.USAGE: "usage or local configuration error, or input needed while non-interactive",
    Exit.UNREACHABLE: "gateway unreachable (retryable)",
    Exit.NOT_PERMITTED: "not authenticated or not permitted",
    Exit.NOT_FOUND: "not found, or ambiguous on the server",
    Exit.CONFLICT: "conflict, validation, budget or rate limit (409, 422, 402, 429)",
    Exit.UPSTREAM: "the provider failed (the gateway answered, the provider did not)",
    Exit.PARTIAL: "partial success of a command over several records, or of a rollback",
    Exit.NEGATIVE: (
        "a check was negative (status --check, db status --check, doctor, config diff, "
        "config validate, mappings test, prices diff, providers test, "
        "providers credentials test, keys check, route explain --check, health summary --check)"
    ),
    Exit.TIMEOUT: "--timeout or --wait elapsed",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
    Exit.TERMINATED: "terminated",
}


class Failure(Exception):
    """A command that cannot go on, with all that is shown of it."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "usage",
        exit_code: Exit = Exit.USAGE,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.exit_code = exit_code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Shown:
    """A failure as it is shown, and the code to exit with. The fields are those of the API."""

    exit_code: int
    code: str
    message: str
    param: str | None = None
    hint: str | None = None
    request_id: str | None = None
    status: int | None = None
    retryable: bool = False
    gateway: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "param": self.param,
                "hint": self.hint,
                "request_id": self.request_id,
                "status": self.status,
                "retryable": self.retryable,
            }
        }


BARRED = "too_many_failed_logins"
"""A wrong key after many others: no limit that waiting helps with, for whoever has the key."""
_EXITS_BY_STATUS: Mapping[int, Exit] = {
    401: Exit.NOT_PERMITTED,
    402: Exit.CONFLICT,
    403: Exit.NOT_PERMITTED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    422: Exit.CONFLICT,
    429: Exit.CONFLICT,
}


def is_of_key(error: ClientError) -> TypeGuard[ApiError]:
    """Whether a gateway refused the key, and not what it was asked for."""
    return isinstance(error, AuthenticationFailed) or (
        isinstance(error, ApiError) and error.code == BARRED
    )


def exit_of_api_error(error: ApiError) -> Exit:
    """The exit code of an error that a gateway answered."""
    if error.code.startswith("upstream_") or isinstance(error, ProviderFailed):
        return Exit.UPSTREAM
    if error.code == "ambiguous":
        return Exit.NOT_FOUND
    if error.code == BARRED:
        return Exit.NOT_PERMITTED
    if error.code == "not_a_gateway":
        return Exit.REFUSED
    return _EXITS_BY_STATUS.get(error.status, Exit.REFUSED)


def shown(error: Exception, *, with_timeout: bool = False) -> Shown | None:
    """How an expected failure is shown; None for an exception that nobody foresaw.

    `with_timeout` says that the caller set the time that ran out.
    """
    match error:
        case Failure():
            return Shown(error.exit_code, error.code, error.message, hint=error.hint)
        case ContextError():
            return Shown(Exit.USAGE, "local_config", str(error))
        case ApiError():
            return Shown(
                exit_of_api_error(error),
                error.code,
                error.message,
                error.param,
                error.hint,
                error.request_id,
                error.status,
                error.retryable,
                " ".join(getattr(error, "__notes__", ())) or None,
            )
        case TimedOut() if with_timeout:
            return Shown(Exit.TIMEOUT, "timeout", error.message, retryable=True)
        case Unreachable():
            return Shown(
                Exit.UNREACHABLE, "unreachable", error.message, hint=error.hint, retryable=True
            )
        case BrokenOff():
            return Shown(Exit.REFUSED, "incomplete", error.message, retryable=True)
        case ClientError():
            return Shown(Exit.REFUSED, "client_error", error.message)
        case _:
            return None


def tell_people(failure: Shown) -> None:
    """Show a failure on stderr: a line, and further ones for a hint and for the request."""
    err = Console().err
    head = err.toned("error:", "bad")
    message = plain(redacted(failure.message)).replace("\n", " ")
    err.file.write(f"{head} {message}  [{failure.code}]\n")
    if failure.hint:
        err.file.write(f"  hint: {plain(redacted(failure.hint))}\n")
    if failure.request_id:
        where = f"  gateway: {plain(failure.gateway)}" if failure.gateway else ""
        err.file.write(f"  request: {plain(failure.request_id)}{where}\n")
