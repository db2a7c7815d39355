"""Addresses whose wrong keys are put off: told of, and let begin anew by an operator."""

import json
from pathlib import Path
from typing import Any

import pytest

from conduit.core.keys import make_virtual_key
from conduit.gateway.server.logins import ADMIN_RULE, CLIENT_RULE
from tests.e2e.cli import Cli
from tests.e2e.conftest import Running, running_gateway

ATTACKER, CUSTOMER = "198.51.100.1", "2001:db8:1:2::7"


@pytest.fixture
async def running(tmp_path: Path) -> Any:
    async with running_gateway(tmp_path, trusted_proxies="127.0.0.1") as started:
        yield started


async def knock(running: Running, path: str, address: str, times: int) -> list[int]:
    """The statuses of so many wrong keys."""
    headers = {"authorization": f"Bearer {make_virtual_key()}", "x-forwarded-for": address}
    found = []
    for _ in range(times):
        async with running.http.get(running.url + path, headers=headers) as response:
            found.append(response.status)
    return found


async def test_a_ban_is_listed_shown_and_lifted(running: Running) -> None:
    assert (await running.admin("GET", "/bans"))["data"] == []
    assert (await knock(running, "/admin/keys", ATTACKER, ADMIN_RULE.allowed + 1))[-1] == 429
    assert (await knock(running, "/v1/models", CUSTOMER, CLIENT_RULE.allowed + 2))[-1] == 429
    listed = (await running.admin("GET", "/bans"))["data"]
    told = [(ban["id"], ban["apis"], ban["failures"]) for ban in listed]
    assert told == [
        (ATTACKER, ["admin"], ADMIN_RULE.allowed + 1),
        ("2001:db8:1:2::", ["client"], CLIENT_RULE.allowed + 1),
    ]
    assert (await running.admin("GET", f"/bans/{CUSTOMER}"))["id"] == "2001:db8:1:2::"

    await running.admin("DELETE", f"/bans/{ATTACKER}")
    await running.admin("DELETE", f"/bans/{ATTACKER}", status=404)
    assert await knock(running, "/admin/keys", ATTACKER, 1) == [401]
    assert await knock(running, "/v1/models", CUSTOMER, 1) == [429]
    assert await running.admin("POST", "/lift-bans", status=200) == {"lifted": 1}
    assert await knock(running, "/v1/models", CUSTOMER, 1) == [401]
    assert (await running.admin("GET", "/bans"))["data"] == []


async def test_the_summary_counts_what_came_to_the_doors(running: Running) -> None:
    await knock(running, "/admin/keys", ATTACKER, ADMIN_RULE.allowed + 3)
    await knock(running, "/v1/models", ATTACKER, 2)
    summary = await running.admin("GET", "/security")
    admin, client = summary["logins"]
    assert (admin["api"], client["api"]) == ("admin", "client")
    assert (admin["refused"], admin["limited"], admin["bans"], admin["banned"]) == (10, 3, 1, 1)
    assert (client["refused"], client["limited"], client["bans"], client["addresses"]) == (
        *(2, 0, 0),
        1,
    )
    assert summary["addresses"] == {
        "admin_allowed": [],
        "denied": [],
        "trusted_proxies": ["127.0.0.1/32"],
    }
    assert summary["client_ip"] == "127.0.0.1"
    assert summary["master_keys"] == 1


async def test_an_operator_sees_and_lifts_bans_by_command(running: Running, tmp_path: Path) -> None:
    conduit = Cli(tmp_path, running.url, running.master_key)
    await knock(running, "/admin/keys", ATTACKER, ADMIN_RULE.allowed + 1)
    listed = (await conduit("bans", "list", "--json")).ok()
    assert [ban["id"] for ban in listed.json["data"]] == [ATTACKER]
    events = (await conduit("security", "events", "-o", "jsonl")).ok()
    assert "auth.failed" in {json.loads(line)["kind"] for line in events.out.splitlines()}
    for words, code in (
        (("remove", ATTACKER), 2),  # nobody can be asked
        (("remove", ATTACKER, "--dry-run"), 0),
        (("show", ATTACKER), 0),
        (("remove", ATTACKER, "--yes"), 0),
        (("show", ATTACKER), 5),
        (("remove", ATTACKER, "--yes"), 5),
        (("remove", "--all", ATTACKER, "--yes"), 2),
    ):
        assert (await conduit("bans", *words)).code == code, words
    assert await knock(running, "/admin/keys", ATTACKER, 1) == [401]
    lifted = await conduit("bans", "remove", "--all", "--yes")
    assert "lifted 0 bans" in lifted.err
