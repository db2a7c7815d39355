"""`GET /openapi.json` over a socket."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from conduit.gateway.openapi.document import document, document_bytes
from conduit.gateway.routes import openapi
from conduit.gateway.server.headers import finish_headers


@pytest.fixture
async def client() -> AsyncIterator[TestClient[Any, Any]]:
    app = web.Application()
    app.on_response_prepare.append(finish_headers)
    app.add_routes(openapi.routes(document_bytes))
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def test_the_document_is_served_without_a_key(client: TestClient[Any, Any]) -> None:
    async with client.get("/openapi.json") as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert json.loads(await response.read()) == document()


async def test_who_has_the_document_is_not_sent_it_again(client: TestClient[Any, Any]) -> None:
    async with client.get("/openapi.json") as response:
        etag = response.headers["etag"]
        assert response.headers["cache-control"] == "no-cache"
    async with client.get("/openapi.json", headers={"if-none-match": f'"x", {etag}'}) as response:
        assert (response.status, await response.read()) == (304, b"")
        assert response.headers["etag"] == etag
    async with client.get("/openapi.json", headers={"if-none-match": '"x"'}) as response:
        assert response.status == 200
