"""Rate limits of keys through real sockets, as a client and its SDK see them."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import openai
import pytest

from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream
from tests.redis_server import be_patient, own_redis

BODY = {"model": "fake-in12-out10", "messages": [{"role": "user", "content": "hello"}]}


async def ask(
    running: Running, key: str, **fields: object
) -> tuple[int, str | None, dict[str, str]]:
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={**BODY, **fields},
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status == 200:
            await response.read()
            return 200, None, headers
        return response.status, (await response.json())["error"]["code"], headers


async def test_answers_tell_how_the_limits_stand(running: Running) -> None:
    limits = [{"kind": "rpm", "limit": 60}, {"kind": "tpm", "limit": 10_000}]
    key = await running.key("ci", limits=limits)
    for streamed in (False, True):
        status, _, headers = await ask(running, key, max_tokens=100, stream=streamed)
        assert status == 200
        assert headers["x-ratelimit-limit-requests"] == "60"
        assert headers["x-ratelimit-limit-tokens"] == "10000"
        assert int(headers["x-ratelimit-remaining-requests"]) in (58, 59)
        assert int(headers["x-ratelimit-remaining-tokens"]) <= 9_900
        assert headers["x-ratelimit-reset-requests"].endswith("s")
    (rpm, tpm) = (await running.admin("GET", "/keys/ci"))["limits"]
    assert (rpm["kind"], rpm["limit"], rpm["burst"], rpm["shadow"]) == ("rpm", 60, None, False)
    # 22 tokens each: what was taken for up to 100 has come back.
    assert tpm["remaining"] >= 10_000 - 2 * 22
    free = await running.key("free")
    assert not [name for name in (await ask(running, free))[2] if name.startswith("x-ratelimit")]


async def test_a_key_at_its_limit_is_told_when_to_come_again(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key("ci", limits=[{"kind": "rpm", "limit": 60, "burst": 2}])
    answers = [await ask(running, key) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    _, code, headers = answers[-1]
    assert code == "rate_limit_exceeded"
    assert headers["retry-after"] == "1"
    assert 0 < int(headers["retry-after-ms"]) <= 1_000
    assert "x-should-retry" not in headers
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert len(fake.requests) == 2
    record = await running.last_record()
    assert (record["status"], record["error_code"]) == (429, "rate_limit_exceeded")


async def test_the_sdk_waits_as_it_is_told_and_is_served(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """One retry is all that it has, and its own pause of half a second would be too short."""
    key = await running.key("ci", limits=[{"kind": "rpm", "limit": 40, "burst": 1}])
    client = running.openai(key, max_retries=1)
    caplog.set_level("INFO", logger="openai._base_client")
    began = time.monotonic()
    for _ in range(3):
        await client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "x"}]
        )
    waits = sdk_waits(caplog)
    assert len(waits) <= 2  # none where this test was slower than the limit
    # By `retry-after-ms`: the whole seconds of `retry-after` would be 2.
    assert all(0 < wait <= 1.5 for wait in waits)
    assert time.monotonic() - began >= 3.0
    (limit,) = (await running.admin("GET", "/keys/ci"))["limits"]
    assert limit["exceeded"] == len(waits)  # it came when it was told to, and was let by


async def test_the_sdk_does_not_come_again_for_a_budget_that_is_spent(
    running: Running, fake: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    key = await running.key("ci", budget={"limit": "0.000000001"})
    client = running.openai(key, max_retries=3)
    caplog.set_level("INFO", logger="openai._base_client")
    with pytest.raises(openai.RateLimitError) as refused:
        await client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "x"}]
        )
    assert refused.value.code == "insufficient_quota"
    assert sdk_waits(caplog) == []
    assert not fake.requests


def sdk_waits(caplog: pytest.LogCaptureFixture) -> list[float]:
    """The seconds that the SDK says it waits before it comes again."""
    return [
        float(str(record.args[0]))
        for record in caplog.records
        if record.name == "openai._base_client"
        and record.msg.startswith("Retrying request in")
        and isinstance(record.args, tuple)
    ]


async def test_a_failed_answer_tells_of_the_limits_too(running: Running) -> None:
    key = await running.key("ci", limits=[{"kind": "rpm", "limit": 60}])
    status, _, headers = await ask(running, key, model="fake-status400")
    assert status == 400
    assert headers["x-ratelimit-limit-requests"] == "60"


async def test_every_answer_to_a_key_with_limits_tells_how_they_stand(running: Running) -> None:
    target = {"provider": "fake", "model": "fake"}
    await running.admin("POST", "/mappings", {"alias": "own", "targets": [target]})
    limits = [{"kind": "rpm", "limit": 60, "burst": 3}, {"kind": "tpm", "limit": 10_000}]
    key = await running.key("ci", limits=limits, allowed_models=["fake*"])
    authorization = {"authorization": f"Bearer {key}"}
    url = f"{running.url}/v1"
    ask_for = {"messages": BODY["messages"]}
    count = {**BODY, "max_tokens": 9}
    answers = [
        ("POST", "/chat/completions", {**ask_for, "model": "own"}, 403, 3, 10_000),
        ("POST", "/chat/completions", {**ask_for, "model": "gone"}, 403, 3, 10_000),
        ("POST", "/chat/completions", {"model": "fake", "messages": "?"}, 400, 3, 10_000),
        ("POST", "/chat/completions", {**BODY, "max_tokens": 20_000}, 400, 3, 10_000),
        ("POST", "/messages", {**BODY, "max_tokens": 20_000}, 400, 3, 10_000),
        ("POST", "/messages/count_tokens", count, 200, 3, 10_000),
        ("POST", "/messages/count_tokens", {}, 400, 3, 10_000),
        ("GET", "/models", None, 200, 3, 10_000),
        ("GET", "/models/gone", None, 404, 3, 10_000),
        *[
            ("POST", "/chat/completions", {**BODY, "max_tokens": 9}, 200, left, 0)
            for left in (2, 1)
        ],
        ("POST", "/chat/completions", {**BODY, "max_tokens": 9}, 200, 0, 0),
        ("POST", "/chat/completions", {**BODY, "max_tokens": 9}, 429, 0, 0),
    ]
    for method, path, body, status, requests, tokens in answers:
        told = (method, path, body)
        async with running.http.request(
            method, url + path, json=body, headers=authorization
        ) as response:
            assert response.status == status, (told, await response.text())
            headers = response.headers
            assert headers["x-ratelimit-limit-requests"] == "60", told
            assert headers["x-ratelimit-remaining-requests"] == str(requests), told
            assert headers["x-ratelimit-limit-tokens"] == "10000", told
            assert int(headers["x-ratelimit-remaining-tokens"]) >= tokens, told
            assert {"x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"} <= {*headers}, told


async def test_a_refusal_for_a_spent_budget_tells_of_the_limits_of_the_group(
    running: Running,
) -> None:
    await running.admin(
        "POST", "/groups", {"name": "team", "limits": [{"kind": "tpm", "limit": 9000}]}
    )
    key = await running.key("ci", group="team", budget={"limit": "0.00001"})
    for _ in range(2):
        status, code, headers = await ask(running, key, max_tokens=9)
        assert (status, code) == (429, "insufficient_quota")
        assert headers["x-ratelimit-limit-tokens"] == "9000"
        assert "x-ratelimit-limit-requests" not in headers


async def test_a_refusal_tells_of_no_day_that_was_not_counted(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path) as running:
        await connect_fake(running, fake)
        key = await running.key("ci", limits=[{"kind": "rpd", "limit": 9}])
        assert (await ask(running, key))[0] == 200
    async with running_gateway(tmp_path) as running:
        status, _, headers = await ask(running, key, messages="?")
        assert (status, [name for name in headers if name.startswith("x-ratelimit")]) == (400, [])
        assert (await ask(running, key))[2]["x-ratelimit-remaining-requests"] == "7"
        status, _, headers = await ask(running, key, messages="?")
        assert (status, headers["x-ratelimit-remaining-requests"]) == (400, "7")


async def test_a_call_that_can_never_be_served_is_not_told_to_come_again(running: Running) -> None:
    key = await running.key("ci", limits=[{"kind": "tpm", "limit": 50}])
    status, code, headers = await ask(running, key, max_tokens=100)
    assert (status, code) == (400, "tokens_exceed_limit")
    assert "retry-after" not in headers
    assert (await ask(running, key, max_tokens=10))[0] == 200
    again = await running.key("unsaid", limits=[{"kind": "tpm", "limit": 50}])
    assert (await ask(running, again))[0] == 200  # it asked for no such length


async def test_requests_at_once_are_bounded_and_end_with_their_callers(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key("ci", limits=[{"kind": "concurrent", "limit": 3}])
    waiting = [
        asyncio.create_task(ask(running, key, model="fake-delay60000", stream=True))
        for _ in range(3)
    ]
    await fake.until(lambda fake: fake.in_flight == 3)
    assert (await ask(running, key))[:2] == (429, "rate_limit_exceeded")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await fake.until(lambda fake: not fake.in_flight)
    while (await running.admin("GET", "/keys/ci"))["limits"][0]["remaining"] < 3:
        await asyncio.sleep(0.01)
    assert (await ask(running, key))[0] == 200
    assert fake.peak_in_flight == 3


async def test_a_day_survives_a_restart(tmp_path: Path, fake: FakeUpstream) -> None:
    async with running_gateway(tmp_path) as running:
        await connect_fake(running, fake)
        key = await running.key(
            "ci", limits=[{"kind": "rpd", "limit": 3}, {"kind": "tpd", "limit": 1_000}]
        )
        assert [(await ask(running, key, max_tokens=50))[0] for _ in range(2)] == [200, 200]
    async with running_gateway(tmp_path) as running:
        assert [(await ask(running, key, max_tokens=50))[0] for _ in range(2)] == [200, 429]
        rpd, tpd = (await running.admin("GET", "/keys/ci"))["limits"]
        assert (rpd["remaining"], tpd["remaining"]) == (0, 1_000 - 3 * 22)


async def test_a_shadow_lets_everything_by_and_counts_it(running: Running) -> None:
    key = await running.key("ci", limits=[{"kind": "rpm", "limit": 1, "shadow": True}])
    answers = [await ask(running, key) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert not [name for name in answers[-1][2] if name.startswith("x-ratelimit")]
    (limit,) = (await running.admin("GET", "/keys/ci"))["limits"]
    assert limit["exceeded"] == 2
    async with running.http.get(f"{running.url}/metrics") as response:
        text = await response.text()
    assert 'conduit_rate_limits_exceeded_total{limit="rpm",result="shadow"} 2.0' in text


async def test_limits_of_a_key_are_changed_at_once(running: Running) -> None:
    key = await running.key("ci", limits=[{"kind": "rpm", "limit": 1}])
    assert [(await ask(running, key))[0] for _ in range(2)] == [200, 429]
    await running.admin("PATCH", "/keys/ci", {"limits": [{"kind": "rpm", "limit": 3}]})
    assert [(await ask(running, key))[0] for _ in range(3)] == [200, 200, 429]
    await running.admin("PATCH", "/keys/ci", {"limits": []})
    assert (await ask(running, key))[0] == 200


async def test_the_openai_sdk_raises_its_own_error(running: Running) -> None:
    key = await running.key("ci", limits=[{"kind": "rpm", "limit": 1}])
    client = running.openai(key, max_retries=0)
    await client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.RateLimitError, match="1 requests a minute") as refused:
        await client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "x"}]
        )
    assert refused.value.code == "rate_limit_exceeded"


async def test_a_key_is_good_from_its_addresses_alone_on_every_endpoint(running: Running) -> None:
    here = await running.key("here", allowed_ips=["127.0.0.0/8"])
    there = await running.key("there", allowed_ips=["203.0.113.7", "2001:db8::/32"])
    assert (await ask(running, here))[0] == 200
    assert (await ask(running, there))[:2] == (403, "permission_denied")
    headers = {"authorization": f"Bearer {there}"}
    for path in ("/v1/models", "/v1beta/models"):
        async with running.http.get(running.url + path, headers=headers) as response:
            assert response.status == 403
    counted = {"model": "fake", "max_tokens": 1, "messages": BODY["messages"]}
    path = "/v1/messages/count_tokens"
    async with running.http.post(running.url + path, json=counted, headers=headers) as response:
        assert response.status == 403
    await running.admin("PATCH", "/keys/there", {"allowed_ips": []})
    assert (await ask(running, there))[0] == 200


async def test_a_proxy_that_is_trusted_tells_where_a_key_is_used(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path, trusted_proxies="127.0.0.1") as running:
        await connect_fake(running, fake)
        key = await running.key("there", allowed_ips=["203.0.113.0/24"])
        statuses = []
        for address in ("203.0.113.9", "198.51.100.1"):
            async with running.http.post(
                f"{running.url}/v1/chat/completions",
                json=BODY,
                headers={"authorization": f"Bearer {key}", "x-forwarded-for": address},
            ) as response:
                statuses.append(response.status)
        assert statuses == [200, 403]


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "everywhere", "", "10.0.0.0/33"])
async def test_an_address_that_is_none_is_refused(running: Running, wrong: str) -> None:
    await running.admin("POST", "/keys", {"name": "x", "allowed_ips": [wrong]}, status=422)


async def test_the_calls_of_an_alias_are_limited_whoever_makes_them(running: Running) -> None:
    await running.admin(
        "PATCH", "/mappings/fake*", {"limits": [{"kind": "rpm", "limit": 60, "burst": 2}]}
    )
    limited = await running.key("ci", limits=[{"kind": "rpm", "limit": 600}])
    free = await running.key("free")
    headers = (await ask(running, limited))[2]
    assert headers["x-ratelimit-limit-requests"] == "60"  # the tightest of both
    assert headers["x-ratelimit-remaining-requests"] == "1"
    assert (await ask(running, free, model="fake"))[0] == 200
    status, code, headers = await ask(running, free)
    assert (status, code) == (429, "rate_limit_exceeded")
    assert headers["retry-after"] == "1"
    record = await running.last_record()
    assert record["error_code"] == "rate_limit_exceeded"
    (limit,) = (await running.admin("GET", "/mappings/fake*"))["limits"]
    assert (limit["remaining"], limit["exceeded"]) == (0, 1)
    (own,) = (await running.admin("GET", "/keys/ci"))["limits"]
    assert own["remaining"] >= 598  # the refusal took nothing of it
    await running.admin("PATCH", "/mappings/fake*", {"limits": []})
    assert (await ask(running, free))[0] == 200


async def test_a_refusal_by_an_alias_names_it_and_nobody_else(running: Running) -> None:
    await running.admin("PATCH", "/mappings/fake*", {"limits": [{"kind": "rpm", "limit": 1}]})
    await ask(running, await running.key("first"))
    second = await running.key("second")
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=BODY,
        headers={"authorization": f"Bearer {second}"},
    ) as response:
        message = (await response.json())["error"]["message"]
    assert message.startswith('the model "fake*" may have 1 requests a minute')
    assert "first" not in message


async def test_all_requests_together_are_limited_by_a_setting(running: Running) -> None:
    key = await running.key("ci")
    changed = await running.admin(
        "PATCH", "/config", {"values": {"rate_limits": "rpm=60,burst=2 concurrent=9"}}
    )
    assert changed["changed"] == ["rate_limits"]
    answers = [await ask(running, key) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    assert answers[0][2]["x-ratelimit-limit-requests"] == "60"
    limits = (await running.admin("GET", "/status"))["limits"]
    assert [(each["kind"], each["exceeded"]) for each in limits] == [("rpm", 1), ("concurrent", 0)]
    await running.admin("PATCH", "/config", {"values": {"rate_limits": None}})
    assert (await ask(running, key))[0] == 200


async def test_the_day_of_an_alias_and_of_the_gateway_survive_a_restart(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    daily = [{"kind": "rpd", "limit": 2}]
    async with running_gateway(tmp_path) as running:
        await connect_fake(running, fake)
        key = await running.key("ci")
        assert (await ask(running, key))[0] == 200
        assert (await ask(running, key, model="fake"))[0] == 200
    async with running_gateway(tmp_path, rate_limits="rpd=2") as running:
        (limit,) = (await running.admin("GET", "/status"))["limits"]
        assert (await ask(running, key))[:2] == (429, "rate_limit_exceeded")
        assert limit["limit"] == 2
    async with running_gateway(tmp_path) as running:
        await running.admin("PATCH", "/mappings/fake*", {"limits": daily})
        assert (await ask(running, key))[:2] == (429, "rate_limit_exceeded")
        exact = {"alias": "fake", "targets": [{"provider": "fake", "model": "*"}]}
        await running.admin("POST", "/mappings", {**exact, "limits": daily})
        assert (await ask(running, key, model="fake"))[0] == 200
        assert (await ask(running, key, model="fake"))[0] == 429


@pytest.mark.parametrize("of", ["key", "group", "gateway"])
async def test_requests_for_one_model_have_limits_of_their_own(
    of: str, tmp_path: Path, fake: FakeUpstream
) -> None:
    own = {"kind": "rpm", "limit": 1, "model": "fake-n*"}
    settings: dict[str, object] = {}
    if of == "gateway":
        settings["rate_limits"] = "rpm=1,model=fake-n* rpm=100"
    async with running_gateway(tmp_path, **settings) as running:
        await connect_fake(running, fake)
        limits = [{"kind": "rpm", "limit": 100}, own]
        if of == "group":
            await running.admin("POST", "/groups", {"name": "eng", "limits": limits})
        own_fields: dict[str, dict[str, object]] = {
            "key": {"limits": limits},
            "group": {"group": "eng"},
            "gateway": {},
        }
        key = await running.key("ci", **own_fields[of])
        status, _, headers = await ask(running, key, model="fake-n2")
        assert (status, headers["x-ratelimit-limit-requests"]) == (200, "1")
        status, code, headers = await ask(running, key, model="fake-n3")
        assert (status, code) == (429, "rate_limit_exceeded")
        assert headers["x-ratelimit-remaining-requests"] == "0"
        for _ in range(3):  # other models have what is left of the others
            status, _, headers = await ask(running, key)
            assert (status, headers["x-ratelimit-limit-requests"]) == (200, "100")
        record = await running.last_record()
        assert record["status"] == 200


async def test_a_day_of_one_model_is_counted_by_the_books_after_a_restart(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    limits = [{"kind": "rpd", "limit": 3}, {"kind": "rpd", "limit": 2, "model": "fake-n*"}]
    async with running_gateway(tmp_path) as running:
        await connect_fake(running, fake)
        key = await running.key("ci", limits=limits)
        assert (await ask(running, key, model="fake-n2"))[0] == 200
        assert (await ask(running, key))[0] == 200
    async with running_gateway(tmp_path) as running:
        shown = (await running.admin("GET", "/keys/ci"))["limits"]
        assert [(each["model"], each["limit"]) for each in shown] == [(None, 3), ("fake-n*", 2)]
        assert (await ask(running, key, model="fake-n2"))[0] == 200  # the second for it
        assert (await ask(running, key, model="fake-n2"))[0] == 429
        after = (await running.admin("GET", "/keys/ci"))["limits"]
        assert [each["remaining"] for each in after] == [0, 0]


async def test_one_limit_of_a_kind_is_taken_for_a_model(running: Running) -> None:
    own = {"kind": "rpm", "limit": 1, "model": "fake*"}
    async with running.http.post(
        f"{running.url}/admin/keys",
        json={"name": "twice", "limits": [own, own]},
        headers={"authorization": f"Bearer {running.master_key}"},
    ) as response:
        assert response.status == 422
        assert "one of a kind for a model" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_a_day_has_the_requests_that_were_sent_before_a_restart_and_after(
    store: str, tmp_path: Path, fake: FakeUpstream
) -> None:
    """Not those that no provider was asked for: a budget refused them, or a cache answered."""
    async with AsyncExitStack() as stack:
        settings: dict[str, object] = {}
        if store == "redis":
            settings["redis_url"] = (await stack.enter_async_context(own_redis())).url
        async with running_gateway(tmp_path, **settings) as running:
            be_patient(running.gateway.limiter)
            await connect_fake(running, fake)
            policy = {"cache_ttl_s": 600}
            target = {"provider": "fake", "model": "fake-n2"}
            kept = {"alias": "kept", "targets": [target], "policy": policy}
            await running.admin("POST", "/mappings", kept)
            key = await running.key(
                "ci", limits=[{"kind": "rpd", "limit": 9}], budget={"limit": "0.01"}
            )
            codes = [(await ask(running, key, model="kept", max_tokens=50))[1] for _ in range(3)]
            codes.append((await ask(running, key, max_tokens=100_000))[1])
            assert codes == [None, None, None, "insufficient_quota"]
            assert len(fake.requests) == 1
            (limit,) = (await running.admin("GET", "/keys/ci"))["limits"]
            assert limit["remaining"] == 8
        async with running_gateway(tmp_path) as running:
            assert (await ask(running, key, model="kept", max_tokens=50))[0] == 200
            (limit,) = (await running.admin("GET", "/keys/ci"))["limits"]
            assert limit["remaining"] == 7


@pytest.mark.parametrize("store", ["memory", "redis"])
async def test_a_refusal_takes_nothing_of_any_limit(
    store: str, tmp_path: Path, fake: FakeUpstream
) -> None:
    """A key that cannot pay, or a model whose provider is off, is in nobody's way."""
    async with AsyncExitStack() as stack:
        settings: dict[str, object] = {"rate_limits": "rpm=2 tpm=1000"}
        if store == "redis":
            settings["redis_url"] = (await stack.enter_async_context(own_redis())).url
        running = await stack.enter_async_context(running_gateway(tmp_path, **settings))
        be_patient(running.gateway.limiter)
        await connect_fake(running, fake)
        limits = [{"kind": "rpm", "limit": 2}, {"kind": "concurrent", "limit": 1}]
        poor = await running.key("poor", limits=limits, budget={"limit": "0.00001"})
        for _ in range(4):
            _, code, headers = await ask(running, poor, max_tokens=100)
            assert code == "insufficient_quota"
            told = [headers[f"x-ratelimit-remaining-{kind}"] for kind in ("requests", "tokens")]
            assert told == ["2", "1000"]
        await running.admin("PATCH", "/providers/fake", {"enabled": False})
        rich = await running.key("rich", limits=limits)
        for _ in range(4):
            assert (await ask(running, rich, max_tokens=100))[1] == "no_healthy_deployment"
        await running.admin("PATCH", "/providers/fake", {"enabled": True})
        answers = [await ask(running, rich, max_tokens=100) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, 429]
