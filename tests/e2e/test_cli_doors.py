"""Rate limits, lists of addresses and kept answers by command, against a gateway that runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path) as started:
        yield started


@pytest.fixture
def conduit(running: Running, tmp_path: Path) -> Cli:
    return Cli(tmp_path, running.url, running.master_key)


async def test_limits_of_every_scope_are_set_and_listed(
    running: Running, conduit: Cli, fake: FakeUpstream
) -> None:
    await connect_fake(running, fake, alias="fake")
    key = await running.key("ci")
    await running.admin("POST", "/groups", {"name": "team"})
    for scope, words in (
        ("gateway", ("--rpm", "600,burst=20", "--concurrent", "50,shadow")),
        ("gateway", ("--rpd", "5000,timezone=Europe/Berlin", "--tpm", "9k,model=gpt-*,closed")),
        ("group:team", ("--tpm", "100k")),
        ("mapping:fake", ("--rpm", "70")),
        ("key:ci", ("--rpm", "3")),
    ):
        (await conduit("limits", "set", scope, *words)).ok()
    listed = (await conduit("limits", "list", "--keys", "--json")).ok().json["data"]
    told = {(row["scope"], row["kind"], row["limit"]) for row in listed}
    assert told == {
        *(("gateway", "rpm", 600), ("gateway", "concurrent", 50), ("gateway", "rpd", 5000)),
        *(("gateway", "tpm", 9000), ("group:team", "tpm", 100_000), ("mapping:fake", "rpm", 70)),
        ("key:ci", "rpm", 3),
    }
    assert "key:ci" not in {
        row["scope"] for row in (await conduit("limits", "list", "--json")).ok().json["data"]
    }
    rows = (await running.admin("GET", "/config?limit=1000"))["data"]
    assert set({row["name"]: row["value"] for row in rows}["rate_limits"].split()) == {
        *("rpm=600,burst=20", "concurrent=50,shadow", "rpd=5000,timezone=Europe/Berlin"),
        "tpm=9000,model=gpt-*,closed",
    }

    # They count, and one that is taken away does not any more.
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
    statuses = []
    for _ in range(4):
        async with running.http.post(
            f"{running.url}/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            statuses.append(response.status)
    assert statuses == [200, 200, 200, 429]
    shown = (await conduit("limits", "show", "key:ci", "--json")).ok().json["data"]
    assert [row["limit"] for row in shown] == [3]
    (await conduit("limits", "set", "gateway", "--rpm", "none")).ok()
    left = (await conduit("limits", "show", "gateway", "-q")).ok().out.split()
    assert left == ["gateway"] * 3

    for scope, code in (("key:none", 5), ("other:x", 2), ("key:", 2), ("provider:fake", 2)):
        assert (await conduit("limits", "show", scope)).code == code, scope
    assert (await conduit("limits", "set", "gateway")).code == 2
    assert (await conduit("limits", "set", "gateway", "--rpm", "many")).code == 2


async def test_lists_of_addresses_are_changed_but_for_what_locks_out(conduit: Cli) -> None:
    for words, code in (
        (("add", "203.0.113.0/24", "--allow", "--yes"), 6),  # we come from elsewhere
        (("add", "127.0.0.0/8", "--deny", "--yes"), 6),
        (("add", "127.0.0.1", "--allow"), 2),  # nobody can be asked
        (("add", "127.0.0.1", "--allow", "--yes"), 0),
        (("add", "127.0.0.1/32", "--allow", "--yes"), 0),  # it is there
        (("add", "203.0.113.0/24", "--allow"), 0),
        (("add", "198.51.100.7", "--deny", "--yes"), 0),
        (("add", "198.51.100.7"), 2),  # which list
        (("add", "198.51.100.7/24", "--deny", "--yes"), 2),  # host bits
        (("test",), 0),
        (("test", "203.0.113.9"), 0),
        (("test", "198.51.100.7"), 9),
        (("test", "nowhere"), 2),
        (("remove", "192.0.2.1", "--yes"), 5),
        (("remove", "127.0.0.1", "--yes"), 6),
    ):
        outcome = await conduit("ip-filters", *words)
        assert outcome.code == code, (words, outcome)
    listed = (await conduit("ip-filters", "list", "--json")).ok().json["data"]
    assert [(row["network"], row["list"]) for row in listed] == [
        ("127.0.0.1/32", "allow"),
        ("203.0.113.0/24", "allow"),
        ("198.51.100.7/32", "deny"),
    ]
    tested = [
        (await conduit("ip-filters", "test", address, "--json")).json
        for address in ("127.0.0.1", "203.0.113.9", "192.0.2.1", "198.51.100.7")
    ]
    told = [(row["may_call"], row["may_administer"], row["is_yours"]) for row in tested]
    assert told == [
        *((True, True, True), (True, True, False), (True, False, False)),
        (False, False, False),
    ]
    for network in ("203.0.113.0/24", "127.0.0.1", "198.51.100.7"):
        (await conduit("ip-filters", "remove", network, "--yes")).ok()
    assert (await conduit("ip-filters", "list", "--json")).json["data"] == []


async def test_of_changes_at_the_same_moment_none_is_lost_in_silence(
    running: Running, conduit: Cli
) -> None:
    networks = [f"203.0.113.{number}" for number in range(2)]
    adding = (conduit("ip-filters", "add", each, "--deny", "--yes") for each in networks)
    limiting = (conduit("limits", "set", "gateway", flag, "600") for flag in ("--rpm", "--tpm"))
    # Few at once: the gateway is in this process, and needs a thread that no command has taken.
    added, limited = await asyncio.gather(asyncio.gather(*adding), asyncio.gather(*limiting))
    for outcome in (*added, *limited):
        assert outcome.code in (0, 6), outcome
        assert (outcome.code == 6) == ("somebody changed it meanwhile" in outcome.err)
    listed = (await conduit("ip-filters", "list", "--json")).ok().json["data"]
    done = [each for each, one in zip(networks, added, strict=True) if one.code == 0]
    assert {row["network"] for row in listed} == {f"{each}/32" for each in done}
    kinds = [kind for kind, one in zip(("rpm", "tpm"), limited, strict=True) if not one.code]
    shown = (await conduit("limits", "show", "gateway", "--json")).ok().json["data"]
    assert {row["kind"] for row in shown} == set(kinds)


async def test_a_list_that_has_changed_since_it_was_read_stays_as_it_is(running: Running) -> None:
    await running.admin("PATCH", "/config", {"values": {"denied_ips": "203.0.113.7/32"}})
    late = {"values": {"denied_ips": "203.0.113.8/32"}, "expected": {"denied_ips": None}}
    error = (await running.admin("PATCH", "/config", late, status=409))["error"]
    assert "denied_ips is '203.0.113.7/32', no longer unset" in error["message"]
    late["expected"] = {"denied_ips": "203.0.113.7/32"}
    await running.admin("PATCH", "/config", late)
    rows = (await running.admin("GET", "/config?limit=1000"))["data"]
    assert {row["name"]: row["value"] for row in rows}["denied_ips"] == "203.0.113.8/32"


async def test_kept_answers_are_listed_without_what_they_say(
    running: Running, conduit: Cli, fake: FakeUpstream
) -> None:
    await connect_fake(running, fake, alias="fake")
    key = await running.key("ci")
    kept = (await conduit("cache", "set-ttl", "fake", "10m", "--cache-scope", "shared")).ok()
    assert "are kept for 10m shared" in kept.err
    body = {"model": "fake", "messages": [{"role": "user", "content": "a private question"}]}
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        answer = (await response.json())["choices"][0]["message"]["content"]
    listed = (await conduit("cache", "keys", "--json")).ok()
    (entry,) = listed.json["data"]
    assert (entry["alias"], entry["model"], entry["key"]) == ("fake", "fake", "ci")
    assert answer not in listed.out
    assert "private" not in listed.out
    shown = (await conduit("cache", "get", entry["id"][:8], "--json")).ok()
    assert shown.json["expires_at"] > shown.json["stored_at"]
    assert (await conduit("cache", "get", "0123456789")).code == 5
    whole = await running.admin("GET", f"/cache/entries/{entry['id']}")
    assert (whole["bytes"], whole["cost"]) == (entry["bytes"], entry["cost"])
    await running.admin("GET", "/cache/entries/nothing", status=404)
    (await conduit("cache", "set-ttl", "fake", "off")).ok()
    mapping = await running.admin("GET", "/mappings/fake")
    assert mapping["policy"]["cache_ttl_s"] is None


async def test_the_rules_of_notifications_tell_the_settings_in_force(conduit: Cli) -> None:
    rules = (await conduit("notifications", "rules", "--json")).ok().json["data"]
    told = {rule["id"]: rule["settings"] for rule in rules}
    assert told["unusual_spend"]["unusual_spend_factor"] == 5
    assert sorted(told) == [
        *("budget_threshold", "credential_failed", "key_expiring", "price_unknown"),
        "unusual_spend",
    ]
