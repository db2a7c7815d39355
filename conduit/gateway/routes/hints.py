"""What a client tells the gateway, rather than the model, in headers of its request."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from conduit.core.errors import InvalidRequestError, RequestLoopError

TIMEOUT_HEADER: Final = "x-conduit-timeout-ms"
HOPS_HEADER: Final = "x-conduit-hops"
IDEMPOTENCY_HEADER: Final = "idempotency-key"
_LONGEST_KEY_BYTES: Final = 255
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


class Told(NamedTuple):
    """`timeout_s` is how long the client waits for its answer at most, None where it does not say.
    `hops` is through how many gateways of this kind the request has come. `idempotency_key` names
    the request, so that it is answered once however often it is sent.
    """

    timeout_s: float | None
    hops: int
    idempotency_key: str | None = None


NOTHING: Final = Told(None, 0)


def told_by(headers: Mapping[str, str], most_hops: int) -> Told:
    """Raises InvalidRequestError for a value that is none, and RequestLoopError.

    The latter from `most_hops` on.
    """
    timeout, hops = headers.get(TIMEOUT_HEADER), headers.get(HOPS_HEADER)
    key = headers.get(IDEMPOTENCY_HEADER)
    if timeout is None and hops is None and key is None:
        return NOTHING
    if key is not None:
        _refuse_unfit(key)
    passed = _number(HOPS_HEADER, hops or "0")
    if passed >= most_hops:
        raise RequestLoopError(
            f"the request has come through {passed} gateways: do they send it in a circle?"
        )
    if timeout is None:
        return Told(None, passed, key)
    milliseconds = _number(TIMEOUT_HEADER, timeout)
    if not milliseconds:
        raise InvalidRequestError(f"the header {TIMEOUT_HEADER} is 1 or more", param=TIMEOUT_HEADER)
    return Told(milliseconds / 1000, passed, key)


def _refuse_unfit(key: str) -> None:
    if not 1 <= len(key.encode("utf-8", "surrogateescape")) <= _LONGEST_KEY_BYTES:
        raise InvalidRequestError(
            f"the header Idempotency-Key has 1 to {_LONGEST_KEY_BYTES} bytes",
            param=IDEMPOTENCY_HEADER,
        )


def _number(name: str, text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise InvalidRequestError(f"the header {name} is a whole number", param=name)
    return int(text)
