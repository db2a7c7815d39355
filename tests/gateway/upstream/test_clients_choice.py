"""Which client the setting gives."""

import pytest

from conduit.gateway.upstream import clients
from conduit.gateway.upstream.aiohttp_client import AiohttpUpstreams
from conduit.gateway.upstream.clients import open_client
from conduit.gateway.upstream.http1 import Http1Upstreams
from conduit.gateway.upstream.options import ClientOptions


async def test_the_setting_chooses_the_client() -> None:
    assert isinstance(open_client("http1", ClientOptions()), Http1Upstreams)
    assert isinstance(open_client("aiohttp", ClientOptions()), AiohttpUpstreams)


async def test_aiohttps_client_serves_where_the_parser_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clients, "HAS_HTTP1", False)
    assert isinstance(open_client("http1", ClientOptions()), AiohttpUpstreams)
    assert "httptools is not installed" in caplog.text
