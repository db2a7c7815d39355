"""A stored provider as the gateway itself asks it: the way to it, and what authenticates there."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from conduit.core.errors import ConduitError
from conduit.gateway.config.snapshot import Credential, Upstream
from conduit.gateway.dialects.openai.errors import Scrub, scrub
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.provider import OutgoingRequest, Provider
from conduit.gateway.upstream import Endpoint, TransportError, UpstreamResponse

Authorize = Callable[[Provider, str | None, OutgoingRequest], Awaitable[Mapping[str, str]]]
"""The headers that authenticate one request of a provider with a credential of its."""


@dataclass(frozen=True, slots=True)
class Reach:
    """A provider with its endpoint; `credential` is used in the place of the one that is first."""

    upstream: Upstream
    endpoint: Endpoint
    authorize: Authorize
    credential: Credential | None = None

    @property
    def hidden(self) -> Scrub:
        """Takes the provider's secrets out of whatever it says."""
        secrets = [each.secret for each in self.upstream.credentials]
        if self.credential is not None:
            secrets.append(self.credential.secret)
        return partial(scrub, secrets=secrets)

    async def headers(self, method: str, path: str, body: bytes = b"") -> Mapping[str, str]:
        """What authenticates one request. Raises UpstreamFailure."""
        credential = self.credential
        if credential is None and self.upstream.credentials:
            credential = self.upstream.credentials[0]
        request = OutgoingRequest(method, self.upstream.base_url + path, body)
        secret = None if credential is None else credential.secret
        return await self.authorize(self.upstream.provider, secret, request)

    async def refusal(self, response: UpstreamResponse, limit: int) -> ConduitError:
        """An answer that is an error, in the provider's own words without its secrets."""
        try:
            body = await response.read(limit)
        except TransportError:
            body = b""  # its status says enough
        decode_error = DIALECTS[self.upstream.provider.type.dialect].decode_error
        error = decode_error(response.status, response.headers, body, secrets_scrub=self.hidden)
        return cast(ConduitError, error)
