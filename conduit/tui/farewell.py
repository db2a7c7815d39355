"""What is said on stderr when the interface has ended, and the exit code that goes with it."""

from dataclasses import dataclass

from conduit.client.errors import ApiError, AuthenticationFailed, ClientError
from conduit.core.redaction import redacted


@dataclass(frozen=True, slots=True)
class Farewell:
    """What is said on stderr after the screen has been given back."""

    exit_code: int
    text: str


def farewell_of(error: ClientError) -> Farewell:
    """What is said when the gateway cannot be used, with the exit code of the command line."""
    match error:
        case AuthenticationFailed():
            hint = error.hint or "give the master key with --master-key-file, or conduit auth login"
            return Farewell(4, f"error: {redacted(error.message)}\n  hint: {hint}")
        case ApiError():
            hint = f"\n  hint: {error.hint}" if error.hint else ""
            code = 4 if error.status == 403 else 1
            return Farewell(code, f"error: {redacted(error.message)}{hint}")
        case _:
            hint = "start one with `conduit up`, or name another with -a URL or -C CONTEXT"
            return Farewell(3, f"error: {redacted(error.message)}\n  hint: {hint}")
