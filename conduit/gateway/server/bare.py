"""Answers that finish their headers by themselves, as no application does it for them."""

from aiohttp import web

from conduit.gateway.server.headers import finish_headers


class _Finished(web.StreamResponse):
    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        request = self._req
        assert request is not None, "a response is prepared for a request"
        await finish_headers(request, self)


class BareStream(_Finished):
    """A streamed answer to a request that passes no application."""


class BareResponse(_Finished, web.Response):
    """A whole one."""
