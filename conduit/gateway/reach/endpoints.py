"""The endpoint of each stored provider: over the network, or inside this process."""

from conduit.gateway.config.snapshot import Upstream
from conduit.gateway.provider import LocalProvider
from conduit.gateway.upstream import Endpoint, Upstreams
from conduit.gateway.upstream.inprocess import InProcessEndpoint

_REMEMBERED = 1000


class Endpoints:
    """Finds the endpoint for a provider, and keeps it for the next call."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._remembered: dict[tuple[str, str, bool], Endpoint] = {}

    def of(self, upstream: Upstream) -> Endpoint:
        """The endpoint of a stored provider, at its present base URL."""
        place = (upstream.id, upstream.base_url, upstream.allow_private)
        endpoint = self._remembered.get(place)
        if endpoint is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()  # base URLs that were changed stay behind
            endpoint = self._remembered[place] = self._make(upstream)
        return endpoint

    def at(self, base_url: str, *, allow_private: bool) -> Endpoint:
        """The endpoint of an address that is not stored."""
        return self._upstreams.endpoint(base_url, allow_private=allow_private)

    def _make(self, upstream: Upstream) -> Endpoint:
        provider = upstream.provider
        if isinstance(provider, LocalProvider):
            return InProcessEndpoint(provider)
        return self.at(upstream.base_url, allow_private=upstream.allow_private)
