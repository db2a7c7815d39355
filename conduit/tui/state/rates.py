"""What the gateway's sample of the last minute says of how requests ended."""

from collections.abc import Iterator

from conduit.tui.state.traffic import Record

MANY_ERRORS = 0.05
"""From this share of requests on, errors are told as a fault."""


def error_share(figures: Record) -> float:
    """The share of requests that failed by the gateway or its providers.

    What only the client can mend (a wrong model, its own limit) is none: an operator who is shown
    it as an error looks for a fault that is not there. Gateways of before tell none apart.
    """
    requests = figures["requests"]
    faults = figures["errors"] - figures.get("client_errors", 0)
    return faults / requests if requests else 0.0


def shares(figures: Record) -> Iterator[str]:
    """How requests ended, by class of status, 429 by itself: `2xx 99.1%`, `429 0.6%`."""
    requests, limited = figures["requests"], figures.get("rate_limited", 0)
    for name, count in figures["statuses"].items():
        if name == "4xx" and limited:
            yield f"429 {limited / requests:.1%}"
            count -= limited
        if count:
            yield f"{name} {count / requests:.1%}"
