"""Marked secrets in every slot, traffic that goes wrong in every way, then a search for them."""

import asyncio
import base64
import json
import os
import signal
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import socketio

from tests.canary import unpacked
from tests.e2e.processes import GatewayProcess, free_port
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

# None looks like the key of a known provider: what is not known by its looks must be safe too.
SEALED = "Zm9-sealed.canary~0123456789+abcdef"
FROM_VARIABLE = "Qx7-variable.canary~0123456789+abcdef"
FROM_FILE = "Wp3-file.canary~0123456789+abcdef"
REFUSED = "Jv5-refused.canary~0123456789+abcdef"
STRANGER = "Kt1-stranger.canary~0123456789+abcdef"
MASTER = "Hn4-master.canary~0123456789+abcdef"
IN_URL = "Lc8-password.canary~0123456789+abcdef"
PASTED = "Bd2-pasted.canary~0123456789+abcdef"
PATIENCE_S = 60
PROMPT = "the-prompt-canary-walks-at-midnight"
VARIABLE = "CANARY_OF_A_PROVIDER"

# Loaded by the gateway's interpreter at its start: errors that nobody foresaw, wherever one can
# end, with the head of the provider's request in their text.
FAULT = """
import asyncio, os, sys, threading, warnings

if "serve" in sys.argv:
    from conduit.gateway import run
    from conduit.gateway.upstream.http1 import Http1Endpoint

    send, prepare = Http1Endpoint.send, run._Run._prepare

    class Unraisable:
        def __init__(self, text):
            self.text = text

        def __del__(self):
            raise RuntimeError(f"unraisable {self.text}")

    def explode(text):
        raise RuntimeError(f"in a thread {text}")

    async def explode_later(text):
        raise RuntimeError(f"in a task {text}")

    async def sabotaged(self, path, body, headers, *others):
        if b"fake-explode" in body:
            Unraisable(headers)
            warnings.warn(f"a warning {headers}")
            thread = threading.Thread(target=explode, args=(str(headers),), name=str(headers))
            thread.start()
            thread.join()
            await asyncio.wait([asyncio.create_task(explode_later(headers), name=str(headers))])
            raise RuntimeError(f"cannot send {headers}")
        return await send(self, path, body, headers, *others)

    async def crash(self, gateway):
        if "CRASH" in os.environ.get("CANARY_MODE", ""):
            secrets = [
                credential.secret
                for upstream in gateway.configuration.snapshot.upstreams.values()
                for credential in upstream.credentials
            ]
            raise RuntimeError(f"crashed with {secrets} and {os.environ['CONDUIT_MASTER_KEY']}")
        return await prepare(self, gateway)

    Http1Endpoint.send, run._Run._prepare = sabotaged, crash
"""

# What an operator runs, and where it goes wrong.
COMMANDS = (
    "status",
    "status --json",
    "providers list -o wide",
    "providers show sealed --json",
    "providers test variable",
    "keys list --json",
    "keys show canary",
    "mappings list",
    "prices list",
    "budgets list --json",
    "config show --origin",
    "config show --offline",
    "config path",
    "config history --json",
    "config history 1 --json",
    "config rollback 0 --dry-run --json",
    "config reload",
    "logs list --all --json",
    "auth whoami --json",
    "auth rotate-master --confirm {place}",
    "context list",
    "context show --json",
    "doctor",
    "doctor ledger --json",
    "keys show nothing --debug",
    "providers add openai --key-env NOTHING --debug",
    "keys create canary --json",
    "config export",
    "mappings export",
    "events list --json --limit 1000",
    "security events --json",
    "security summary --json",
    "bans list --json",
    "health providers --json",
    "health history --json",
    "notifications list --json",
    "usage summary --json",
    "route explain fake --json",
    "limits list --keys --json",
    "spend review --json",
    "logs export --since ever --format jsonl",
    "doctor --bundle {home}/bundle.zip",
    "db status --json",
    "db backup {home}/backup.gz",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Asks the gateway and keeps every answer, head and body."""

    session: aiohttp.ClientSession
    url: str
    answers: list[str] = field(default_factory=list)

    async def __call__(
        self, method: str, path: str, bearer: str, *, keep: bool = True, **options: Any
    ) -> tuple[int, str]:
        headers = {"authorization": f"Bearer {bearer}", **options.pop("headers", {})}
        try:
            async with self.session.request(
                method, self.url + path, headers=headers, **options
            ) as response:
                content = bytearray()
                try:
                    async for piece in response.content.iter_any():
                        content += piece
                except aiohttp.ClientPayloadError:
                    pass  # what came before the break is looked at all the same
                text = content.decode()
        except aiohttp.ClientError as error:
            self.answers.append(repr(error))
            return 0, ""
        if keep:
            self.answers.append(f"{response.status} {dict(response.headers)} {text}")
        return response.status, text

    async def chat(
        self,
        key: str,
        model: str,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **fields: object,
    ) -> int:
        messages = [{"role": "user", "content": PROMPT}]
        body = {"model": model, "messages": messages, "stream": stream, **fields}
        path = "/v1/chat/completions"
        status, _ = await self("POST", path, key, json=body, headers=headers or {})
        return status


async def set_up(caller: Caller, master: str, fake: FakeUpstream, folder: Path) -> list[str]:
    """A provider for each kind of credential, all at the fake; gives the virtual keys."""
    secret_file = folder / "secret.txt"
    secret_file.write_text(FROM_FILE)
    secret_file.chmod(0o600)
    for name, credential in {
        "sealed": {"secret": SEALED},
        "variable": {"env": VARIABLE},
        "file": {"file": str(secret_file)},
    }.items():
        provider = {"name": name, "type": "openai_compatible", "base_url": fake.base_url}
        body = {**provider, "credential": credential}
        assert (await caller("POST", "/admin/providers", master, json=body))[0] == 201
        target = {"provider": name, "model": "*"}
        mapping = {"alias": "fake*" if name == "sealed" else name, "targets": [target]}
        if name != "sealed":
            target["model"] = "fake"
        assert (await caller("POST", "/admin/mappings", master, json=mapping))[0] == 201
    body = {"name": "canary", "budget": {"limit": "5"}}
    await caller("PUT", "/admin/prices/sealed/*", master, json={"input": "1", "output": "2"})
    for name in ("variable", "file"):
        price = {"input": "1", "output": "2"}
        await caller("PUT", f"/admin/prices/{name}/*", master, json=price)
    # The answers in which a secret belongs.
    status, first = await caller("POST", "/admin/keys", master, keep=False, json=body)
    assert status == 201, first
    other = {"name": "rotated"}
    status, created = await caller("POST", "/admin/keys", master, keep=False, json=other)
    assert status == 201, created
    rotate = "/admin/keys/rotated/rotate"
    status, rotated = await caller("POST", rotate, master, keep=False, json={"grace_s": 60})
    assert status == 200, rotated
    return [str(json.loads(text)["secret"]) for text in (first, created, rotated)]


async def good_traffic(caller: Caller, key: str) -> None:
    for model in ("fake", "variable", "file"):
        assert await caller.chat(key, model) == 200
        assert await caller.chat(key, model, stream=True) == 200
    body = {"model": "fake", "input": PROMPT}
    assert (await caller("POST", "/v1/embeddings", key, json=body))[0] == 200


def echoing(status: int, secret: str) -> Behaviour:
    """A provider that repeats in its error what it was sent."""
    said = f"Incorrect API key provided: {secret}. You sent: Bearer {secret}"
    error = {"message": said, "type": secret, "code": secret, "param": secret}
    return Behaviour(status=status, raw_body=json.dumps({"error": error}).encode())


async def failing_traffic(caller: Caller, key: str, fake: FakeUpstream) -> None:
    for model, secret in (("fake", SEALED), ("variable", FROM_VARIABLE), ("file", FROM_FILE)):
        for status in (400, 401, 403, 404, 429, 500):
            # A failure that may pass is tried again.
            fake.default = echoing(status, secret)
            assert await caller.chat(key, model, stream=status % 2 == 1) >= 400
    fake.default = None
    for fault in (
        "html",
        "unparsable",
        "reset_before_head",
        "first_error",
        "n6-cut_rst-at3",
        "n6-error_event-at3",
    ):
        await caller.chat(key, f"fake-{fault}", stream=True)
    assert await caller.chat(key, "fake-explode") == 500
    assert await caller.chat(key, "fake-explode", stream=True) == 500
    assert await caller.chat(key, "no-such-model") == 404
    assert await caller.chat(key, "fake", max_tokens=PROMPT) == 400
    assert await caller.chat(key, "fake", api_key=REFUSED) == 400
    kind = {"content-type": "application/json"}
    broken = f'{{"model": "fake", "messages": [{{"content": "{PROMPT}'
    assert (await caller("POST", "/v1/chat/completions", key, data=broken, headers=kind))[0] == 400


async def wrong_callers(caller: Caller, master: str, key: str) -> None:
    for bearer in (STRANGER, "condt_" + STRANGER, master):
        assert await caller.chat(bearer, "fake") == 401
    for bearer in (STRANGER, key):
        assert (await caller("GET", "/admin/status", bearer))[0] in (401, 403)
    body = {"name": "worse", "type": "nonsense", "credential": {"secret": REFUSED, "sekret": 1}}
    assert (await caller("POST", "/admin/providers", master, json=body))[0] == 422
    body = {"name": "double", "type": "openai", "credential": {"secret": REFUSED, "env": "X"}}
    assert (await caller("POST", "/admin/providers", master, json=body))[0] == 422

    for base_url in (f"https://user:{IN_URL}@host.example/v1", f"http://{IN_URL}@host.example"):
        body = {"name": "inurl", "type": "openai_compatible", "base_url": base_url}
        assert (await caller("POST", "/admin/providers", master, json=body))[0] in (400, 422)
    # A key that somebody has pasted into the wrong field.
    for path in (f"/admin/keys/{SEALED}", f"/admin/requests?filter=alias:{SEALED}"):
        await caller("GET", path, master)
    assert await caller.chat(key, SEALED) == 404
    assert await caller.chat(key, "fake", stop=[SEALED], nonsense=PASTED) in (200, 400)
    assert await caller.chat(key, "fake", headers={"user-agent": f"tool/1 ({SEALED})"}) == 200


async def listen(caller: Caller, master: str, key: str) -> None:
    """On the socket: refusals with wrong tokens, and with the right one all there has been."""
    for token in (STRANGER, key, "condt_mk_" + STRANGER):
        client = socketio.AsyncClient(reconnection=False)
        try:
            await client.connect(caller.url, namespaces=["/admin"], auth={"token": token})
        except socketio.exceptions.ConnectionError as error:
            caller.answers.append(f"{error!r} {error.args}")
        await client.disconnect()
    client, enough = socketio.AsyncClient(reconnection=False), asyncio.Event()

    async def keep(name: str, content: object) -> None:
        caller.answers.append(f"{name} {content}")
        if "request.finished" in str(content):
            enough.set()

    client.on("*", keep, namespace="/admin")
    await client.connect(caller.url, namespaces=["/admin"], auth={"token": master})
    try:
        wrong = {"filter": f"{SEALED}:5", "after_seq": 0}
        for wish in (wrong, {"after_seq": 0}):
            answer = await client.call("subscribe", wish, namespace="/admin")
            caller.answers.append(str(answer))
        async with asyncio.timeout(PATIENCE_S):
            await enough.wait()
    finally:
        await client.disconnect()


async def run_commands(gateway: GatewayProcess) -> str:
    """Everything that the commands write, to either side."""
    written = []
    names = {"home": str(gateway.home), "place": gateway.url.removeprefix("http://")}
    for command in COMMANDS:
        code, out, err = await gateway.cli(*command.format(**names).split())
        written.append(f"$ {command}\n{code}\n{out}\n{err}")
    return "\n".join(written)


async def crash(gateway: GatewayProcess, session: aiohttp.ClientSession) -> str:
    """A start that ends in an error which nobody foresaw: its output."""
    gateway.environment = {**gateway.environment, "CANARY_MODE": "CRASH"}
    log = gateway.home / "gateway.log"
    before = len(log.read_bytes())
    with suppress(AssertionError):  # it ends before it is ready
        await gateway.start(session)
    assert await gateway.ended() == 1
    return log.read_bytes()[before:].decode()


async def read_everything(caller: Caller, master: str) -> None:
    """Every answer in which something of the above could be repeated."""
    for path in (
        "/admin/status",
        "/admin/config",
        "/admin/providers",
        "/admin/providers/sealed/credentials",
        "/admin/mappings",
        "/admin/keys",
        "/admin/keys/canary",
        "/admin/budgets",
        "/admin/prices",
        "/admin/ledger/check",
        "/admin/events?limit=1000",
    ):
        status, text = await caller("GET", path, master)
        assert status == 200, (path, text)
    assert "request.finished" in text
    _, text = await caller("GET", "/admin/requests?limit=1000", master)
    rows = json.loads(text)["data"]
    assert len(rows) > 25
    for row in rows:
        assert (await caller("GET", f"/admin/requests/{row['id']}", master))[0] == 200
    _, metrics = await caller("GET", "/metrics", master)
    assert "conduit_" in metrics


def forms_of(secret: str) -> list[bytes]:
    """The secret as it is and in the forms that a careless line of code would give it."""
    plain = secret.encode()
    return [plain, base64.b64encode(plain).rstrip(b"="), plain.hex().encode()]


def found(secrets: dict[str, str], places: dict[str, bytes]) -> list[str]:
    return [
        f"{name} in {place}"
        for place, content in places.items()
        for name, secret in secrets.items()
        if any(form in content for form in forms_of(secret))
    ]


def files_of(gateway: GatewayProcess) -> dict[str, bytes]:
    """All there is below its home, with what is packed in it, but for the file of a secret."""
    found = {}
    for path in gateway.home.rglob("*"):
        if path.is_file() and path.name != "sealing.key":
            content = path.read_bytes()
            found[path.name] = b"\n".join([content, *unpacked(path, content)])
    return found


def dump_of(path: Path) -> bytes:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return "\n".join(database.iterdump()).encode()


async def test_no_secret_and_no_prompt_is_written_or_answered(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAULT)
    environment = {
        VARIABLE: FROM_VARIABLE,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])]),
        "CONDUIT_LOG_LEVEL": "debug",
        "CONDUIT_BREAKERS": "false",  # each call of a target that fails is to go out
        "CONDUIT_DRAIN_ACCEPT_S": "0",
    }
    gateway = GatewayProcess(tmp_path / "home", MASTER, free_port(), environment)
    async with aiohttp.ClientSession() as session:
        await gateway.start(session)
        try:
            caller = Caller(session, gateway.url)
            key, before_rotation, after_rotation = await set_up(caller, MASTER, fake, tmp_path)
            await good_traffic(caller, key)
            await failing_traffic(caller, key, fake)
            await wrong_callers(caller, MASTER, key)
            await listen(caller, MASTER, key)
            await read_everything(caller, MASTER)
            commands = await run_commands(gateway)
            data = gateway.home / "data"
            # While it runs, the newest is in the journal and SQLite's own log.
            places = {f"{name} while it runs": held for name, held in files_of(gateway).items()}
            gateway.send(signal.SIGTERM)
            assert await gateway.ended() == 0
            crashed = await crash(gateway, session)
        finally:
            await gateway.kill()
    places |= {
        **files_of(gateway),
        "database dump": dump_of(data / "conduit.db"),
        "answers": "\n".join(caller.answers).encode(),
        "commands": commands.encode(),
        "crash": crashed.encode(),
    }
    secrets = {
        "sealed credential": SEALED,
        "credential of a variable": FROM_VARIABLE,
        "credential of a file": FROM_FILE,
        "refused credential": REFUSED,
        "password in a URL": IN_URL,
        "value of an unknown field": PASTED,
        "master key": MASTER,
        "virtual key": key,
        "virtual key before its rotation": before_rotation,
        "virtual key after its rotation": after_rotation,
        "key of a stranger": STRANGER,
        "sealing key": (data / "sealing.key").read_text().strip(),
        "prompt": PROMPT,
    }
    assert found(secrets, places) == []
    # The search would have found them: they were used, and failures were written down.
    used = {received.headers["authorization"] for received in fake.requests}
    assert used == {f"Bearer {secret}" for secret in (SEALED, FROM_VARIABLE, FROM_FILE)}
    assert all(PROMPT.encode() in each.body for each in fake.requests if each.body)
    log = places["gateway.log"].decode()
    for said in ("cannot send", "in a thread", "in a task", "unraisable", "a warning"):
        assert f"{said} {{'" in log, said
    assert "RuntimeError: crashed with ['[redacted]'" in crashed
    assert "[redacted]" in log
    assert "request.finished" in places["answers"].decode()
    assert b"[redacted]" in places["answers"]
    assert b"INSERT INTO" in places["database dump"]
    assert b"req_" in places["backup.gz"]
    assert b"variable" in places["bundle.zip"]
    assert found({"start of the key": key[:10]}, {"dump": places["database dump"]})
