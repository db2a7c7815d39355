"""What the head of an error tells a client: how often was asked, and when to ask again."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import Running
from tests.e2e.rawhttp import ask, get, post

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}


async def refused(
    running: Running, model: str, headers: Mapping[str, str] | None = None, *, key: str = ""
) -> aiohttp.ClientResponse:
    key = key or await running.key()
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"model": model, **ASKED},
        headers={"authorization": f"Bearer {key}", **(headers or {})},
    ) as response:
        await response.read()
        return response


@pytest.mark.parametrize(
    ("model", "status", "attempts"),
    [("fake-status500", 502, "3"), ("fake-status401", 502, "1"), ("fake-status403", 502, "1")],
)
async def test_an_error_after_all_attempts_says_how_many_and_that_no_more_are_of_use(
    running: Running, model: str, status: int, attempts: str
) -> None:
    response = await refused(running, model)
    assert response.status == status
    assert response.headers["x-conduit-attempts"] == attempts
    assert response.headers["x-should-retry"] == "false"
    revision = running.gateway.configuration.snapshot.revision
    assert response.headers["x-conduit-config"] == str(revision)


async def test_a_deadline_that_has_passed_is_not_to_be_tried_again_by_the_sdk(
    running: Running,
) -> None:
    response = await refused(running, "fake-delay5000", {"x-conduit-timeout-ms": "1100"})
    assert response.status == 504
    assert response.headers["x-conduit-attempts"] == "1"
    assert response.headers["x-should-retry"] == "false"


async def test_a_status_that_has_no_name_is_passed_on_as_any(running: Running) -> None:
    key = await running.key()
    for status in sorted(set(range(400, 500)) - set(HTTPStatus)):
        assert (await refused(running, f"fake-status{status}", key=key)).status == status


async def test_a_rate_limit_always_says_when(running: Running) -> None:
    response = await refused(running, "fake-status429")
    assert response.status == 429
    assert int(response.headers["retry-after"]) >= 1
    assert "x-should-retry" not in response.headers


async def test_a_request_of_which_nothing_was_sent_says_so(running: Running) -> None:
    response = await refused(running, "no-such-model")
    assert (response.status, response.headers["x-conduit-attempts"]) == (404, "0")


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "x-goog-api-key"])
async def test_two_keys_are_refused_in_words_of_their_own(running: Running, name: str) -> None:
    key = await running.key()
    value = f"Bearer {key}" if name == "authorization" else key
    twice = [f"{name}: {value}".encode()] * 2
    body = b'{"model": "fake", "messages": [{"role": "user", "content": "hello"}]}'
    for request in (post(body, *twice), get("/v1/models", *twice)):
        answer = await ask(running.url, request)
        assert answer.status == 401
        assert f"2 {name} headers: send one" in answer.body.decode().lower()


async def test_two_keys_for_the_admin_api_too(running: Running) -> None:
    twice = [f"authorization: Bearer {running.master_key}".encode()] * 2
    answer = await ask(running.url, get("/admin/keys", *twice))
    assert answer.status == 401
    assert "2 authorization headers: send one" in answer.body.decode().lower()
