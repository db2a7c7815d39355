"""Hostile heads and bodies get a 4xx that repeats nothing, or a hang-up; never a 500."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.attacks import BODIES, FRAMED, GOOD, HEADS, LARGEST_BODY
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.e2e.rawhttp import CHAT, RawAnswer, ask, chunked, connected, get, post
from tests.fakes.upstream import FakeUpstream

MARK = b"canary"


@pytest.fixture
async def abused(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    """A gateway whose bodies are as large as the attacks suppose."""
    async with running_gateway(tmp_path / "home", body_limit_bytes=LARGEST_BODY) as gateway:
        await connect_fake(gateway, fake)
        yield gateway


def unexpected(answers: Mapping[str, tuple[RawAnswer, tuple[int, ...]]]) -> dict[str, RawAnswer]:
    """The answers that are not what they should be."""
    return {
        name: answer
        for name, (answer, statuses) in answers.items()
        if answer.status not in statuses or not (answer.closed or answer.is_openai_refusal())
    }


async def test_hostile_heads_are_refused(abused: Running) -> None:
    answers = {
        name: (await ask(abused.url, attack.data), attack.statuses)
        for name, attack in HEADS.items()
    }
    assert unexpected(answers) == {}
    async with abused.http.get(f"{abused.url}/health/live") as response:
        assert response.status == 200


async def test_hostile_bodies_are_refused(abused: Running, fake: FakeUpstream) -> None:
    key = await abused.key()
    answers = {
        name: (await ask(abused.url, post(body, key=key)), (status,))
        for name, (body, status) in BODIES.items()
    }
    assert unexpected(answers) == {}
    assert {name for name, (answer, _) in answers.items() if len(answer.body) > 1000} == set()
    assert fake.requests == []
    await abused.ledger_holds()


async def test_bodies_framed_to_deceive_are_refused(abused: Running, fake: FakeUpstream) -> None:
    key = await abused.key()
    answers = {
        name: (await ask(abused.url, post(body, *headers, key=key)), statuses)
        for name, (body, headers, statuses) in FRAMED.items()
    }
    assert unexpected(answers) == {}
    assert fake.requests == []
    await abused.ledger_holds()


@pytest.mark.parametrize(
    "headers",
    [
        (b"content-length: 5", b"transfer-encoding: chunked"),
        (b"transfer-encoding: chunked", b"content-length: 5"),
        (b"content-length: 5", b"content-length: 6"),
        (b"transfer-encoding: xchunked",),
        (b"transfer-encoding : chunked",),
        (b"transfer-encoding: chunked", b"transfer-encoding: identity"),
        (b"content-length: 5\r\n folded: yes",),
    ],
)
async def test_a_request_hidden_in_a_body_is_never_served(
    abused: Running, fake: FakeUpstream, headers: tuple[bytes, ...]
) -> None:
    key = await abused.key()
    hidden = post(GOOD, key=key)
    async with connected(abused.url) as connection:
        await connection.send(post(chunked() + hidden, *headers, key=key))
        answer = await connection.answer()
        assert answer.is_openai_refusal()
        assert answer.status == 400
        assert await connection.rest() == b""  # one answer, and the connection is over
    assert fake.requests == []


async def test_requests_that_follow_one_another_are_told_apart(abused: Running) -> None:
    key = await abused.key()
    async with connected(abused.url) as connection:
        await connection.send(
            post(GOOD, key=key)
            + post(chunked(GOOD[:10], GOOD[10:]), b"transfer-encoding: chunked", key=key)
            + post(b"[]", key=key)
            + get("/v1/models", key=key)
        )
        statuses = [(await connection.answer()).status for _ in range(4)]
    assert statuses == [200, 200, 400, 200]


async def test_a_refusal_repeats_nothing_of_what_is_not_http(abused: Running) -> None:
    for data in (
        MARK * 20 + b"\r\n\r\n",
        b"GET /" + MARK + b" HTTP/9.9\r\n\r\n",
        get("/v1/models", MARK + b" : x"),
        get("/v1/models", b"x: y\r\n " + MARK),
        get("/v1/models", b"x: " + MARK * 2000),
        post(b"", b"transfer-encoding: " + MARK),
    ):
        answer = await ask(abused.url, data)
        assert MARK not in answer.body
        assert MARK.decode() not in str(answer.headers)


async def test_no_web_page_is_let_in(abused: Running) -> None:
    wish = (b"origin: https://evil.example", b"access-control-request-method: POST")
    for path in (CHAT, "/v1/models", "/admin/keys", "/health/live", "/socket.io/"):
        data = get(path, *wish).replace(b"GET", b"OPTIONS", 1)
        for answer in (await ask(abused.url, data), await ask(abused.url, get(path, *wish))):
            assert not any(name.startswith("access-control") for name in answer.headers), path
            assert answer.headers["content-security-policy"].startswith("default-src 'none'")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "server" not in answer.headers


async def test_only_the_headers_of_the_dialect_go_on_to_a_provider(
    abused: Running, fake: FakeUpstream
) -> None:
    answer = await ask(
        abused.url,
        post(
            GOOD,
            b"openai-beta: assistants=v2",
            b"openai-organization: org_1",
            b"openai-project: \xff\xfe",
            b"connection: keep-alive, OpenAI-Organization",
            b"cookie: session=1",
            b"x-forwarded-for: 198.51.100.7",
            b"forwarded: for=198.51.100.7",
            b"proxy-authorization: Basic eDp5",
            b"te: trailers",
            b"keep-alive: timeout=5",
            b"x-api-key: mine",
            b"x-anything: else",
            b"user-agent: mine",
            key=await abused.key(),
        ),
    )
    assert answer.status == 200
    sent = fake.requests[-1].headers
    assert {name.lower() for name in sent} == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "authorization",
        "x-client-request-id",
        "openai-beta",
        "x-conduit-hops",
    }
    assert sent["openai-beta"] == "assistants=v2"
    assert sent["user-agent"].startswith("conduit/")
