"""`make bench-size`: lists, sums, exports and deletions over a million request records.

Fills a database, starts a real gateway on it and asks over HTTP, as a script of an operator would.
For each question: the quickest and the slowest of some answers, what was resident in memory before
and at the peak, and how many rows came. Prints Markdown.
"""

import argparse
import asyncio
import base64
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the bench is a folder, not a package

from sqlalchemy import insert  # noqa: E402

from conduit.core.ids import new_id, now_ms  # noqa: E402
from conduit.core.keys import (  # noqa: E402
    digest_of,
    displayed_start,
    make_master_key,
    make_virtual_key,
)
from conduit.gateway.storage.engine import create_engine, writing  # noqa: E402
from conduit.gateway.storage.migrate import migrate  # noqa: E402
from conduit.gateway.storage.schema import budgets, keys, ledger, requests  # noqa: E402

DAY_MS = 86_400_000
DAYS = 90
ROWS_A_TRANSACTION = 20_000
READY_WITHIN_S = 120.0
PROVIDERS = ("openai", "anthropic", "groq")
MODELS = tuple(f"model-{n}" for n in range(12))
CHUNK = 1 << 16
CALLERS = 16


# The database


async def fill(url: str, records: int, key_count: int, secret: str) -> None:
    """Records over 90 days, an attempt or two each, over keys of which each tenth has a budget."""
    database = create_engine(url)
    await migrate(database)
    end_ms = now_ms()
    chance = random.Random(7)
    async with writing(database) as connection:
        await connection.execute(insert(keys), [_key(n, end_ms, secret) for n in range(key_count)])
        some = [_budget(n, end_ms) for n in range(0, key_count, 10)]
        await connection.execute(insert(budgets), some)
    for start in range(0, records, ROWS_A_TRANSACTION):
        made: list[dict[str, Any]] = []
        attempts: list[dict[str, Any]] = []
        for n in range(start, min(start + ROWS_A_TRANSACTION, records)):
            at_ms = end_ms - DAYS * DAY_MS + n * DAYS * DAY_MS // records
            record, tried = _request(chance, at_ms, key_count)
            made.append(record)
            attempts += tried
        async with writing(database, 600.0) as connection:
            await connection.execute(insert(requests), made)
            await connection.execute(insert(ledger), attempts)
    await database.dispose()


def _key(number: int, end_ms: int, secret: str) -> dict[str, Any]:
    text = secret if not number else make_virtual_key()
    return {
        "id": f"key_{number:026d}",
        "name": f"k{number:05d}",
        "digest": digest_of(text),
        "start": displayed_start(text),
        "allowed_models": ["*"],
        "enabled": True,
        "expires_at_ms": end_ms + (1 + number % 300) * DAY_MS if number % 3 == 1 else None,
        "created_at_ms": end_ms - 200 * DAY_MS,
        "updated_at_ms": end_ms - 200 * DAY_MS,
        "last_used_at_ms": end_ms - number % 90 * DAY_MS if number % 7 else None,
        "version": 1,
        "tags": {"team": f"t{number % 20}", "env": "prod" if number % 2 else "ci"},
    }


def _budget(number: int, end_ms: int) -> dict[str, Any]:
    return {
        "id": f"bud_{number:026d}",
        "scope_kind": "key",
        "scope_id": f"key_{number:026d}",
        "period": "total",
        "timezone": "UTC",
        "limit_nanodollars": 150_000_000 if number % 100 else 1_000_000_000_000,
        "mode": "soft",
        "created_at_ms": end_ms - 200 * DAY_MS,
        "updated_at_ms": end_ms - 200 * DAY_MS,
        "version": 1,
    }


def _request(
    chance: random.Random, at_ms: int, key_count: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    number = min(int(chance.expovariate(5) * key_count), key_count - 1)  # some call a lot
    model, provider = chance.choice(MODELS), chance.choice(PROVIDERS)
    failed, doubtful = chance.random() < 0.02, chance.random() < 0.001
    tokens_in, tokens_out = chance.randrange(50, 4_000), chance.randrange(10, 1_000)
    cost = 0 if failed else tokens_in * 1_000 + tokens_out * 2_000
    request_id, key_id = new_id("req", at_ms), f"key_{number:026d}"
    record = {
        "id": request_id,
        "at_ms": at_ms,
        "operation": "chat",
        "stream": chance.random() < 0.6,
        "status": 502 if failed else 200,
        "outcome": "failed" if failed else "succeeded",
        "error_code": "upstream_error" if failed else None,
        "key_id": key_id,
        "key_name": f"k{number:05d}",
        "alias": model,
        "provider": provider,
        "model": model,
        "attempts": 1 + failed,
        "duration_ms": chance.randrange(200, 20_000),
        "ttft_ms": chance.randrange(100, 900),
        "input_tokens": tokens_in,
        "cached_tokens": 0,
        "output_tokens": tokens_out,
        "reasoning_tokens": 0,
        "usage_source": "provider",
        "cost_nanodollars": cost,
        "billed_nanodollars": cost,
        "tokens_per_s_milli": 40_000,
        "client_ip": f"10.0.{number % 250}.{number % 199}",
        "user_agent": "openai-python/2.1.0",
        "session": f"s-{chance.randrange(50_000)}",
    }
    attempts = [
        {
            "attempt_id": new_id("att", at_ms),
            "request_id": request_id,
            "key_id": key_id,
            "alias": model,
            "provider": provider,
            "model": model,
            "operation": "chat",
            "stream": record["stream"],
            "state": "done",
            "outcome": "refused" if failed else "ambiguous" if doubtful else "succeeded",
            "status": record["status"],
            "ambiguous": doubtful and not failed,
            "hold_nanodollars": cost + 1_000,
            "cost_nanodollars": cost,
            "billed_nanodollars": cost,
            "price_version": "book-1",
            "usage_source": "provider",
            "input_tokens": tokens_in,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
            "output_tokens": tokens_out,
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "progress_tokens": 0,
            "input_nanodollars": 1_000,
            "output_rate": 2_000_000_000,
            "held_at_ms": at_ms,
            "settled_at_ms": at_ms + 500,
        }
        for _ in range(1 + failed)
    ]
    return record, attempts


# The gateway


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs, as a script sees it."""

    url: str
    pid: int
    master_key: str

    def open(self, path: str, body: object = None, method: str | None = None) -> Any:  # noqa: ANN401
        headers = {"authorization": f"Bearer {self.master_key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        return urllib.request.urlopen(request, timeout=600)

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:  # noqa: ANN401  # JSON
        with self.open(path, body, method) as answer:
            return json.load(answer)

    def memory_mb(self, name: str) -> float:
        """`VmRSS`, or `VmHWM`: the most since it was last forgotten."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        raise ValueError(name)

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextmanager
def running(home: Path, url: str | None) -> Iterator[tuple[Gateway, float]]:
    """A gateway with its data in `home`, and how many seconds it took until it was ready."""
    master_key = make_master_key()
    port = 21_000 + os.getpid() % 20_000
    environment = {
        **os.environ,
        "CONDUIT_HOME": str(home),
        "CONDUIT_MASTER_KEY": master_key,
        "CONDUIT_PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }
    if url is not None:
        environment["CONDUIT_DATABASE_URL"] = url
    began = time.perf_counter()
    command = [sys.executable, "-m", "conduit.cli", "serve"]
    with open(home / "gateway.log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
    gateway = Gateway(f"http://127.0.0.1:{port}", process.pid, master_key)
    try:
        while True:
            try:
                gateway.ask("/health/ready")
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None or time.perf_counter() - began > READY_WITHIN_S:
                    raise RuntimeError((home / "gateway.log").read_text()[-2000:]) from None
                time.sleep(0.02)
        yield gateway, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(60)


# What is asked


@dataclass
class Row:
    """What one question took."""

    text: str
    seconds: list[float]
    before_mb: float
    peak_mb: float
    rows: int | None
    note: str = ""

    def markdown(self) -> str:
        best, worst = min(self.seconds), max(self.seconds)
        took = f"{best:.3g} s" if len(self.seconds) == 1 else f"{best:.3g}–{worst:.3g} s"
        rows = "" if self.rows is None else f"{self.rows:,}"
        memory = f"{self.before_mb:.0f} | {self.peak_mb:.0f}"
        return f"| {self.text} | {rows} | {took} | {memory} | {self.note} |"


def measured(gateway: Gateway, text: str, question: Callable[[], int | None], runs: int = 3) -> Row:
    before = gateway.memory_mb("VmRSS")
    gateway.forget_peak()
    seconds, rows = [], None
    for _ in range(runs):
        began = time.perf_counter()
        rows = question()
        seconds.append(time.perf_counter() - began)
    row = Row(text, seconds, before, gateway.memory_mb("VmHWM"), rows)
    print(row.markdown(), flush=True)
    return row


def cursor(key: str) -> str:
    """As the gateway gives it: what comes after a row."""
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def ask_all(gateway: Gateway, records: int) -> None:
    quote = urllib.parse.quote

    def page(path: str) -> Callable[[], int]:
        return lambda: len(gateway.ask(path)["data"])

    def every(path: str) -> Callable[[], int]:
        def all_pages() -> int:
            count, after = 0, ""
            while True:
                answer = gateway.ask(f"{path}&limit=1000{after}")
                count += len(answer["data"])
                if answer["next_cursor"] is None:
                    return count
                after = f"&cursor={answer['next_cursor']}"

        return all_pages

    def groups(path: str) -> Callable[[], int]:
        return lambda: len(gateway.ask(path)["groups"])

    def streamed(path: str) -> Callable[[], int]:
        def read() -> int:
            lines = 0
            with gateway.open(path) as answer:
                while piece := answer.read(CHUNK):
                    lines += piece.count(b"\n")
            return lines

        return read

    deep = now_ms() - DAYS * DAY_MS * 9 // 10
    at = cursor(new_id("req", deep))
    filters = {
        "status:>=400": "status:>=400",
        "one key": "key:k00042",
        "two terms": "status:>=400 alias:model-3",
        "a word": "model-7",
        "nothing fits": "status:418",
    }
    day = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 86_400))
    for text, question in (
        ("keys, a page of 50", page("/admin/keys")),
        ("keys, all in pages of 1000", every("/admin/keys?tags=team")),
        ("keys, a page by tag", page("/admin/keys?tags=team=t3,env=prod")),
        ("keys, all over budget", every("/admin/keys?over_budget=true")),
        ("keys, all unused since a day", every(f"/admin/keys?unused_since={day}")),
        ("keys, all that expire", every("/admin/keys?expires_before=2099-01-01T00:00:00Z")),
        ("usage in all", groups("/admin/usage")),
        ("usage by model", groups("/admin/usage?by=model")),
        ("usage by key", groups("/admin/usage?by=key")),
        ("usage by day", groups("/admin/usage?by=day")),
        ("usage of a day by hour", groups(f"/admin/usage?by=hour&since={day}")),
        ("usage of a key by day", groups("/admin/usage?by=day&key=k00042")),
        ("logs, the newest page", page("/admin/requests")),
        ("logs, a page nine tenths down", page(f"/admin/requests?cursor={at}")),
        *(
            (f"logs, a page, {name}", page(f"/admin/requests?filter={quote(text)}"))
            for name, text in filters.items()
        ),
        ("spend review, a page", page("/admin/spend/review")),
        ("spend review, all", every("/admin/spend/review?state=all")),
    ):
        measured(gateway, text, question)
    measured(gateway, "export, lines of JSON", streamed("/admin/requests/export"), 1)
    measured(gateway, "export, CSV", streamed("/admin/requests/export?format=csv"), 1)
    path = f"/admin/requests/export?filter={quote('status:>=400')}"
    measured(gateway, "export, filtered", streamed(path), 1)
    print(_exported_by_command(gateway), flush=True)
    measured(gateway, "doctor ledger", lambda: len(gateway.ask("/admin/ledger/check")), 1)


def _exported_by_command(gateway: Gateway) -> str:
    """`conduit logs export` into a pipe: its own time and memory."""
    environment = {
        **os.environ,
        "CONDUIT_URL": gateway.url,
        "CONDUIT_MASTER_KEY": gateway.master_key,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "conduit.cli", "logs", "export", "--since", "ever"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    lines, peak, client = 0, 0.0, Gateway("", process.pid, "")
    while piece := process.stdout.read(CHUNK):
        lines += piece.count(b"\n")
        if len(piece) == CHUNK:  # it runs still
            peak = client.memory_mb("VmHWM")
    assert process.wait() == 0
    took = time.perf_counter() - began
    return f"| `conduit logs export`, its own memory | {lines:,} | {took:.3g} s | | {peak:.0f} | |"


class Caller:
    """Some clients, each as fast as answers come, which the simulator takes its time for."""

    def __init__(self, gateway: Gateway, secret: str) -> None:
        self._gateway, self._secret = gateway, secret
        self._ended = threading.Event()
        self.ms: list[float] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]

    def __enter__(self) -> "Caller":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        body = json.dumps({"model": "sim", "messages": [{"role": "user", "content": "hi"}]})
        headers = {
            "authorization": f"Bearer {self._secret}",
            "content-type": "application/json",
        }
        while not self._ended.is_set():
            request = urllib.request.Request(
                f"{self._gateway.url}/v1/chat/completions", body.encode(), headers
            )
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
            self.ms.append((time.perf_counter() - began) * 1000)

    def told(self) -> str:
        ordered = sorted(self.ms)
        p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
        return f"{len(ordered):,} calls, p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {ordered[-1]:.0f}"


def delete_half(gateway: Gateway, records: int, secret: str) -> None:
    """Retention by number while somebody calls, beside the same calls without it."""
    gateway.ask("/admin/providers", {"name": "sim", "type": "simulator"}, "POST")
    target = {"provider": "sim", "model": "simulated-small"}
    gateway.ask("/admin/mappings", {"alias": "sim", "targets": [target]}, "POST")
    with Caller(gateway, secret) as before:
        time.sleep(10)
    kept = records // 2

    def sweep() -> int:
        values = {"log_records_limit": kept}
        gateway.ask("/admin/config", {"values": values}, "PATCH")
        path = "/admin/events?kinds=requests.purged"
        while True:
            for event in gateway.ask(path)["data"]:
                if (deleted := int(event["data"]["deleted"])) >= kept // 2:
                    return deleted
            time.sleep(0.5)

    with Caller(gateway, secret) as during:
        measured(gateway, "retention: half goes, a minute's wait at most included", sweep, 1)
    print(f"\nCalls without it: {before.told()}. Calls during it: {during.told()}.")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--postgresql", metavar="URL", help="An empty database there instead.")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="Fill it once, use it again.")
    given = parser.parse_args()
    home = given.keep or Path(tempfile.mkdtemp(prefix="conduit-size-"))
    (home / "data").mkdir(parents=True, exist_ok=True)
    secret_file = home / "first.key"
    url = given.postgresql or str(home / "data/conduit.db")
    if not secret_file.exists():
        secret = make_virtual_key()
        began = time.perf_counter()
        await fill(url, given.records, given.keys, secret)
        secret_file.write_text(secret)
        print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    engine = "PostgreSQL" if given.postgresql else "SQLite"
    load = os.getloadavg()[0]
    print(f"{time.strftime('%Y-%m-%d')}, {platform.platform(terse=True)}, ", end="")
    print(f"Python {platform.python_version()}, {engine}, {os.cpu_count()} cores, load {load:.1f}:")
    print(f"{given.records:,} records, {given.keys:,} keys", end="")
    if not given.postgresql:
        print(f", a file of {os.stat(url).st_size / 1e6:,.0f} MB", end="")
    try:
        with running(home, given.postgresql) as (gateway, started_s):
            print(f"; ready after {started_s:.2g} s.\n")
            print("| what | rows | time | resident before, MB | at the peak, MB | |")
            print("|---|---|---|---|---|---|")
            ask_all(gateway, given.records)
            delete_half(gateway, given.records, secret_file.read_text())
    finally:
        if given.keep is None:
            shutil.rmtree(home)


if __name__ == "__main__":
    asyncio.run(main())
