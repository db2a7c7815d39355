"""Half of what the machine can do, with faults, for an hour: every answer is its request's own.

`make soak` takes CONDUIT_SOAK_SECONDS (3600) for the HTTP/1.1 client and a tenth of it for
aiohttp's, and asks CONDUIT_SOAK_RATE times a second (half of what it could do at first).
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from conduit.core.keys import make_master_key
from tests.conftest import SOAKING
from tests.e2e.processes import GatewayProcess, free_port
from tests.fakes.playing import PlayingServer, Scene

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

SECONDS: Final = float(os.environ.get("CONDUIT_SOAK_SECONDS", "3600")) if SOAKING else 4.0
RATE: Final = float(os.environ.get("CONDUIT_SOAK_RATE", "0")) if SOAKING else 40.0
SILENCE_S: Final = 1.0
CALIBRATED_BY: Final = 2_000
AT_ONCE: Final = 16
MOST_IN_FLIGHT: Final = 500
PATIENCE_S: Final = 120.0
MOST_GROWTH: Final = 16_000_000
# Weights: half of the answers are good.
FAULTS: Final = {
    "good": 50,
    "slow": 10,
    "fin_after": 10,
    "another_after": 10,
    "noise_after": 5,
    "status_500": 5,
    "cut": 4,
    "reset": 4,
    "stalled": 2,
}
NOISE: Final = b"\x00\xffSSH-2.0-noise\r\n"
REPEATED: Final = 4


def text_of(nonce: str) -> str:
    return f"{nonce} " * REPEATED


def whole_answer(nonce: str) -> bytes:
    message = {"role": "assistant", "content": text_of(nonce)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}
    body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
                       "choices": [choice], "usage": usage}).encode()  # fmt: skip
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def streamed_answer(nonce: str) -> bytes:
    piece: dict[str, object] = {"delta": {"content": f"{nonce} "}, "finish_reason": None}
    last: dict[str, object] = {"delta": {}, "finish_reason": "stop"}
    events = [
        json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{"index": 0, **each}]})
        for each in [*[piece] * REPEATED, last]
    ]  # fmt: skip
    chunks = [f"data: {event}\n\n".encode() for event in [*events, "[DONE]"]]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n\r\n"


@dataclass
class Provider:
    """Answers with the nonce of the request, and then does what goes wrong with servers."""

    chance: random.Random = field(default_factory=lambda: random.Random(5))
    faulty: bool = False
    met: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scene: Scene) -> bool:
        asked = json.loads(scene.body) if scene.body else {}
        if "messages" not in asked:  # which models it has
            scene.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n" + b'{"data":[]}')
            return True
        nonce = asked["messages"][-1]["content"]
        made = streamed_answer if asked.get("stream") else whole_answer
        kinds, weights = [*FAULTS], [*FAULTS.values()]
        fault = self.chance.choices(kinds, weights)[0] if self.faulty else "good"
        self.met[fault] += 1
        return await self._answer(scene, fault, made(nonce), made("of-another"))

    async def _answer(self, scene: Scene, fault: str, answer: bytes, another: bytes) -> bool:
        writer = scene.writer
        match fault:
            case "slow":
                for start in range(0, len(answer), 1 + len(answer) // 5):
                    writer.write(answer[start : start + 1 + len(answer) // 5])
                    await writer.drain()
                    await asyncio.sleep(0.02)
            case "another_after":
                # In one piece: what comes while the next request is under way is its answer.
                writer.write(answer + another)
            case "noise_after":
                writer.write(answer)
                if self.chance.random() < 0.5:  # with the answer, or on an idle connection
                    await asyncio.sleep(0.002)
                writer.write(NOISE)
            case "status_500":
                writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}")
            case "cut" | "reset" | "stalled":
                writer.write(answer[: self.chance.randrange(len(answer))])
                await writer.drain()
                if fault == "stalled":
                    await scene.reader.read()
                if fault == "reset":
                    writer.transport.abort()
            case _:
                writer.write(answer)
        return fault not in ("fin_after", "cut", "reset", "stalled")


@dataclass
class Asking:
    """Requests with a nonce each, and what came back."""

    url: str
    key: str
    session: aiohttp.ClientSession
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    asked: set[asyncio.Task[None]] = field(default_factory=set)
    number: int = 0

    async def ask(self) -> None:
        self.number += 1
        nonce, stream = f"nonce-{self.number}", self.number % 2 == 0
        body = {"model": "soak", "messages": [{"role": "user", "content": nonce}]}
        async with self.session.post(
            f"{self.url}/v1/chat/completions",
            json={**body, "max_tokens": 50, "stream": stream},
            headers={"authorization": f"Bearer {self.key}"},
        ) as response:
            got = await response.text()
        if response.status != 200:
            self.ends[str(response.status)] += 1
            is_right = "nonce-" not in got and "of-another" not in got
        else:
            text, is_whole = read_stream(got) if stream else read_whole(got)
            self.ends["whole" if is_whole else "cut"] += 1
            is_right = text == text_of(nonce) if is_whole else text_of(nonce).startswith(text)
        if not is_right:
            self.wrong.append(f"{nonce}: {got}")

    def begin(self) -> None:
        task = asyncio.create_task(self.ask())
        self.asked.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.asked.discard(task)
        if (error := task.exception()) is not None:
            self.wrong.append(repr(error))

    async def done(self) -> None:
        while self.asked:
            await asyncio.wait(self.asked)


def read_whole(body: str) -> tuple[str, bool]:
    return json.loads(body)["choices"][0]["message"]["content"], True


def read_stream(body: str) -> tuple[str, bool]:
    events = [line.removeprefix("data: ") for line in body.splitlines() if line]
    read = [json.loads(event) for event in events if event != "[DONE]"]
    text = "".join(
        choice["delta"].get("content") or "" for each in read for choice in each.get("choices", ())
    )
    return text, "[DONE]" in events


@dataclass
class Watched:
    """The gateway's process as the system sees it."""

    pid: int
    memory: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self) -> None:
        status = Path(f"/proc/{self.pid}/status").read_text()
        self.memory.append(int(status.partition("VmRSS:")[2].split()[0]) * 1024)
        self.descriptors.append(self.open())

    def open(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def course(self) -> str:
        """Memory in MB at each tenth of the time."""
        last = len(self.memory) - 1
        return " ".join(f"{self.memory[last * tenth // 10] / 1e6:.1f}" for tenth in range(11))

    def grown(self) -> int:
        """By how much memory is larger in the last tenth than in the third tenth."""
        tenth = max(1, len(self.memory) // 10)
        before = statistics.median(self.memory[2 * tenth : 3 * tenth] or self.memory)
        return int(statistics.median(self.memory[-tenth:]) - before)


@asynccontextmanager
async def asking(home: Path, client: str, base_url: str) -> AsyncIterator[tuple[Asking, int]]:
    """A gateway in a process of its own before the provider; gives its process id too."""
    environment = {
        "CONDUIT_UPSTREAM_CLIENT": client,
        "CONDUIT_FIRST_EVENT_TIMEOUT_S": str(SILENCE_S),
        "CONDUIT_GAP_TIMEOUT_S": str(SILENCE_S),
        "CONDUIT_BREAKERS": "false",
        "CONDUIT_SHED_LOOP_LAG_MS": "0",
    }
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        gateway = GatewayProcess(home, make_master_key(), free_port(), environment)
        await gateway.start(session)
        try:
            await gateway.load_all(session)
            targets = []
            for name in ("first", "second"):
                provider = {"name": name, "type": "openai_compatible", "base_url": base_url}
                await gateway.admin(session, "POST", "/providers", provider)
                price = {"input": "1", "output": "2"}
                await gateway.admin(session, "PUT", f"/prices/{name}/*", price)
                targets.append({"provider": name, "model": "m"})
            mapping = {"alias": "soak", "targets": targets}
            await gateway.admin(session, "POST", "/mappings", mapping)
            created = await gateway.admin(session, "POST", "/keys", {"name": "soak"})
            assert gateway.process is not None
            yield Asking(gateway.url, str(created["secret"]), session), gateway.process.pid
            code, out, err = await gateway.cli("doctor", "ledger", "--json")
            assert code == 0, (out, err)
        finally:
            await gateway.kill()


async def half_load(asking: Asking) -> float:
    """Half of the requests a second that can be answered, or the rate that was asked for."""
    left = CALIBRATED_BY if SOAKING and not RATE else 100
    began = time.monotonic()

    async def ask() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await asking.ask()

    count = left
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return RATE or count / (time.monotonic() - began) / 2


async def load(asking: Asking, rate: float, seconds: float, watched: Watched) -> None:
    loop = asyncio.get_running_loop()
    due = began = loop.time()
    looked = began
    while loop.time() < began + seconds:
        if len(asking.asked) < MOST_IN_FLIGHT:
            asking.begin()
        due = max(due + 1 / rate, loop.time() - 1)  # what a stop held back is not made up for
        await asyncio.sleep(max(0, due - loop.time()))
        if loop.time() > looked + min(1.0, seconds / 40):
            looked = loop.time()
            watched.look()
    await asking.done()


async def at_rest(server: PlayingServer, watched: Watched, before: int) -> None:
    """Wait until the gateway has no more open than before, and what it keeps to the provider."""
    async with asyncio.timeout(PATIENCE_S):
        while watched.open() - server.open > before:
            await asyncio.sleep(0.1)


@pytest.mark.soak
@pytest.mark.timeout(SECONDS * 1.5 + 300)
@pytest.mark.parametrize(("client", "share"), [("http1", 1.0), ("aiohttp", 0.1 if SOAKING else 1)])
async def test_every_answer_is_its_requests_own_and_nothing_grows(
    tmp_path: Path, client: str, share: float
) -> None:
    provider = Provider()
    async with (
        PlayingServer(provider) as server,
        asking(tmp_path / "home", client, server.base_url()) as (clients, pid),
    ):
        watched = Watched(pid)
        rate = await half_load(clients)
        before = watched.open() - server.open
        provider.faulty = True
        clients.ends.clear()
        await load(clients, rate, SECONDS * share, watched)
        await at_rest(server, watched, before)
        print(
            f"\n{client}: {clients.ends.total()} requests in {SECONDS * share:.0f} s, "
            f"{rate:.0f} a second: {dict(clients.ends.most_common())}; provider: "
            f"{dict(provider.met.most_common())} over {server.connections} connections; "
            f"{len(clients.wrong)} wrong; descriptors {min(watched.descriptors)} to "
            f"{max(watched.descriptors)}, {before} before and {watched.open() - server.open} "
            f"after beside {server.open} idle; memory in MB {watched.course()}, "
            f"grown by {watched.grown() / 1e6:.1f}"
        )
        assert not clients.wrong, clients.wrong[:3]
        assert {"whole", "cut"} <= set(clients.ends)
        assert set(FAULTS) - (set() if SOAKING else {"stalled"}) <= set(provider.met)  # it is rare
        assert set(clients.ends) <= {"whole", "cut", "502", "503", "504"}
        assert watched.grown() < MOST_GROWTH
