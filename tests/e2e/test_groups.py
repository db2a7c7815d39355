"""Groups of keys through real sockets: models, limits, budgets, a prepaid balance."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conduit.core.ids import now_ms
from conduit.core.money import parse_usd
from tests import postgresql
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

# The prompt is more than 12 tokens however it is counted, as the fake says it is 12.
PROMPT = "hello " * 20
COST_OF_ONE = parse_usd("0.000212")  # 12 tokens in, 100 out
FOR_FIVE = "0.0012"  # affords five of them, and not six
MODEL = "fake-in12-out100-delay20"


async def post(
    running: Running, path: str, body: object, key: str, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    async with running.http.post(
        running.url + path, json=body, headers={"authorization": f"Bearer {key}"} | headers
    ) as response:
        told = {name.lower(): value for name, value in response.headers.items()}
        return response.status, await response.json(), told


async def ask(running: Running, key: str, model: str = MODEL) -> tuple[int, str]:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 100,
    }
    status, answer, _ = await post(running, "/v1/chat/completions", body, key)
    return status, "" if status == 200 else str(answer["error"]["code"])


async def group(running: Running, name: str = "team", **fields: object) -> dict[str, Any]:
    made: dict[str, Any] = await running.admin("POST", "/groups", {"name": name, **fields})
    return made


async def transact(running: Running, kind: str, amount: str, **fields: object) -> dict[str, Any]:
    body = {"kind": kind, "amount": amount, **fields}
    made: dict[str, Any] = await running.admin("POST", "/groups/team/transactions", body)
    return made


async def prepaid(running: Running) -> dict[str, Any]:
    shown = await running.admin("GET", "/groups/team")
    told: dict[str, Any] = shown["prepaid"]
    return told


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(
    request: pytest.FixtureRequest, tmp_path: Path, fake: FakeUpstream
) -> AsyncIterator[Running]:
    """A gateway over each engine."""
    if request.param == "sqlite":
        async with running_gateway(tmp_path / "home") as gateway:
            await connect_fake(gateway, fake)
            yield gateway
        return
    async with (
        postgresql.own_schema() as url,
        running_gateway(tmp_path / "home", database_url=url) as gateway,
    ):
        await connect_fake(gateway, fake)
        yield gateway


CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"prompt": "x"},
    "/v1/responses": {"input": "x"},
    "/v1/messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/embeddings": {"input": "x"},
    "/v1/rerank": {"query": "x", "documents": ["a"]},
    "/v1/moderations": {"input": "x"},
}


async def test_a_call_is_allowed_by_the_key_and_by_its_group(running: Running) -> None:
    await group(running, allowed_models=["fake-in1*"])
    key = await running.key("a", group="team", allowed_models=["fake-in*"])
    narrow = await running.key("b", group="team", allowed_models=["fake-in5"])
    assert await ask(running, key, "fake-in12") == (200, "")
    assert await ask(running, key, "fake-in5") == (403, "permission_denied")
    assert await ask(running, narrow, "fake-in5") == (403, "permission_denied")
    assert await ask(running, narrow, "fake-in12") == (403, "permission_denied")
    await running.admin("PATCH", "/groups/team", {"allowed_models": ["*"]})
    assert await ask(running, key, "fake-in5") == (200, "")


@pytest.mark.parametrize("path", CALLS)
async def test_the_models_of_the_group_hold_on_every_endpoint(
    running: Running, fake: FakeUpstream, path: str
) -> None:
    await group(running, allowed_models=["other"])
    key = await running.key("a", group="team")
    status, answer, _ = await post(running, path, {"model": "fake", **CALLS[path]}, key)
    assert status == 403, answer
    assert "team" in answer["error"]["message"]
    assert not fake.requests


async def test_models_are_listed_as_far_as_the_group_goes(running: Running) -> None:
    target = {"targets": [{"provider": "fake", "model": "m"}]}
    for alias in ("one", "two"):
        await running.admin("POST", "/mappings", {"alias": alias, **target})
    await group(running, allowed_models=["two"])
    key = await running.key("a", group="team")
    headers = {"authorization": f"Bearer {key}"}
    async with running.http.get(f"{running.url}/v1/models", headers=headers) as response:
        assert [each["id"] for each in (await response.json())["data"]] == ["two"]


async def test_a_group_that_is_disabled_stops_its_keys_at_once(running: Running) -> None:
    await group(running)
    key = await running.key("a", group="team")
    assert await ask(running, key) == (200, "")
    await running.admin("PATCH", "/groups/team", {"enabled": False})
    assert await ask(running, key) == (403, "permission_denied")
    await running.admin("PATCH", "/groups/team", {"enabled": True})
    assert await ask(running, key) == (200, "")


async def test_a_key_is_used_from_where_it_and_its_group_both_allow(running: Running) -> None:
    await group(running, allowed_ips=["203.0.113.7", "127.0.0.0/8"])
    assert (await running.admin("GET", "/groups/team"))["allowed_ips"] == [
        "203.0.113.7/32",
        "127.0.0.0/8",
    ]
    key = await running.key("a", group="team", allowed_ips=["127.0.0.1"])
    assert await ask(running, key) == (200, "")
    await running.admin("PATCH", "/groups/team", {"allowed_ips": ["203.0.113.7"]})
    assert await ask(running, key) == (403, "permission_denied")
    await running.admin("PATCH", "/groups/team", {"allowed_ips": []})
    assert await ask(running, key) == (200, "")
    await running.admin("PATCH", "/keys/a", {"allowed_ips": ["203.0.113.7"]})
    await running.admin("PATCH", "/groups/team", {"allowed_ips": ["127.0.0.1"]})
    assert await ask(running, key) == (403, "permission_denied")


@pytest.mark.parametrize("path", CALLS)
async def test_the_addresses_of_the_group_hold_on_every_endpoint(
    running: Running, fake: FakeUpstream, path: str
) -> None:
    await group(running, allowed_ips=["203.0.113.0/24"])
    key = await running.key("a", group="team")
    status, answer, _ = await post(running, path, {"model": "fake", **CALLS[path]}, key)
    assert status == 403, answer
    assert "team" in answer["error"]["message"]
    assert not fake.requests


async def test_addresses_of_a_group_that_are_none_are_refused(running: Running) -> None:
    wrong = {"name": "team", "allowed_ips": ["10.0.0.1/8"]}
    await running.admin("POST", "/groups", wrong, status=422)


async def test_limits_of_key_and_group_are_all_checked_before_any_is_taken(
    running: Running,
) -> None:
    await group(running, limits=[{"kind": "rpm", "limit": 60, "burst": 3}])
    one = await running.key("a", group="team", limits=[{"kind": "rpm", "limit": 60, "burst": 1}])
    two = await running.key("b", group="team")
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
    status, _, headers = await post(running, "/v1/chat/completions", body, one)
    assert (status, headers["x-ratelimit-remaining-requests"]) == (200, "0")  # the key's
    status, answer, _ = await post(running, "/v1/chat/completions", body, one)
    assert status == 429
    assert 'the key "a"' in answer["error"]["message"]
    status, _, headers = await post(running, "/v1/chat/completions", body, two)
    # The refused one took nothing of the group: the second of three that were served.
    assert (status, headers["x-ratelimit-remaining-requests"]) == (200, "1")
    assert await ask(running, two) == (200, "")
    status, answer, headers = await post(running, "/v1/chat/completions", body, two)
    assert status == 429
    assert 'the group "team" may have 60 requests a minute' in answer["error"]["message"]
    assert headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_day_s_count_of_a_group_survives_a_restart(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path / "home") as gateway:
        await connect_fake(gateway, fake)
        await group(gateway, limits=[{"kind": "rpd", "limit": 3}])
        keys = [await gateway.key(name, group="team") for name in ("a", "b")]
        assert [await ask(gateway, key) for key in keys] == [(200, "")] * 2
    async with running_gateway(tmp_path / "home") as gateway:
        assert await ask(gateway, keys[0]) == (200, "")
        assert await ask(gateway, keys[1]) == (429, "rate_limit_exceeded")


async def test_50_callers_of_five_keys_share_a_budget_for_five(
    either: Running, fake: FakeUpstream
) -> None:
    await group(either)
    scope = {"kind": "group", "id": "team"}
    await either.admin("POST", "/budgets", {"scope": scope, "limit": FOR_FIVE})
    keys = [await either.key(f"key-{number}", group="team") for number in range(5)]
    answers = Counter(await asyncio.gather(*(ask(either, keys[n % 5]) for n in range(50))))
    served = answers.pop((200, ""))
    assert served == 5
    assert {code for _, code in answers} <= {"insufficient_quota", "budget_held"}
    await either.ledger_holds()
    (budget,) = (await either.admin("GET", "/groups/team"))["budgets"]
    assert parse_usd(budget["spent"]) == 5 * COST_OF_ONE <= parse_usd(FOR_FIVE)
    assert (budget["held"], budget["scope_name"]) == ("0.00", "team")
    assert len(fake.requests) == 5
    outside = await either.key("outside")
    assert await ask(either, outside) == (200, "")


async def test_a_prepaid_group_is_served_as_far_as_its_balance_goes(
    either: Running, fake: FakeUpstream
) -> None:
    await group(either, prepaid=True)
    keys = [await either.key(f"key-{number}", group="team") for number in range(5)]
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
    status, answer, headers = await post(either, "/v1/chat/completions", body, keys[0])
    assert (status, answer["error"]["code"]) == (429, "insufficient_quota")
    assert headers["x-should-retry"] == "false"
    assert 'prepaid balance of group "team" is used up' in answer["error"]["message"]
    await transact(either, "credit", FOR_FIVE, reason="first payment")
    answers = Counter(await asyncio.gather(*(ask(either, keys[n % 5]) for n in range(50))))
    assert answers[200, ""] == 5
    told = await prepaid(either)
    assert parse_usd(told["spent"]) == 5 * COST_OF_ONE
    assert parse_usd(told["balance"]) == parse_usd(FOR_FIVE) - 5 * COST_OF_ONE
    assert (await ask(either, keys[0]))[0] == 429
    made = await transact(either, "refund", "0.0003", reason="an outage")
    assert parse_usd(made["balance"]) == parse_usd("0.0003") + parse_usd(told["balance"])
    assert await ask(either, keys[1]) == (200, "")
    await either.ledger_holds()
    assert len(fake.requests) == 6


async def test_a_call_belongs_to_the_group_that_its_key_was_in(running: Running) -> None:
    first, second = await group(running, "first"), await group(running, "second")
    key = await running.key("mover", group="first")
    assert await ask(running, key) == (200, "")
    moved = await running.admin("PATCH", "/keys/mover", {"group": "second"})
    assert (moved["group"], moved["group_id"]) == ("second", second["id"])
    for _ in range(2):
        assert await ask(running, key) == (200, "")
    await running.admin("PATCH", "/keys/mover", {"group": None})
    assert await ask(running, key) == (200, "")
    assert (await running.last_record())["group"] is None
    report = await running.admin("GET", "/usage?by=group")
    assert {each["group"]: each["requests"] for each in report["groups"]} == {
        "first": 1,
        "second": 2,
        "": 1,
    }
    ids = {each["group"]: each["group_id"] for each in report["groups"]}
    assert ids == {"first": first["id"], "second": second["id"], "": None}
    assert (await running.admin("GET", "/usage?group=second"))["total"]["requests"] == 2
    found = await running.admin("GET", "/requests?filter=group:first")
    assert [each["group_id"] for each in found["data"]] == [first["id"]]
    # What was spent in a group stays there, for a budget that it is given later too.
    scope = {"kind": "group", "id": "second"}
    budget = await running.admin("POST", "/budgets", {"scope": scope, "limit": "1"})
    assert parse_usd(budget["spent"]) == 2 * COST_OF_ONE
    await running.ledger_holds()


async def test_what_a_group_spent_before_is_not_taken_from_what_is_paid_in_later(
    running: Running,
) -> None:
    await group(running)
    key = await running.key("a", group="team")
    assert await ask(running, key) == (200, "")
    assert await prepaid(running) is None
    called_ms = now_ms()
    while now_ms() <= called_ms:  # what is paid in must be of a later millisecond than the call
        await asyncio.sleep(0.001)
    await transact(running, "credit", "0.0003")
    told = await prepaid(running)
    assert (told["spent"], told["balance"]) == ("0.00", "0.0003")
    assert await ask(running, key) == (200, "")
    assert parse_usd((await prepaid(running))["spent"]) == COST_OF_ONE
    await running.ledger_holds()


async def test_everything_of_a_group_is_there_after_a_restart(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path / "home") as gateway:
        await connect_fake(gateway, fake)
        await group(gateway, allowed_models=["fake*"], limits=[{"kind": "rpm", "limit": 900}])
        key = await gateway.key("a", group="team")
        await transact(gateway, "credit", "0.0005")
        assert await ask(gateway, key) == (200, "")
        shown = await gateway.admin("GET", "/groups/team")
        transactions = await gateway.admin("GET", "/groups/team/transactions")
    async with running_gateway(tmp_path / "home") as gateway:
        again = await gateway.admin("GET", "/groups/team")
        assert {**again, "limits": []} == {**shown, "limits": []}
        assert await gateway.admin("GET", "/groups/team/transactions") == transactions
        assert await ask(gateway, key) == (200, "")
        assert await ask(gateway, key) == (429, "insufficient_quota")
        await gateway.ledger_holds()


async def test_what_is_taken_out_cannot_be_held_meanwhile(running: Running) -> None:
    await group(running)
    await transact(running, "credit", "0.01")
    keys = [await running.key(f"key-{number}", group="team") for number in range(3)]

    async def take_out() -> int:
        body = {"kind": "debit", "amount": "0.004", "reason": "moved"}
        async with running.http.post(
            f"{running.url}/admin/groups/team/transactions",
            json=body,
            headers={"authorization": f"Bearer {running.master_key}"},
        ) as response:
            return response.status

    calls = asyncio.gather(*(ask(running, keys[n % 3]) for n in range(40)))
    taken = Counter(await asyncio.gather(*(take_out() for _ in range(4))))
    await calls
    assert set(taken) <= {201, 409}
    told = await prepaid(running)
    assert parse_usd(told["paid_in"]) == parse_usd("0.01") - taken[201] * parse_usd("0.004")
    assert not told["balance"].startswith("-")
    await running.ledger_holds()
