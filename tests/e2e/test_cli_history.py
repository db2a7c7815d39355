"""The history of a real gateway's configuration and rollbacks, from the command line."""

import asyncio
import csv
import io
import json
from pathlib import Path

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import UPSTREAM_SECRET, Running
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

TARGETS = [{"provider": "fake", "model": "*"}]


@pytest.fixture
def cli(running: Running, tmp_path: Path) -> Cli:
    return Cli(tmp_path, running.url, running.master_key)


@pytest.fixture
def place(running: Running) -> str:
    """What is typed to confirm something severe: the gateway has no context here."""
    return running.url.partition("://")[2]


async def test_the_history_is_listed_in_every_format(cli: Cli) -> None:
    (await cli("mappings", "add", "second", "--to", "fake/m")).ok()
    rows = (await cli("config", "history", "--json")).ok().json["data"]
    assert [(row["revision"], row["operation"], row["name"]) for row in rows] == [
        (4, "mappings.create", "second"),
        (3, "prices.set", "fake/*"),
        (2, "mappings.create", "fake*"),
        (1, "providers.create", "fake"),
        (0, "installed", None),
    ]
    assert (rows[0]["actor"], rows[0]["client"]) == ("master key", "conduit-cli")
    text = (await cli("config", "history", "-o", "csv", "--fields", "revision,kind,name")).ok().out
    assert list(csv.reader(io.StringIO(text)))[:2] == [
        ["revision", "kind", "name"],
        ["4", "mapping", "second"],
    ]
    assert (await cli("config", "history", "-q", "--all")).ok().out == "4\n3\n2\n1\n0\n"
    page = await cli("config", "history", "--limit", "2", "--json")
    assert "2 of many - use --all, or go on with: conduit " in page.ok().err
    cursor = page.json["next_cursor"]
    rest = (await cli("config", "history", "--cursor", cursor, "-o", "id")).ok()
    assert rest.out == "2\n1\n0\n"
    chosen = await cli("config", "history", "--filter", "operation:mappings.*", "-o", "id")
    assert chosen.ok().out == "4\n2\n"
    found = await cli("config", "history", "--query", "data[?kind=='price'].revision", "--json")
    assert found.ok().json == [3]


async def test_a_revision_is_shown_against_the_one_before(cli: Cli) -> None:
    (await cli("prices", "set", "fake/*", "--input", "1", "--output", "3")).ok()
    row = (await cli("config", "history", "4", "--json")).ok().json
    assert row["changes"][0]["changes"] == {"output": ["2.00", "3.00"]}
    shown = (await cli("config", "history", "4", "-o", "table")).ok().out
    assert "~ price fake/*" in shown
    assert 'output: "2.00" -> "3.00"' in shown
    missing = await cli("config", "history", "99", "--json")
    assert (missing.code, missing.out) == (5, "")
    assert json.loads(missing.err)["error"]["code"] == "not_found"


async def test_a_rollback_is_planned_confirmed_and_made(
    cli: Cli, running: Running, place: str
) -> None:
    (await cli("mappings", "add", "second", "--to", "fake/m")).ok()
    (await cli("mappings", "delete", "fake*", "--yes")).ok()
    planned = (await cli("config", "rollback", "3", "--dry-run", "-o", "table")).ok()
    assert "+ mapping fake*" in planned.out
    assert "- mapping second" in planned.out
    assert "1 to add, 1 to remove" in planned.err
    assert (await cli("config", "rollback", "3", "--yes")).code == 2
    assert (await cli("config", "rollback", "3", "--confirm", "elsewhere")).code == 2
    aliases = [row["alias"] for row in (await running.admin("GET", "/mappings"))["data"]]
    assert aliases == ["second"]

    done = (await cli("config", "rollback", "3", "--confirm", place, "--json")).ok()
    assert (done.json["revision"], done.json["rolled_back_to"], done.json["left"]) == (6, 3, [])
    assert "is what it was at revision 3" in done.err
    aliases = [row["alias"] for row in (await running.admin("GET", "/mappings"))["data"]]
    assert aliases == ["fake*"]
    again = (await cli("config", "rollback", "3", "-o", "table")).ok()
    assert again.err.strip() == "the configuration is what it was at revision 3"
    piped = (await cli("config", "rollback", "3", "--json")).ok().json
    assert (piped["changes"], piped["dry_run"]) == ([], False)
    listed = (await cli("config", "history", "--limit", "1", "-o", "table")).ok().out
    assert "config.rollback 3" in listed
    kept = await cli("config", "rollback", "5", "--no-prune", "--confirm", place, "--json")
    assert [(each["action"], each["name"]) for each in kept.ok().json["changes"]] == [
        ("add", "second")
    ]


async def test_a_person_types_the_name(cli: Cli, place: str) -> None:
    (await cli("mappings", "add", "second", "--to", "fake/m")).ok()
    done = await cli.converse("config", "rollback", "3", answers=[(place, place)])
    assert done.code == 0, done.out
    assert "- mapping second" in done.out
    assert "1 change, of which 1 remove something?" in done.out


async def test_a_context_that_only_reads_may_plan_and_no_more(
    cli: Cli, running: Running, place: str
) -> None:
    (await cli("mappings", "add", "second", "--to", "fake/m")).ok()
    key = running.master_key
    add = ("context", "add", "ro", "--url", running.url, "--read-only", "--key-stdin")
    (await cli(*add, stdin=key)).ok()
    (await cli("-C", "ro", "config", "rollback", "3", "--dry-run", CONDUIT_URL="")).ok()
    refused = await cli("-C", "ro", "config", "rollback", "3", "--confirm", "ro", CONDUIT_URL="")
    assert (refused.code, "read-only" in refused.err) == (4, True)


async def test_a_secret_that_is_gone_is_named(cli: Cli, running: Running, place: str) -> None:
    rotate = ("providers", "credentials", "remove", "fake", "default", "--yes")
    (await cli(*rotate)).ok()
    (await cli("mappings", "delete", "fake*", "--yes")).ok()
    refused = await cli("config", "rollback", "3", "--confirm", place, "-o", "table")
    assert refused.code == 6
    assert "! credential fake/default: its secret is not kept" in refused.out
    assert "credential fake/default: its secret" in refused.err
    assert (await running.admin("GET", "/mappings"))["data"] == []

    partial = await cli("config", "rollback", "3", "--partial", "--confirm", place, "--json")
    assert partial.code == 8
    assert [row["alias"] for row in (await running.admin("GET", "/mappings"))["data"]] == ["fake*"]
    add = "conduit providers credentials add fake --name default"
    assert partial.json["left"][0]["hint"] == add
    (await cli(*add.split()[1:], "--key-stdin", stdin=UPSTREAM_SECRET)).ok()
    (await cli("config", "rollback", "3", "--dry-run")).ok()


async def test_a_stream_runs_on_through_a_rollback(
    cli: Cli, running: Running, fake: FakeUpstream, place: str
) -> None:
    """Even where the rollback takes away what serves it."""
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=6, gate=gate))
    key = await running.key()
    body = {"model": "fake", "messages": [{"role": "user", "content": "x"}], "stream": True}
    headers = {"authorization": f"Bearer {key}"}
    async with running.http.post(
        f"{running.url}/v1/chat/completions", json=body, headers=headers
    ) as response:
        first = await response.content.readuntil(b"\n\n")
        done = await cli("config", "rollback", "0", "--confirm", place, "--json")
        assert done.ok().json["left"] == []
        assert (await running.admin("GET", "/providers"))["data"] == []
        gate.set()
        rest = await response.content.read()
    assert (first + rest).endswith(b"data: [DONE]\n\n")
    assert (first + rest).count(b'"content"') >= 6
    record = await running.last_record()
    assert (record["outcome"], record["status"]) == ("succeeded", 200)
    await running.ledger_holds()
    async with running.http.post(
        f"{running.url}/v1/chat/completions", json=body, headers=headers
    ) as response:
        assert response.status == 404


async def test_two_rollbacks_at_once_leave_one_whole_configuration(running: Running) -> None:
    for number in range(5):
        await running.admin("POST", "/mappings", {"alias": f"m{number}", "targets": TARGETS})
    body = [{"revision": to, "expected": 8} for to in (3, 5)]
    headers = {"authorization": f"Bearer {running.master_key}"}

    async def send(each: object) -> int:
        async with running.http.post(
            f"{running.url}/admin/config/rollback", json=each, headers=headers
        ) as response:
            return response.status

    statuses = await asyncio.gather(*map(send, body))
    assert sorted(statuses) == [200, 409]
    aliases = {row["alias"] for row in (await running.admin("GET", "/mappings"))["data"]}
    assert aliases in ({"fake*"}, {"fake*", "m0", "m1"})
