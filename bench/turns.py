"""`make bench-turns`: gateways beside the first of them, by turns of a fraction of a second.

On a busy machine a minute costs more than the one before it, so that a few long rounds say little
of a difference of some hundredths. Here all subjects meet the same moments many times, another of
them first each time, and what is told is how the pairs of one turn compare.

A subject is the name of a file in `subjects/`; `conduit@../before` is the gateway of another
checkout, to compare a change with the code before it. The CPU of a subject is read from
`/proc/…/schedstat`, which knows nanoseconds where `stat` knows hundredths of a second.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import load
import uvloop
from measure import CASES, HERE, Running, Setup, Subject, bench, read_subject, started

_SETTLING_S = 0.25
"""What a gateway puts off (a batch for its database, a sync) belongs to the turn it came from."""


@dataclass
class Spent:
    """What one subject took in a case: µs a request, or a chunk where it streams, turn by turn."""

    microseconds: list[float] = field(default_factory=list)
    errors: int = 0


def alone(name: str) -> str:
    """What a subject's home and log are called."""
    return name.replace("/", "_")


def is_short(name: str) -> bool:
    """Whether a turn is long enough for many requests of the case."""
    case = CASES.get(name)
    return case is not None and case.mode == "closed" and not case.ramp


def subjects_of(names: list[str], folder: Path) -> Iterator[Subject]:
    """One after the other, as each finds its home and its port in the environment."""
    for name in names:
        stem, _, tree = name.partition("@")
        if tree and not (Path(tree) / "conduit").is_dir():
            raise SystemExit(f"{tree} is no checkout")
        subject = read_subject(HERE / "subjects" / f"{stem}.toml", alone(name), folder)
        # An installed checkout comes after PYTHONPATH on the path of modules.
        before = {"PYTHONPATH": str(Path(tree).resolve())} if tree else {}
        yield replace(subject, env=subject.env | before)


def spend(gateway: Running, case_name: str, seconds: float) -> tuple[float, int]:
    """(µs of CPU a request or chunk, errors) of one turn."""
    case = replace(CASES[case_name], seconds=seconds)
    before = gateway.tree.cpu_ns()
    result = uvloop.run(load.closed(gateway.target(case), int(case.amount), case.seconds))
    time.sleep(_SETTLING_S)
    spent = (gateway.tree.cpu_ns() - before) / 1000
    done = result["chunks"] if case.stream else result["ok"]
    return spent / max(done, 1), result["requests"] - result["ok"]


def take_turns(running: list[Running], case: str, turns: int, seconds: float) -> dict[str, Spent]:
    """By subject, in the order of `running`; a first turn of each is not counted."""
    found = {gateway.subject.name: Spent() for gateway in running}
    for turn in range(-1, turns):
        shift = turn % len(running)
        for gateway in running[shift:] + running[:shift]:
            spent, errors = spend(gateway, case, seconds)
            if turn >= 0:
                mine = found[gateway.subject.name]
                mine.errors += errors
                mine.microseconds.append(spent)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def rows(case: str, found: dict[str, Spent]) -> Iterator[str]:
    first = next(iter(found.values()))
    for name, spent in found.items():
        pairs = zip(first.microseconds, spent.microseconds, strict=True)
        over = quartiles([mine / other for mine, other in pairs]) if spent is not first else ""
        yield f"| {case} | {name} | {quartiles(spent.microseconds)} | {over} | {spent.errors} |"


def check(running: list[Running], first: str, cases: list[str]) -> None:
    """Raises SystemExit where the comparison that was asked for cannot be made."""
    if not running or running[0].subject.name != alone(first):
        raise SystemExit("the first subject, with which the others are compared, is not there")
    for gateway in running:
        name = gateway.subject.name
        if unfit := [case for case in cases if not gateway.subject.takes(case)]:
            raise SystemExit(f"{name} does not take {unfit}")
        if not gateway.tree.cpu_ns():
            raise SystemExit(f"{name} has no process whose CPU could be read")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("subjects", nargs="+", help="the first is compared with each other one")
    options.add_argument("--cases", default="chat,chat100k")
    options.add_argument("--turns", type=int, default=30)
    options.add_argument("--seconds", type=float, default=0.5, help="of a turn of one subject")
    options.add_argument("--out", type=Path, help="the figures of each turn, as JSON")
    Setup.add_options(options)
    args = options.parse_args()
    cases = args.cases.split(",")
    if len(set(args.subjects)) < len(args.subjects):
        raise SystemExit("each subject once: `conduit@.` is the same code as `conduit`")
    if unfit := [case for case in cases if not is_short(case)]:
        raise SystemExit(f"no case of requests that follow one another at once: {unfit}")
    if args.turns < 2:
        raise SystemExit("at least two turns")
    setup = Setup.of(args)
    with (
        bench(setup) as folder,
        started(subjects_of(args.subjects, folder), setup.gateway) as running,
    ):
        check(running, args.subjects[0], cases)
        found = {case: take_turns(running, case, args.turns, args.seconds) for case in cases}
    if args.out:
        figures = {
            case: {name: spent.microseconds for name, spent in by_subject.items()}
            for case, by_subject in found.items()
        }
        args.out.write_text(json.dumps(figures, indent=1))
    print("| case | subject | µs, median (quartiles) | first over it | errors |")
    print("|---|---|---|---|---|")
    for case, by_subject in found.items():
        print("\n".join(rows(case, by_subject)))


if __name__ == "__main__":
    main()
