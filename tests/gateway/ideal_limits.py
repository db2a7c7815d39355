"""What rate limits should do, said a second time and in other words than the limiter's.

Fractions in the place of scaled integers, the days by name in the place of a counter that is wiped,
and for limits a minute a list of all that was let by, of which every stretch of time is checked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from conduit.core.limits import Limit
from conduit.core.periods import period_start_ms
from conduit.gateway.limits.limiter import Scope
from conduit.gateway.limits.meters import Now, next_day_ms

MINUTE_NS = 60 * 10**9
SLOT_SOON = Fraction(1)

CountDay = Callable[[Scope, int, bool], int]
"""What the books hold of a scope since a moment: its tokens, or its requests."""


@dataclass(eq=False)
class Entry:
    """One call that a limit a minute has let by. `amount` is the least that it counts as."""

    at_ns: int
    amount: int


@dataclass(eq=False)
class Counter:
    """One limit of one scope."""

    level: Fraction = Fraction(0)
    at_ns: int = 0
    running: int = 0
    day_ms: int | None = None
    used: dict[int, int] = field(default_factory=dict)  # by the beginning of the day
    entries: list[Entry] = field(default_factory=list)
    most_burst: int = 0
    most_limit: int = 0


@dataclass(eq=False)
class Part:
    """What a call has taken of one limit."""

    counter: Counter
    limit: Limit
    amount: int
    day_ms: int | None
    entry: Entry | None


class IdealLimits:
    """All counters of one process."""

    def __init__(self, count_day: CountDay) -> None:
        self._count_day = count_day
        self._counters: dict[tuple[str, str], Counter] = {}

    def take(
        self, scopes: Sequence[Scope], tokens: int, guessed: int, now: Now
    ) -> list[Part] | Fraction | None:
        """What was taken; or in how many seconds there is room; None: never."""
        wanted = [(self._counter(scope, limit), limit, scope)
                  for scope in scopes for limit in scope.limits]  # fmt: skip
        for counter, limit, scope in wanted:
            if limit.of_a_day and counter.day_ms is None:
                counter.day_ms = _day(limit, now)
                counted = self._count_day(scope, counter.day_ms, limit.of_tokens)
                counter.used[counter.day_ms] = counted
        if any(
            limit.of_tokens and not limit.shadow and tokens > most_of(limit)
            for _, limit, _ in wanted
        ):
            return None
        amounts = [amount_of(limit, tokens, guessed) for _, limit, _ in wanted]
        waits = [
            _wait(counter, limit, amount, now)
            for (counter, limit, _), amount in zip(wanted, amounts, strict=True)
        ]
        enforced = [wait for wait, (_, limit, _) in zip(waits, wanted, strict=True)
                    if wait and not limit.shadow]  # fmt: skip
        if enforced:
            return max(enforced)
        return [
            _taken(counter, limit, amount, now)
            for (counter, limit, _), amount, wait in zip(wanted, amounts, waits, strict=True)
            if not wait
        ]

    def end(self, parts: Sequence[Part], tokens: int, now: Now) -> None:
        for part in parts:
            counter, more = part.counter, tokens - part.amount
            match part.limit.kind:
                case "tpm":
                    counter.level = max(Fraction(0), _level(counter, part.limit, now) + more)
                    counter.at_ns = now.mono_ns
                    assert part.entry is not None, "a limit a minute lists what it lets by"
                    part.entry.amount = min(part.amount, tokens)
                case "tpd" if part.day_ms == _turned(counter, part.limit, now):
                    assert part.day_ms is not None, "it was counted in a day"
                    counter.used[part.day_ms] = max(0, counter.used[part.day_ms] + more)
                case "concurrent":
                    counter.running -= 1
                case _:
                    pass

    def remaining(self, scope: Scope, now: Now) -> dict[str, int]:
        """What is left of each limit; for a day that nobody has asked for yet all of it."""
        return {
            limit.kind: _remaining(self._counter(scope, limit), limit, now)
            for limit in scope.limits
        }

    def check_stretches(self) -> None:
        """No stretch of time has let by more than a burst and the share of the stretch."""
        for counter in self._counters.values():
            entries = counter.entries
            if not entries:
                continue
            last = entries[-1]
            passed = 0
            for first in reversed(entries):
                passed += first.amount
                share = Fraction(counter.most_limit * (last.at_ns - first.at_ns), MINUTE_NS)
                assert passed <= counter.most_burst + share

    def _counter(self, scope: Scope, limit: Limit) -> Counter:
        counter = self._counters.setdefault((scope.id, limit.kind), Counter())
        counter.most_limit = max(counter.most_limit, limit.limit)
        counter.most_burst = max(counter.most_burst, most_of(limit))
        return counter


def most_of(limit: Limit) -> int:
    return limit.burst or limit.limit


def amount_of(limit: Limit, tokens: int, guessed: int) -> int:
    return max(tokens, min(tokens + guessed, most_of(limit))) if limit.of_tokens else 1


def _day(limit: Limit, now: Now) -> int:
    return period_start_ms("day", limit.timezone, now.at_ms)


def _turned(counter: Counter, limit: Limit, now: Now) -> int:
    """The day that is counted: no earlier one comes back, whatever the clock says."""
    day_ms = _day(limit, now)
    if counter.day_ms is None or day_ms > counter.day_ms:
        counter.day_ms = day_ms
    counter.used.setdefault(counter.day_ms, 0)
    return counter.day_ms


def _level(counter: Counter, limit: Limit, now: Now) -> Fraction:
    """The time since the last call counts at the limit of now, however lately that was set."""
    gone = Fraction(limit.limit * (now.mono_ns - counter.at_ns), MINUTE_NS)
    return max(Fraction(0), counter.level - gone)


def _wait(counter: Counter, limit: Limit, amount: int, now: Now) -> Fraction | None:
    """In how many seconds there is room, None for now."""
    match limit.kind:
        case "rpm" | "tpm":
            over = _level(counter, limit, now) + amount - most_of(limit)
            return over * 60 / limit.limit if over > 0 else None
        case "rpd" | "tpd":
            day_ms = _turned(counter, limit, now)
            if counter.used[day_ms] + amount <= limit.limit:
                return None
            # Until the day after that which is counted.
            return Fraction(next_day_ms(limit.timezone, day_ms) - now.at_ms, 1000)
        case "concurrent":
            return SLOT_SOON if counter.running + amount > limit.limit else None


def _taken(counter: Counter, limit: Limit, amount: int, now: Now) -> Part:
    entry = day_ms = None
    match limit.kind:
        case "rpm" | "tpm":
            counter.level = _level(counter, limit, now) + amount
            counter.at_ns = now.mono_ns
            entry = Entry(now.mono_ns, amount)
            counter.entries.append(entry)
        case "rpd" | "tpd":
            day_ms = _turned(counter, limit, now)
            counter.used[day_ms] += amount
        case "concurrent":
            counter.running += 1
    return Part(counter, limit, amount, day_ms, entry)


def _remaining(counter: Counter, limit: Limit, now: Now) -> int:
    match limit.kind:
        case "rpm" | "tpm":
            return int(max(Fraction(0), most_of(limit) - _level(counter, limit, now)))
        case "rpd" | "tpd":
            if counter.day_ms is None:
                return limit.limit
            return max(0, limit.limit - counter.used[_turned(counter, limit, now)])
        case "concurrent":
            return max(0, limit.limit - counter.running)
