"""Load generator for LLM gateways: raw sockets on uvloop, one process, one core.

Three modes: ``closed`` keeps a number of connections busy, ``rate`` starts requests on a fixed
schedule whatever the answers do, ``hold`` opens slow streams and keeps them all open at once.
Every request is checked: the status, the length, and a stream for each chunk of its text, the
reason to end, its usage and its end (`clients.py`).
"""

import argparse
import asyncio
import json
import resource
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import urlsplit

import httptools
import uvloop
from clients import CLIENTS
from upstream import knobs

TAIL = 32  # bytes kept from one read to the next, enough for a mark


@dataclass(frozen=True, slots=True)
class Target:
    """What to call: one gateway, one model, one prompt size."""

    base_url: str
    key: str
    model: str
    stream: bool = False
    prompt_bytes: int = 1000
    headers: dict[str, str] = field(default_factory=dict)
    model_prefix: str = ""
    client: str = "chat"

    def address(self) -> tuple[str, int]:
        url = urlsplit(self.base_url)
        return url.hostname or "127.0.0.1", url.port or 80

    def payload(self) -> bytes:
        """The request as it goes on the wire."""
        client = CLIENTS[self.client]
        model = self.model_prefix + self.model
        data = json.dumps(client.body(model, "x" * self.prompt_bytes, self.stream)).encode()
        url = urlsplit(self.base_url)
        path = url.path.removesuffix("/v1") + client.path.format(model=model)
        lines = [
            f"POST {path} HTTP/1.1",
            f"host: {url.netloc}",
            f"authorization: Bearer {self.key}",
            "content-type: application/json",
            f"content-length: {len(data)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join((*lines, "", "")).encode() + data


@dataclass(slots=True)
class Sample:
    """One request: times in seconds, `first` is the first byte of content."""

    start: float
    first: float = 0.0
    end: float = 0.0
    chunks: int = 0
    gaps: list[float] = field(default_factory=list)
    error: str = ""


class Connection(asyncio.Protocol):
    """A keep-alive connection carrying one request at a time."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.payload = target.payload()
        self.client = CLIENTS[target.client]
        self.mark = self.client.mark
        self.expected = knobs(target.model).n
        self.transport: asyncio.Transport | None = None
        self.done: asyncio.Future | None = None
        self.last = 0.0  # when the latest chunk came

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.finish("reset" if error else "closed early")

    async def request(self, timeout: float = 120) -> Sample:
        loop = asyncio.get_running_loop()
        sample = self.sample = Sample(perf_counter())
        try:
            if self.transport is None:
                self.transport, _ = await loop.create_connection(
                    lambda: self, *self.target.address()
                )
        except OSError as error:
            sample.error = f"connect: {type(error).__name__}"
            return sample
        self.parser = httptools.HttpResponseParser(self)
        self.tail = b""
        self.pieces: list[bytes] = []
        self.last = 0.0
        self.done = loop.create_future()
        deadline = loop.call_later(timeout, self.finish, "timeout")
        self.transport.write(self.payload)
        await self.done
        deadline.cancel()
        if sample.error and self.transport:
            self.transport.abort()
            self.transport = None
        return sample

    def data_received(self, data: bytes) -> None:
        self.now = perf_counter()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.finish("bad http")

    def on_body(self, data: bytes) -> None:
        sample = self.sample
        if not self.target.stream:
            sample.first = sample.first or self.now
            return
        self.pieces.append(data)
        data = self.tail + data
        self.tail = data[-TAIL:]
        # Marks wholly inside the kept tail were counted in the read before.
        fresh = data.count(self.mark) - self.counted_in_tail
        self.counted_in_tail = self.tail.count(self.mark)
        if fresh > 0:
            sample.chunks += fresh
            if self.last:
                sample.gaps.append(self.now - self.last)
            else:
                sample.first = self.now
            self.last = self.now

    def on_message_begin(self) -> None:
        self.counted_in_tail = 0

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        if status != 200:
            self.finish(f"http {status}")
        elif self.target.stream:
            self.finish(self.client.fault_of(b"".join(self.pieces), self.expected))
        else:
            self.finish("")

    def finish(self, error: str) -> None:
        if self.done and not self.done.done():
            self.sample.end = perf_counter()
            self.sample.error = error
            self.done.set_result(None)


def spread(values: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    ranked = sorted(values)
    if not ranked:
        return {}
    last = len(ranked) - 1
    points = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: round(ranked[round(last * p)] * 1000, 3) for name, p in points.items()}


def report(target: Target, samples: list[Sample], seconds: float) -> dict:
    good = [s for s in samples if not s.error]
    result = {
        "requests": len(samples),
        "ok": len(good),
        "seconds": round(seconds, 3),
        "rps": round(len(good) / seconds, 1),
        "errors": dict(Counter(s.error for s in samples if s.error)),
        "total_ms": spread([s.end - s.start for s in good]),
        "first_ms": spread([s.first - s.start for s in good]),
    }
    if target.stream:
        nominal = knobs(target.model).gap / 1000
        result["chunks"] = sum(s.chunks for s in samples)
        result["late_ms"] = spread([gap - nominal for s in good for gap in s.gaps])
    return result


async def closed(target: Target, connections: int, seconds: float, ramp: float = 0) -> dict:
    """Each connection sends its next request as soon as the one before has been answered.

    The connections start evenly over `ramp` seconds: paced streams that all start at once stay
    in step and measure the queue they form, not the gateway.
    """
    samples: list[Sample] = []
    began = perf_counter()

    async def worker(index: int) -> None:
        await asyncio.sleep(ramp * index / connections)
        connection = Connection(target)
        while perf_counter() - began < seconds:
            sample = await connection.request()
            samples.append(sample)
            if sample.error:
                await asyncio.sleep(0.01)  # a refusing gateway must not become a busy loop
        if connection.transport:
            connection.transport.close()

    await asyncio.gather(*(worker(index) for index in range(connections)))
    return report(target, samples, perf_counter() - began)


async def rate(target: Target, per_second: float, seconds: float) -> dict:
    """Every request is a task of its own, so a slow answer delays none of those after it."""
    samples: list[Sample] = []
    idle: list[Connection] = []
    began = perf_counter()

    async def one() -> None:
        connection = idle.pop() if idle else Connection(target)
        samples.append(await connection.request())
        idle.append(connection)

    async with asyncio.TaskGroup() as tasks:
        for index in range(int(per_second * seconds)):
            due = began + index / per_second
            await asyncio.sleep(max(0.0, due - perf_counter()))
            tasks.create_task(one())
    for connection in idle:
        if connection.transport:
            connection.transport.close()
    return report(target, samples, perf_counter() - began)


async def hold(
    target: Target,
    streams: int,
    opening: int = 64,
    when_open: Callable[[], Awaitable[None]] | None = None,
) -> dict:
    """Open all streams, `opening` at a time, then call `when_open` and read each to its end."""
    gate = asyncio.Semaphore(opening)
    began = perf_counter()
    running: list[asyncio.Task] = []

    async def one() -> Sample:
        connection = Connection(target)
        task = asyncio.ensure_future(connection.request())
        running.append(task)
        while not task.done() and not connection.last:  # noqa: ASYNC110  # the hot path sets no events
            await asyncio.sleep(0.01)
        gate.release()
        sample = await task
        if connection.transport:
            connection.transport.close()
        return sample

    tasks = []
    for _ in range(streams):
        await gate.acquire()
        tasks.append(asyncio.create_task(one()))
    for _ in range(opening):  # the last ones have their first chunk
        await gate.acquire()
    ramp = perf_counter() - began
    most = sum(not task.done() for task in running)
    if when_open:
        await when_open()
    samples = await asyncio.gather(*tasks)
    result = report(target, samples, perf_counter() - began)
    return result | {"open_at_once": most, "ramp_seconds": round(ramp, 2)}


def raise_file_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("mode", choices=("closed", "rate", "hold"))
    options.add_argument("--url", default="http://127.0.0.1:27900/v1")
    options.add_argument("--key", default="sk-bench")
    options.add_argument("--model", default="mock")
    options.add_argument("--stream", action="store_true")
    options.add_argument("--prompt", type=int, default=1000, help="bytes of prompt")
    options.add_argument("-c", "--connections", type=int, default=16, help="also the held streams")
    options.add_argument("--rate", type=float, default=50, help="requests per second")
    options.add_argument("--seconds", type=float, default=5)
    args = options.parse_args()
    raise_file_limit()
    target = Target(args.url, args.key, args.model, args.stream or args.mode == "hold", args.prompt)
    if args.mode == "closed":
        work = closed(target, args.connections, args.seconds)
    elif args.mode == "rate":
        work = rate(target, args.rate, args.seconds)
    else:
        work = hold(target, args.connections)
    print(json.dumps(uvloop.run(work), indent=2))


if __name__ == "__main__":
    main()
