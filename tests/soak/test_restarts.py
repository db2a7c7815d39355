"""Stopping and changing a gateway under load: nothing is cut, and no request sees two states."""

import asyncio
import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests.e2e.processes import GatewayProcess, fake_process, free_port
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream
from tests.soak.test_kill_nine import set_up

CLIENTS = 8
MODELS = {"a": "fake-n2-gap2", "b": "fake-n3-gap2"}
WITHIN_S = 120.0


async def stream(
    gateway: GatewayProcess, session: aiohttp.ClientSession, key: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    """A stream whose first bytes are here."""
    body = {"model": "fake", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    response = await session.post(
        f"{gateway.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {key}"},
    )
    assert response.status == 200, await response.text()
    return response, await response.content.readany()


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_sigterm_under_streams_cuts_none(tmp_path: Path, soaking: bool) -> None:
    count = 50 if soaking else 10
    gate = asyncio.Event()
    connector = aiohttp.TCPConnector(limit=0)
    async with FakeUpstream() as fake, aiohttp.ClientSession(connector=connector) as session:
        gateway = GatewayProcess(
            tmp_path / "home", make_master_key(), free_port(), {"CONDUIT_DRAIN_ACCEPT_S": "0.2"}
        )
        await gateway.start(session)
        try:
            key = await set_up(gateway, session, fake.base_url)
            fake.script(*[Behaviour(chunks=8, gate=gate)] * count)
            streams = await asyncio.gather(*(stream(gateway, session, key) for _ in range(count)))
            gateway.send(signal.SIGTERM)
            await until_refused(gateway)
            gate.set()
            texts = [begun + await response.content.read() for response, begun in streams]
            whole = sum(text.endswith(b"data: [DONE]\n\n") for text in texts)
            assert whole == count, f"{count - whole} of {count} streams were cut"
            assert await gateway.ended() == 0
        finally:
            await gateway.kill()
    with closing(
        sqlite3.connect(f"file:{gateway.home / 'data/conduit.db'}?mode=ro", uri=True)
    ) as db:
        rows = Counter(row[0] for row in db.execute("select outcome from ledger"))
        held = db.execute("select sum(held_nanodollars) from balances").fetchone()
    assert rows == {"succeeded": count}
    assert held == (0,)
    code, out, err = await gateway.cli("doctor", "ledger", "--offline", "--json")
    assert code == 0, (out, err)
    print(f"\nSIGTERM under {count} streams: 0 cut, exit 0, 0 holds left open")


async def until_refused(gateway: GatewayProcess) -> None:
    """Wait until it accepts no connections any more."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.02)


class Flipped:
    """Clients of an alias that leads now to one provider and model, now to another."""

    def __init__(self, gateway: GatewayProcess, key: str, session: aiohttp.ClientSession) -> None:
        self._gateway = gateway
        self._headers = {"authorization": f"Bearer {key}"}
        self._session = session
        self.answers = 0
        self.failed: list[str] = []
        self.served: dict[int, set[tuple[str, str]]] = {}
        """The providers and models that answered, by the revision of the configuration."""

    async def run(self, number: int) -> None:
        while True:
            body = {
                "model": "flipped",
                "messages": [{"role": "user", "content": "hello"}],
                "stream": number % 2 == 0,
            }
            async with self._session.post(
                f"{self._gateway.url}/v1/chat/completions", json=body, headers=self._headers
            ) as response:
                text = await response.read()
                self.answers += 1
                whole = number % 2 or text.endswith(b"data: [DONE]\n\n")
                if response.status != 200 or not whole:
                    self.failed.append(f"{response.status}: {text[-300:]!r}")
                    continue
                revision = int(response.headers["x-conduit-config"])
                target = response.headers["x-conduit-provider"], response.headers["x-conduit-model"]
                self.served.setdefault(revision, set()).add(target)


def target(provider: str) -> dict[str, str]:
    return {"provider": provider, "model": MODELS[provider]}


async def set_up_two(
    gateway: GatewayProcess, session: aiohttp.ClientSession, urls: dict[str, str]
) -> str:
    """Two providers, and an alias that leads to the first of them; gives a key."""
    for name, url in urls.items():
        provider = {"name": name, "type": "openai_compatible", "base_url": url}
        await gateway.admin(session, "POST", "/providers", provider)
        await gateway.admin(session, "PUT", f"/prices/{name}/*", {"input": "1", "output": "2"})
    mapping = {"alias": "flipped", "targets": [target("a")]}
    await gateway.admin(session, "POST", "/mappings", mapping)
    wanted = {"name": "load", "budget": {"limit": "1000"}}
    return str((await gateway.admin(session, "POST", "/keys", wanted))["secret"])


def models_seen(log: Path) -> Counter[str]:
    return Counter(json.loads(line)["model"] for line in log.read_text().splitlines())


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_reloads_under_load_fail_no_request_and_mix_nothing(
    tmp_path: Path, soaking: bool
) -> None:
    reloads = 1_000 if soaking else 60
    logs = {name: tmp_path / f"{name}.log" for name in ("a", "b")}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        fake_process(logs["a"]) as url_a,
        fake_process(logs["b"]) as url_b,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        gateway = GatewayProcess(tmp_path / "home", make_master_key(), free_port())
        await gateway.start(session)

        try:
            key = await set_up_two(gateway, session, {"a": url_a, "b": url_b})
            load = Flipped(gateway, key, session)
            clients = [asyncio.create_task(load.run(number)) for number in range(CLIENTS)]
            try:
                for number in range(1, reloads + 1):
                    targets = {"targets": [target("ab"[number % 2])]}
                    await gateway.admin(session, "PATCH", "/mappings/flipped", targets)
                    if number % 10 == 0:
                        gateway.send(signal.SIGHUP)
                assert not any(client.done() for client in clients)
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.wait(clients)
            assert not load.failed, load.failed[:3]
            status = await gateway.admin(session, "GET", "/status")
            code, out, err = await gateway.cli("doctor", "ledger", "--json")
            assert code == 0, (out, err)
        finally:
            await gateway.kill()
    mixed = {revision: found for revision, found in load.served.items() if len(found) > 1}
    assert not mixed, mixed
    assert {target for found in load.served.values() for target in found} <= set(MODELS.items())
    assert max(load.served) <= status["revision"]
    seen = {name: models_seen(log) for name, log in logs.items()}
    assert {name: set(found) for name, found in seen.items()} == {
        name: {model} for name, model in MODELS.items()
    }
    print(
        f"\n{reloads} reloads under {CLIENTS} clients: {load.answers} answers over "
        f"{len(load.served)} revisions, 0 failed, 0 mixed"
    )
    assert len(load.served) > reloads // 4
