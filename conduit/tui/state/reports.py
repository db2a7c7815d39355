"""Usage reports: which one is wanted, those that were read, and what is drawn and written of them.

Plain Python without a terminal. All times are UTC, as the command line counts them by default.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from conduit.core.bars import gathered
from conduit.core.groupings import tag_in
from conduit.tui.state.traffic import Record

Grouping = str
"""One of GROUPINGS, or `tag:team` for the values of a tag."""
STEPS: Mapping[str, timedelta] = {"day": timedelta(days=1), "hour": timedelta(hours=1)}
_MOST_GROUPS = 1000
"""What one answer of the gateway holds."""
_MOST_KEPT = 300
"""Answers that are kept; the oldest go first."""

# Where a look into one row goes next: what else is asked of a model than who used it.
_INTO: Mapping[str, Grouping] = {
    "model": "key",
    "key": "model",
    "group": "key",
    "provider": "model",
    "alias": "key",
    "day": "hour",
    "hour": "model",
}


@dataclass(frozen=True, slots=True)
class Period:
    """A time to look at, that ends now. `days` are whole ones, today's among them."""

    name: str
    title: str
    step: Grouping
    days: int | None = None

    def since(self, now: datetime) -> datetime | None:
        """Its beginning; None for all that there is."""
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.name == "month":
            return today.replace(day=1)
        return None if self.days is None else today - timedelta(days=self.days - 1)


PERIODS = (
    Period("today", "today", "hour", 1),
    Period("7d", "7 days", "hour", 7),
    Period("30d", "30 days", "day", 30),
    Period("month", "month", "day"),
    Period("all", "all", "day"),
)


@dataclass(frozen=True, slots=True)
class Only:
    """One thing that a report is narrowed to. `value` is what the API takes, `label` its name."""

    field: Grouping
    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at: how it is grouped, to what it is narrowed."""

    by: Grouping = "model"
    only: tuple[Only, ...] = ()

    def into(self, row: Record) -> "Look | None":
        """The look into one row; None where the API cannot be asked for it alone."""
        value = row.get("key_id") or row.get("group_id") or row["group"]
        if not value or tag_in(self.by) is not None:
            return None
        others = tuple(each for each in self.only if each.field != self.by)
        only = (*others, Only(self.by, value, row["group"]))
        narrowed = {each.field for each in only}
        by = _INTO[self.by]
        free = (each for each in (by, "model", "key", "provider", "alias", "hour"))
        return Look(next((each for each in free if each not in narrowed), by), only)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to the gateway. Times are RFC 3339."""

    by: Grouping
    since: str | None
    until: str | None
    only: tuple[tuple[str, str], ...] = ()

    def query(self) -> dict[str, object]:
        return {"by": self.by, "since": self.since, "until": self.until, **dict(self.only)}


def ask_of(look: Look, period: Period, now: datetime) -> Ask:
    """The question that a look in a period is."""
    since, until = period.since(now), None
    for each in look.only:
        if each.field in STEPS:
            since = _moment(each.value)
            until = since + STEPS[each.field]
    others = tuple((each.field, each.value) for each in look.only if each.field not in STEPS)
    return Ask(look.by, _text(since), _text(until), others)


def trend_of(ask: Ask, period: Period) -> Ask:
    """The question how it went over the time of another question."""
    return replace(ask, by="hour" if ask.until is not None else period.step)


def trend_in(ask: Ask, row: Record, period: Period) -> Ask | None:
    """The same of one row of its answer; None where it cannot be asked for alone."""
    value = row.get("key_id") or row.get("group_id") or row["group"]
    if ask.by in STEPS or tag_in(ask.by) is not None or not value:
        return None
    only = (*(each for each in ask.only if each[0] != ask.by), (ask.by, str(value)))
    return replace(trend_of(ask, period), only=only)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")


# What was read


@dataclass(slots=True)
class Reading:
    """An answer, or why there is none; the last good one stays when a later one fails."""

    value: Record | None = None
    error: str | None = None
    is_reading: bool = False
    read_ms: int = 0


@dataclass(slots=True)
class Reports:
    """Answers by their questions, of one gateway: another `epoch` forgets them."""

    epoch: int = 0
    revision: int = 0
    by_ask: dict[Ask, Reading] = field(default_factory=dict)

    def of(self, epoch: int) -> "Reports":
        """These, without those of another gateway."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.by_ask.clear()
            self.revision += 1
        return self

    def at(self, ask: Ask) -> Reading:
        """What is known of a question; nothing at first."""
        return self.by_ask.get(ask, _NOTHING)

    def begin(self, ask: Ask) -> None:
        self.by_ask.setdefault(ask, Reading()).is_reading = True
        self.revision += 1

    def answer(self, ask: Ask, value: Record, *, at_ms: int, epoch: int) -> None:
        """Keep an answer; one that comes too late for this gateway is dropped."""
        if epoch == self.epoch:
            self.by_ask.pop(ask, None)
            self.by_ask[ask] = Reading(value, read_ms=at_ms)
            if len(self.by_ask) > _MOST_KEPT:
                del self.by_ask[next(iter(self.by_ask))]
            self.revision += 1

    def fail(self, ask: Ask, reason: str, *, epoch: int) -> None:
        if epoch == self.epoch:
            before = self.by_ask.get(ask, _NOTHING)
            self.by_ask[ask] = replace(before, error=reason, is_reading=False)
            self.revision += 1

    def forgive(self) -> None:
        """What failed may be asked for again."""
        for ask, reading in list(self.by_ask.items()):
            if reading.error is not None:
                self.by_ask[ask] = replace(reading, error=None)
                self.revision += 1

    def forget(self) -> None:
        """Everything is to be read again."""
        self.by_ask.clear()
        self.revision += 1


_NOTHING = Reading()


# What is drawn


def tokens_read(row: Record) -> int:
    """Tokens of the input, those of a cache and of audio too."""
    heard = row["audio_tokens"] - row["output_audio_tokens"]
    return int(row["input_tokens"] + heard + row["cache_read_tokens"] + row["cache_write_tokens"])


def tokens_written(row: Record) -> int:
    """Tokens of the output, with its reasoning and its audio, which are paid as well."""
    return int(row["output_tokens"] + row["reasoning_tokens"] + row["output_audio_tokens"])


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a row; `of` draws it as a number, so money is drawn and not counted."""

    name: str
    title: str
    of: Callable[[Record], float]


METRICS = (
    Metric("cost", "Spend", lambda row: float(row["cost"])),
    Metric("requests", "Requests", lambda row: float(row["requests"])),
    Metric("tokens", "Tokens", lambda row: float(row["input_tokens"] + tokens_written(row))),
)


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time, one for each step, from `begins` on; steps without use are 0."""

    begins: datetime
    step: timedelta
    values: Sequence[float]

    @property
    def ends(self) -> datetime:
        return self.begins + self.step * len(self.values)


def series_of(report: Record, metric: Metric, now: datetime) -> Series | None:
    """The values of a report by day or hour, from its beginning until its end or now."""
    step = STEPS[report["by"]]
    found = {_moment(row["group"]): metric.of(row) for row in report["groups"]}
    begins = _moment(report["since"]) if report["since"] else min(found, default=None)
    if begins is None:
        return None
    if report["more"] and found:  # only the last ones were told
        begins = min(found)
    ends = _moment(report["until"]) if report["until"] else now
    count = max(1, min(_MOST_GROUPS, -((begins - ends) // step)))
    values = [0.0] * count
    for moment, value in found.items():
        place = (moment - begins) // step
        if 0 <= place < count:
            values[place] += value
    return Series(begins, step, values)


def columns_of(values: Sequence[float], width: int) -> list[float]:
    """The values in at most `width` columns: several in one are added up, few become wide."""
    if not values or width <= 0:
        return []
    if len(values) > width:
        return gathered(values, width)
    wide = width // len(values)
    return [value for value in values for _ in range(wide)]


def shares_of(report: Record) -> Mapping[str, float]:
    """What part of the whole cost each row is, by its name; of times, to the dearest one."""
    costs = {row["group"]: Decimal(row["cost"]) for row in report["groups"]}
    of_time = report["by"] in STEPS
    whole = max(costs.values(), default=Decimal(0)) if of_time else Decimal(report["total"]["cost"])
    return {name: float(cost / whole) if whole else 0.0 for name, cost in costs.items()}


def label_of_row(row: Record, by: str) -> str:
    """A row's name; an hour as `2026-11-20 14:00`."""
    name: str = row["group"]
    return f"{name[:10]} {name[11:16]}" if by == "hour" else name


def day_and_hour(moment: datetime, step: timedelta) -> str:
    """`11-20`, with the hour where the steps are hours."""
    return moment.strftime("%m-%d" if step >= STEPS["day"] else "%m-%d %H:%M")


# What is written

FORMATS = ("csv", "json")
_FIRST = ("group", "key_id", "group_id")


def written(report: Record, form: str) -> str:
    """A report as CSV, a line for each row and none for the sum, or as JSON as it was answered."""
    if form == "json":
        return json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    figures = [name for name in report["total"] if name not in _FIRST]
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow([report["by"], "id", *figures])
    for row in report["groups"]:
        id_ = row.get("key_id") or row.get("group_id") or ""
        lines.writerow([row["group"], id_, *(row[name] for name in figures)])
    return out.getvalue()


def file_name(ask: Ask, period: Period, form: str) -> str:
    """`usage-30d-by-model.csv`, in the folder that the program was started in."""
    by = ask.by.replace(":", "-").replace("/", "-")  # a tag's name may hold a slash
    return f"usage-{period.name}-by-{by}.{form}"


def told(only: Sequence[Only]) -> Iterator[str]:
    """What a look is narrowed to, in words."""
    for each in only:
        name = label_of_row({"group": each.label}, each.field)
        yield f"{each.field} {name}"
