"""Answers that are kept: one call for the same question, and none that is not meant to be kept."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.cache.answers import Unwanted
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.behaviour import Behaviour, Fault
from tests.fakes.upstream import FakeUpstream

CHAT = "/v1/chat/completions"
COST = "0.00008"  # 12 tokens in, 34 out
MESSAGES = [{"role": "user", "content": "Say hello."}]
ROUTES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": (CHAT, {"model": "fake", "messages": MESSAGES}),
    "completion": ("/v1/completions", {"model": "fake", "prompt": "Once"}),
    "anthropic": ("/v1/messages", {"model": "fake", "max_tokens": 50, "messages": MESSAGES}),
    "responses": ("/v1/responses", {"model": "fake", "input": "Say hello."}),
    "gemini": (
        "/v1beta/models/fake:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]},
    ),
    "gemini_array": (
        "/v1beta/models/fake:streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]},
    ),
}
WHOLE: Mapping[str, tuple[str, dict[str, Any]]] = {
    **{name: ROUTES[name] for name in ("openai_chat", "completion", "anthropic", "responses")},
    "gemini": ("/v1beta/models/fake:generateContent", ROUTES["gemini"][1]),
    "embedding": ("/v1/embeddings", {"model": "fake", "input": ["one", "two"]}),
    "gemini_embedding": (
        "/v1beta/models/fake:embedContent",
        {"content": {"parts": [{"text": "one"}]}},
    ),
    "rerank": ("/v2/rerank", {"model": "fake", "query": "q", "documents": ["a", "b"]}),
    "moderation": ("/v1/moderations", {"model": "fake", "input": "text"}),
}


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def cache(self) -> str | None:
        return self.headers.get("x-conduit-cache")


async def ask(
    running: Running,
    key: str,
    body: Mapping[str, Any] | None = None,
    *,
    path: str = CHAT,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Got:
    asked = {"model": "fake", "messages": MESSAGES} if body is None else body
    async with running.http.post(
        running.url + path,
        json={**asked, **fields},
        headers={"authorization": f"Bearer {key}", **(headers or {})},
    ) as response:
        return Got(response.status, response.headers, await response.read())


async def kept_for(running: Running, ttl_s: int = 60, *, scope: str = "key") -> None:
    policy = {"cache_ttl_s": ttl_s, "cache_scope": scope}
    await running.admin("PATCH", "/mappings/fake*", {"policy": policy})


@pytest.fixture
async def key(running: Running) -> str:
    await kept_for(running)
    return await running.key()


@pytest.fixture
async def once(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Running]:
    """A gateway that asks once for each request."""
    async with running_gateway(tmp_path / "once", max_attempts=1) as gateway:
        await connect_fake(gateway, fake)
        await kept_for(gateway)
        yield gateway


async def test_nothing_is_kept_unless_the_alias_says_so(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key()
    assert [(await ask(running, key)).cache for _ in range(2)] == [None, None]
    assert len(fake.requests) == 2
    assert (await running.last_record())["cache"] is None


@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_answer_is_given_again_for_nothing(
    running: Running, fake: FakeUpstream, key: str, name: str
) -> None:
    path, body = WHOLE[name]
    first = await ask(running, key, body, path=path)
    record = await running.last_record()
    assert (first.status, first.cache, record["cache"]) == (200, "miss", "miss")
    again = await ask(running, key, body, path=path)
    assert (again.status, again.cache, again.headers["age"]) == (200, "hit", "0")
    assert again.body == first.body
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert (again.headers["x-conduit-cost"], again.headers["x-conduit-attempts"]) == ("0.00", "0")
    assert again.headers["x-conduit-provider"] == "fake"
    assert again.headers["content-type"] == first.headers["content-type"]
    if name == "anthropic":
        assert again.headers["request-id"] == again.headers["x-request-id"]
    assert len(fake.requests) == 1
    hit = await running.last_record()
    assert hit["id"] == again.headers["x-request-id"]
    assert (hit["cache"], hit["outcome"], hit["status"]) == ("hit", "succeeded", 200)
    assert (hit["cost"], hit["avoided"], record["avoided"]) == ("0.00", record["cost"], "0.00")
    assert (hit["attempts"], hit["input_tokens"], hit["usage_source"]) == (0, 0, "none")
    await running.ledger_holds()


@pytest.mark.parametrize("name", ROUTES)
async def test_a_stream_is_replayed_to_the_byte(
    running: Running, fake: FakeUpstream, key: str, name: str
) -> None:
    path, body = ROUTES[name]
    streamed = body if "gemini" in name else {**body, "stream": True}
    first = await ask(running, key, streamed, path=path)
    assert (first.status, first.cache) == (200, "miss")
    assert len(fake.requests) == 1
    again = await ask(running, key, streamed, path=path)
    assert (again.status, again.cache) == (200, "hit")
    assert again.body == first.body
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(fake.requests) == 1
    if "gemini" not in name:  # whole and streamed are two things
        assert (await ask(running, key, body, path=path)).cache == "miss"
    await running.ledger_holds()


async def test_a_large_stream_is_replayed_in_pieces(running: Running, key: str) -> None:
    body = {"model": "fake-size300000", "messages": MESSAGES, "stream": True}
    first, again = await ask(running, key, body), await ask(running, key, body)
    assert (first.cache, again.cache) == ("miss", "hit")
    assert first.body == again.body
    assert len(first.body) > 300_000


async def test_openai_s_sdk_gets_an_answer_that_was_kept(running: Running, key: str) -> None:
    client = running.openai(key)
    texts = []
    for cache in ("miss", "hit"):
        raw = await client.chat.completions.with_raw_response.create(
            model="fake", messages=[{"role": "user", "content": "Say hello."}]
        )
        assert raw.headers["x-conduit-cache"] == cache
        texts.append(raw.parse().choices[0].message.content)
    assert texts[0] == texts[1]
    streamed = []
    for _ in range(2):
        stream = await client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "Say hello."}], stream=True
        )
        streamed.append([chunk.model_dump_json() async for chunk in stream])
    assert streamed[0] == streamed[1]
    assert (await running.last_record())["cache"] == "hit"


@pytest.mark.parametrize("streamed", [False, True])
async def test_50_identical_requests_at_once_make_one_call(
    running: Running, fake: FakeUpstream, key: str, streamed: bool
) -> None:
    body = {"model": "fake-n5-gap20-delay50", "messages": MESSAGES, "stream": streamed}
    answers = await asyncio.gather(*(ask(running, key, body) for _ in range(50)))
    assert Counter(each.cache for each in answers) == {"hit": 49, "miss": 1}
    assert len({each.body for each in answers}) == 1
    assert len(fake.requests) == 1
    await running.gateway.ledger.caught_up()
    rows = (await running.admin("GET", "/requests?limit=100"))["data"]
    assert Counter((row["cache"], row["cost"], row["avoided"]) for row in rows) == {
        ("miss", COST, "0.00"): 1,
        ("hit", "0.00", COST): 49,
    }
    await running.ledger_holds()


async def test_keys_do_not_see_each_other_s_answers(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    other = await running.key("other")
    body = {"model": "fake-delay50", "messages": MESSAGES}
    answers = await asyncio.gather(ask(running, key, body), ask(running, other, body))
    assert [each.cache for each in answers] == ["miss", "miss"]
    assert len(fake.requests) == 2
    assert [(await ask(running, each, body)).cache for each in (key, other)] == ["hit", "hit"]


async def test_a_kept_answer_tells_of_the_limits_of_the_key_that_gets_it(running: Running) -> None:
    await kept_for(running, scope="shared")
    limits = [{"kind": "rpm", "limit": 7}, {"kind": "tpm", "limit": 5_000}]
    first = await running.key("first", limits=[{"kind": "rpm", "limit": 999}])
    second = await running.key("second", limits=limits)
    free = await running.key("free")
    got = [await ask(running, each) for each in (first, second, free)]
    assert [each.cache for each in got] == ["miss", "hit", "hit"]
    told = [each.headers.get("x-ratelimit-limit-requests") for each in got]
    assert told == ["999", "7", None]
    rpm, tpm = (await running.admin("GET", "/keys/second"))["limits"]
    assert (rpm["remaining"], tpm["remaining"]) == (6, 5_000)  # a request, and no tokens of a model


async def test_keys_share_answers_where_the_alias_says_so(
    running: Running, fake: FakeUpstream
) -> None:
    await kept_for(running, scope="shared")
    keys = [await running.key(name) for name in ("one", "two")]
    answers = [await ask(running, each) for each in keys]
    assert [each.cache for each in answers] == ["miss", "hit"]
    assert len(fake.requests) == 1
    barred = await running.key("barred", allowed_models=["other"])
    assert (await ask(running, barred)).status == 403


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (Behaviour(status=400), 400),
        (Behaviour(status=500), 502),
        (Behaviour(status=422), 422),
        (Behaviour(raw_body=b"{"), 502),
    ],
)
async def test_an_error_is_never_kept(
    once: Running, fake: FakeUpstream, behaviour: Behaviour, status: int
) -> None:
    key = await once.key()
    fake.default = behaviour
    for count in (1, 2):
        answer = await ask(once, key)
        assert (answer.status, answer.cache) == (status, None)
        assert len(fake.requests) == count
    record = await once.last_record()
    assert (record["status"], record["cache"], record["avoided"]) == (status, "miss", "0.00")
    fake.default = None
    assert [(await ask(once, key)).cache for _ in range(2)] == ["miss", "hit"]


@pytest.mark.parametrize(
    "fault",
    [Fault.CUT_FIN, Fault.CUT_RST, Fault.CUT_IN_EVENT, Fault.ERROR_EVENT, Fault.FIRST_ERROR],
)
async def test_a_stream_that_ends_badly_is_never_kept(
    once: Running, fake: FakeUpstream, fault: Fault
) -> None:
    key = await once.key()
    fake.script(Behaviour(fault=fault, gap_s=0.005))
    first = await ask(once, key, stream=True)
    assert b"[DONE]" not in first.body
    again = await ask(once, key, stream=True)
    assert again.cache == "miss"
    assert again.body.endswith(b"data: [DONE]\n\n")
    assert len(fake.requests) == 2


async def test_no_store_neither_finds_nor_keeps(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    silent = {"cache-control": "no-store"}
    for streamed in (False, True):
        wanted = ["bypass", "miss", "hit", "bypass", "hit"]
        for headers, expected in zip([silent, {}, {}, silent, {}], wanted, strict=True):
            answer = await ask(running, key, headers=headers, stream=streamed)
            assert answer.cache == expected
        assert (await running.last_record())["cache"] == "hit"
    assert len(fake.requests) == 6


async def test_no_cache_finds_nothing_and_keeps_the_new_answer(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    fake.script(Behaviour(text="old"), Behaviour(text="new"))
    assert b"old" in (await ask(running, key)).body
    refreshed = await ask(running, key, headers={"cache-control": "no-cache"})
    assert (refreshed.cache, b"new" in refreshed.body) == ("bypass", True)
    again = await ask(running, key)
    assert (again.cache, b"new" in again.body) == ("hit", True)


async def test_an_answer_ends_with_its_lifetime(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    now = 1_000.0
    running.gateway.cache.store.clock = lambda: now
    seen = []
    for at in (1_000.0, 1_059.0, 1_060.0, 1_061.0):
        now = at
        answer = await ask(running, key)
        seen.append((answer.cache, answer.headers.get("age")))
    assert seen == [("miss", None), ("hit", "59"), ("miss", None), ("hit", "1")]
    now = 1_075.0
    fresh = await ask(running, key, headers={"cache-control": "max-age=20"})
    fresher = await ask(running, key, headers={"cache-control": "max-age=10"})
    assert (fresh.cache, fresher.cache) == ("hit", "miss")
    assert len(fake.requests) == 3


async def test_a_changed_mapping_does_not_answer_from_before(running: Running, key: str) -> None:
    assert (await ask(running, key)).cache == "miss"
    params = [{"provider": "fake", "model": "*", "params": {"temperature": 0}}]
    await running.admin("PATCH", "/mappings/fake*", {"targets": params})
    assert (await ask(running, key)).cache == "miss"
    assert (await ask(running, key)).cache == "hit"
    await running.admin("DELETE", "/mappings/fake*")
    assert (await ask(running, key)).status == 404


async def test_what_a_provider_is_told_in_headers_makes_another_request(
    running: Running, key: str
) -> None:
    betas = [{}, {"openai-beta": "a"}, {"openai-beta": "b"}, {"openai-beta": "a"}]
    answers = [await ask(running, key, headers=headers) for headers in betas]
    assert [each.cache for each in answers] == ["miss", "miss", "miss", "hit"]


async def test_a_call_that_changes_something_at_its_provider_passes_by(
    running: Running, key: str
) -> None:
    body = {"model": "fake", "max_tokens": 5, "messages": MESSAGES, "container": "c"}
    answers = [await ask(running, key, body, path="/v1/messages") for _ in range(2)]
    assert {each.cache for each in answers} <= {"bypass", None}
    assert (await running.last_record())["cache"] == "bypass"


@pytest.mark.parametrize("streamed", [False, True])
async def test_too_large_an_answer_passes_by(
    running: Running, fake: FakeUpstream, key: str, streamed: bool
) -> None:
    body = {"model": "fake-size1200000", "messages": MESSAGES, "stream": streamed}
    answers = [await ask(running, key, body) for _ in range(2)]
    assert [each.cache for each in answers] == ["miss" if streamed else "bypass"] * 2
    assert (await running.last_record())["cache"] == "bypass"
    assert len(fake.requests) == 2


async def test_an_answer_that_a_budget_shortened_is_not_kept(
    running: Running, fake: FakeUpstream
) -> None:
    await kept_for(running)
    poor = await running.key("poor", budget={"limit": "0.002"})
    capped = await ask(running, poor)
    assert "x-conduit-output-cap" in capped.headers
    assert capped.cache == "bypass"
    assert (await ask(running, poor)).cache == "bypass"
    assert len(fake.requests) == 2


async def test_a_hit_leaves_budgets_alone_and_a_spent_one_gets_none(
    running: Running, fake: FakeUpstream
) -> None:
    await kept_for(running)
    key = await running.key("poor", budget={"limit": "0.0005"})
    assert [(await ask(running, key, max_tokens=200)).cache for _ in range(4)] == ["miss"] + [
        "hit"
    ] * 3
    (budget,) = (await running.admin("GET", "/keys/poor"))["budgets"]
    assert (budget["spent"], budget["held"]) == (COST, "0.00")
    await running.admin("PATCH", f"/budgets/{budget['id']}", {"limit": "0.00001"})
    refused = await ask(running, key, max_tokens=200)
    assert (refused.status, refused.cache) == (429, None)
    assert len(fake.requests) == 1


async def test_the_first_that_hangs_up_lets_one_other_ask(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(gate=gate), Behaviour(text="second"))
    body = {"model": "fake", "messages": MESSAGES, "stream": True}
    leader = asyncio.create_task(ask(running, key, body))
    await fake.request(1)
    others = [asyncio.create_task(ask(running, key, body)) for _ in range(5)]
    await waiting(running, 6)
    leader.cancel()
    answers = await asyncio.gather(*others)
    assert Counter(each.cache for each in answers) == {"miss": 1, "hit": 4}
    assert all(b"second" in each.body for each in answers)
    assert len(fake.requests) == 2
    await asyncio.wait_for(fake.requests[0].aborted.wait(), 5)
    await running.ledger_holds()


async def test_followers_that_hang_up_harm_nobody(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(gate=gate))
    body = {"model": "fake", "messages": MESSAGES, "stream": True}
    leader = asyncio.create_task(ask(running, key, body))
    await fake.request(1)
    gone, stays = (asyncio.create_task(ask(running, key, body)) for _ in range(2))
    await waiting(running, 3)
    gone.cancel()
    await waiting(running, 2)
    gate.set()
    assert [(await each).cache for each in (leader, stays)] == ["miss", "hit"]
    assert len(fake.requests) == 1
    await running.gateway.ledger.caught_up()
    rows = (await running.admin("GET", "/requests?filter=outcome:client_gone"))["data"]
    assert [(row["status"], row["cost"], row["attempts"]) for row in rows] == [(499, "0.00", 0)]


async def test_after_a_failure_the_others_ask_one_after_another(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    fake.script(Behaviour(status=400, delay_s=0.1), Behaviour(status=400, delay_s=0.1))
    answers = await asyncio.gather(*(ask(running, key) for _ in range(10)))
    assert Counter((each.status, each.cache) for each in answers) == {
        (400, None): 2,
        (200, "miss"): 1,
        (200, "hit"): 7,
    }
    assert len(fake.requests) == 3
    assert fake.peak_in_flight == 1


async def test_clearing_while_an_answer_is_on_its_way_keeps_it_out(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(gate=gate))
    body = {"model": "fake", "messages": MESSAGES, "stream": True}
    before = asyncio.create_task(ask(running, key, body))
    await fake.request(1)
    assert running.gateway.cache.clear(Unwanted()) == 0
    assert (await ask(running, key, body)).cache == "miss"
    gate.set()
    assert (await before).cache == "miss"
    assert (await ask(running, key, body)).cache == "hit"
    assert len(fake.requests) == 2


async def test_a_hit_is_kept_with_its_body_where_bodies_are_kept(running: Running) -> None:
    await kept_for(running)
    key = await running.key("watched", log_bodies=True)
    for cache in ("miss", "hit"):
        answer = await ask(running, key)
        kept = await running.admin("GET", f"/requests/{answer.headers['x-request-id']}/bodies")
        assert kept["response"]["headers"]["x-conduit-cache"] == cache
        assert json.loads(kept["response"]["body"]) == json.loads(answer.body)


async def test_nobody_waits_longer_than_for_the_first_byte_of_an_answer(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(gate=gate), Behaviour(text="own"))
    body = {"model": "fake", "messages": MESSAGES, "stream": True}
    async with running_gateway(tmp_path / "home", first_event_timeout_s=1.0) as running:
        await connect_fake(running, fake)
        await kept_for(running)
        key = await running.key()
        leader = asyncio.create_task(ask(running, key, body))
        await fake.request(1)
        alone = await ask(running, key, body)
        assert (alone.cache, b"own" in alone.body, leader.done()) == ("miss", True, False)
        gate.set()
        assert (await leader).cache == "miss"
        assert len(fake.requests) == 2


async def test_limits_change_while_the_gateway_runs(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    assert [(await ask(running, key)).cache for _ in range(2)] == ["miss", "hit"]
    await running.admin("PATCH", "/config", {"values": {"cache_limit_bytes": 0}})
    assert (await running.admin("GET", "/cache"))["entries"] == 0
    assert [(await ask(running, key)).cache for _ in range(2)] == ["bypass", "bypass"]
    await running.admin("PATCH", "/config", {"values": {"cache_limit_bytes": None}})
    assert [(await ask(running, key)).cache for _ in range(2)] == ["miss", "hit"]


async def test_what_another_alias_answers_while_one_fails_is_shared_and_not_kept(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    main = {
        "alias": "main",
        "targets": [{"provider": "fake", "model": "fake-status500"}],
        "fallbacks": [{"on": "error", "alias": "fake-delay100"}],
        "policy": {"cache_ttl_s": 60},
    }
    await running.admin("POST", "/mappings", main)
    body = {"model": "main", "messages": MESSAGES}
    answers = await asyncio.gather(*(ask(running, key, body) for _ in range(5)))
    assert Counter((each.status, each.cache) for each in answers) == {
        (200, "bypass"): 1,
        (200, "hit"): 4,
    }
    assert (await ask(running, key, body)).cache == "bypass"
    assert (await running.admin("GET", "/cache"))["entries"] == 0


async def test_nobody_waits_longer_than_its_client(
    running: Running, fake: FakeUpstream, key: str
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(gate=gate))
    body = {"model": "fake", "messages": MESSAGES, "stream": True}
    leader = asyncio.create_task(ask(running, key, body))
    await fake.request(1)
    hasty = await ask(running, key, body, headers={"x-conduit-timeout-ms": "200"})
    assert (hasty.status, hasty.cache) == (504, None)
    assert (await running.last_record())["attempts"] == 0
    gate.set()
    assert (await leader).status == 200
    assert len(fake.requests) == 1


async def test_what_is_counted_only_is_not_kept(running: Running, key: str) -> None:
    body = {"model": "fake", "messages": MESSAGES}
    answers = [await ask(running, key, body, path="/v1/messages/count_tokens") for _ in range(2)]
    assert [(each.status, each.cache) for each in answers] == [(200, None)] * 2


async def test_a_key_that_is_ended_gets_no_hit(running: Running, key: str) -> None:
    assert [(await ask(running, key)).cache for _ in range(2)] == ["miss", "hit"]
    await running.admin("PATCH", "/keys/test", {"enabled": False})
    assert (await ask(running, key)).status == 401


async def waiting(running: Running, count: int) -> None:
    """Until so many requests are in flight."""
    async with asyncio.timeout(5):
        while len(running.gateway.live) != count:
            await asyncio.sleep(0.005)
