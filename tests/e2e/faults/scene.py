"""A gateway and three upstreams, each behind a proxy that can spoil the way to it."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Running, running_gateway
from tests.e2e.faults.rows import GOOD, Mode, Row
from tests.fakes.toxic import ToxicProxy
from tests.fakes.upstream import FakeUpstream

SILENCE_S = 2.0
NAMES = ("first", "second", "third")


@dataclass(frozen=True, slots=True)
class Answered:
    """What a client got; `code` is of an error answer, or of the frame that ends a stream."""

    status: int
    retry_after: str | None
    body: str
    text: str
    code: str | None
    is_done: bool


@dataclass(slots=True)
class Scene:
    running: Running
    upstreams: list[FakeUpstream]
    proxies: list[ToxicProxy]
    key: str
    rounds: int = 0
    asked: list[str] = field(default_factory=list)

    async def spoil(self, row: Row, *, every: bool) -> None:
        """Three new providers in a row, the first of them with the fault, or every one."""
        self.rounds += 1
        self.asked.clear()
        for index, (upstream, proxy) in enumerate(zip(self.upstreams, self.proxies, strict=True)):
            await proxy.heal()
            upstream.requests.clear()
            upstream.default = GOOD
            await self._connect(NAMES[index], proxy.instead_of(upstream.base_url))
            if every or not index:
                await _spoil(row, upstream, proxy)
        targets = [{"provider": self._named(name), "model": "fake"} for name in NAMES]
        await self.running.admin("POST", "/mappings", {"alias": self.alias, "targets": targets})

    async def ask(self, mode: Mode) -> Answered:
        body = {"model": self.alias, "messages": [{"role": "user", "content": "hello there"}]}
        async with self.running.http.post(
            f"{self.running.url}/v1/chat/completions",
            json={**body, "max_tokens": 500, "stream": mode is Mode.STREAM},
            headers={"authorization": f"Bearer {self.key}"},
        ) as response:
            text = await response.text()
            self.asked.append(response.headers["x-request-id"])
            return _answered(response.status, response.headers.get("retry-after"), text)

    async def attempts(self) -> list[dict[str, Any]]:
        """Those of all requests since the fault was put on, in their order."""
        await self.running.gateway.ledger.caught_up()
        lists = [await self.running.attempts(request_id) for request_id in self.asked]
        return [attempt for attempts in lists for attempt in attempts]

    def place(self, attempt: dict[str, Any]) -> int:
        """Which of the three an attempt was at."""
        return NAMES.index(attempt["provider"].partition("-")[0])

    @property
    def alias(self) -> str:
        return f"round-{self.rounds}"

    def _named(self, name: str) -> str:
        # New in each round: what a gateway learns of one that fails must not reach the next.
        return f"{name}-{self.rounds}"

    async def _connect(self, name: str, base_url: str) -> None:
        provider = {
            "name": self._named(name),
            "type": "openai_compatible",
            "base_url": base_url,
            "credential": {"secret": f"sk-{name}-credential"},
        }
        await self.running.admin("POST", "/providers", provider)
        price = {"input": "1", "output": "2"}
        await self.running.admin("PUT", f"/prices/{self._named(name)}/*", price)


async def _spoil(row: Row, upstream: FakeUpstream, proxy: ToxicProxy) -> None:
    if row.flaps > 1:
        upstream.script(*(row.behaviour if not number % 2 else GOOD for number in range(row.flaps)))
    else:
        upstream.default = row.behaviour
    proxy.poison(to_server=row.to_server, to_client=row.to_client)
    if row.is_down:
        await proxy.down()


def _answered(status: int, retry_after: str | None, body: str) -> Answered:
    if not body.startswith("data: "):
        read = json.loads(body)
        code = read["error"]["code"] if "error" in read else None
        text = "" if code else read["choices"][0]["message"]["content"]
        return Answered(status, retry_after, body, text, code, is_done=code is None)
    events = [line.removeprefix("data: ") for line in body.splitlines() if line]
    read = [json.loads(event) for event in events if event != "[DONE]"]
    codes = [each["error"]["code"] for each in read if "error" in each]
    deltas = [choice["delta"] for each in read for choice in each.get("choices", ())]
    text = "".join(delta.get("content") or "" for delta in deltas)
    done = events[-1] == "[DONE]"
    return Answered(status, retry_after, body, text, codes[-1] if codes else None, is_done=done)


@asynccontextmanager
async def open_scene(folder: Path, upstream_client: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FakeUpstream()) for _ in NAMES]
        proxies = [
            await stack.enter_async_context(ToxicProxy(("127.0.0.1", upstream.port)))
            for upstream in upstreams
        ]
        running = await stack.enter_async_context(
            running_gateway(
                folder,
                first_event_timeout_s=SILENCE_S,
                gap_timeout_s=SILENCE_S,
                upstream_client=upstream_client,
            )
        )
        key = await running.key("faults", budget={"limit": "100"})
        yield Scene(running, upstreams, proxies, key)
