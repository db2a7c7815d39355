"""Admin operations on virtual keys and budgets."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from conduit.core.errors import AuthenticationError, InsufficientQuotaError
from conduit.core.events import EventKind
from conduit.core.ids import new_id, now_ms
from conduit.core.keys import digest_of, is_virtual_key
from conduit.core.resources.fields import time_text
from conduit.gateway.conversation import Usage
from conduit.gateway.keys.keyring import Keyring
from conduit.gateway.ledger.checks import check_database
from conduit.gateway.ledger.entries import AttemptOutcome, Settlement, UsageSource
from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.records import Claim
from conduit.gateway.stages.authenticate import Authenticate
from conduit.gateway.storage import requests as stored_requests
from conduit.gateway.storage.engine import Database, reading, writing
from conduit.gateway.storage.schema import keys, requests
from conduit.gateway.storage.schema import ledger as ledger_table
from tests.gateway.admin.calls import AdminApi
from tests.gateway.records import AT_MS, attempt_row, request_row

PATH = "/admin/keys"
DOLLAR = 1_000_000_000


def claim(key_id: str, nanodollars: int, *, model: str = "m", request_id: str = "") -> Claim:
    return Claim(
        attempt_id=new_id("att"),
        request_id=request_id or new_id("req"),
        key_id=key_id,
        alias="fast",
        provider="sim",
        model=model,
        credential_id=None,
        operation="chat",
        stream=False,
        at_ms=now_ms(),
        hold_nanodollars=nanodollars,
        input_tokens=1,
        input_nanodollars=1,
        output_rate=1,
        price_version="book",
    )


def settlement(nanodollars: int) -> Settlement:
    return Settlement(
        outcome=AttemptOutcome.SUCCEEDED,
        usage=Usage(requests=1),
        usage_source=UsageSource.PROVIDER,
        cost_nanodollars=nanodollars,
        billed_nanodollars=nanodollars,
        at_ms=now_ms(),
        status=200,
    )


async def test_a_key_is_shown_once_and_stored_as_a_digest(
    api: AdminApi, database: Database, keyring: Keyring
) -> None:
    answer = await api.post(PATH, {"name": "ci"})
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    secret = answer.body["secret"]
    assert is_virtual_key(secret)
    assert answer.body["start"] == secret[:12]
    assert answer.body["allowed_models"] == ["*"]
    assert answer.body["state"] == "active"
    grant = await keyring.find(secret)
    assert grant is not None
    assert (grant.id, grant.name) == (answer.body["id"], "ci")

    shown = await api.get(f"{PATH}/ci")
    assert "secret" not in shown.body
    async with reading(database) as connection:
        rows = str((await connection.execute(select(keys))).all())
    for text in (shown.text, (await api.get(PATH)).text, rows):
        assert secret[13:] not in text


async def test_a_key_is_made_with_a_budget_that_counts_at_once(
    api: AdminApi, ledger: LocalLedger, keyring: Keyring, kinds: Callable[[], list[str]]
) -> None:
    made = await api.made(PATH, {"name": "ci", "budget": {"limit": "5"}})
    (budget,) = made["budgets"]
    assert budget["scope"] == {"kind": "key", "id": made["id"]}
    assert (budget["limit"], budget["mode"], budget["period"]) == ("5.00", "hard", "total")
    assert (budget["spent"], budget["held"], budget["period_start"]) == ("0.00", "0.00", None)
    grant = await keyring.find(made["secret"])
    assert grant is not None
    assert grant.has_hard_budget
    assert ledger.affordable(made["id"]) == 5 * DOLLAR

    hold = await ledger.hold(claim(made["id"], 2 * DOLLAR))
    (budget,) = (await api.get(f"{PATH}/ci")).body["budgets"]
    assert (budget["spent"], budget["held"]) == ("0.00", "2.00")
    ledger.settle(hold, settlement(1_500_000_001))
    (budget,) = (await api.get(PATH)).body["data"][0]["budgets"]
    assert (budget["spent"], budget["held"]) == ("1.500000001", "0.00")
    assert kinds() == ["key.created", "budget.created"]


async def test_a_key_whose_budget_is_refused_is_not_made(api: AdminApi) -> None:
    body = {"name": "ci", "budget": {"limit": "5", "timezone": "Nowhere/At_All"}}
    answer = await api.post(PATH, body)
    assert answer.status == 422
    assert answer.message.startswith("budget.timezone: ")
    assert await api.listed(PATH) == []


async def test_a_key_stops_at_once_when_disabled_and_when_deleted(
    api: AdminApi, keyring: Keyring
) -> None:
    made = await api.made(PATH, {"name": "ci"})
    secret = made["secret"]
    assert await keyring.find(secret) is not None
    disabled = await api.patch(f"{PATH}/ci", {"enabled": False})
    assert (disabled.body["state"], disabled.body["version"]) == ("disabled", 2)
    assert keyring.cached(secret) is None
    grant = await keyring.find(secret)
    assert grant is not None
    assert not grant.enabled
    assert (await api.delete(f"{PATH}/ci")).status == 204
    assert keyring.cached(secret) is None
    assert await keyring.find(secret) is None
    assert (await api.get(f"{PATH}/{made['id']}")).status == 404


async def test_the_name_of_a_deleted_key_is_free(api: AdminApi) -> None:
    first = await api.made(PATH, {"name": "ci"})
    assert (await api.post(PATH, {"name": "ci"})).status == 409
    await api.delete(f"{PATH}/{first['id']}")
    second = await api.made(PATH, {"name": "ci"})
    assert first["secret"] != second["secret"]


async def test_what_a_key_may_do_is_changed(api: AdminApi, keyring: Keyring) -> None:
    made = await api.made(PATH, {"name": "ci", "budget": {"limit": "1"}})
    patch = {
        "name": "release",
        "allowed_models": ["gpt-*"],
        "expires_at": "2100-01-01T02:00:00+02:00",
        "version": 1,
    }
    changed = (await api.patch(f"{PATH}/ci", patch)).body
    assert (changed["name"], changed["allowed_models"]) == ("release", ["gpt-*"])
    assert changed["expires_at"] == "2100-01-01T00:00:00.000Z"
    grant = await keyring.find(made["secret"])
    assert grant is not None
    assert (grant.allowed_models, grant.name) == (("gpt-*",), "release")
    assert grant.expires_at_ms == 4_102_444_800_000
    never = (await api.patch(f"{PATH}/release", {"expires_at": None})).body
    assert never["expires_at"] is None
    past = (await api.patch(f"{PATH}/release", {"expires_at": "2020-01-01T00:00:00Z"})).body
    assert past["state"] == "expired"


async def test_a_refusal_names_the_key_by_its_new_name(api: AdminApi, ledger: LocalLedger) -> None:
    made = await api.made(PATH, {"name": "ci", "budget": {"limit": "1"}})
    await api.patch(f"{PATH}/ci", {"name": "release"})
    with pytest.raises(InsufficientQuotaError, match="release"):
        await ledger.hold(claim(made["id"], 2 * DOLLAR), wait_s=0)


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({"version": 2, "enabled": False}, 409),
        ({"name": "taken"}, 409),
        ({"name": None}, 422),
        ({"enabled": None}, 422),
        ({"allowed_models": None}, 422),
        ({"expires_at": "tomorrow"}, 422),
        ({"secret": "x"}, 422),
    ],
)
async def test_a_patch_is_checked(api: AdminApi, patch: dict[str, object], status: int) -> None:
    await api.made(PATH, {"name": "taken"})
    await api.made(PATH, {"name": "ci"})
    assert (await api.patch(f"{PATH}/ci", patch)).status == status
    assert (await api.get(f"{PATH}/ci")).body["version"] == 1


async def test_a_patch_leaves_alone_what_it_does_not_name_and_takes_no_form_of_the_key(
    api: AdminApi, keyring: Keyring
) -> None:
    made = await api.made(
        PATH, {"name": "ci", "allowed_models": ["gpt-*"], "expires_at": "2100-01-01T00:00:00Z"}
    )
    before = (await api.get(f"{PATH}/ci")).body
    after = (await api.patch(f"{PATH}/ci", {"name": "release"})).body
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"name", "version", "updated_at"}
    for shown in ("secret", "start", "digest"):
        refused = await api.patch(f"{PATH}/release", {shown: made["secret"][:12]})
        assert refused.status == 422
    assert (await keyring.find(made["secret"])) is not None


async def test_a_key_that_is_born_expired_is_refused(api: AdminApi) -> None:
    answer = await api.post(PATH, {"name": "ci", "expires_at": "2020-01-01T00:00:00Z"})
    assert answer.status == 422


async def test_keys_are_listed_with_their_own_budgets(api: AdminApi) -> None:
    for name, limit in (("b", "2"), ("a", "1")):
        await api.made(PATH, {"name": name, "budget": {"limit": limit}})
    await api.made(PATH, {"name": "c"})
    found = await api.listed(f"{PATH}?limit=2")
    assert [(key["name"], [b["limit"] for b in key["budgets"]]) for key in found] == [
        ("a", ["1.00"]),
        ("b", ["2.00"]),
        ("c", []),
    ]


async def test_a_budget_is_made_changed_and_deleted(
    api: AdminApi, ledger: LocalLedger, keyring: Keyring, kinds: Callable[[], list[str]]
) -> None:
    key = await api.made(PATH, {"name": "ci"})
    hold = await ledger.hold(claim(key["id"], DOLLAR))
    ledger.settle(hold, settlement(DOLLAR))

    body = {"scope": {"kind": "key", "id": "ci"}, "limit": "3"}
    budget = await api.made("/admin/budgets", body)
    assert budget["spent"] == "1.00"  # what was spent before counts
    grant = await keyring.find(key["secret"])
    assert grant is not None
    assert grant.has_hard_budget
    assert ledger.affordable(key["id"]) == 2 * DOLLAR

    path = f"/admin/budgets/{budget['id']}"
    assert (await api.get(path)).body == budget
    changed = await api.patch(path, {"limit": "1.50", "version": 1})
    assert (changed.body["limit"], changed.body["version"]) == ("1.50", 2)
    assert ledger.affordable(key["id"]) == DOLLAR // 2
    soft = await api.patch(path, {"mode": "soft"})
    assert soft.body["mode"] == "soft"
    assert ledger.affordable(key["id"]) is None

    assert (await api.delete(path)).status == 204
    assert (await api.get(path)).status == 404
    assert await api.listed("/admin/budgets") == []
    grant = await keyring.find(key["secret"])
    assert grant is not None
    assert not grant.has_hard_budget
    assert kinds()[1:] == ["budget.created", "budget.updated", "budget.updated", "budget.deleted"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"scope": {"kind": "key", "id": "none"}, "limit": "1"}, "scope.id"),
        ({"scope": {"kind": "planet", "id": "ci"}, "limit": "1"}, "scope.kind"),
        ({"scope": {"kind": "key", "id": "ci"}, "limit": 1}, "limit"),
        ({"scope": {"kind": "key", "id": "ci"}, "limit": "1", "period": "eon"}, "period"),
        ({"scope": {"kind": "key", "id": "ci"}, "limit": "1", "timezone": "../x"}, "timezone"),
    ],
)
async def test_a_budget_that_makes_no_sense_is_refused(
    api: AdminApi, body: dict[str, object], said: str
) -> None:
    await api.made(PATH, {"name": "ci"})
    answer = await api.post("/admin/budgets", body)
    assert answer.status == 422
    assert said in answer.message


async def test_budgets_outlive_a_restart_of_the_ledger_and_go_with_their_key(
    api: AdminApi, ledger: LocalLedger
) -> None:
    made = await api.made(PATH, {"name": "ci", "budget": {"limit": "1"}})
    await api.delete(f"{PATH}/ci")
    assert await api.listed("/admin/budgets") == []
    # Calls that were under way still settle against it.
    assert ledger.affordable(made["id"]) == DOLLAR


async def test_events_tell_of_no_secret(
    api: AdminApi, published: list[tuple[EventKind, Mapping[str, Any]]]
) -> None:
    made = await api.made(PATH, {"name": "ci"})
    facts = {"id": made["id"], "name": "ci", "enabled": True, "version": 1, "group_id": None}
    assert published == [(EventKind.KEY_CREATED, {**facts, "revision": 1})]


async def test_a_rotated_key_has_a_new_secret_and_keeps_the_rest(
    api: AdminApi, keyring: Keyring, kinds: Callable[[], list[str]]
) -> None:
    made = await api.made(PATH, {"name": "ci", "budget": {"limit": "5"}})
    answer = await api.post(f"{PATH}/ci/rotate", {"grace_s": 3600})
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    rotated = answer.body
    assert is_virtual_key(rotated["secret"])
    assert rotated["secret"] != made["secret"]
    assert rotated["start"] == rotated["secret"][:12]
    assert (rotated["id"], rotated["version"]) == (made["id"], 2)
    assert rotated["budgets"] == made["budgets"]
    assert rotated["former_expires_at"] is not None
    shown = (await api.get(f"{PATH}/ci")).body
    assert shown == {name: value for name, value in rotated.items() if name != "secret"}
    for secret in (made["secret"], rotated["secret"]):
        grant = await keyring.find(secret)
        assert grant is not None
        assert grant.id == made["id"]
    assert kinds()[-1] == "key.rotated"


async def test_without_a_grace_the_former_secret_ends_at_once(
    api: AdminApi, keyring: Keyring
) -> None:
    made = await api.made(PATH, {"name": "ci"})
    assert await keyring.find(made["secret"]) is not None
    rotated = (await api.post(f"{PATH}/ci/rotate", {})).body
    assert rotated["former_expires_at"] is None
    assert await keyring.find(made["secret"]) is None
    assert await keyring.find(rotated["secret"]) is not None


async def test_a_second_rotation_ends_the_first_secret(api: AdminApi, keyring: Keyring) -> None:
    first = (await api.made(PATH, {"name": "ci"}))["secret"]
    second = (await api.post(f"{PATH}/ci/rotate", {"grace_s": 60})).body["secret"]
    third = (await api.post(f"{PATH}/ci/rotate", {"grace_s": 60})).body["secret"]
    assert await keyring.find(first) is None
    assert await keyring.find(second) is not None
    assert await keyring.find(third) is not None


@pytest.mark.parametrize("ended", ["disabled", "deleted"])
async def test_both_secrets_stop_at_once_with_their_key(
    api: AdminApi, keyring: Keyring, ended: str
) -> None:
    first = (await api.made(PATH, {"name": "ci"}))["secret"]
    second = (await api.post(f"{PATH}/ci/rotate", {"grace_s": 60})).body["secret"]
    for secret in (first, second):
        await keyring.find(secret)
    if ended == "disabled":
        await api.patch(f"{PATH}/ci", {"enabled": False})
    else:
        await api.delete(f"{PATH}/ci")
    for secret in (first, second):
        assert keyring.cached(secret) is None
        grant = await keyring.find(secret)
        assert grant is None or not grant.enabled


@pytest.mark.parametrize(
    ("body", "status"), [({"grace_s": -1}, 422), ({"grace_s": 10**9}, 422), ({"grace": "1h"}, 422)]
)
async def test_a_grace_that_makes_no_sense_is_refused(
    api: AdminApi, body: dict[str, object], status: int
) -> None:
    await api.made(PATH, {"name": "ci"})
    assert (await api.post(f"{PATH}/ci/rotate", body)).status == status
    assert (await api.post(f"{PATH}/other/rotate", {})).status == 404


async def test_a_key_is_checked_by_its_digest(api: AdminApi) -> None:
    first = (await api.made(PATH, {"name": "ci"}))["secret"]
    second = (await api.post(f"{PATH}/ci/rotate", {"grace_s": 60})).body["secret"]

    async def checked(secret: str) -> tuple[str, str, bool]:
        answer = await api.post(f"{PATH}/check", {"digest": digest_of(secret).hex()})
        assert answer.status == 200
        assert secret not in answer.text
        return answer.body["name"], answer.body["secret_state"], answer.body["usable"]

    assert await checked(second) == ("ci", "current", True)
    assert await checked(first) == ("ci", "former", True)
    await api.patch(f"{PATH}/ci", {"enabled": False})
    assert await checked(second) == ("ci", "current", False)
    unknown = await api.post(f"{PATH}/check", {"digest": "0" * 64})
    assert (unknown.status, unknown.error) == (404, "not_found")
    assert (await api.post(f"{PATH}/check", {"digest": second})).status == 422


async def test_a_former_secret_that_has_ended_is_not_usable(
    api: AdminApi, database: Database, keyring: Keyring
) -> None:
    made = await api.made(PATH, {"name": "ci"})
    await api.post(f"{PATH}/ci/rotate", {"grace_s": 60})
    async with writing(database) as connection:
        await connection.execute(update(keys).values(former_expires_at_ms=now_ms() - 1))
    keyring.drop(made["id"])
    answer = await api.post(f"{PATH}/check", {"digest": digest_of(made["secret"]).hex()})
    assert (answer.body["secret_state"], answer.body["usable"]) == ("ended", False)
    assert answer.body["former_expires_at"] is None
    with pytest.raises(AuthenticationError):
        await Authenticate(keyring.cached, keyring.find)(made["secret"], None)


async def test_keys_that_have_expired_are_told_apart_from_those_that_will(
    api: AdminApi, database: Database
) -> None:
    for name in ("past", "soon"):
        await api.made(PATH, {"name": name, "expires_at": "2099-01-01T00:00:00Z"})
    past = update(keys).where(keys.c.name == "past").values(expires_at_ms=now_ms() - 1)
    async with writing(database) as connection:
        await connection.execute(past)
    until = "expires_before=2100-01-01T00:00:00Z"
    found = await api.listed(f"{PATH}?{until}&expires_after={time_text(now_ms())}")
    assert [(key["name"], key["state"]) for key in found] == [("soon", "active")]
    both = await api.listed(f"{PATH}?{until}")
    assert [(key["name"], key["state"]) for key in both] == [
        ("past", "expired"),
        ("soon", "active"),
    ]


async def test_keys_that_expire_soon_are_listed_apart(api: AdminApi) -> None:
    for name, end in (("soon", "2099-01-01"), ("late", "2101-01-01"), ("never", None)):
        expires_at = f"{end}T00:00:00Z" if end else None
        await api.made(PATH, {"name": name, "expires_at": expires_at})
    found = await api.listed(f"{PATH}?expires_before=2100-01-01T00:00:00Z")
    assert [key["name"] for key in found] == ["soon"]
    assert (await api.get(f"{PATH}?expires_before=soon")).status == 422


async def test_keys_have_tags_to_be_found_by_and_metadata_that_is_kept(api: AdminApi) -> None:
    tags, metadata = {"team": "a", "env": "ci"}, {"owner": "Ada", "more": [1, None, {"x": 0.5}]}
    made = await api.made(PATH, {"name": "k1", "tags": tags, "metadata": metadata})
    assert (made["tags"], made["metadata"]) == (tags, metadata)
    await api.made(PATH, {"name": "k2", "tags": {"team": "b", "env": ""}})
    plain = await api.made(PATH, {"name": "k3"})
    assert (plain["tags"], plain["metadata"]) == ({}, {})
    for query, names in (
        ("team=a", ["k1"]),
        ("team", ["k1", "k2"]),
        ("env,team=b", ["k2"]),
        ("env=", ["k2"]),
        ("team=a,env=prod", []),
    ):
        found = await api.listed(f"{PATH}?limit=1&tags={query}")
        assert [key["name"] for key in found] == names, query
    for bad in ("", "=a", "te%20am=a", "team=a,team=b", "%22"):
        status = 200 if not bad else 422
        assert (await api.get(f"{PATH}?tags={bad}")).status == status, bad
    changed = (await api.patch(f"{PATH}/k1", {"tags": {"team": "c"}})).body
    assert (changed["tags"], changed["metadata"]) == ({"team": "c"}, metadata)
    wrong: list[dict[str, Any]] = [
        {"tags": {"a b": "c"}},
        {"tags": {"a": "b,c"}},
        {"tags": {"a": None}},
        {"tags": {str(n): "" for n in range(51)}},
        {"metadata": {"x": "y" * 8192}},
        {"metadata": []},
        {"metadata": None},
    ]
    for fields in wrong:
        assert (await api.patch(f"{PATH}/k1", fields)).status == 422, fields


async def test_keys_that_nobody_uses_are_listed_apart(
    api: AdminApi, database: Database, keyring: Keyring
) -> None:
    used = await api.made(PATH, {"name": "used"})
    await api.made(PATH, {"name": "never"})
    month_ago_ms = now_ms() - 30 * 86_400_000
    async with writing(database) as connection:
        await connection.execute(update(keys).values(created_at_ms=month_ago_ms - 1000))
    await api.made(PATH, {"name": "new"})  # nobody has had the time to use it
    query = f"{PATH}?unused_since={time_text(month_ago_ms)}"
    assert [key["name"] for key in await api.listed(query)] == ["never", "used"]
    await keyring.find(used["secret"])
    await keyring.write_last_used()
    assert [key["name"] for key in await api.listed(query)] == ["never"]


async def test_keys_that_have_spent_a_budget_up_are_listed_apart_page_by_page(
    api: AdminApi, ledger: LocalLedger
) -> None:
    for number in range(5):
        made = await api.made(PATH, {"name": f"k{number}", "budget": {"limit": "1"}})
        hold = await ledger.hold(claim(made["id"], DOLLAR))
        ledger.settle(hold, settlement(DOLLAR if number % 2 == 0 else DOLLAR - 1))
    found = await api.listed(f"{PATH}?over_budget=true&limit=2")
    assert [key["name"] for key in found] == ["k0", "k2", "k4"]
    assert len(await api.listed(f"{PATH}?over_budget=false")) == 5


async def test_what_a_budget_has_spent_is_reset(
    api: AdminApi,
    ledger: LocalLedger,
    database: Database,
    published: list[tuple[EventKind, Mapping[str, Any]]],
) -> None:
    key = await api.made(PATH, {"name": "ci", "budget": {"limit": "1"}})
    hold = await ledger.hold(claim(key["id"], DOLLAR))
    ledger.settle(hold, settlement(DOLLAR))
    (budget,) = key["budgets"]
    answer = await api.post(f"/admin/budgets/{budget['id']}/reset-spend")
    assert answer.status == 200
    assert answer.body == {**budget, "reset": "1.00"}
    (shown,) = (await api.get(f"{PATH}/ci")).body["budgets"]
    assert (shown["spent"], shown["reset"]) == ("0.00", "1.00")
    (listed,) = await api.listed("/admin/budgets")
    assert listed["reset"] == "1.00"
    assert ledger.affordable(key["id"]) == DOLLAR
    kind, facts = published[-1]
    assert (kind, facts["spent_nanodollars"]) == (EventKind.BUDGET_SPEND_RESET, DOLLAR)
    await ledger.caught_up()
    findings, _ = await check_database(database)
    assert all(finding.ok for finding in findings)
    assert (await api.post("/admin/budgets/bud_x/reset-spend")).status == 404


async def test_usage_is_that_of_the_ledger_with_its_records_beside(
    api: AdminApi, database: Database
) -> None:
    made = await api.made(PATH, {"name": "ci"})
    asked = [("fast", 4_000), ("slow", 7_000), ("fast", 5_000)]
    rows = [
        request_row(n, key_id=made["id"], alias=alias, id=new_id("req", AT_MS + n))
        for n, (alias, _) in enumerate(asked)
    ]
    attempts = [
        attempt_row(
            n, row["id"], key_id=made["id"], alias=alias, cost_nanodollars=cost, held_at_ms=AT_MS
        )
        for n, (row, (alias, cost)) in enumerate(zip(rows, asked, strict=True))
    ]
    refused = request_row(
        4, key_id=made["id"], alias=None, id=new_id("req", AT_MS + 4), outcome="refused", attempts=0
    )
    async with writing(database) as connection:
        await connection.execute(insert(requests), [*rows, refused])
        await connection.execute(insert(ledger_table), attempts)
    used = (await api.get(f"{PATH}/ci/usage?by=alias&since=2023-01-01T00:00:00Z")).body
    assert (used["key"], used["by"], used["until"]) == ("ci", "alias", None)
    total = used["total"]
    assert (total["requests"], total["recorded"], total["failed"]) == (3, 4, 1)
    assert [(each["group"], each["cost"], each["recorded"]) for each in used["groups"]] == [
        ("fast", "0.000009", 2),
        ("slow", "0.000007", 1),
        (None, "0.00", 1),
    ]
    daily = (await api.get(f"{PATH}/ci/usage?by=day")).body
    assert [group["group"] for group in daily["groups"]] == ["2023-11-14"]
    later = (await api.get(f"{PATH}/ci/usage?since=2024-01-01T00:00:00Z")).body
    assert (later["total"]["requests"], later["groups"]) == (0, [])
    assert (await api.get(f"{PATH}/ci/usage?by=colour")).status == 422
    assert (await api.get(f"{PATH}/none/usage")).status == 404


async def test_usage_is_the_same_as_that_of_all_keys_and_a_purge_takes_nothing_away(
    api: AdminApi, database: Database
) -> None:
    made = await api.made(PATH, {"name": "ci"})
    request = request_row(1, key_id=made["id"], id=new_id("req", AT_MS))
    attempt = attempt_row(
        1, request["id"], key_id=made["id"], cache_read_tokens=30, reasoning_tokens=9
    )
    async with writing(database) as connection:
        await connection.execute(insert(requests), [request])
        await connection.execute(insert(ledger_table), [attempt])
    for recorded in (1, 0):
        for by, in_all in (("model", "groups"), ("day", "groups"), ("alias", "total")):
            own = (await api.get(f"{PATH}/ci/usage?by={by}")).body
            usual = (await api.get(f"/admin/usage?key=ci&by={by}")).body
            assert own["total"]["recorded"] == recorded
            told, expected = own[in_all], usual[in_all]
            for mine, theirs in zip(
                told if in_all == "groups" else [told],
                expected if in_all == "groups" else [expected],
                strict=True,
            ):
                assert {name: mine[name] for name in mine.keys() & theirs.keys()} == {
                    name: theirs[name] for name in mine.keys() & theirs.keys()
                }
                assert mine["reasoning_tokens"] == 9
        async with writing(database) as connection:
            await stored_requests.purge(connection, AT_MS + 1)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/admin/keys", {"name": "a b"}, "name: must be up to 64 letters, digits and . _ -"),
        ("/admin/groups", {"name": ""}, "name: must be up to 64 letters, digits and . _ -"),
        (
            "/admin/mappings",
            {"alias": "a b", "targets": [{"provider": "p", "model": "m"}]},
            "alias: must be up to 200 letters",
        ),
    ],
)
async def test_a_name_that_is_none_is_told_in_words(
    api: AdminApi, path: str, body: dict[str, object], said: str
) -> None:
    answer = await api.post(path, body)
    assert answer.status == 422
    assert answer.body["error"]["message"].startswith(said)
