"""What the head of a client's request says to the gateway, and what of it goes on to a provider."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from conduit.gateway.routes.hints import Told, told_by
from conduit.gateway.server.direct import DirectRequest
from conduit.gateway.server.headers import client_key_of

_OPENAI: Final = ("openai-organization", "openai-project", "openai-beta")
FORWARDED_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai_chat": _OPENAI,
    "openai_responses": _OPENAI,
    "anthropic_messages": ("anthropic-beta", "anthropic-version"),
}
"""By the client's dialect, the only headers of its that go on to a provider of the same one."""


class ClientHead(NamedTuple):
    """The virtual key, the client's program, its hints, and the headers that go on."""

    key: str | None
    user_agent: str | None
    told: Told
    forwarded: Mapping[str, str]


def client_head(request: web.Request, dialect: str, most_hops: int) -> ClientHead:
    """Raises what `client_key_of` and `told_by` do."""
    if not isinstance(request, DirectRequest):
        return _read(request, dialect, most_hops)
    # Most requests come with the head of the one before.
    noted = request.plain_head.noted
    found: tuple[int, ClientHead] | None = noted.get(dialect)
    if found is None or found[0] != most_hops:
        found = noted[dialect] = most_hops, _read(request, dialect, most_hops)
    return found[1]


def _read(request: web.Request, dialect: str, most_hops: int) -> ClientHead:
    headers = request.headers
    return ClientHead(
        client_key_of(request),
        headers.get(hdrs.USER_AGENT),
        told_by(headers, most_hops),
        _forwarded(request, dialect),
    )


def _forwarded(request: web.Request, dialect: str) -> dict[str, str]:
    """End-to-end headers of plain text, without what the client meant for this connection alone."""
    headers = request.headers
    found = {name: headers[name] for name in FORWARDED_HEADERS.get(dialect, ()) if name in headers}
    if not found:
        return found
    options = ",".join(headers.getall(hdrs.CONNECTION, ())).lower().split(",")
    own = {option.strip() for option in options}
    return {name: value for name, value in found.items() if name not in own and value.isascii()}
