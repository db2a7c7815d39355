"""The history of the configuration and rollbacks, over the admin API, on both engines."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from conduit.gateway.admin import table
from conduit.gateway.admin.context import AdminContext
from conduit.gateway.config.configuration import Configuration
from conduit.gateway.storage.engine import Database, reading
from conduit.gateway.storage.schema import revisions
from tests import postgresql
from tests.gateway.admin.calls import PUBLIC, SIMULATED, AdminApi

HISTORY = "/admin/config/revisions"
ROLLBACK = "/admin/config/rollback"
TARGETS = [{"provider": "sim", "model": "m-1"}]
SECRET = "sk-canary-7f3a9b1c2d4e5f60718293a4"
_MAKES_NO_CHANGE = {
    "auth.rotate_master",  # whose key it is, is no configuration
    "budgets.reset_spend",  # money, which the ledger tells of
    "config.reload",
    "config.rollback",  # has tests of its own
    "credentials.test",
    "keys.check",
    "mappings.test",
    "price_book.update",  # has tests of its own
    "prices.estimate",
    "providers.probe",
    "providers.test",
    "breakers.open",
    "breakers.close",
    "breakers.reset",
    "routes.explain",
    "routes.simulate",
    "bans.lift_all",
    "bans.remove",
    "cache.clear",
    "notifications.acknowledge",
    "notifications.acknowledge_all",
    "requests.cancel",
    "requests.purge",
    "spend.correct",  # money, which the ledger tells of
}


@pytest.fixture(params=postgresql.ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def last(api: AdminApi) -> dict[str, Any]:
    """The newest revision with its changes."""
    (newest,) = (await api.get(f"{HISTORY}?limit=1")).body["data"]
    shown: dict[str, Any] = (await api.get(f"{HISTORY}/{newest['revision']}")).body
    return shown


async def number(api: AdminApi) -> int:
    return int((await api.get("/admin/status")).body["revision"])


def _bare(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


async def declared(api: AdminApi) -> dict[str, Any]:
    """What `config export` would write, but for keys."""
    return {
        "providers": [
            {
                **_bare(row, "name", "type", "base_url", "allow_private", "enabled"),
                "credentials": sorted(
                    (
                        _bare(each, "name", "source", "host", "enabled", "primary")
                        for each in row["credentials"]
                    ),
                    key=lambda each: str(each["name"]),
                ),
            }
            for row in await api.listed("/admin/providers")
        ],
        "mappings": [
            _bare(row, "alias", "strategy", "targets", "fallbacks", "enabled")
            for row in await api.listed("/admin/mappings")
        ],
        "prices": [
            {
                name: value
                for name, value in row.items()
                if name not in ("price_version", "effective_from")
            }
            for row in await api.listed("/admin/prices")
            if row["source"] == "override"
        ],
    }


async def rolled_back(api: AdminApi, to: int, **options: object) -> dict[str, Any]:
    answer = await api.post(ROLLBACK, {"revision": to, **options})
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.body
    return found


async def test_every_change_leaves_one_revision_that_tells_whose_it_was(api: AdminApi) -> None:
    calls: list[tuple[str, str, str, object]] = [
        ("providers.create", "POST", "/admin/providers", SIMULATED),
        ("providers.update", "PATCH", "/admin/providers/sim", {"enabled": False}),
        ("credentials.create", "POST", "/admin/providers/sim/credentials", {"env": "A"}),
        ("credentials.update", "PATCH", "/admin/providers/sim/credentials/default", {"env": "B"}),
        ("mappings.create", "POST", "/admin/mappings", {"alias": "fast", "targets": TARGETS}),
        ("mappings.update", "PATCH", "/admin/mappings/fast", {"enabled": False}),
        ("prices.set", "PUT", "/admin/prices/sim/m-1", {"input": "1", "output": "2"}),
        ("keys.create", "POST", "/admin/keys", {"name": "ci", "budget": {"limit": "5"}}),
        ("keys.update", "PATCH", "/admin/keys/ci", {"enabled": False}),
        ("keys.rotate", "POST", "/admin/keys/ci/rotate", {}),
        (
            "budgets.create",
            "POST",
            "/admin/budgets",
            {"scope": {"kind": "key", "id": "ci"}, "limit": "7"},
        ),
        ("budgets.update", "PATCH", "/admin/budgets/{budget}", {"limit": "9"}),
        ("budgets.delete", "DELETE", "/admin/budgets/{budget}", None),
        ("groups.create", "POST", "/admin/groups", {"name": "team"}),
        (
            "group_transactions.create",
            "POST",
            "/admin/groups/team/transactions",
            {"kind": "credit", "amount": "5"},
        ),
        ("groups.update", "PATCH", "/admin/groups/team", {"description": "ours"}),
        ("groups.delete", "DELETE", "/admin/groups/team", None),
        ("keys.delete", "DELETE", "/admin/keys/ci", None),
        ("prices.delete", "DELETE", "/admin/prices/sim/m-1", None),
        ("mappings.delete", "DELETE", "/admin/mappings/fast", None),
        ("credentials.delete", "DELETE", "/admin/providers/sim/credentials/default", None),
        ("providers.delete", "DELETE", "/admin/providers/sim", None),
        ("config.update", "PATCH", "/admin/config", {"values": {"log_level": "debug"}}),
    ]
    mutating = {each.name for each in table.OPERATIONS if each.method != "GET"}
    assert {name for name, *_ in calls} == mutating - _MAKES_NO_CHANGE
    for index, (name, method, path, body) in enumerate(calls, 1):
        if "{budget}" in path:
            rows = await api.listed("/admin/budgets")
            path = path.replace("{budget}", max(row["id"] for row in rows))
        answer = await api.call(method, path, body)
        assert answer.status in (200, 201, 204), (name, answer.text)
        newest = await last(api)
        assert newest["revision"] == index, name
        assert newest["operation"] == name
        assert (newest["actor"], newest["address"]) == ("master key", "127.0.0.1")
        assert newest["client"].startswith("Python/")
        assert newest["kind"] == newest["changes"][0]["kind"]
        assert newest["change_count"] == len(newest["changes"])
        assert await number(api) == index
    everything = await api.listed(f"{HISTORY}?limit=4")
    assert [row["revision"] for row in everything] == list(range(len(calls), -1, -1))
    assert everything[-1]["operation"] == "installed"


async def test_a_change_that_is_refused_leaves_none(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    assert (await api.post("/admin/providers", SIMULATED)).status == 409
    assert (await api.delete("/admin/providers/none")).status == 404
    assert (await last(api))["revision"] == 1


async def test_a_revision_tells_old_and_new(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    await api.put("/admin/prices/sim/m-1", {"input": "1.5", "output": "2", "request": "0.01"})
    await api.put("/admin/prices/sim/m-1", {"input": "1.5", "output": "3"})
    newest = await last(api)
    assert newest["changes"] == [
        {
            "action": "change",
            "kind": "price",
            "name": "sim/m-1",
            "changes": {"output": ["2.00", "3.00"], "request": ["0.01", "0.00"]},
            "note": None,
        }
    ]
    await api.delete("/admin/providers/sim")
    gone = await last(api)
    assert [(each["action"], each["kind"]) for each in gone["changes"]] == [
        ("remove", "price"),
        ("remove", "provider"),
    ]


@pytest.mark.parametrize("given", ["9", "x", "-1", "%F0", "1" * 30])
async def test_a_revision_that_there_is_not_is_not_found(api: AdminApi, given: str) -> None:
    assert (await api.get(f"{HISTORY}/{given}")).status == 404
    if given == "9":
        assert (await api.post(ROLLBACK, {"revision": 9})).status == 404


@pytest.mark.parametrize("cursor", ["eA", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "!"])
async def test_a_cursor_of_somebody_else_is_refused(api: AdminApi, cursor: str) -> None:
    assert (await api.get(f"{HISTORY}?cursor={cursor}")).status == 422


async def test_a_rollback_brings_back_what_was(
    api: AdminApi, configuration: Configuration, kinds: Callable[[], list[str]]
) -> None:
    await api.made("/admin/providers", {**SIMULATED, "credential": {"env": "A"}})
    await api.made("/admin/providers/sim/credentials", {"name": "second", "file": "/run/key"})
    await api.made("/admin/mappings", {"alias": "fast", "targets": TARGETS})
    await api.made("/admin/mappings", {"alias": "slow", "targets": TARGETS})
    await api.put("/admin/prices/sim/m-1", {"input": "1", "output": "2"})
    wanted, to = await declared(api), await number(api)

    await api.delete("/admin/mappings/slow")
    await api.patch("/admin/mappings/fast", {"strategy": "random", "enabled": False})
    await api.patch("/admin/providers/sim/credentials/second", {"primary": True})
    await api.made("/admin/providers", {**SIMULATED, "name": "new"})
    new_targets = [{"provider": "new", "model": "m"}]
    await api.made("/admin/mappings", {"alias": "extra", "targets": new_targets})
    await api.put("/admin/prices/new/m", {"input": "1", "output": "2"})
    await api.put("/admin/prices/sim/m-1", {"input": "9", "output": "9"})
    await api.delete("/admin/mappings/fast")
    await api.delete("/admin/providers/sim")
    before = await number(api)

    planned = await rolled_back(api, to, dry_run=True)
    assert await number(api) == before
    told = len(kinds())
    done = await rolled_back(api, to, expected=planned["revision"])
    assert done["changes"] == planned["changes"]
    assert (done["revision"], done["left"]) == (before + 1, [])
    assert await declared(api) == wanted
    assert sorted(configuration.snapshot.upstreams) == ["sim"]
    assert sorted(kinds()[told:]) == [
        "credential.created",
        "credential.created",
        "mapping.created",
        "mapping.created",
        "mapping.deleted",
        "price.removed",
        "price.set",
        "provider.created",
        "provider.deleted",
    ]
    newest = await last(api)
    assert (newest["operation"], newest["rolled_back_to"]) == ("config.rollback", to)
    assert newest["change_count"] == len(newest["changes"]) == len(done["changes"])
    # It is a revision like others, and can be undone.
    again = await rolled_back(api, before)
    assert again["revision"] == before + 2
    assert [row["name"] for row in await api.listed("/admin/providers")] == ["new"]
    # What is so already changes nothing, and leaves no revision.
    assert (await rolled_back(api, before))["changes"] == []
    assert await number(api) == before + 2


async def test_a_rollback_may_leave_what_was_added(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    await api.made("/admin/mappings", {"alias": "old", "targets": TARGETS})
    await api.made("/admin/mappings", {"alias": "new", "targets": TARGETS})
    await api.delete("/admin/mappings/old")
    done = await rolled_back(api, 2, prune=False)
    assert [(each["action"], each["name"]) for each in done["changes"]] == [("add", "old")]
    assert [row["alias"] for row in await api.listed("/admin/mappings")] == ["new", "old"]


async def test_keys_and_budgets_are_left_as_they_are(api: AdminApi) -> None:
    await api.made("/admin/keys", {"name": "leaked"})
    to = await number(api)
    await api.patch("/admin/keys/leaked", {"enabled": False})
    await api.made("/admin/keys", {"name": "in-use"})
    done = await rolled_back(api, to)
    assert done["changes"] == []
    rows = {row["name"]: row["enabled"] for row in await api.listed("/admin/keys")}
    assert rows == {"leaked": False, "in-use": True}


@pytest.mark.parametrize(
    ("change", "reason", "hint"),
    [
        (
            ("DELETE", "/admin/providers/open/credentials/default", None),
            "its secret is not kept with the history, and is gone",
            "conduit providers credentials add open --name default",
        ),
        (
            ("PATCH", "/admin/providers/open/credentials/default", {"env": "A"}),
            "its secret is not kept with the history, and is gone",
            "conduit providers credentials update open default",
        ),
        (
            ("PATCH", "/admin/providers/open/credentials/default", {"secret": SECRET[::-1]}),
            "its secret was entered anew since, and the former one is gone",
            "conduit providers credentials update open default",
        ),
    ],
)
async def test_a_secret_that_is_gone_is_named_and_stops_a_rollback(
    api: AdminApi, change: tuple[str, str, object], reason: str, hint: str
) -> None:
    secret = {"secret": SECRET}
    await api.made("/admin/providers", {**PUBLIC, "name": "open", "credential": secret})
    targets = [{"provider": "open", "model": "m"}]
    await api.made("/admin/mappings", {"alias": "fast", "targets": targets})
    to = await number(api)
    await api.call(*change)
    await api.patch("/admin/mappings/fast", {"enabled": False})
    before = await declared(api)

    refused = await api.post(ROLLBACK, {"revision": to})
    assert (refused.status, refused.error) == (409, "conflict")
    assert f"credential open/default: {reason}" in refused.message
    assert await declared(api) == before
    assert (await rolled_back(api, to, dry_run=True))["left"] == [
        {"kind": "credential", "name": "open/default", "reason": reason, "hint": hint}
    ]
    done = await rolled_back(api, to, partial=True)
    assert [each["name"] for each in done["left"]] == ["open/default"]
    assert (await declared(api))["mappings"][0]["enabled"] is True
    assert (await declared(api))["providers"] == before["providers"]


async def test_a_secret_that_stays_where_it_was_is_used_again(api: AdminApi) -> None:
    secret = {"secret": SECRET}
    await api.made("/admin/providers", {**PUBLIC, "name": "open", "credential": secret})
    await api.patch("/admin/providers/open", {"base_url": "https://elsewhere.example/v1"})
    await api.patch("/admin/providers/open/credentials/default", {"enabled": False})
    await rolled_back(api, 1)
    (row,) = (await api.get("/admin/providers/open")).body["credentials"]
    assert (row["source"], row["state"], row["hint"]) == ("sealed", "ready", SECRET[-4:])


async def test_a_plan_that_is_no_longer_the_present_one_is_refused(api: AdminApi) -> None:
    await api.made("/admin/providers", SIMULATED)
    await api.made("/admin/mappings", {"alias": "fast", "targets": TARGETS})
    planned = await rolled_back(api, 1, dry_run=True)
    await api.made("/admin/keys", {"name": "ci"})  # no part of a rollback, and not in its way
    await api.patch("/admin/mappings/fast", {"enabled": False})
    answer = await api.post(ROLLBACK, {"revision": 1, "expected": planned["revision"]})
    assert answer.status == 409
    assert "at revision 4, not 2" in answer.message
    again = await rolled_back(api, 1, dry_run=True)
    await api.made("/admin/keys", {"name": "cd"})
    assert (await rolled_back(api, 1, expected=again["revision"]))["revision"] == 6


async def test_no_secret_stands_in_a_revision(api: AdminApi, database: Database) -> None:
    secret = {"secret": SECRET}
    await api.made("/admin/providers", {**PUBLIC, "name": "open", "credential": secret})
    key = await api.made("/admin/keys", {"name": "ci"})
    rotated = (await api.post("/admin/keys/ci/rotate", {})).body
    await api.patch("/admin/providers/open/credentials/default", {"secret": SECRET + "x"})
    newest = await last(api)
    assert newest["changes"][0]["note"] == "its secret was entered anew"
    await api.delete("/admin/providers/open/credentials/default")
    async with reading(database) as connection:
        rows = (await connection.execute(select(revisions))).all()
    stored = json.dumps([dict(row._mapping) for row in rows])
    assert "open/default" in stored
    for hidden in (SECRET, SECRET[-4:], "c1.", key["secret"], rotated["secret"], key["start"]):
        assert hidden not in stored


async def test_old_revisions_are_forgotten_those_of_keys_apart(
    api: AdminApi, context: AdminContext, configuration: Configuration
) -> None:
    object.__setattr__(context, "revisions_kept", lambda: 3)
    await api.made("/admin/providers", SIMULATED)
    await api.made("/admin/mappings", {"alias": "fast", "targets": TARGETS})
    for enabled in (False, True, False):
        await api.patch("/admin/mappings/fast", {"enabled": enabled})
    for name in "abcde":
        await api.made("/admin/keys", {"name": name})
    kept = [row["revision"] for row in await api.listed(HISTORY)]
    assert kept == [10, 9, 8, 5, 4, 3]
    assert (await api.post(ROLLBACK, {"revision": 2})).status == 404
    assert len((await rolled_back(api, 4))["changes"]) == 1
    assert configuration.snapshot.mappings["fast"].alias == "fast"


@pytest.mark.parametrize("seed", range(4))
async def test_any_revision_can_be_brought_back(api: AdminApi, seed: int) -> None:
    """Random changes; each state is remembered, and then gone back to in a random order."""
    chance = random.Random(seed)  # chooses what a test does
    states = {0: await declared(api)}
    for name in "pq":
        await api.made("/admin/providers", {"name": name, "type": "simulator"})
    for _ in range(40):
        await _some_change(api, chance)
        states[await number(api)] = await declared(api)
    for to in chance.sample(sorted(states), 5):
        await rolled_back(api, to)
        assert await declared(api) == states[to], to


async def _some_change(api: AdminApi, chance: random.Random) -> None:
    """One change that may be refused, which is as good."""
    provider, alias = chance.choice("pq"), chance.choice("xyz")
    own = f"/admin/providers/{provider}/credentials"
    targets = [{"provider": provider, "model": chance.choice("mn")}]
    url = f"https://{chance.choice('ab')}.example/v1"
    source = chance.choice([{"env": "A"}, {"env": "B"}, {"file": "/run/key"}])
    calls: list[tuple[str, str, object]] = [
        ("POST", "/admin/providers", {"name": provider, "type": "openai", "base_url": url}),
        ("POST", "/admin/providers", {"name": provider, "type": "simulator"}),
        ("PATCH", f"/admin/providers/{provider}", {"base_url": url}),
        ("DELETE", f"/admin/providers/{provider}", None),
        ("POST", own, {"name": chance.choice("cd"), **source}),
        ("PATCH", f"{own}/{chance.choice('cd')}", {**source, "enabled": chance.random() < 0.5}),
        ("PATCH", f"{own}/{chance.choice('cd')}", {"primary": True}),
        ("DELETE", f"{own}/{chance.choice('cd')}", None),
        ("POST", "/admin/mappings", {"alias": alias, "targets": targets}),
        ("PATCH", f"/admin/mappings/{alias}", {"targets": targets}),
        ("DELETE", f"/admin/mappings/{alias}", None),
        ("PUT", f"/admin/prices/{provider}/m", {"input": str(chance.randint(1, 9)), "output": "1"}),
        ("DELETE", f"/admin/prices/{provider}/m", None),
    ]
    method, path, body = chance.choice(calls)
    answer = await api.call(method, path, body)
    assert answer.status < 500, answer.text
