"""What a mapping or a credential is guarded by: slow streams, circles, refused credentials."""

from typing import Any

import pytest

from conduit.gateway.stages import relay
from tests.e2e.conftest import Running
from tests.fakes.answering import answering
from tests.fakes.upstream import FakeUpstream

HELLO = [{"role": "user", "content": "hello"}]


async def ask(
    running: Running,
    key: str,
    model: str,
    headers: dict[str, str] | None = None,
    *,
    stream: bool = False,
) -> tuple[int, str]:
    """Status and all that was answered."""
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"model": model, "messages": HELLO, "stream": stream},
        headers={"authorization": f"Bearer {key}", **(headers or {})},
    ) as response:
        return response.status, await response.text()


async def mapped(running: Running, alias: str, *targets: tuple[str, str], **fields: Any) -> None:
    found = [
        {"provider": provider, "model": model, "order": order}
        for order, (provider, model) in enumerate(targets)
    ]
    await running.admin("POST", "/mappings", {"alias": alias, "targets": found, **fields})


async def test_a_stream_that_falls_silent_for_longer_than_its_alias_allows_is_given_up(
    running: Running,
) -> None:
    key = await running.key()
    await mapped(running, "brisk", ("fake", "fake-n3-gap5000"), policy={"stream_idle_s": 0.2})
    status, text = await ask(running, key, "brisk", stream=True)
    assert status == 200
    assert "upstream_timeout" in text
    assert "[DONE]" not in text
    assert (await running.last_record())["error_code"] == "upstream_timeout"


async def test_a_stream_that_crawls_is_given_up(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await running.key()
    monkeypatch.setattr(relay, "_GRACE_S", 0.1)
    rule = {"stream_min_tokens_per_s": 1000}
    await mapped(running, "brisk", ("fake", "fake-n200-gap20"), policy=rule)
    status, text = await ask(running, key, "brisk", stream=True)
    assert status == 200
    assert "tokens a second" in text
    assert "[DONE]" not in text


async def test_a_request_that_goes_round_in_circles_is_ended(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key()
    assert (await ask(running, key, "fake", {"x-conduit-hops": "2"}))[0] == 200
    assert dict(fake.requests[0].headers)["x-conduit-hops"] == "3"
    status, text = await ask(running, key, "fake", {"x-conduit-hops": "3"})
    assert status == 508
    assert "request_loop" in text
    assert len(fake.requests) == 1


@pytest.mark.parametrize(("breakers", "last"), [(True, 503), (False, 502)])
async def test_a_mapping_without_breakers_goes_on_asking(
    running: Running, fake: FakeUpstream, breakers: bool, last: int
) -> None:
    key = await running.key()
    await mapped(running, "stubborn", ("fake", "fake-status500"), policy={"breakers": breakers})
    for _ in range(3):  # of three attempts each
        await ask(running, key, "stubborn")
    asked = len(fake.requests)
    assert (await ask(running, key, "stubborn"))[0] == last
    assert (len(fake.requests) > asked) is not breakers


@pytest.mark.parametrize(
    ("refusal", "state"), [(429, "no_quota"), (403, "no_permission"), (401, "invalid_key")]
)
async def test_a_credential_that_is_refused_is_left_out_until_it_is_reset(
    running: Running, fake: FakeUpstream, refusal: int, state: str
) -> None:
    async with answering() as server:
        server.refusal = refusal
        provider = {
            "name": "other",
            "type": "openai_compatible",
            "base_url": server.url + "/v1",
            "credential": {"secret": "sk-other-0123456789"},
        }
        await running.admin("POST", "/providers", provider)
        await mapped(running, "both", ("other", "gpt"), ("fake", "fake"))
        key = await running.key()
        assert [(await ask(running, key, "both"))[0] for _ in range(3)] == [200] * 3
        assert len(server.keys) == 1
        states = {
            each["provider"]: each["state"]
            for each in (await running.admin("GET", "/health/deployments"))["data"]
        }
        assert (states["other"], states["fake"]) == (state, "ready")
        await running.admin("POST", "/breakers/reset", {"provider": "other"}, status=200)
        assert (await ask(running, key, "both"))[0] == 200
        assert len(server.keys) == 2


async def test_what_the_star_of_an_alias_took_is_what_a_provider_is_asked_for(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key()
    await mapped(running, "vendor/*", ("fake", "{*}"))
    assert (await ask(running, key, "vendor/fake-n3"))[0] == 200
    assert fake.requests[0].json["model"] == "fake-n3"
