"""Request ids, and the headers that every answer carries."""

from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import hdrs, web

from conduit.core.errors import AuthenticationError
from conduit.core.ids import new_id

REQUEST_ID: Final = web.RequestKey("request_id", str)

_ID_HEADER: Final = "x-request-id"
_CLIENT_API: Final = ("/v1/", "/v1beta/", "/v2/")
_MESSAGES: Final = "/v1/messages"
_KEY_HEADERS: Final = ("x-api-key", "x-goog-api-key")
_JSON: Final = "application/json"
SECURE: Final = (
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
)
_ADMIN: Final = (
    *SECURE,
    ("cache-control", "no-store"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
)
HSTS: Final = "max-age=31536000"

OPERATORS_HEADERS: Final = (
    "api-base", "api_base", "base-url", "base_url", "callback-url", "x-api-base", "x-base-url",
)  # fmt: skip
"""Headers with which other gateways let a caller choose where a request goes. As in a body, they
are refused rather than ignored. Headers that carry a key are not among them: they are logins."""


def request_id(request: web.BaseRequest) -> str:
    """Our own id of a request, made when it is first asked for; a client's is never taken over."""
    found = request.get(REQUEST_ID)
    if found is None:
        found = request[REQUEST_ID] = new_id("req")
    return found


def own_id_headers(path: str, ident: str) -> dict[str, str]:
    """The id of a request under the name that the SDK of a path's clients looks for."""
    return {"request-id": ident} if path.startswith(_MESSAGES) else {}


def bearer_of(request: web.BaseRequest) -> str | None:
    """The token of `Authorization: Bearer …`; None for another scheme.

    Raises AuthenticationError for two such headers.
    """
    header = _only_one(hdrs.AUTHORIZATION, request.headers.getall(hdrs.AUTHORIZATION, ()))
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def client_key_of(request: web.BaseRequest) -> str | None:
    """The virtual key of a request: a bearer token, or what Anthropic's or Google's SDKs send.

    Raises AuthenticationError for two headers of a name.
    """
    headers = request.headers
    if hdrs.AUTHORIZATION in headers:
        return bearer_of(request)
    for name in _KEY_HEADERS:
        found = headers.getall(name, ())
        if found:
            return (_only_one(name, found) or "").strip()
    return None


def tells_json(headers: Mapping[str, str]) -> bool:
    """Whether a body is JSON by what its request tells, or is not told to be anything else."""
    kind = headers.get(hdrs.CONTENT_TYPE)
    return kind is None or kind.partition(";")[0].strip().lower() in ("", _JSON)


def _only_one(name: str, values: Sequence[str]) -> str | None:
    """Which of two keys is meant cannot be told, and a proxy before may have looked at either."""
    if len(values) > 1:
        raise AuthenticationError(
            f"the request has {len(values)} {name} headers: send one",
            hint="a proxy or a client's own headers may have added one",
        )
    return values[0] if values else None


def is_client_api(path: str) -> bool:
    """Whether a path belongs to the API of applications, which has errors of its own shapes."""
    return path.startswith(_CLIENT_API) or path in ("/v1", "/rerank")


async def finish_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """An application's `on_response_prepare`: what all answers say, and what none says."""
    headers = response.headers
    headers.popall(hdrs.SERVER, None)
    ident = headers[_ID_HEADER] = request_id(request)
    if response.status >= 400:  # good answers bring it themselves
        headers.update(own_id_headers(request.path, ident))
    for name, value in SECURE if is_client_api(request.path) else _ADMIN:
        headers.setdefault(name, value)
    # Only where this process speaks TLS itself: before a proxy that does, it is the proxy's word.
    if request.secure:
        headers.setdefault(hdrs.STRICT_TRANSPORT_SECURITY, HSTS)
