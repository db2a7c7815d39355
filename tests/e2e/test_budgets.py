"""A hard budget holds against any number of callers at once."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from conduit.core.money import parse_usd
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

# The prompt is more than 12 tokens however it is counted, as the fake says it is 12.
PROMPT = "hello " * 20
COST_OF_ONE = parse_usd("0.000212")  # 12 tokens in, 100 out
BUDGET = "0.0023"  # affords ten of them


async def ask(running: Running, key: str, *, streamed: bool) -> tuple[int, str]:
    body = {
        "model": "fake-in12-out100-delay20",
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 100,
        "stream": streamed,
    }
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        if response.status == 200:
            await response.read()
            return 200, ""
        return response.status, (await response.json())["error"]["code"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_200_callers_at_once_do_not_overshoot(
    running: Running, fake: FakeUpstream, streamed: bool
) -> None:
    key = await running.key("poor", budget={"limit": BUDGET})
    answers = Counter(
        await asyncio.gather(*(ask(running, key, streamed=streamed) for _ in range(200)))
    )
    served = answers.pop((200, ""))
    assert 8 <= served <= 10
    assert {code for _, code in answers} <= {"insufficient_quota", "budget_held"}
    assert {status for status, _ in answers} == {429}
    await running.ledger_holds()
    (budget,) = (await running.admin("GET", "/keys/poor"))["budgets"]
    assert parse_usd(budget["spent"]) == served * COST_OF_ONE <= parse_usd(BUDGET)
    assert budget["held"] == "0.00"
    assert len(fake.requests) == served


async def test_a_spent_budget_is_refused_for_good(running: Running) -> None:
    key = await running.key("spent", budget={"limit": "0.0003"})
    assert (await ask(running, key, streamed=False))[0] == 200
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"model": "fake", "messages": [{"role": "user", "content": "x"}], "max_tokens": 500},
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        assert response.status == 429
        assert (await response.json())["error"]["code"] == "insufficient_quota"
        assert response.headers["x-should-retry"] == "false"


async def test_an_answer_is_capped_only_to_what_the_balance_affords(
    running: Running, fake: FakeUpstream
) -> None:
    key = await running.key("short", budget={"limit": "0.001"})  # about 500 output tokens
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"model": "fake", "messages": [{"role": "user", "content": "x"}]},
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        assert response.status == 200
        cap = int(response.headers["x-conduit-output-cap"])
    assert 256 <= cap <= 500
    assert f'"max_tokens":{cap}'.encode() in fake.requests[0].body.replace(b" ", b"")


async def test_a_stream_tops_up_and_is_stopped_when_the_money_ends(running: Running) -> None:
    rich = await running.key("rich", budget={"limit": "1"})
    poor = await running.key("meagre", budget={"limit": "0.0031"})  # one block and a half
    for key, ends_well in ((rich, True), (poor, False)):
        async with running.http.post(
            f"{running.url}/v1/chat/completions",
            json={
                "model": "fake-n2500-in1-out2500",
                "messages": [{"role": "user", "content": "x"}],
                "stream": True,
            },
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            text = await response.text()
        assert text.endswith("data: [DONE]\n\n") is ends_well
        assert ("budget_exceeded" in text) is not ends_well
    await running.ledger_holds()


async def test_a_model_without_a_price_is_refused_where_a_hard_budget_must_hold(
    running: Running,
) -> None:
    await running.admin("DELETE", "/prices/fake/*")
    budgeted = await running.key("budgeted", budget={"limit": "1"})
    free = await running.key("free")
    status, code = await ask(running, budgeted, streamed=False)
    assert (status, code) == (400, "price_unknown")
    assert (await ask(running, free, streamed=False))[0] == 200


async def test_a_budget_given_later_counts_what_was_spent_before(running: Running) -> None:
    key = await running.key("late")
    assert (await ask(running, key, streamed=False))[0] == 200
    created = await running.admin(
        "POST", "/budgets", {"scope": {"kind": "key", "id": "late"}, "limit": "0.0003"}
    )
    assert parse_usd(created["spent"]) == COST_OF_ONE
    status, code = await ask(running, key, streamed=False)
    assert (status, code) == (429, "insufficient_quota")


async def test_a_dearer_grade_of_service_is_refused_where_a_hard_budget_must_hold(
    running: Running,
) -> None:
    budgeted = await running.key("budgeted", budget={"limit": "1"})
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
    for tier, status in (("priority", 400), ("default", 200)):
        async with running.http.post(
            f"{running.url}/v1/chat/completions",
            json=body | {"service_tier": tier},
            headers={"authorization": f"Bearer {budgeted}"},
        ) as response:
            assert response.status == status


async def spend(running: Running, key: str, body: dict[str, object]) -> str:
    """The answer's text, whatever its status."""
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"messages": [{"role": "user", "content": PROMPT}], **body},
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        return await response.text()


async def spent_of(running: Running, name: str) -> tuple[int, int]:
    """Spent and limit of the key's one budget, in nano-dollars."""
    await running.ledger_holds()
    (budget,) = (await running.admin("GET", f"/keys/{name}"))["budgets"]
    return parse_usd(budget["spent"]), parse_usd(budget["limit"])


# The prompt is held as 52 tokens, so this affords it and 17 output tokens.
TIGHT = "0.000086"


@pytest.mark.parametrize("usage", ["", "-usage_none"])
async def test_a_stream_that_reaches_its_own_limit_is_paid_by_what_is_held(
    running: Running, usage: str
) -> None:
    key = await running.key("tight", budget={"limit": TIGHT})
    body = {"model": f"fake-n17-in12-out17{usage}", "max_tokens": 17, "stream": True}
    assert (await spend(running, key, body)).endswith("data: [DONE]\n\n")
    spent, limit = await spent_of(running, "tight")
    assert 0 < spent <= limit


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_estimate_is_never_above_the_hold(running: Running, streamed: bool) -> None:
    key = await running.key("guessed", budget={"limit": TIGHT})
    body = {"model": "fake-n10-size400-usage_none", "max_tokens": 10, "stream": streamed}
    await spend(running, key, body)
    spent, limit = await spent_of(running, "guessed")
    assert 0 < spent <= limit


async def test_the_larger_of_two_limits_is_held(running: Running, fake: FakeUpstream) -> None:
    key = await running.key("sly", budget={"limit": TIGHT})
    body: dict[str, object] = {"model": "fake", "max_tokens": 1, "max_completion_tokens": 100_000}
    assert "insufficient_quota" in await spend(running, key, body)
    assert not fake.requests


async def test_a_limit_that_the_target_takes_away_is_not_counted_on(
    running: Running, fake: FakeUpstream
) -> None:
    target = {"provider": "fake", "model": "fake", "params": {"max_tokens": None}}
    await running.admin("POST", "/mappings", {"alias": "loose", "targets": [target]})
    key = await running.key("loose", budget={"limit": TIGHT})
    assert "insufficient_quota" in await spend(running, key, {"model": "loose", "max_tokens": 1})
    assert not fake.requests


async def test_a_stream_without_a_limit_stops_within_its_budget(running: Running) -> None:
    # One block of 1,024 tokens beside the prompt, and not one token more.
    key = await running.key("block", budget={"limit": "0.0021"})
    text = await spend(running, key, {"model": "fake-n1100-in12-out1100", "stream": True})
    assert "budget_exceeded" in text
    spent, limit = await spent_of(running, "block")
    assert 0 < spent <= limit


async def spent(running: Running, scope: str) -> list[int]:
    rows = (await running.admin("GET", "/budgets"))["data"]
    return [parse_usd(row["spent"]) for row in rows if row["scope"]["kind"] == scope]


@pytest.mark.parametrize(
    ("scope", "label"),
    [({"kind": "gateway"}, "the gateway"), ({"kind": "mapping", "id": "fake-one"}, "fake-one")],
)
async def test_a_budget_of_an_alias_or_of_the_gateway_holds_over_all_keys(
    running: Running, fake: FakeUpstream, scope: dict[str, str], label: str
) -> None:
    target = {"provider": "fake", "model": "fake-in12-out100-delay20"}
    await running.admin("POST", "/mappings", {"alias": "fake-one", "targets": [target]})
    made = {"scope": scope, "limit": BUDGET, "period": "month", "timezone": "Europe/Berlin"}
    budget = await running.admin("POST", "/budgets", made)
    assert budget["period_start"] is not None
    keys = [await running.key(f"key-{number}") for number in range(5)]

    async def one(key: str) -> int:
        async with running.http.post(
            f"{running.url}/v1/chat/completions",
            json={
                "model": "fake-one",
                "messages": [{"role": "user", "content": PROMPT}],
                "max_tokens": 100,
            },
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            if response.status != 200:
                error = (await response.json())["error"]
                assert error["code"] in ("insufficient_quota", "budget_held")
                assert error["code"] == "budget_held" or label in error["message"]
                # What all keys have spent together is nobody's own matter.
                assert BUDGET not in error["message"]
                assert " of $" not in error["message"]
            return response.status

    answers = Counter(await asyncio.gather(*(one(key) for key in keys * 10)))
    assert 8 <= answers[200] <= 10
    assert answers[200] + answers[429] == 50
    await running.ledger_holds()
    assert await spent(running, scope["kind"]) == [answers[200] * COST_OF_ONE]
    other = await running.key("other")
    status, _ = await ask(running, other, streamed=False)
    assert status == (200 if scope["kind"] == "mapping" else 429)
    await running.admin("DELETE", f"/budgets/{budget['id']}")
    assert await one(keys[0]) == 200


async def test_a_hard_budget_of_the_gateway_needs_prices_too(running: Running) -> None:
    await running.admin("DELETE", "/prices/fake/*")
    key = await running.key("free")
    assert (await ask(running, key, streamed=False))[0] == 200
    await running.admin("POST", "/budgets", {"scope": {"kind": "gateway"}, "limit": "5"})
    assert await ask(running, key, streamed=False) == (400, "price_unknown")


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": {"kind": "gateway", "id": "x"}},
        {"scope": {"kind": "mapping"}},
        {"scope": {"kind": "mapping", "id": "fake*"}},
        {"scope": {"kind": "mapping", "id": "nothing"}},
        {"scope": {"kind": "gateway"}, "timezone": "Mars/Olympus"},
        {"scope": {"kind": "gateway"}, "period": "year"},
    ],
)
async def test_a_budget_that_means_nothing_is_refused(
    running: Running, wrong: dict[str, object]
) -> None:
    await running.admin("POST", "/budgets", {"limit": "1", **wrong}, status=422)


async def test_budgets_of_all_scopes_survive_a_restart(tmp_path: Path, fake: FakeUpstream) -> None:
    async with running_gateway(tmp_path) as running:
        await connect_fake(running, fake)
        target = {"provider": "fake", "model": "fake"}
        await running.admin("POST", "/mappings", {"alias": "exact", "targets": [target]})
        for scope in ({"kind": "gateway"}, {"kind": "mapping", "id": "exact"}):
            wanted = {"scope": scope, "limit": "5", "period": "week"}
            await running.admin("POST", "/budgets", wanted)
        key = await running.key("ci", budget={"limit": "5", "period": "day"})
        assert (await ask(running, key, streamed=False))[0] == 200
        await running.ledger_holds()
    async with running_gateway(tmp_path) as running:
        assert await spent(running, "gateway") == [COST_OF_ONE]
        assert await spent(running, "key") == [COST_OF_ONE]
        assert await spent(running, "mapping") == [0]
        assert (await running.admin("GET", "/ledger/check"))["ok"]


async def test_answers_without_a_limit_share_what_others_leave_while_they_wait(
    running: Running,
) -> None:
    key = await running.key("shared", budget={"limit": "0.00127"})  # five of them, after another

    async def one() -> int:
        async with running.http.post(
            f"{running.url}/v1/chat/completions",
            json={
                "model": "fake-in12-out100-delay20",
                "messages": [{"role": "user", "content": PROMPT}],
            },
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            return response.status

    answers = Counter(await asyncio.gather(*(one() for _ in range(20))))
    # Each holds all that is left; the last one must leave room for 256 tokens.
    assert answers[200] >= 3
    assert answers[200] + answers[429] == 20
    spent, limit = await spent_of(running, "shared")
    assert spent == answers[200] * COST_OF_ONE <= limit
