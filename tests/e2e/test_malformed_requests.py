"""Whatever a client sends, it gets a 4xx that tells the truth, and never a 500."""

import json

import pytest

from tests.e2e.conftest import Running
from tests.e2e.rawhttp import ask, post
from tests.fakes.upstream import FakeUpstream

GOOD = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
DEEP = b'{"model":"fake","messages":' + b"[" * 5000 + b"]" * 5000 + b"}"

BODIES: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "not JSON": (b"hello", 400),
    "cut off": (b'{"model": "fa', 400),
    "array": (b"[]", 400),
    "null": (b"null", 400),
    "a number": (b"1", 400),
    "bad UTF-8": (b'{"model": "fake", "messages": [{"role": "user", "content": "\xff"}]}', 400),
    "deep": (DEEP, 400),
    "NaN": (b'{"model": "fake", "messages": [{}], "temperature": NaN}', 400),
    "Infinity": (b'{"model": "fake", "messages": [{}], "temperature": Infinity}', 400),
    "1e400": (b'{"model": "fake", "messages": [{}], "temperature": 1e400}', 400),
    "5,000 digits": (
        b'{"model": "fake", "messages": [{}], "max_tokens": ' + b"9" * 5000 + b"}",
        400,
    ),
    "no model": (b'{"messages": [{"role": "user", "content": "x"}]}', 400),
    "model is a number": (b'{"model": 1, "messages": [{}]}', 400),
    "model twice": (b'{"model": "fake", "model": "fake-n9", "messages": [{}]}', 400),
    "no messages": (b'{"model": "fake"}', 400),
    "messages is text": (b'{"model": "fake", "messages": "x"}', 400),
    "messages is empty": (b'{"model": "fake", "messages": []}', 400),
    "a message is text": (b'{"model": "fake", "messages": ["x"]}', 400),
    "stream is text": (b'{"model": "fake", "messages": [{}], "stream": "yes"}', 400),
    "max_tokens is negative": (b'{"model": "fake", "messages": [{}], "max_tokens": -1}', 400),
    "n is a list": (b'{"model": "fake", "messages": [{}], "n": [1]}', 400),
    "base_url": (b'{"model": "fake", "messages": [{}], "base_url": "http://evil.invalid"}', 400),
    "api_key": (b'{"model": "fake", "messages": [{}], "api_key": "x"}', 400),
    "a line break in the model": (b'{"model": "fake\\r\\nx: y", "messages": [{}]}', 404),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_malformed_body_is_told_what_is_wrong(
    running: Running, fake: FakeUpstream, name: str
) -> None:
    body, expected = BODIES[name]
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        data=body,
        headers={
            "authorization": f"Bearer {await running.key()}",
            "content-type": "application/json",
        },
    ) as response:
        answer = await response.json()
        assert response.status in (expected, 400), answer
    error = answer["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert not fake.requests
    await running.ledger_holds()


@pytest.mark.parametrize(
    "fields",
    [
        b'"service_tier":"\\ud83d"',
        b'"user":"\\ud83d"',
        b'"stream":true,"stream_options":{"x":"\\ud83d"}',
        b'"max_tokens":5,"metadata":{"\\ud83d":"\\ude00"}',
    ],
)
async def test_half_a_surrogate_pair_passes_wherever_it_stands(
    running: Running, fields: bytes
) -> None:
    key = await running.key(budget={"limit": "1"})
    body = b'{"model":"fake","messages":[{"role":"user","content":"\\ud83d"}],%b}' % fields
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        data=body,
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
    ) as response:
        assert response.status == 200, await response.text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-encoding": "gzip"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "multipart/form-data"}, 415),
    ],
)
async def test_a_body_in_another_form_is_refused(
    running: Running, headers: dict[str, str], status: int
) -> None:
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        data=json.dumps(GOOD).encode(),
        headers={
            "authorization": f"Bearer {await running.key()}",
            "content-type": "application/json",
        }
        | headers,
    ) as response:
        assert response.status == status
        assert (await response.json())["error"]["message"]


async def test_authentication_comes_before_the_body_is_read(running: Running) -> None:
    # The body never comes; the answer does all the same.
    answer = await ask(running.url, post(b"", key="condt_wrong", length=10_000_000))
    assert answer.status == 401


async def test_a_client_that_waits_for_continue_is_refused_without_its_body(
    running: Running,
) -> None:
    answer = await ask(running.url, post(b"", b"expect: 100-continue", length=100))
    assert answer.status == 401


async def test_paths_and_methods_that_are_not_there(running: Running) -> None:
    for method, path, status in (
        ("GET", "/v1/nowhere", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/nowhere", 404),
    ):
        async with running.http.request(method, running.url + path) as response:
            answer = await response.json()
            assert response.status == status
            assert answer["error"]["code"]
            assert response.headers["x-request-id"].startswith("req_")
            assert "server" not in response.headers


async def test_a_number_beyond_all_floats_is_refused_where_anything_may_stand(
    running: Running,
) -> None:
    for path, body in (
        ("/keys", b'{"name": "k", "metadata": {"x": [1e400]}}'),
        (
            "/mappings",
            b'{"alias": "a", "targets": [{"provider": "fake", "params": {"x": -1e999}}]}',
        ),
    ):
        async with running.http.post(
            f"{running.admin_url}/admin{path}",
            data=body,
            headers={
                "authorization": f"Bearer {running.master_key}",
                "content-type": "application/json",
            },
        ) as response:
            refusal = (await response.json())["error"]
        assert (response.status, refusal["param"]) == (422, "x")
