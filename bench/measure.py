"""Compare LLM gateways: same mock upstream, same load, one core each side, interleaved rounds.

The gateway runs on one core, the mock and the load on another. What a request costs is read
from /proc as the CPU time of the gateway's whole process tree, which a noisy neighbour changes
far less than it changes latency or throughput.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import load
import uvloop
from certificates import make_certificates

HERE = Path(__file__).parent
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Subject:
    """A gateway to measure, as its TOML file describes it (README.md lists the fields)."""

    name: str
    base_url: str
    command: list[str] = field(default_factory=list)
    pid: int = 0
    env: dict[str, str] = field(default_factory=dict)
    key: str = "sk-bench"
    key_command: list[str] = field(default_factory=list)
    limited_key: str = ""
    prepare: list[str] = field(default_factory=list)
    model_prefix: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    sidecar_pid_file: str = ""
    start_timeout: float = 120
    translates: bool = False
    skip: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Subject":
        values = tomllib.loads(os.path.expandvars(path.read_text()))
        return cls(**{"name": path.stem} | values)

    def takes(self, case: str) -> bool:
        wanted = CASES[case]
        if case in self.skip or (wanted.limited and not self.limited_key):
            return False
        return self.translates or not wanted.is_translated


@dataclass(frozen=True)
class Case:
    mode: str
    model: str
    amount: float  # connections, requests per second, or streams to hold
    stream: bool = False
    prompt_bytes: int = 1000
    seconds: float = 3
    ramp: float = 0
    client: str = "chat"
    limited: bool = False  # with the key that is under limits of every kind

    @property
    def chunks(self) -> int:
        return load.knobs(self.model).n if self.stream else 0

    @property
    def is_translated(self) -> bool:
        """Whether a gateway must know another dialect than the mock's own, or an alias."""
        return self.client not in ("chat", "agent") or not self.model.startswith("mock")


HELD = "mock-ttft50-gap2000-n10"  # 18 s a stream: long enough to open thousands
CASES = {
    "chat": Case("closed", "mock-size1000", 16),
    "limited": Case("closed", "mock-size1000", 16, limited=True),
    # By turns of a second, so that both meet the same moments of a busy machine. The latter is an
    # alias of the gateway's own with three targets, by the lowest latency (`conduit_home.py`).
    "one target": Case("closed", "mock-size1000", 16, seconds=1),
    "three targets": Case("closed", "ranked-size1000", 16, seconds=1),
    "agent": Case("closed", "mock-size1000", 16, client="agent"),
    "chat100k": Case("closed", "mock-size1000", 16, prompt_bytes=100_000),
    "rate20": Case("rate", "mock-size1000", 20, seconds=6),
    "burst": Case("closed", "mock-n100", 16, stream=True),
    "pace100": Case("closed", "mock-ttft50-gap20-n50", 100, stream=True, ramp=1),
    "pace1000": Case("closed", "mock-ttft50-gap20-n50", 1000, stream=True, ramp=1),
    "hold1k": Case("hold", HELD, 1000, stream=True),
    "hold5k": Case("hold", HELD, 5000, stream=True),
    "hold9k": Case("hold", HELD, 9000, stream=True),
}

# Client and provider of each pair of dialects, by the name of its cases; the first is the one that
# the others are compared with. A provider's models begin with its name (`conduit_home.py`).
PAIRS = {
    "chat>chat": ("chat", ""),
    "messages>chat": ("messages", ""),
    "gemini>chat": ("gemini", ""),
    "responses>chat": ("responses", ""),
    "chat>anthropic": ("chat", "anthropic-"),
    "chat>gemini": ("chat", "gemini-"),
    "chat>responses": ("chat", "responses-"),
    "chat>cohere": ("chat", "cohere-"),
    "chat>bedrock": ("chat", "bedrock-"),
    "chat>ollama": ("chat", "ollama-"),
}
# The same text of each: in a burst, that stream with one chunk (what a request costs), and at pace.
FORMS = {
    "burst": Case("closed", "mock-n100", 16, stream=True),
    "one": Case("closed", "mock-n1", 16, stream=True, seconds=2),
    "pace": Case("closed", "mock-ttft50-gap20-n50", 100, stream=True, ramp=1),
}
CASES |= {
    f"{form} {pair}": replace(case, client=client, model=prefix + case.model)
    for pair, (client, prefix) in PAIRS.items()
    for form, case in FORMS.items()
}


class Tree:
    """A process and all its descendants, read from /proc."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def pids(self) -> Iterator[int]:
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    waiting += map(int, children.read_text().split())

    def cpu(self) -> Counter[str]:
        """Seconds of user and system time so far by process name, ended children included."""
        seconds: Counter[str] = Counter()
        for pid in self.pids():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/stat").read_text()
                name, after = text.partition("(")[2].rsplit(")", 1)
                seconds[name] += sum(map(int, after.split()[11:15])) / TICK
        return seconds

    def cpu_ns(self) -> int:
        """The same in all and to the nanosecond, of the threads that are alive."""
        total = 0
        for pid in self.pids():
            for spent in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(spent.read_text().split()[0])
        return total

    def rss(self) -> int:
        """Resident bytes; a page shared by two processes counts twice."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        return total

    def end(self, patience: float = 15) -> None:
        """The root gets to stop its own children; whatever is left after that is killed."""
        pids = list(self.pids())
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        give_up = time.perf_counter() + patience
        while time.perf_counter() < give_up and running(self.pid):
            time.sleep(0.05)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def read_key(key: str) -> str:
    """`@file`: left there by `prepare`."""
    return Path(key[1:]).read_text().strip() if key.startswith("@") else key


class Running:
    """A started gateway."""

    def __init__(self, subject: Subject, core: int) -> None:
        self.subject = subject
        if subject.prepare:
            with self.log().open("w") as log:
                subprocess.run(
                    subject.prepare,
                    env=os.environ | subject.env,
                    cwd=HERE,
                    stdout=log,
                    stderr=log,
                    check=True,
                    timeout=subject.start_timeout,
                )
        began = time.perf_counter()
        self.process = None
        if subject.command:
            with self.log().open("a" if subject.prepare else "w") as log:
                self.process = subprocess.Popen(
                    ["taskset", "-c", str(core), *subject.command],
                    env=os.environ | subject.env,
                    cwd=HERE,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
        self.tree = Tree(self.process.pid if self.process else subject.pid)
        self.sidecar = None
        if subject.sidecar_pid_file:
            self.sidecar = Tree(int(Path(subject.sidecar_pid_file).read_text().split()[0]))
        self.key, self.limited_key = read_key(subject.key), read_key(subject.limited_key)
        self.base_url = subject.base_url
        try:
            self.await_answer()
        except Exception:
            self.stop()
            raise
        self.facts = {"cold_start_s": round(time.perf_counter() - began, 2)}
        self.facts["start_cpu_s"] = round(self.tree.cpu().total(), 2)
        if subject.key_command:
            made = subprocess.run(subject.key_command, capture_output=True, text=True, check=True)
            self.key = made.stdout.split()[-1]
        time.sleep(2)
        self.facts["idle_rss_mb"] = round(self.tree.rss() / 1e6, 1)

    def log(self) -> Path:
        return Path(tempfile.gettempdir()) / f"bench-{self.subject.name}.log"

    def await_answer(self) -> None:
        """Ready means one chat completion came back whole."""
        body = {
            "model": self.subject.model_prefix + "mock-size1000",
            "messages": [{"role": "user", "content": "hello"}],
        }
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        give_up = time.perf_counter() + self.subject.start_timeout
        while True:
            try:
                if self.subject.base_url.startswith("@"):  # a gateway that picks its own port
                    self.base_url = Path(self.subject.base_url[1:]).read_text().strip()
                request = urllib.request.Request(
                    f"{self.base_url}/chat/completions",
                    json.dumps(body).encode(),
                    headers | self.subject.headers,
                )
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answer.read()
                return
            except (OSError, ValueError) as error:  # not there yet, or no address yet
                if time.perf_counter() > give_up or (self.process and self.process.poll()):
                    raise RuntimeError(f"{self.subject.name} does not answer: {error}") from error
                time.sleep(0.02)

    def target(self, case: Case) -> load.Target:
        return load.Target(
            self.base_url,
            self.limited_key if case.limited else self.key,
            case.model,
            case.stream,
            case.prompt_bytes,
            self.subject.headers,
            self.subject.model_prefix,
            case.client,
        )

    def run(self, case: Case) -> dict:
        """One case; the figures of the load, plus what it cost this process tree."""
        target = self.target(case)
        cpu_before = self.tree.cpu()
        side_before = self.sidecar.cpu() if self.sidecar else Counter()
        rss_open = 0

        async def weigh() -> None:
            nonlocal rss_open
            rss_open = self.tree.rss()

        if case.mode == "closed":
            work = load.closed(target, int(case.amount), case.seconds, case.ramp)
        elif case.mode == "rate":
            work = load.rate(target, case.amount, case.seconds)
        else:
            work = load.hold(target, int(case.amount), when_open=weigh)
        result = uvloop.run(work)
        by_name = self.tree.cpu() - cpu_before
        spent = by_name.total()
        served = max(result["ok"], 1)
        result["failed"] = result["requests"] - result["ok"]
        result["cpu_us_per_request"] = round(spent / served * 1e6, 1)
        result["core_share"] = round(spent / result["seconds"], 2)
        if result.get("chunks"):
            result["cpu_us_per_chunk"] = round(spent / result["chunks"] * 1e6, 2)
        if len(by_name) > 1:
            result["cpu_us_by_process"] = {n: round(v / served * 1e6) for n, v in by_name.items()}
        if self.sidecar:
            side = (self.sidecar.cpu() - side_before).total()
            result["sidecar_us_per_request"] = round(side / served * 1e6, 1)
        if rss_open:
            grown = rss_open - self.facts["idle_rss_mb"] * 1e6
            result["open_at_once"] = max(result["open_at_once"], 1)
            result["rss_kb_per_stream"] = round(grown / result["open_at_once"] / 1000, 1)
        result["rss_mb"] = round((rss_open or self.tree.rss()) / 1e6, 1)
        return result

    def stop(self) -> None:
        if self.process:
            self.tree.end()
            self.process.wait()


def figures(result: dict) -> dict[str, float]:
    """The handful of numbers of one run that the tables show."""
    flat = {
        "rps": result["rps"],
        "first p50": result["first_ms"].get("p50", 0.0),
        "first p99": result["first_ms"].get("p99", 0.0),
        "late p99": result.get("late_ms", {}).get("p99", 0.0),
        "errors": sum(result["errors"].values()),
    }
    names = (
        "cpu_us_per_request",
        "cpu_us_per_chunk",
        "sidecar_us_per_request",
        "core_share",
        "rss_mb",
        "rss_kb_per_stream",
    )
    return flat | {name: result[name] for name in names if name in result}


def table(records: list[dict]) -> str:
    """Markdown: for every case the median over the rounds, with the range in brackets."""
    lines = []
    for case in dict.fromkeys(r["case"] for r in records):
        rows = [r for r in records if r["case"] == case]
        columns = list(dict.fromkeys(name for r in rows for name in figures(r["result"])))
        lines += [
            "",
            f"### {case}",
            "",
            "| subject | " + " | ".join(columns) + " |",
            "|---" * (len(columns) + 1) + "|",
        ]
        for name in dict.fromkeys(r["subject"] for r in rows):
            found = [figures(r["result"]) for r in rows if r["subject"] == name]
            cells = [cell([f[column] for f in found if column in f]) for column in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    if not values:
        return "-"
    middle = f"{statistics.median(values):.4g}"
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return middle if low == high else f"{middle} ({low}..{high})"


@dataclass(frozen=True)
class Setup:
    """On which cores the gateway and the rest run, and whether the mock is reached over TLS."""

    gateway: int = 0
    load: int = 1
    tls: bool = False

    @classmethod
    def add_options(cls, options: argparse.ArgumentParser) -> None:
        options.add_argument("--gateway-core", type=int, default=cls.gateway)
        options.add_argument("--load-core", type=int, default=cls.load)
        options.add_argument("--tls", action="store_true", help="reach the mock over TLS")

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Setup":
        return cls(args.gateway_core, args.load_core, args.tls)


def upstream_command(certificate: Path | None = None) -> list[str]:
    """The mock on a port that is free, or on that of BENCH_UPSTREAM_PORT."""
    port = os.environ.get("BENCH_UPSTREAM_PORT", "0")
    command = [sys.executable, str(HERE / "upstream.py"), "--port", port]
    return command if certificate is None else [*command, "--certificate", str(certificate)]


@contextlib.contextmanager
def upstream(setup: Setup, folder: Path) -> Iterator[None]:
    """The mock, whose origin subjects find in BENCH_UPSTREAM, and who vouches for it in
    SSL_CERT_FILE where it speaks TLS.
    """
    certificate = None
    if setup.tls:
        authority, certificate = make_certificates(folder)
        os.environ["SSL_CERT_FILE"] = str(authority)
    command = ["taskset", "-c", str(setup.load), *upstream_command(certificate)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None, "it is a pipe"
    origin = process.stdout.readline().strip()
    if not origin:
        raise SystemExit("the mock does not listen: its error stands above")
    os.environ["BENCH_UPSTREAM"] = origin
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def bench(setup: Setup) -> Iterator[Path]:
    """A mock that runs, and a folder for homes of subjects; this process is on the mock's core."""
    load.raise_file_limit()
    os.sched_setaffinity(0, {setup.load})
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with upstream(setup, folder):
            yield folder


def read_subject(path: Path, name: str, folder: Path) -> Subject:
    """The subject of a TOML file under a name of its own, with a home and a free port for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ["BENCH_PORT"] = str(free.getsockname()[1])
    os.environ["BENCH_HOME"] = f"{folder}/{name}"
    return replace(Subject.read(path), name=name)


@contextlib.contextmanager
def started(subjects: Iterable[Subject], core: int) -> Iterator[list[Running]]:
    """These gateways; one that does not come up is left out with a word."""
    running: list[Running] = []
    try:
        for subject in subjects:
            try:
                gateway = Running(subject, core)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"left out: {subject.name}: {error}", file=sys.stderr)
                continue
            print(gateway.subject.name, gateway.facts, file=sys.stderr, flush=True)
            running.append(gateway)
        yield running
    finally:
        for gateway in running:
            gateway.stop()


def compare(paths: list[Path], cases: list[str], rounds: int, setup: Setup) -> tuple[dict, list]:
    """(facts by subject, a record for each subject, case and round), rounds interleaved."""
    records: list[dict] = []
    with bench(setup) as folder:
        # Read one after the other as they are started: each finds its home in the environment.
        subjects = (read_subject(path, path.stem, folder) for path in paths)
        with started(subjects, setup.gateway) as running:
            for number in range(rounds):
                for name in cases:
                    for gateway in running:
                        if not gateway.subject.takes(name):
                            continue
                        result = gateway.run(CASES[name])
                        records.append(
                            {
                                "subject": gateway.subject.name,
                                "case": name,
                                "round": number,
                                "result": result,
                            }
                        )
                        print(
                            number,
                            name,
                            gateway.subject.name,
                            figures(result),
                            file=sys.stderr,
                            flush=True,
                        )
            return {gateway.subject.name: gateway.facts for gateway in running}, records


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("subjects", type=Path, nargs="+", help="TOML files")
    options.add_argument("--cases", default="chat,chat100k,agent,rate20,burst,pace100")
    options.add_argument("--rounds", type=int, default=3)
    Setup.add_options(options)
    options.add_argument("--out", type=Path, default=Path("results.json"))
    args = options.parse_args()
    cases = args.cases.split(",")
    facts, records = compare(args.subjects, cases, args.rounds, Setup.of(args))
    args.out.write_text(json.dumps({"facts": facts, "records": records}, indent=1))
    print(json.dumps(facts, indent=1))
    print(table(records))


if __name__ == "__main__":
    main()
