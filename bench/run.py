"""`make bench`: Conduit beside nginx, the bare aiohttp pass-through and no gateway at all.

Prints Markdown: the targets with what was measured, then every case. Held streams are measured with
one gateway at a time (rule 6 of README.md).
"""

import argparse
import json
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from measure import CASES as ALL_CASES
from measure import FORMS, HERE, PAIRS, Setup, compare, table

SUBJECTS = ("direct", "nginx", "aiohttp-uvloop", "conduit")
LIMITED = "limited"  # in `--cases`: with a key that is under rate limits of every kind
CASES = ("chat", LIMITED, "chat100k", "agent", "burst", "pace100")
HELD = "hold9k"
RANKED = "ranked"  # in `--cases`: three targets of an alias beside one, by turns
ONE, THREE = "one target", "three targets"
TURNS = 30
TRANSLATED = "translated"  # in `--cases`: the streams of all pairs of dialects
SAME = next(iter(PAIRS))
MOST_TRANSLATED = 3.0
STARTS = 5
FLOOR, GATEWAY = "aiohttp-uvloop", "conduit"
RESULTS = HERE / "results"


@dataclass(frozen=True)
class Run:
    """Facts by subject, the records of every case, and the cold starts by subject."""

    facts: dict[str, dict[str, float]]
    records: list[dict]
    starts: dict[str, list[float]]

    def values(self, subject: str, case: str, figure: str) -> list[float]:
        """One value a round, in the order of the rounds."""
        return [
            record["result"][figure]
            for record in self.records
            if (record["subject"], record["case"]) == (subject, case) and figure in record["result"]
        ]

    def ratios(self, case: str, figure: str) -> list[float]:
        """Conduit over the pass-through, round by round; none where one was left out."""
        mine, floor = self.values(GATEWAY, case, figure), self.values(FLOOR, case, figure)
        if not mine or not all(floor):
            return []
        return [above / below for above, below in zip(mine, floor, strict=False)]

    def fact(self, name: str) -> list[float]:
        return [self.facts[GATEWAY][name]] if GATEWAY in self.facts else []

    def start_ratios(self) -> list[float]:
        """The gateway's cold start over the pass-through's, turn by turn."""
        mine, floor = self.starts.get(GATEWAY, []), self.starts.get(FLOOR, [])
        return [above / below for above, below in zip(mine, floor, strict=False)]

    def errors(self) -> int:
        return sum(sum(record["result"]["errors"].values()) for record in self.records)


@dataclass(frozen=True)
class Target:
    """A figure of Conduit's and the most it may be."""

    text: str
    most: float
    unit: str
    found: Callable[[Run], list[float]]


def ratio(case: str, figure: str) -> Callable[[Run], list[float]]:
    return lambda run: run.ratios(case, figure)


def ranked_ratios(run: Run) -> list[float]:
    """A request with three targets by the lowest latency over one with one target."""
    three = run.values(GATEWAY, THREE, "cpu_us_per_request")
    one = run.values(GATEWAY, ONE, "cpu_us_per_request")
    return [above / below for above, below in zip(three, one, strict=False)]


def limited_ratios(run: Run) -> list[float]:
    """A request under limits over the pass-through's, which has none, round by round."""
    mine = run.values(GATEWAY, LIMITED, "cpu_us_per_request")
    floor = run.values(FLOOR, "chat", "cpu_us_per_request")
    return [above / below for above, below in zip(mine, floor, strict=False)]


def fact(name: str) -> Callable[[Run], list[float]]:
    return lambda run: run.fact(name)


def held_figure(name: str) -> Callable[[Run], list[float]]:
    return lambda run: run.values(GATEWAY, HELD, name)


TARGETS = (
    Target("CPU a request, × pass-through", 1.8, "", ratio("chat", "cpu_us_per_request")),
    Target("CPU a request under limits of all kinds, × pass-through", 1.8, "", limited_ratios),
    Target("CPU a request, three targets by latency, × one target", 1.1, "", ranked_ratios),
    Target("CPU a chunk at pace, × pass-through", 1.5, "", ratio("pace100", "cpu_us_per_chunk")),
    Target("CPU a chunk in a burst, × pass-through", 1.5, "", ratio("burst", "cpu_us_per_chunk")),
    Target("cold start", 1.0, " s", lambda run: run.starts.get(GATEWAY, [])),
    # One second where the pass-through takes 0.26 s, as on the machine that the target was set on.
    Target("cold start, × pass-through", 3.8, "", lambda run: run.start_ratios()),
    Target("idle memory", 110, " MB", fact("idle_rss_mb")),
    Target("memory a held stream", 50, " KB", held_figure("rss_kb_per_stream")),
    Target("held streams that failed", 0, "", held_figure("failed")),
)


def chunk_costs(run: Run, pair: str, form: str) -> list[float]:
    """CPU of the gateway a chunk, µs, round by round: in a burst without what the request costs."""
    if form == "pace":
        return run.values(GATEWAY, f"pace {pair}", "cpu_us_per_chunk")
    burst = run.values(GATEWAY, f"burst {pair}", "cpu_us_per_request")
    one = run.values(GATEWAY, f"one {pair}", "cpu_us_per_request")
    more = ALL_CASES["burst " + pair].chunks - 1
    return [(all_of_it - head) / more for all_of_it, head in zip(burst, one, strict=False)]


def translated_rows(run: Run) -> Iterator[str]:
    """The table of the pairs of dialects; none where they were not measured."""
    if not run.values(GATEWAY, f"burst {SAME}", "rps"):
        return
    yield "### streams across dialects\n"
    yield (
        "| client > provider | µs a chunk in a burst, request taken off | × same dialect "
        "| µs a chunk at pace, request included | × same dialect | at most 3 |"
    )
    yield "|---|---|---|---|---|---|"
    for pair in PAIRS:
        cells = []
        met = True
        for form in ("burst", "pace"):
            mine, same = chunk_costs(run, pair, form), chunk_costs(run, SAME, form)
            times = [above / below for above, below in zip(mine, same, strict=False)]
            met = met and statistics.median(times) <= MOST_TRANSLATED
            cells += [cell(mine), cell(times)]
        verdict = "" if pair == SAME else "met" if met else "missed"
        yield f"| {pair} | " + " | ".join(cells) + f" | {verdict} |"
    yield ""


def cell(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g})"


def rows(run: Run) -> Iterator[str]:
    """The table of targets; a figure that was not measured says so."""
    yield "| target | at most | measured, median (range) | |"
    yield "|---|---|---|---|"
    for target in TARGETS:
        found = target.found(run)
        if not found:
            yield f"| {target.text} | {target.most:g}{target.unit} | not measured | |"
            continue
        middle = statistics.median(found)
        spread = f" ({min(found):.3g}–{max(found):.3g})" if len(found) > 1 else ""
        verdict = "met" if middle <= target.most else "missed"
        yield (
            f"| {target.text} | {target.most:g}{target.unit} "
            f"| {middle:.3g}{target.unit}{spread} | {verdict} |"
        )


def held(paths: list[Path], setup: Setup) -> list[dict]:
    """Thousands of held streams, through one freshly started gateway after another."""
    records: list[dict] = []
    for path in paths:
        if path.stem != "direct":  # the mock alone has no memory of interest
            records += compare([path], [HELD], 1, setup)[1]
    return records


def cold_starts(paths: list[Path], setup: Setup) -> dict[str, list[float]]:
    """Seconds of every start by subject, by turns: importing is at the mercy of the moment."""
    found: dict[str, list[float]] = {}
    for _ in range(STARTS):
        for path in paths:
            for name, facts in compare([path], [], 0, setup)[0].items():
                found.setdefault(name, []).append(facts["cold_start_s"])
    return found


def all_named(cases: list[str]) -> Iterator[str]:
    """The cases, with those of the pairs of dialects for `translated`, a pair's side by side."""
    for case in cases:
        if case == TRANSLATED:
            yield from (f"{form} {pair}" for form in FORMS for pair in PAIRS)
        else:
            yield case


def machine() -> str:
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--subjects", default=",".join(SUBJECTS))
    options.add_argument("--cases", default=",".join((*CASES, RANKED, TRANSLATED, HELD)))
    options.add_argument("--rounds", type=int, default=3)
    Setup.add_options(options)
    args = options.parse_args()
    if sys.platform != "linux":
        raise SystemExit("the bench reads /proc: it runs on Linux only")
    names, cases = args.subjects.split(","), list(all_named(args.cases.split(",")))
    if args.tls and "direct" in names:
        names.remove("direct")  # the load speaks no TLS
    if "nginx" in names and shutil.which("nginx") is None:
        print("nginx is not installed: it is left out", file=sys.stderr)
        names.remove("nginx")
    paths = [HERE / "subjects" / f"{name}.toml" for name in names]
    setup = Setup.of(args)
    usual = [case for case in cases if case not in (HELD, RANKED)]
    facts, records = compare(paths, usual, args.rounds, setup)
    if RANKED in cases:
        own = [path for path in paths if path.stem == GATEWAY]
        records += compare(own, [ONE, THREE], TURNS, setup)[1]
    starts = cold_starts([path for path in paths if path.stem in (GATEWAY, FLOOR)], setup)
    if HELD in cases:
        records += held(paths, setup)
    RESULTS.mkdir(exist_ok=True)
    out = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    out.write_text(json.dumps({"facts": facts, "records": records, "starts": starts}, indent=1))
    run = Run(facts, records, starts)
    print(f"{machine()}; {args.rounds} rounds, interleaved; {run.errors()} errors\n")
    print("\n".join((*rows(run), "", *translated_rows(run))))
    print(table([record for record in records if " " not in record["case"]]))
    print(f"\n{facts_table(facts)}")


def facts_table(facts: dict[str, dict[str, float]]) -> str:
    lines = ["### start and rest", "", "| subject | cold start, s | CPU of it, s | idle RSS, MB |"]
    lines.append("|---|---|---|---|")
    for name, found in facts.items():
        if name != "direct":
            shown = (found["cold_start_s"], found["start_cpu_s"], found["idle_rss_mb"])
            lines.append(f"| {name} | " + " | ".join(f"{value:g}" for value in shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
