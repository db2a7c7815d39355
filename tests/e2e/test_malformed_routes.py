"""The same on every route of clients: a 4xx in the route's own shape, and nothing is sent."""

import json
from typing import Any

import pytest

from tests.e2e.conftest import Running
from tests.e2e.rawhttp import ask, post
from tests.fakes.upstream import FakeUpstream

TURN = {"role": "user", "content": "hello"}
CONTENT = {"parts": [{"text": "hello"}]}
GOOD: dict[str, Any] = {
    "/v1/chat/completions": {"model": "fake", "messages": [TURN]},
    "/v1/completions": {"model": "fake", "prompt": "hello"},
    "/v1/embeddings": {"model": "fake", "input": "hello"},
    "/v1/messages": {"model": "fake", "max_tokens": 9, "messages": [TURN]},
    "/v1/messages/count_tokens": {"model": "fake", "messages": [TURN]},
    "/v1/moderations": {"model": "fake", "input": "hello"},
    "/v1/rerank": {"model": "fake", "query": "hello", "documents": ["a"]},
    "/v2/rerank": {"model": "fake", "query": "hello", "documents": ["a"]},
    "/rerank": {"model": "fake", "query": "hello", "documents": ["a"]},
    "/v1/responses": {"model": "fake", "input": "hello"},
    "/v1beta/models/fake:generateContent": {"contents": [CONTENT]},
    "/v1beta/models/fake:streamGenerateContent": {"contents": [CONTENT]},
    "/v1beta/models/fake:countTokens": {"contents": [CONTENT]},
    "/v1beta/models/fake:embedContent": {"content": CONTENT},
    "/v1beta/models/fake:batchEmbedContents": {"requests": [{"content": CONTENT}]},
    "/v1/models/fake:generateContent": {"contents": [CONTENT]},
    "/v1/models/fake:embedContent": {"content": CONTENT},
}
ROUTES = list(GOOD)

WHOLE: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"hello",
    "cut off": b'{"model": "fa',
    "array": b"[]",
    "null": b"null",
    "a number": b"1",
    "bad UTF-8": b'{"model": "fake", "input": "\xff"}',
    "deep": b'{"model":"fake","messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
}
FIELDS: dict[str, bytes] = {
    "NaN": b'"x": NaN',
    "1e400": b'"x": 1e400',
    "5,000 digits": b'"x": ' + b"9" * 5000,
    "base_url": b'"base_url": "http://evil.invalid"',
    "api_key": b'"api_key": "x"',
}
WRONG: dict[str, list[dict[str, Any]]] = {
    "/v1/messages": [
        {"messages": "x"},
        {"messages": []},
        {"messages": ["x"]},
        {"max_tokens": None},
        {"max_tokens": -1},
        {"stream": "yes"},
        {"model": 1},
    ],
    "/v1/messages/count_tokens": [{"messages": "x"}, {"messages": ["x"]}, {"tools": "x"}],
    "/v1/moderations": [{"input": None}, {"input": []}, {"input": [1]}, {"model": 1}],
    "/v1/rerank": [
        {"query": None},
        {"query": 1},
        {"documents": "x"},
        {"documents": []},
        {"documents": [1]},
        {"top_n": 0},
        {"return_documents": "yes"},
        {"model": 1},
    ],
    "/v1/responses": [{"input": 1}, {"input": [1]}, {"stream": "yes"}, {"model": 1}],
    "/v1beta/models/fake:generateContent": [{"contents": "x"}, {"contents": [1]}, {"tools": "x"}],
    "/v1beta/models/fake:countTokens": [{"contents": 1}, {"generateContentRequest": "x"}],
    "/v1beta/models/fake:embedContent": [
        {"content": "x"},
        {"content": {"parts": []}},
        {"taskType": "ODD"},
        {"outputDimensionality": "x"},
        {"requests": [{"content": CONTENT}]},
    ],
    "/v1beta/models/fake:batchEmbedContents": [
        {"requests": []},
        {"requests": "x"},
        {"requests": [{}]},
        {"requests": None, "content": CONTENT},
    ],
}


def check_shape(path: str, status: int, answer: Any) -> None:
    """That an error is in the words of the route's clients."""
    if path.startswith("/v1/messages"):
        assert set(answer) == {"type", "error", "request_id"}
        assert answer["type"] == "error"
        assert set(answer["error"]) == {"type", "message"}
    elif ":" in path:
        assert set(answer) == {"error"}
        assert set(answer["error"]) <= {"code", "message", "status", "details"}
        assert answer["error"]["code"] == status
    else:
        assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["message"]


async def refused(running: Running, path: str, body: bytes, key: str) -> None:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    async with running.http.post(running.url + path, data=body, headers=headers) as response:
        answer = await response.json()
        assert response.status in (400, 404), (body[:80], answer)
    check_shape(path, response.status, answer)


@pytest.mark.parametrize("path", ROUTES)
async def test_a_malformed_body_is_told_what_is_wrong(
    running: Running, fake: FakeUpstream, path: str
) -> None:
    key = await running.key()
    good = json.dumps(GOOD[path]).encode()
    for body in WHOLE.values():
        await refused(running, path, body, key)
    for field in FIELDS.values():
        await refused(running, path, good[:-1] + b", " + field + b"}", key)
    for fields in WRONG.get(path, ()):
        await refused(running, path, json.dumps(GOOD[path] | fields).encode(), key)
    assert not fake.requests
    await running.ledger_holds()


@pytest.mark.parametrize("path", ROUTES)
async def test_a_good_body_is_served(running: Running, path: str) -> None:
    headers = {"authorization": f"Bearer {await running.key()}"}
    async with running.http.post(running.url + path, json=GOOD[path], headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["x-request-id"].startswith("req_")
    await running.ledger_holds()


@pytest.mark.parametrize("path", ROUTES)
async def test_authentication_comes_before_the_body_is_read(running: Running, path: str) -> None:
    answer = await ask(running.url, post(b"", key="condt_wrong", path=path, length=10_000_000))
    assert answer.status == 401
    check_shape(path, 401, json.loads(answer.body))


async def test_a_name_that_no_header_can_carry_is_named_all_the_same(running: Running) -> None:
    body = {"contents": [CONTENT], "a\u0096b\r\n": {"x": 1}}
    headers = {"authorization": f"Bearer {await running.key()}"}
    url = f"{running.url}/v1beta/models/fake:streamGenerateContent"
    async with running.http.post(url, json=body, headers=headers) as response:
        assert response.status == 200
        assert response.headers["x-conduit-dropped"] == "a?b??"
