"""Starting, stopping and changing a gateway: what it refuses, what it finishes, what it tells."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests.e2e.conftest import Running
from tests.e2e.processes import ROOT, GatewayProcess, free_port
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

WITHIN_S = 60.0
EXIT_USAGE = 2
FAST_DRAIN = {"CONDUIT_DRAIN_ACCEPT_S": "0"}


@asynccontextmanager
async def serving(
    folder: Path, fake: FakeUpstream, **environment: str
) -> AsyncIterator[tuple[GatewayProcess, "Client"]]:
    """`conduit serve` with the fake as its provider, and a client with a key."""
    gateway = GatewayProcess(folder / "home", make_master_key(), free_port(), environment)
    async with aiohttp.ClientSession() as session:
        await gateway.start(session)
        try:
            provider = {"name": "fake", "type": "openai_compatible", "base_url": fake.base_url}
            mapping = {"alias": "fake*", "targets": [{"provider": "fake", "model": "*"}]}
            await gateway.admin(session, "POST", "/providers", provider)
            await gateway.admin(session, "POST", "/mappings", mapping)
            await gateway.admin(session, "PUT", "/prices/fake/*", {"input": "1", "output": "2"})
            created = await gateway.admin(session, "POST", "/keys", {"name": "client"})
            yield gateway, Client(session, gateway.url, created["secret"])
        finally:
            await gateway.kill()


class Client:
    """A caller with a key."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}

    async def chat(self, model: str = "fake", **fields: object) -> aiohttp.ClientResponse:
        """The answer as soon as its head is here."""
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **fields}
        return await self._session.post(
            f"{self._url}/v1/chat/completions", json=body, headers=self._headers
        )

    async def stream(self, model: str = "fake") -> tuple[aiohttp.ClientResponse, bytes]:
        """A stream whose first bytes are here."""
        response = await self.chat(model, stream=True)
        assert response.status == 200, await response.text()
        async with asyncio.timeout(WITHIN_S):
            return response, await response.content.readany()

    async def health(self) -> tuple[int, list[str]]:
        """Readiness and its reasons, asked over a connection of its own."""
        async with self._session.get(
            f"{self._url}/health/ready", headers={"connection": "close"}
        ) as response:
            return response.status, (await response.json())["reasons"]

    async def may_connect(self) -> bool:
        host, _, port = self._url.removeprefix("http://").partition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return False
        writer.close()
        return True


def rows_of(gateway: GatewayProcess, table: str) -> list[dict[str, Any]]:
    """The rows of a table in the database of a gateway that has stopped, in their order."""
    path = gateway.home / "data" / "conduit.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"select * from {table} order by rowid")]


async def ledger_holds(gateway: GatewayProcess) -> list[dict[str, Any]]:
    """Check the ledger of a gateway that has stopped; gives the rows that it left."""
    code, out, err = await gateway.cli("doctor", "ledger", "--offline", "--json")
    assert code == 0, (out, err)
    assert json.loads(out)["ok"], out
    rows = rows_of(gateway, "ledger")
    assert all(row["outcome"] is not None for row in rows), "a hold was left open"
    return rows


def log_of(gateway: GatewayProcess) -> str:
    return (gateway.home / "gateway.log").read_text()


def last_error(text: bytes) -> str:
    """The code of the error frame that ends a stream."""
    assert b"[DONE]" not in text
    frame = text.rstrip().rsplit(b"\n\n", 1)[-1]
    return str(json.loads(frame.removeprefix(b"data: "))["error"]["code"])


async def test_sigterm_lets_a_stream_finish(tmp_path: Path, fake: FakeUpstream) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=8, gate=gate))
    async with serving(tmp_path, fake, CONDUIT_DRAIN_ACCEPT_S="0.7") as (gateway, client):
        response, text = await client.stream()
        began = time.monotonic()
        gateway.send(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S):
            while (await client.health())[0] == 200:
                await asyncio.sleep(0.01)
        # It says that it is going while it still accepts, so that a load balancer can notice.
        assert time.monotonic() - began < 0.7
        assert await client.health() == (503, ["the gateway is shutting down"])
        late = await client.chat("fake-n2")
        assert late.status == 200, await late.text()
        async with asyncio.timeout(WITHIN_S):
            while await client.may_connect():
                await asyncio.sleep(0.02)
        assert time.monotonic() - began >= 0.7
        gate.set()
        text += await response.content.read()
        assert text.endswith(b"data: [DONE]\n\n")
        assert await gateway.ended() == 0
        assert [row["outcome"] for row in await ledger_holds(gateway)] == ["succeeded"] * 2
        assert "Traceback" not in log_of(gateway)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stream_that_outlasts_the_drain_is_told_and_settled(
    tmp_path: Path, fake: FakeUpstream, number: signal.Signals
) -> None:
    fake.script(Behaviour(chunks=8, gate=asyncio.Event()), Behaviour(delay_s=60))
    async with serving(tmp_path, fake, **FAST_DRAIN, CONDUIT_DRAIN_S="0.2") as (gateway, client):
        response, text = await client.stream()
        waiting = asyncio.create_task(client.chat())
        await fake.request(2)
        gateway.send(number)
        async with asyncio.timeout(WITHIN_S):
            assert last_error(text + await response.content.read()) == "server_shutting_down"
            refused = await waiting
            assert refused.status == 503
            assert (await refused.json())["error"]["code"] == "server_shutting_down"
        assert await gateway.ended() == 0
        assert all(row["cost_nanodollars"] > 0 for row in await ledger_holds(gateway))
        records = {(row["status"], row["outcome"]) for row in rows_of(gateway, "requests")}
        assert records == {(200, "stopped"), (503, "stopped")}
        assert "Traceback" not in log_of(gateway)
        await fake.until(lambda seen: seen.in_flight == 0)


async def test_a_second_signal_skips_the_wait_and_not_the_settling(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    fake.script(Behaviour(chunks=8, gate=asyncio.Event()))
    environment = {"CONDUIT_DRAIN_ACCEPT_S": "30", "CONDUIT_DRAIN_S": "30"}
    async with serving(tmp_path, fake, **environment) as (gateway, client):
        response, text = await client.stream()
        gateway.send(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S):
            while (await client.health())[0] == 200:
                await asyncio.sleep(0.01)
            gateway.send(signal.SIGTERM)  # ends the wait for load balancers and for the stream
            assert last_error(text + await response.content.read()) == "server_shutting_down"
        assert await gateway.ended() == 0
        (row,) = await ledger_holds(gateway)
        assert row["cost_nanodollars"] > 0


async def refused(home: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a `conduit serve` that is to refuse its start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "conduit.cli",
        "serve",
        *arguments,
        cwd=ROOT,
        env={**os.environ, "CONDUIT_HOME": str(home), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert out == b""
    return process.returncode or 0, err.decode()


def the_one_line(text: str) -> str:
    (line,) = text.splitlines()
    assert line.startswith("error: "), line
    return line


async def test_a_server_without_a_master_key_refuses_and_names_the_command(tmp_path: Path) -> None:
    code, err = await refused(tmp_path, CONDUIT_PORT="0")
    assert code == EXIT_USAGE
    assert "conduit auth init" in the_one_line(err)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CONDUIT_PORT", "99999", "less than or equal to 65535"),
        ("CONDUIT_MASTER_KEY", "changeme", "at least 32 characters"),
        ("CONDUIT_LEDGER_SYNC", "sometimes", "'interval', 'always' or 'off'"),
        ("CONDUIT_REDIS_URL", "127.0.0.1:6379", "redis://127.0.0.1:6379/0"),
    ],
)
async def test_an_invalid_setting_is_one_clear_line(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    code, err = await refused(tmp_path, **{"CONDUIT_MASTER_KEY": make_master_key(), name: value})
    assert code == EXIT_USAGE
    line = the_one_line(err)
    assert f"env {name}" in line
    assert said in line
    assert value not in line or name != "CONDUIT_MASTER_KEY"


async def test_what_another_gateway_has_is_refused(tmp_path: Path, fake: FakeUpstream) -> None:
    async with serving(tmp_path, fake) as (gateway, client):
        assert gateway.process is not None
        key = make_master_key()
        # Its data folder …
        code, err = await refused(gateway.home, CONDUIT_PORT="0", CONDUIT_MASTER_KEY=key)
        assert code == EXIT_USAGE
        line = the_one_line(err)
        assert f"another gateway (process {gateway.process.pid}) uses this ledger" in line
        # … and its port.
        code, err = await refused(
            tmp_path / "other", "--port", str(gateway.port), CONDUIT_MASTER_KEY=key
        )
        assert code != 0
        line = err.splitlines()[-1]
        assert line.startswith(f"error: cannot listen on 127.0.0.1:{gateway.port}: ")
        assert "address already in use" in line.lower()
        assert "Traceback" not in err
        assert (await client.chat()).status == 200  # the first one has not noticed


async def refused_database(folder: Path, path: Path) -> str:
    code, err = await refused(
        folder, CONDUIT_DATABASE_URL=f"sqlite:///{path}", CONDUIT_MASTER_KEY=make_master_key()
    )
    assert code == EXIT_USAGE
    return the_one_line(err)


async def test_a_database_of_another_program_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table invoices (id integer)")
    before = path.read_bytes()
    assert "tables of another program" in await refused_database(tmp_path, path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    before = b"Dear customer, this is no database at all. " * 50
    path.write_bytes(before)
    assert str(path) in await refused_database(tmp_path, path)
    assert path.read_bytes() == before


async def test_configuration_changes_without_dropping_a_stream(
    running: Running, fake: FakeUpstream
) -> None:
    gate = asyncio.Event()
    fake.script(Behaviour(chunks=8, gate=gate, input_tokens=1000, output_tokens=1000))
    key = await running.key("steady")
    client = Client(running.http, running.url, key)
    async with FakeUpstream() as other:
        response, text = await client.stream("fake-n4")

        # The provider moves; its credential was for the old place and is entered again.
        await running.admin("PATCH", "/providers/fake", {"base_url": other.base_url})
        credential = {"secret": "sk-of-the-other-place-0123456789"}
        await running.admin("PATCH", "/providers/fake/credentials/default", credential)
        assert (await client.chat("fake-in10-out10")).status == 200
        assert [len(fake.requests), len(other.requests)] == [1, 1]
        assert other.requests[0].headers["authorization"] == f"Bearer {credential['secret']}"

        # The mapping leads to another model.
        target = [{"provider": "fake", "model": "fake-n2"}]
        await running.admin("PATCH", "/mappings/fake%2A", {"targets": target})
        assert (await client.chat("fake-anything")).status == 200
        assert other.requests[1].model == "fake-n2"

        # It costs ten times as much.
        await running.admin("PUT", "/prices/fake/*", {"input": "10", "output": "20"})
        answer = await client.chat("fake")
        assert answer.headers["x-conduit-cost"] == "0.0008"  # 12 * 10,000 + 34 * 20,000

        # The provider, the mapping and the key go out of service.
        await running.admin("PATCH", "/providers/fake", {"enabled": False})
        assert (await client.chat("fake")).status == 503
        await running.admin("DELETE", "/mappings/fake%2A")
        assert (await client.chat("fake")).status == 404
        await running.admin("PATCH", "/keys/steady", {"enabled": False})
        assert (await client.chat("fake")).status == 401

        # The stream that had begun before all this ends as it began, at its own price.
        gate.set()
        text += await response.content.read()
    assert text.endswith(b"data: [DONE]\n\n")
    assert fake.requests[0].aborted_at is None
    await running.gateway.ledger.caught_up()
    record = await running.admin("GET", f"/requests/{response.headers['x-request-id']}")
    assert (record["outcome"], record["alias"]) == ("succeeded", "fake-n4")
    assert record["cost"] == "0.003"  # 1000 * 1,000 + 1000 * 2,000 nano-dollars
    await running.ledger_holds()
