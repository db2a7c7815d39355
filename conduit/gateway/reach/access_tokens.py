"""Access tokens for credentials that are exchanged for one, kept until shortly before their end.

A provider says how a token is asked for (`TokenProvider.token_request`); nothing else sends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from conduit.core.errors import ConduitError, UpstreamAuthError, UpstreamFailure
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai.errors import scrub
from conduit.gateway.provider import OutgoingRequest, Provider, TokenProvider, TokenRequest
from conduit.gateway.reach.endpoints import Endpoints
from conduit.gateway.upstream import Deadlines, TransportError

Fetch = Callable[[TokenRequest], Awaitable[tuple[int, bytes]]]
"""Sends a token request; gives status and body, or raises UpstreamFailure."""

_PATIENCE: Final = Deadlines(pool_s=1, connect_s=3, first_event_s=10, gap_s=5, total_s=15)
_LIMIT_BYTES: Final = 64 * 1024
_MARGIN_S: Final = 300.0
_USUAL_LIFE_S: Final = 3600.0
# A refused credential is not asked with again at every call.
_FAILURE_KEPT_S: Final = 5.0
_MOST_KEPT: Final = 1000
_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    fresh_until_s: float


@dataclass(frozen=True, slots=True)
class _Refused:
    error: ConduitError
    until_s: float


class AccessTokens:
    """The headers of a call, by a token where the provider wants one for the credential.

    Calls that want the same token wait for one request. That request is a task of this object: a
    caller that leaves does not end it for the others.
    """

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._exchanges: dict[str, bool] = {}  # whether a type's credentials may be exchanged
        self._known: dict[tuple[str, bytes], _Token | _Refused] = {}
        self._asking: dict[tuple[str, bytes], asyncio.Task[str]] = {}

    def headers(
        self, provider: Provider, credential: str | None, request: OutgoingRequest
    ) -> Awaitable[Mapping[str, str]]:
        """What authenticates one request. Raises UpstreamAuthError or UpstreamFailure."""
        name = provider.type.name
        exchanges = self._exchanges.get(name)
        if exchanges is None:
            exchanges = self._exchanges[name] = isinstance(provider, TokenProvider)
        if not exchanges or credential is None:
            return provider.authorize(credential, request)
        return self._exchanged(provider, credential, request)

    async def _exchanged(
        self, provider: Provider, credential: str, request: OutgoingRequest
    ) -> Mapping[str, str]:
        assert isinstance(provider, TokenProvider), "others are not asked"
        token = await self._token(provider, credential)
        if token is not None:
            return {"authorization": f"Bearer {token}"}
        return await provider.authorize(credential, request)

    async def _token(self, provider: TokenProvider, credential: str) -> str | None:
        place = (provider.type.name, sha256(credential.encode()).digest())
        now_s = self._clock()
        known = self._known.get(place)
        if isinstance(known, _Token) and now_s < known.fresh_until_s:
            return known.text
        if isinstance(known, _Refused) and now_s < known.until_s:
            raise known.error
        task = self._asking.get(place)
        if task is None:
            request = provider.token_request(credential, int(now_s))
            if request is None:
                return None
            task = asyncio.get_running_loop().create_task(self._ask(place, request))
            self._asking[place] = task
            task.add_done_callback(partial(self._asked, place))
        return await asyncio.shield(task)

    async def _ask(self, place: tuple[str, bytes], request: TokenRequest) -> str:
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()  # credentials that were removed stay behind
        try:
            status, body = await self._fetch(request)
            token = self._read(status, body, request)
        except ConduitError as error:
            self._known[place] = _Refused(error, self._clock() + _FAILURE_KEPT_S)
            raise
        self._known[place] = token
        return token.text

    def _asked(self, place: tuple[str, bytes], task: asyncio.Task[str]) -> None:
        del self._asking[place]
        if not task.cancelled():
            task.exception()  # seen, though every caller may have left

    def _read(self, status: int, body: bytes, request: TokenRequest) -> _Token:
        answer = read_json(body)
        fields: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
        if status != 200:
            raise _refusal(status, fields, request)
        text = fields.get("access_token")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise UpstreamFailure("The token endpoint's answer holds no access token")
        life_s = fields.get("expires_in")
        if isinstance(life_s, str) and life_s.isdigit():
            life_s = int(life_s)
        life_s = float(life_s) if isinstance(life_s, int | float) else _USUAL_LIFE_S
        return _Token(text, self._clock() + max(life_s - _MARGIN_S, life_s / 2))

    async def close(self) -> None:
        """End the requests that are under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def fetch_through(endpoints: Endpoints) -> Fetch:
    """Token requests over the gateway's own connections, to public addresses alone."""

    async def fetch(request: TokenRequest) -> tuple[int, bytes]:
        parts = urlsplit(request.url)
        try:
            endpoint = endpoints.at(f"{parts.scheme}://{parts.netloc}", allow_private=False)
            response = await endpoint.send(
                parts.path,
                urlencode(request.form).encode(),
                {"content-type": "application/x-www-form-urlencoded"},
                _PATIENCE,
            )
            try:
                return response.status, await response.read(_LIMIT_BYTES)
            finally:
                response.close()
        except TransportError as error:
            raise UpstreamFailure(f"The token endpoint did not answer: {error}") from error

    return fetch


def _refusal(status: int, fields: Mapping[str, Any], request: TokenRequest) -> ConduitError:
    """OAuth's `error` and `error_description`, without what was sent."""
    said = fields.get("error_description") or fields.get("error")
    reason = scrub(said, request.form.values())[:_LONGEST_REASON] if isinstance(said, str) else ""
    if status >= 500 or status == 429:
        return UpstreamFailure(f"The token endpoint answered with status {status}")
    return UpstreamAuthError(
        f"The token endpoint refused the gateway's credential ({status})",
        hint=f"it said: {reason}" if reason else None,
    )
