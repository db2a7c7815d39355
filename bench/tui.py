"""`make bench-tui`: what the terminal interface costs on a terminal, beside its targets.

Runs `conduit-tui` on a pseudo-terminal against a stand-in gateway on a real socket, which sends
events at an exact rate; in the end against a real one with the bench's traffic, which is killed and
started again. Prints Markdown.
"""

import argparse
import asyncio
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the bench is a folder, not a package

from traffic import traffic  # noqa: E402

from conduit.core.keys import make_master_key  # noqa: E402
from tests.tui.ptys import Terminal, on_terminal  # noqa: E402

RING_ENTRIES = 10_000
# The socket's library loads `requests` where it finds it, which only the tests need: hidden, so
# that what is measured is what people install.
_MAIN = (
    "import sys",
    "sys.modules['requests'] = None",
    "from conduit.tui.main import main",
    "sys.exit(main())",
)
TUI = (sys.executable, "-c", "; ".join(_MAIN))
# What importing aiohttp took at the best on the machine that the targets were set on.
_IMPORT_MS = 156.0
OVERVIEW, LIVE, UP, DOWN, QUIT = "\x1b[19~", "gl", "k", "j", "\x11"
SMALL, LARGE = (80, 24), (120, 40)


@dataclass(frozen=True)
class Target:
    """What is measured, the most it may be (None: nobody said), and its unit.

    `by_clock` says that it is waited for rather than worked for: a quicker machine changes nothing.
    """

    text: str
    most: float | None
    unit: str
    by_clock: bool = False

    @property
    def depends_on_the_machine(self) -> bool:
        return self.unit in ("s", "ms", "%") and not self.by_clock


@dataclass
class Findings:
    """What was measured, in the order of measuring.

    `slowness` says how many times as long as on the machine of the targets things take here.
    """

    rows: list[tuple[Target, list[float]]] = field(default_factory=list)
    slowness: float = 1.0

    def add(
        self,
        text: str,
        most: float | None,
        unit: str,
        values: Sequence[float],
        *,
        by_clock: bool = False,
    ) -> None:
        self.rows.append((Target(text, most, unit, by_clock), list(values)))
        print(f"  {text}: {summary(values, unit)}", file=sys.stderr)

    def table(self) -> str:
        lines = [
            "| measure | at most | measured | on the targets' machine | |",
            "|---|---|---|---|---|",
        ]
        for target, values in self.rows:
            found = statistics.median(values)
            there = found / self.slowness if target.depends_on_the_machine else found
            scaled = f"{there:.3g} {target.unit}" if there != found else ""
            most, verdict = "-", ""
            if target.most is not None:
                most = f"{target.most:g} {target.unit}"
                verdict = "met" if there <= target.most else "missed"
            shown = summary(values, target.unit)
            lines.append(f"| {target.text} | {most} | {shown} | {scaled} | {verdict} |")
        return "\n".join(lines)


def import_ms() -> float:
    """What importing aiohttp takes here at the best, in a fresh process, interpreter included."""
    took = []
    for _ in range(7):
        began_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import aiohttp"], check=True)
        took.append((time.perf_counter() - began_s) * 1000)
    return min(took)


def after_a_rest() -> float:
    """How many times a short piece of work costs after half a second's rest what it costs at once.

    On some virtual machines a processor that has slept is given back cold, and what runs next is
    charged for it: figures of a process that is idle are then those of the machine.
    """

    def cost_ns() -> int:
        began_ns = time.process_time_ns()
        sum(number * number % 7 for number in range(1500))
        return time.process_time_ns() - began_ns

    at_once = statistics.median(cost_ns() for _ in range(200))
    rested = []
    for _ in range(8):
        time.sleep(0.5)
        rested.append(cost_ns())
    return statistics.median(rested) / at_once


def summary(values: Sequence[float], unit: str) -> str:
    """The median, and the range where there is one."""
    shown = f"{statistics.median(values):.3g} {unit}"
    if len(values) > 1:
        shown += f" ({min(values):.3g}–{max(values):.3g})"
    return shown


def percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


@dataclass(frozen=True)
class Bench:
    """The gateway to look at, and how long to look."""

    url: str
    master_key: str
    seconds: float
    runs: int
    home: Path
    findings: Findings
    http: aiohttp.ClientSession

    async def order(self, **orders: float) -> None:
        """Tell the stand-in what to do."""
        async with self.http.post(f"{self.url}/standin", json=orders) as answer:
            answer.raise_for_status()

    @asynccontextmanager
    async def tui(
        self, size: tuple[int, int], *options: str, command: Sequence[str] = TUI
    ) -> AsyncIterator[Terminal]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CONDUIT_")}
        env = {
            **kept,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LC_ALL": "C.UTF-8",
            "CONDUIT_HOME": str(self.home),
            "CONDUIT_URL": self.url,
            "CONDUIT_MASTER_KEY": self.master_key,
            "CONDUIT_API_KEY": "condt_for_the_stand_in",
        }
        async with on_terminal([*command, *options], size=size, env=env, cwd=ROOT) as terminal:
            yield terminal

    async def cost(self, terminal: Terminal, seconds: float) -> tuple[float, float]:
        """CPU share in percent and bytes a second, of so many seconds."""
        cpu_s, written, began_s = terminal.cpu_s(), terminal.written, time.perf_counter()
        await asyncio.sleep(seconds)
        elapsed_s = time.perf_counter() - began_s
        share = (terminal.cpu_s() - cpu_s) / elapsed_s
        return share * 100, (terminal.written - written) / elapsed_s


async def leave(terminal: Terminal) -> None:
    terminal.type(QUIT)
    await terminal.ended()


async def start(bench: Bench) -> None:
    """From nothing to a picture, and to what the gateway says."""
    for options, frame_s, ready_s, most_kb in (
        ((), 0.35, 0.9, 70),
        (("--lite",), None, None, 45),
    ):
        frames, ready, written = [], [], []
        for _ in range(bench.runs):
            async with bench.tui(SMALL, *options) as terminal:
                ready.append(await first_showing(terminal, "LIVE", "openai-main"))
                await terminal.settled()
                frame = terminal.first_frame()
                assert frame is not None, "it shows something"
                frames.append(frame.at_s - terminal.began_s)
                written.append(terminal.written / 1000)
                await leave(terminal)
        name = f"80x24{' --lite' if options else ''}"
        bench.findings.add(f"first frame, {name}", frame_s, "s", frames)
        bench.findings.add(f"live data shown, {name}", ready_s, "s", ready)
        bench.findings.add(f"bytes until then, {name}", most_kb, "KB", written)


async def first_showing(terminal: Terminal, *texts: str) -> float:
    """Seconds until all of the texts stood on the screen, by the time of the read."""
    await terminal.shows(*texts)
    return terminal.chunks[-1].at_s - terminal.began_s


async def idle(bench: Bench) -> None:
    """Nothing happens, then very little."""
    async with bench.tui(SMALL) as terminal:
        await terminal.shows("LIVE", "openai-main")
        await terminal.settled(3)
        share, rate = await bench.cost(terminal, bench.seconds)
        bench.findings.add("quiet, overview: CPU", 0.3, "%", [share])
        bench.findings.add("quiet, overview: written", 0, "B/s", [rate])
        await bench.order(per_s=5)
        await asyncio.sleep(2)
        share, rate = await bench.cost(terminal, bench.seconds)
        bench.findings.add("5 events/s, overview: CPU", 1, "%", [share])
        bench.findings.add("5 events/s, overview: written", None, "KB/s", [rate / 1000])
        terminal.type(LIVE)
        await asyncio.sleep(2)
        share, rate = await bench.cost(terminal, bench.seconds)
        bench.findings.add("5 events/s, live list: CPU", 1, "%", [share])
        bench.findings.add("5 events/s, live list: written", None, "KB/s", [rate / 1000])
        await bench.order(per_s=0)
        await leave(terminal)


async def presses(terminal: Terminal, keys: Sequence[str], count: int) -> list[float]:
    """Milliseconds from each key to the first byte; at odd moments, as people press."""
    found = []
    for number in range(count):
        await asyncio.sleep(random.uniform(0.08, 0.2))
        found.append(await terminal.after(keys[number % len(keys)]) * 1000)
    return found


async def quiet_presses(terminal: Terminal, keys: Sequence[str], count: int) -> list[float]:
    """As `presses`, each after the last answer has been drawn."""
    found = []
    for number in range(count):
        await terminal.settled(0.1)
        found.append(await terminal.after(keys[number % len(keys)]) * 1000)
    return found


async def keys(bench: Bench) -> None:
    """How soon something moves after a key, and after a change of screens."""
    add = bench.findings.add
    async with bench.tui(LARGE, "--screen", "live") as terminal:
        await terminal.shows("LIVE")
        await bench.order(at_once=1_000)
        await terminal.settled()
        terminal.type(UP * 3)
        times = await quiet_presses(terminal, (UP, DOWN), 60)
        add("key to first byte, list, p95", 30, "ms", [percentile(times, 95)])
        await bench.order(per_s=200)
        await asyncio.sleep(1)
        # The cursor is above the end, so the list stands still and most flushes write a count only.
        times = await presses(terminal, (UP, DOWN), 60)
        add("key to first byte, list, 200 events/s, p95", 60, "ms", [percentile(times, 95)])
        await bench.order(per_s=0)
        await terminal.settled()
        times = [ms for _ in range(12) for ms in await there_and_back(terminal)]
        add("screen switch to first byte, p95", 80, "ms", [percentile(times[4:], 95)])
        await leave(terminal)
    async with bench.tui(LARGE, "--screen", "chat") as terminal:
        await terminal.shows("LIVE")
        await terminal.settled()
        times = await quiet_presses(terminal, "abcdefgh ", 60)
        add("key to first byte, typing, p95", 30, "ms", [percentile(times, 95)])
        await leave(terminal)


async def there_and_back(terminal: Terminal) -> list[float]:
    """Milliseconds of two changes of screens; the first ones build the screens."""
    found = []
    for first, last in (("", OVERVIEW), (LIVE[0], LIVE[1])):
        terminal.type(first)
        await terminal.settled(0.2)
        found.append(await terminal.after(last) * 1000)
    return found


async def ring(bench: Bench) -> None:
    """The full ring, followed at 200 events a second."""
    add = bench.findings.add
    for options, cpu, rate_kb in (((), 5, 40), (("--lite",), 2, 10)):
        async with bench.tui(LARGE, "--screen", "live", *options) as terminal:
            await terminal.shows("LIVE")
            await bench.order(at_once=RING_ENTRIES + 500)
            await terminal.shows("10,000 of 10,000")
            await bench.order(per_s=200)
            await asyncio.sleep(2)
            share, rate = await bench.cost(terminal, bench.seconds)
            name = f"10,000 entries, 200 events/s{', --lite' if options else ''}"
            add(f"{name}: CPU", cpu, "%", [share])
            add(f"{name}: written", rate_kb, "KB/s", [rate / 1000])
            add(f"{name}: memory", 60, "MB", [terminal.rss_mb()])
            await bench.order(per_s=0)
            await leave(terminal)


async def chat(bench: Bench) -> None:
    """An answer that streams in for ten seconds."""
    for per_s, most in ((150, 28), (50, 12)):
        share, rate = await streamed(bench, per_s, TUI)
        bench.findings.add(f"chat, {per_s} tokens/s: CPU", most, "%", [share])
        bench.findings.add(f"chat, {per_s} tokens/s: written", None, "KB/s", [rate / 1000])
    stalls = bench.home / "stalls"
    await streamed(
        bench,
        150,
        (sys.executable, str(ROOT / "bench" / "stalls.py"), str(stalls)),
        is_watched=True,
    )
    longest_ms = float(stalls.read_text()) * 1000
    bench.findings.add("chat, 150 tokens/s: longest stall", 150, "ms", [longest_ms])


async def streamed(
    bench: Bench, per_s: int, command: Sequence[str], *, is_watched: bool = False
) -> tuple[float, float]:
    """CPU share and bytes a second while an answer comes in."""
    await bench.order(tokens_per_s=per_s)
    async with bench.tui(LARGE, "--screen", "chat", command=command) as terminal:
        await terminal.shows("LIVE", "model tokens")
        await terminal.settled()
        terminal.type("go\r")
        await terminal.shows("streaming")
        if is_watched:
            terminal.send(signal.SIGUSR1)
        cost = await bench.cost(terminal, 8)
        await terminal.shows("Enter sends")
        if is_watched:
            terminal.send(signal.SIGUSR2)
        await leave(terminal)
    return cost


async def gateway(bench: Bench) -> None:
    """A real gateway with real requests, killed and started again."""
    add = bench.findings.add
    async with traffic(bench.home, bench.http) as real, real.load(200):
        there = replace(bench, url=real.url, master_key=real.master_key)
        async with there.tui(LARGE, "--screen", "live") as terminal:
            await terminal.shows("LIVE", "rq/s")
            await asyncio.sleep(5)
            share, rate = await there.cost(terminal, bench.seconds)
            add("real gateway, 200 requests/s: CPU", 5, "%", [share])
            add("real gateway, 200 requests/s: written", 40, "KB/s", [rate / 1000])
            began_s = time.perf_counter()
            await real.kill()
            await terminal.until(lambda: "RETRY" in terminal.lines()[0])
            said_s = terminal.chunks[-1].at_s - began_s
            add("gateway killed: said after", 1, "s", [said_s], by_clock=True)
            await asyncio.sleep(3)
            await real.start()
            began_s = time.perf_counter()
            await terminal.until(lambda: "LIVE" in terminal.lines()[0])
            # It may be back before this has learned that the gateway is ready.
            back_s = max(0.0, terminal.chunks[-1].at_s - began_s)
            add("gateway started again: live after", 3, "s", [back_s], by_clock=True)
            await leave(terminal)


MEASURES: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "start": start,
    "idle": idle,
    "keys": keys,
    "ring": ring,
    "chat": chat,
    "gateway": gateway,
}


@asynccontextmanager
async def stand_in(master_key: str) -> AsyncIterator[str]:
    """The stand-in as a process of its own; yields its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.tui.standin",
        "--key",
        master_key,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None, "it is a pipe"
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def run(arguments: argparse.Namespace) -> Findings:
    findings = Findings()
    master_key = make_master_key()
    for name in arguments.measures.split(","):
        print(name, file=sys.stderr)
        # Of its own for each: what one has sent must not stand in the next one's lists.
        with tempfile.TemporaryDirectory() as home:
            async with stand_in(master_key) as url, aiohttp.ClientSession() as http:
                bench = Bench(
                    url,
                    master_key,
                    arguments.seconds,
                    arguments.runs,
                    Path(home),
                    findings,
                    http,
                )
                await MEASURES[name](bench)
    return findings


def machine(load_before: float) -> str:
    loads = f"{load_before:.1f} before and {os.getloadavg()[0]:.1f} after"
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {loads}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--measures", default=",".join(MEASURES))
    options.add_argument("--seconds", type=float, default=20, help="of each watch")
    options.add_argument("--runs", type=int, default=7, help="starts")
    arguments = options.parse_args()
    if sys.platform != "linux":
        raise SystemExit("the bench reads /proc: it runs on Linux only")
    load_before = os.getloadavg()[0]
    before_ms, cold = import_ms(), after_a_rest()
    findings = asyncio.run(run(arguments))
    after_ms = import_ms()
    # The quicker of the two: what is made of it must not flatter.
    findings.slowness = max(1.0, min(before_ms, after_ms) / _IMPORT_MS)
    print(
        f"{machine(load_before)}; CPU is of one core; importing aiohttp takes {before_ms:.0f} ms "
        f"before and {after_ms:.0f} ms after, {_IMPORT_MS:.0f} ms on the targets' machine; "
        f"after half a second's rest work costs {cold:.1f} times as much\n\n"
        f"{findings.table()}"
    )


if __name__ == "__main__":
    main()
