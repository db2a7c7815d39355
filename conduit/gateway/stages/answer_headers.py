"""What the gateway itself tells in the head of an answer."""

import re
from collections.abc import Iterable

from conduit.gateway.dialects.registry import ANTHROPIC_MESSAGES
from conduit.gateway.exchange import Attempt, Exchange

_LONGEST_LIST = 2048
_NOT_IN_A_HEADER = re.compile(r"[^ -~]")


def answer_headers(exchange: Exchange, attempt: Attempt) -> dict[str, str]:
    """The gateway's own headers on a good answer."""
    headers = {
        "x-request-id": exchange.id,
        "x-conduit-alias": exchange.call.model,
        "x-conduit-provider": attempt.candidate.upstream.name,
        "x-conduit-model": attempt.candidate.model,
        "x-conduit-attempts": str(len(exchange.attempts)),
        "x-conduit-config": str(exchange.snapshot.revision),
    }
    if exchange.read_call is not None:
        headers |= own_ids(exchange)
    encoded = attempt.encoded
    if encoded is not None:
        if encoded.dropped:
            headers["x-conduit-dropped"] = _listed(encoded.dropped)
        if encoded.emulated:
            headers["x-conduit-emulated"] = _listed(encoded.emulated)
    course = exchange.course
    if course is not None and len(course.legs) > 1:
        leg = course.legs[-1]
        headers["x-conduit-fallback"] = _listed([f"{leg.decision.alias}; because={leg.because}"])
    if exchange.trimmed:
        headers["x-conduit-trimmed"] = str(exchange.trimmed)
    if exchange.permit is not None:
        headers |= exchange.permit.headers()
    if attempt.output_cap is not None:
        headers["x-conduit-output-cap"] = str(attempt.output_cap)
    if attempt.candidate.upstream.provider.type.simulated:
        headers["x-conduit-simulated"] = "true"
    return headers


def own_ids(exchange: Exchange) -> dict[str, str]:
    """The request's id, under the names that its client knows."""
    ids = {"x-request-id": exchange.id}
    if exchange.read_call is not None and exchange.call.dialect == ANTHROPIC_MESSAGES:
        ids["request-id"] = exchange.id  # where Anthropic's SDKs look for it
    return ids


def _listed(names: Iterable[str]) -> str:
    """Names of fields as the value of a header; a client may have written anything."""
    text = ", ".join(names)[:_LONGEST_LIST]
    return _NOT_IN_A_HEADER.sub("?", text)
