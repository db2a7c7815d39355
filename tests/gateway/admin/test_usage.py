"""What was used and spent: the sums of the ledger, however they are asked for."""

import random
from collections.abc import Mapping
from urllib.parse import urlencode

import pytest
from sqlalchemy import insert

from conduit.core.money import format_usd
from conduit.core.resources.fields import time_text
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.storage.engine import Database, writing
from conduit.gateway.storage.schema import groups as groups_table
from conduit.gateway.storage.schema import keys, ledger
from tests import postgresql
from tests.gateway import records
from tests.gateway.admin.calls import AdminApi
from tests.gateway.admin.test_keys import claim, settlement
from tests.gateway.records import AT_MS, attempt_row
from tests.gateway.storage.test_usage import fits, random_attempts, random_choice, summed


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    """Sums are made by the engine, so by each."""
    return str(request.param)


def at(query: Mapping[str, object]) -> str:
    return f"/admin/usage?{urlencode({k: v for k, v in query.items() if v is not None})}"


async def made_key(api: AdminApi, name: str) -> str:
    return str((await api.made("/admin/keys", {"name": name}))["id"])


async def test_sums_equal_those_of_the_ledger_for_any_filter(
    api: AdminApi, database: Database
) -> None:
    chance = random.Random(5)
    rows = random_attempts(chance, 50)
    async with writing(database) as connection:
        await connection.execute(insert(ledger), rows)
        for n in range(3):
            stored = records.key(f"k{n}", id=f"key_{n}")
            values = {name: getattr(stored, name) for name in stored.__slots__}
            await connection.execute(insert(keys).values(values))
        for n in range(2):
            group = records.group(f"g{n}", id=f"grp_{n}")
            values = {name: getattr(group, name) for name in group.__slots__}
            await connection.execute(insert(groups_table).values(values))
    for _ in range(10):
        chosen = random_choice(chance)
        if chosen.key_id == "key_none":
            continue
        query = {
            "since": time_text(chosen.span.since_ms),
            "until": time_text(chosen.span.until_ms),
            "by": "key",
            "key": chosen.key_id,
            "provider": chosen.provider,
            "model": chosen.model,
            "alias": chosen.alias,
            "group": chosen.group_id,
        }
        answer = await api.get(at(query))
        assert answer.status == 200, answer.text
        meant = summed(None, [row for row in rows if fits(row, chosen)])
        total, groups = answer.body["total"], answer.body["groups"]
        assert total["cost"] == format_usd(meant.cost_nanodollars)
        assert total["billed"] == format_usd(meant.billed_nanodollars)
        assert total["held"] == format_usd(meant.held_nanodollars)
        for name in ("requests", "attempts", "output_tokens", "audio_tokens", "estimated"):
            assert total[name] == getattr(meant, name)
        assert total["attempts"] == sum(group["attempts"] for group in groups)
        assert total["open_holds"] == sum(group["open_holds"] for group in groups)
        assert {group["group"] for group in groups} <= {"k0", "k1", "k2"}


async def test_what_was_just_written_is_counted_and_what_runs_is_held(
    api: AdminApi, ledger: LocalLedger
) -> None:
    key_id = await made_key(api, "ci")
    hold = await ledger.hold(claim(key_id, 5_000_000_000))
    running = (await api.get("/admin/usage")).body["total"]
    assert (running["attempts"], running["open_holds"], running["held"]) == (0, 1, "5.00")
    assert (running["requests"], running["input_tokens"], running["cost"]) == (0, 0, "0.00")
    ledger.settle(hold, settlement(1))
    ended = (await api.get(at({"by": "model"}))).body
    assert (ended["total"]["attempts"], ended["total"]["held"]) == (1, "0.00")
    assert ended["total"]["cost"] == "0.000000001"
    assert [group["group"] for group in ended["groups"]] == ["m"]
    assert ended["groups"][0]["key_id"] is None


async def test_keys_are_named_also_when_they_are_deleted(
    api: AdminApi, ledger: LocalLedger
) -> None:
    ids = []
    for cost in (1, 2, 3):  # the first two are gone, the name is given anew
        ids.append(await made_key(api, "ci"))
        ledger.settle(await ledger.hold(claim(ids[-1], 9)), settlement(cost))
        if cost < 3:
            await api.delete("/admin/keys/ci")
    groups = (await api.get(at({"by": "key"}))).body["groups"]
    assert [(group["group"], group["key_id"]) for group in groups] == [
        ("ci", key_id) for key_id in reversed(ids)
    ]
    one = (await api.get(at({"key": "ci"}))).body
    assert (one["key"], one["key_id"], one["total"]["cost"]) == ("ci", ids[2], "0.000000003")
    await api.delete("/admin/keys/ci")
    last = (await api.get(at({"key": "ci"}))).body
    assert last["key_id"] == ids[2]
    first = (await api.get(at({"key": ids[0]}))).body
    assert first["total"]["cost"] == "0.000000001"
    assert (await api.get(at({"key": "never"}))).status == 404


async def test_sums_by_a_tag_are_of_the_values_that_keys_have_now(
    api: AdminApi, ledger: LocalLedger
) -> None:
    tags = [{"team/1.a": "red"}, {"team/1.a": "blue"}, {"team/1.a": "red", "env": "ci"}, {}]
    for n, each in enumerate(tags):
        key = await api.made("/admin/keys", {"name": f"k{n}", "tags": each})
        ledger.settle(await ledger.hold(claim(str(key["id"]), 99)), settlement(10 + n))
    await api.delete("/admin/keys/k1")

    async def sums(**query: str) -> dict[str, str]:
        found = (await api.get(at(query))).body
        assert found["by"] == query["by"]
        return {each["group"]: each["cost"][-2:] for each in found["groups"]}

    assert await sums(by="tag:team/1.a") == {"red": "22", "": "13", "blue": "11"}
    assert await sums(by="tag:env") == {"": "34", "ci": "12"}
    assert await sums(by="tag:never") == {"": "46"}
    assert await sums(by="tag:env", key="k2", since="2020-01-01T00:00:00Z") == {"ci": "12"}
    await api.patch("/admin/keys/k0", {"tags": {"team/1.a": "blue"}})
    assert await sums(by="tag:team/1.a") == {"blue": "21", "": "13", "red": "12"}


@pytest.mark.parametrize("by", ["colour", "tag:", "tag", "tag:a'b", "tag:$.x", "tag:a b"])
async def test_what_nothing_can_be_summed_by_is_refused(api: AdminApi, by: str) -> None:
    refused = await api.get(at({"by": by}))
    assert refused.status == 422
    assert refused.body["error"]["param"] == "by"
    assert "or tag:NAME is expected" in refused.body["error"]["message"]


async def test_days_and_hours_are_those_of_the_zone_oldest_first(
    api: AdminApi, database: Database
) -> None:
    hour = 3_600_000
    rows = [attempt_row(n, "req_1", held_at_ms=AT_MS + n * hour) for n in (3, 0)]
    async with writing(database) as connection:
        await connection.execute(insert(ledger), rows)

    async def groups(**query: str) -> list[str]:
        return [group["group"] for group in (await api.get(at(query))).body["groups"]]

    assert await groups(by="day") == ["2023-11-14", "2023-11-15"]
    assert await groups(by="day", timezone="Asia/Tokyo") == ["2023-11-15"]
    assert await groups(by="hour") == ["2023-11-14T22:00:00Z", "2023-11-15T01:00:00Z"]
    assert await groups(by="hour", timezone="Asia/Kolkata") == [
        "2023-11-15T03:00:00+05:30",
        "2023-11-15T06:00:00+05:30",
    ]


async def test_no_more_than_the_dearest_thousand_are_listed(
    api: AdminApi, database: Database
) -> None:
    rows = [
        attempt_row(n, f"req_{n}", model=f"m-{n}", cost_nanodollars=n, billed_nanodollars=0)
        for n in range(1001)
    ]
    async with writing(database) as connection:
        await connection.execute(insert(ledger), rows)
    answer = (await api.get(at({"by": "model"}))).body
    assert answer["more"] is True
    assert len(answer["groups"]) == 1000
    assert (answer["groups"][0]["group"], answer["groups"][-1]["group"]) == ("m-1000", "m-1")
    assert answer["total"]["requests"] == 1001
    answer = (await api.get(at({"by": "model", "most": "20000"}))).body
    assert (len(answer["groups"]), answer["more"]) == (1001, False)
    assert (await api.get(at({"by": "model", "most": "20001"}))).status == 422


async def test_an_empty_ledger_has_sums_of_nothing(api: AdminApi) -> None:
    answer = (await api.get(at({"by": "hour", "since": "2026-01-01T00:00:00Z"}))).body
    assert (answer["groups"], answer["more"], answer["total"]["cost"]) == ([], False, "0.00")


@pytest.mark.parametrize("query", [{"by": "colour"}, {"timezone": "Mars"}, {"model": ""}])
async def test_what_cannot_be_asked_is_refused(api: AdminApi, query: dict[str, str]) -> None:
    answer = await api.get(at(query))
    assert answer.status == 422
    assert answer.message.startswith(next(iter(query)))
