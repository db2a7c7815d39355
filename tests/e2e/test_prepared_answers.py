"""Answers that are written as one piece of bytes, and those that cannot be."""

from tests.e2e.attacks import GOOD
from tests.e2e.conftest import Running
from tests.e2e.rawhttp import CHAT, connected, post


async def test_one_connection_serves_one_answer_after_another(running: Running) -> None:
    key = await running.key()
    async with connected(running.url) as client:
        for _ in range(3):
            await client.send(post(GOOD, key=key))
            answer = await client.answer()
            assert answer.status == 200
            assert answer.headers["x-request-id"].startswith("req_")
            assert "connection" not in answer.headers
            assert "server" not in answer.headers


async def test_requests_sent_together_are_answered_in_their_order(running: Running) -> None:
    key = await running.key()
    async with connected(running.url) as client:
        await client.send(post(GOOD, key=key) * 3)
        ids = [(await client.answer()).headers["x-request-id"] for _ in range(3)]
    assert ids == sorted(set(ids))


async def test_a_client_that_wants_the_connection_closed_is_told_and_gets_it(
    running: Running,
) -> None:
    key = await running.key()
    async with connected(running.url) as client:
        await client.send(post(GOOD, b"Connection: close", key=key))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.rest() == b""


async def test_a_client_of_older_http_is_answered_in_it(running: Running) -> None:
    key = await running.key()
    async with connected(running.url) as client:
        await client.send(post(GOOD, key=key).replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = await client.answer()
        assert answer.status == 200
        assert b'"choices"' in answer.body
        assert await client.rest() == b""


async def test_other_methods_and_expectations_go_through_the_application(
    running: Running,
) -> None:
    key = await running.key()
    async with connected(running.url) as client:
        await client.send(post(GOOD, b"Expect: 100-continue", key=key))
        assert (await client.answer()).status == 200
    async with running.http.get(running.url + CHAT) as refused:
        assert (refused.status, refused.headers["allow"]) == (405, "POST")
        assert (await refused.json())["error"]["code"] == "method_not_allowed"
