"""Failures of a provider in the words of a caller, without its secrets."""

import time
from functools import partial

from conduit.core.errors import (
    ConduitError,
    DeadlinePassedError,
    UpstreamBusyError,
    UpstreamFailure,
    UpstreamTimeoutError,
)
from conduit.gateway.config.snapshot import Upstream
from conduit.gateway.dialects.openai.errors import Scrub, scrub
from conduit.gateway.exchange import Attempt
from conduit.gateway.upstream import TransportError, TransportFault

_SENTENCES = {
    TransportFault.POOL_TIMEOUT: "has no free connection",
    TransportFault.NAME: "cannot be found: its host name does not resolve",
    TransportFault.REFUSED_ADDRESS: "has an address that is not allowed",
    TransportFault.CONNECT: "cannot be reached",
    TransportFault.CONNECT_TIMEOUT: "did not accept a connection in time",
    TransportFault.TLS: "could not be reached over TLS",
    TransportFault.RESET: "closed the connection before it answered",
    TransportFault.CUT: "broke off its answer",
    TransportFault.HEAD_TIMEOUT: "did not begin to answer in time",
    TransportFault.GAP_TIMEOUT: "fell silent in the middle of its answer",
    TransportFault.TOTAL_TIMEOUT: "did not finish its answer in time",
    TransportFault.PROTOCOL: "did not answer in HTTP",
    TransportFault.TOO_LARGE: "sent an answer that is too large",
}


_COME_AGAIN_S = 1.0
_TIMER_S = 0.01
"""A timer of the event loop may ring so much too early."""


def transport_failure(attempt: Attempt, error: TransportError) -> ConduitError:
    """A failure below HTTP as the caller sees it."""
    if error.fault.is_timeout and is_over(attempt.ends_at):
        return passed()
    sentence = f"the provider {attempt.candidate.upstream.name!r} {_SENTENCES[error.fault]}"
    if error.fault is TransportFault.POOL_TIMEOUT:
        return UpstreamBusyError(sentence, retry_after_s=_COME_AGAIN_S)
    failure = UpstreamTimeoutError if error.fault.is_timeout else UpstreamFailure
    return failure(sentence)


def is_over(ends_at: float | None) -> bool:
    """Whether the time that a client gave its request has passed."""
    return ends_at is not None and time.monotonic() >= ends_at - _TIMER_S


def passed() -> DeadlinePassedError:
    """What a client is told that gave too little time."""
    return DeadlinePassedError(
        "the answer was not there in the time that the request gave by x-conduit-timeout-ms"
    )


def scrub_for(upstream: Upstream) -> Scrub:
    """Takes the provider's own secrets out of whatever it says."""
    return partial(scrub, secrets=upstream.secrets)
