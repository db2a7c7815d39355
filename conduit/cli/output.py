"""Data in the form that was asked for: a table for people, six formats for programs.

A terminal changes the layout and never which rows or values there are; json, jsonl, csv, tsv and
id are the same bytes wherever they go.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from string import Formatter
from typing import Any, Literal, get_args

from conduit.cli.console import Console, Stream, Tone, clipped, plain, width_of
from conduit.cli.failures import Failure
from conduit.client.api import Record

Format = Literal["table", "wide", "json", "jsonl", "csv", "tsv", "id"]
FORMATS: tuple[str, ...] = get_args(Format)
_NARROWEST = 8
_GAP = "  "
# Amounts, counts, moments, durations, behind a glyph or not: half of one would be another one.
_NUMBERS = re.compile(r"(?:\S{1,2} )?[-+]?\$?\d[\d.,:/$% dhmsZ-]*")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `path` is its value for programs, `text` what people read instead.

    On a narrow terminal the plain columns are clipped first; then those with a `spare` number are
    left out, 1 before 2; `firm` ones are clipped last. No number is ever clipped. A `wide` one is
    for `-o wide`, and for programs too where it is `told`: people read it in another column.
    """

    title: str
    path: str
    text: Callable[[Record], str] | None = None
    wide: bool = False
    right: bool = False
    tone: Callable[[Record], Tone] | None = None
    firm: bool = False
    spare: int | None = None
    told: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """How a resource is shown; `id_path` is what `-q` and `-o id` print."""

    columns: tuple[Column, ...]
    id_path: str = "id"
    empty: str = "nothing yet"


@dataclass(frozen=True, slots=True)
class Shape:
    """The form that was asked for. `format` None is a table or, off a terminal, plain TSV.

    `named` tells a format that stood on the command line from one of the environment or of `-q`.
    """

    format: Format | None = None
    fields: tuple[str, ...] = ()
    query: str | None = None
    template: str | None = None
    named: bool = False

    @property
    def is_json(self) -> bool:
        return self.format in ("json", "jsonl")

    @property
    def is_chosen(self) -> bool:
        """Whether single values were asked for, by whichever of the options."""
        return bool(self.fields) or self.query is not None or self.template is not None

    @property
    def is_for_programs(self) -> bool:
        """Whether a form for programs was asked for, which a pipe alone does not."""
        named = self.format in ("json", "jsonl", "csv", "tsv") or (
            self.format == "id" and self.named
        )
        return named or self.is_chosen


def value_at(row: Any, path: str) -> Any:
    """The value at a dotted path; a list on the way is mapped over; None where there is none."""
    value = row
    for step in path.split("."):
        if isinstance(value, list):
            value = [inner.get(step) if isinstance(inner, Mapping) else None for inner in value]
        elif isinstance(value, Mapping):
            value = value.get(step)
        else:
            return None
    return value


def cell(value: Any) -> str:
    """A value for a program's column: full, unrounded, lists joined by commas."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() if not any(isinstance(inner, (list, dict)) for inner in value):
            return ",".join(cell(inner) for inner in value)
        case list() | dict():
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        case _:
            return str(value)


class Printer:
    """Writes rows and records to stdout in one shape."""

    def __init__(self, console: Console, shape: Shape) -> None:
        self._console = console
        self._shape = shape
        self._gathered: list[tuple[Record, View]] | None = None

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Print the records of the block as one list at its end, also when it breaks off."""
        self._gathered = []
        try:
            yield
        finally:
            records, self._gathered = self._gathered, None
            if records:
                view = records[0][1]
                self.rows((row for row, _ in records), view, next_cursor=lambda: None)

    @property
    def format(self) -> Format:
        if self._shape.format is not None:
            return self._shape.format
        return "table" if self._console.out.is_terminal else "tsv"

    @property
    def is_for_people(self) -> bool:
        return self.format in ("table", "wide")

    def rows(self, rows: Iterable[Record], view: View, *, next_cursor: Callable[[], Any]) -> None:
        """A list; `next_cursor` is asked once the rows have ended."""
        shape = self._shape
        rows = self._with_known_fields(rows, view)
        if shape.query is not None:
            data = list(rows)
            self._searched({"data": data, "next_cursor": next_cursor()})
        elif shape.template is not None:
            for row in rows:
                self._console.data(formatted(shape.template, row))
        elif self.format == "json":
            self._json_page(rows, next_cursor)
        elif self.format == "jsonl":
            for row in rows:
                self.line(row)
        else:
            self._columns(rows, view)

    def record(self, row: Record, view: View) -> None:
        """One resource; people and TSV readers get a line for each field."""
        if self._gathered is not None:
            self._gathered.append((row, view))
            return
        shape = self._shape
        _require_fields(shape.fields, row, view)
        if shape.query is not None:
            self._searched(row)
        elif shape.template is not None:
            self._console.data(formatted(shape.template, row))
        elif self.format == "json":
            self._console.data(self._indented(picked(row, shape.fields)))
        elif self.format == "jsonl":
            self.line(row)
        elif self.format in ("csv", "id"):
            self._columns([row], view)
        else:
            self._fields(row, view)

    def line(self, row: Record) -> None:
        """One record as one line of JSON."""
        _require_fields(self._shape.fields, row)
        self._console.data(self._compact(picked(row, self._shape.fields)))

    def _with_known_fields(self, rows: Iterable[Record], view: View) -> Iterator[Record]:
        """The same rows, once the first of them has the fields that are wanted."""
        remaining = iter(rows)
        first = next(remaining, None)
        if first is None:
            return remaining
        _require_fields(self._shape.fields, first, view)
        return chain((first,), remaining)

    def _indented(self, value: Any) -> str:
        return json.dumps(value, indent=2, ensure_ascii=not self._console.out.unicode)

    def _compact(self, value: Any) -> str:
        escaped = not self._console.out.unicode
        return json.dumps(value, ensure_ascii=escaped, separators=(",", ":"))

    def _columns(self, rows: Iterable[Record], view: View) -> None:
        columns = _chosen(view, self._shape.fields, self.format)
        match self.format:
            case "id":
                for row in rows:
                    self._console.data(plain(cell(value_at(row, view.id_path))))
            case "csv":
                self._csv(rows, columns)
            case "tsv":
                for row in rows:
                    values = (tab_safe(cell(value_at(row, column.path))) for column in columns)
                    self._console.data("\t".join(values))
            case _:
                self._table(list(rows), columns, view)

    def _csv(self, rows: Iterable[Record], columns: Sequence[Column]) -> None:
        # Row by row: `--all` of a long log is not held in memory.
        writer = csv.writer(self._console.out.file, lineterminator="\n")
        writer.writerow([column.path for column in columns])
        for row in rows:
            writer.writerow([plain(cell(value_at(row, column.path))) for column in columns])

    def _table(self, rows: list[Record], columns: Sequence[Column], view: View) -> None:
        if not rows:
            self._console.say(view.empty)
            return
        out = self._console.out
        texts = [[_human(column, row) for column in columns] for row in rows]
        for cells, row in zip(texts, rows, strict=True):
            for index, column in enumerate(columns):
                if column.tone is not None:
                    cells[index] = f"{out.glyph(column.tone(row))} {cells[index]}"
        titles = [column.title.upper() for column in columns]
        shown = [
            Sized(column, max(map(width_of, texts_of)), _floor_of(texts_of[1:]), texts_of)
            for column, texts_of in zip(columns, zip(titles, *texts, strict=True), strict=True)
        ]
        if self.format != "wide":
            shown = fitted(shown, out.columns)
        for index, record in enumerate([None, *rows]):
            self._console.data(_table_line(index, record, shown, out))
        if len(shown) < len(columns):
            kept = {id(sized.column) for sized in shown}
            left_out = ", ".join(column.title for column in columns if id(column) not in kept)
            self._console.say(f"too narrow for: {left_out} - use -o wide", "dim")

    def _fields(self, row: Record, view: View) -> None:
        fields = self._shape.fields
        if self.format == "tsv":
            paths = fields or tuple(row)
            for path in paths:
                self._console.data(f"{path}\t{tab_safe(cell(value_at(row, path)))}")
            return
        shown = {column.path: column for column in view.columns}
        paths = fields or (*shown, *(name for name in row if name not in shown))
        if not fields:
            covered = {path.partition(".")[0] for path in shown if "." in path}
            paths = tuple(path for path in paths if path not in covered)
        width = max(len(path) for path in paths)
        for path in paths:
            column = shown.get(path) or Column(path, path)
            text = _human(column, row)
            tone = column.tone(row) if column.tone is not None else None
            glyph = f"{self._console.out.glyph(tone)} " if tone else ""
            name = self._console.out.toned(path.ljust(width), "dim")
            self._console.data(f"{name}{_GAP}{self._console.out.toned(glyph + text, tone)}")

    def _json_page(self, rows: Iterable[Record], next_cursor: Callable[[], Any]) -> None:
        """One complete document, written row by row, equal to what json.dumps would write."""
        write = self._console.out.file.write
        write('{\n  "data": [')
        count = 0
        for count, row in enumerate(rows, 1):
            text = self._indented(picked(row, self._shape.fields)).replace("\n", "\n    ")
            write(f"{',' if count > 1 else ''}\n    {text}")
        cursor = json.dumps(next_cursor(), ensure_ascii=False)
        write("\n  ]" if count else "]")
        write(f',\n  "next_cursor": {cursor}\n}}\n')

    def _searched(self, document: Any) -> None:
        found = searched(self._shape.query or "", document)
        if found is None or found in ([], {}):
            self._console.say("--query: it yields nothing", "warn")
        if self.format == "json":
            self._console.data(self._indented(found))
        elif self.format == "jsonl":
            for value in found if isinstance(found, list) else [found]:
                self._console.data(self._compact(value))
        elif isinstance(found, list):
            for value in found:
                cells = value.values() if isinstance(value, Mapping) else _listed(value)
                self._console.data("\t".join(tab_safe(cell(inner)) for inner in cells))
        elif isinstance(found, Mapping):
            for name, value in found.items():
                self._console.data(f"{name}\t{tab_safe(cell(value))}")
        elif found is not None:
            self._console.data(plain(cell(found)))


def unknown_field(flag: str, path: str, row: Record) -> Failure:
    return Failure(f"{flag}: there is no field {path!r} (known: {', '.join(row)})")


def _require_fields(fields: Sequence[str], row: Record, view: View | None = None) -> None:
    """Raise Failure for a field that neither the record nor its columns have."""
    known = {column.path for column in view.columns} if view is not None else set()
    for path in fields:
        if path not in known and path.partition(".")[0] not in row:
            raise unknown_field("--fields", path, row)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def tab_safe(text: str) -> str:
    """Text that stays in its own cell of a TSV line."""
    escaped = text.replace("\\", "\\\\") if any(c in text for c in "\t\n\r") else text
    return plain(escaped.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r"))


def picked(row: Record, fields: Sequence[str]) -> Record:
    """The record with only the named fields, in their order and at their places."""
    if not fields:
        return row
    chosen: Record = {}
    for path in fields:
        *parents, last = path.split(".")
        place = chosen
        for parent in parents:
            inner = place.setdefault(parent, {})
            place = inner if isinstance(inner, dict) else {}
        place[last] = value_at(row, path)
    return chosen


def searched(expression: str, document: Any) -> Any:
    """The answer of a JMESPath expression. Raises Failure when it is none."""
    import jmespath  # noqa: PLC0415  # deferred: only --query needs it
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415

    try:
        return jmespath.search(expression, document)
    except JMESPathError as error:
        raise Failure(f"--query: {str(error).splitlines()[0]}") from error


class _PathFormatter(Formatter):
    """str.format over dotted paths of a record; attributes of Python objects are out of reach."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        row = kwargs["row"]
        if field_name.partition(".")[0] not in row:
            raise unknown_field("--format", field_name, row)
        return plain(cell(value_at(row, field_name))), field_name


def formatted(template: str, row: Record) -> str:
    """One line from a template such as '{id} {name:>10}'. Raises Failure."""
    try:
        return _PathFormatter().vformat(template, (), {"row": row})
    except (ValueError, LookupError) as error:
        raise Failure(f"--format: {error}") from error


def _chosen(view: View, fields: Sequence[str], format_: Format | None) -> list[Column]:
    if fields:
        by_path = {column.path: column for column in view.columns}
        return [by_path.get(path) or Column(path, path) for path in fields]
    if format_ == "wide":
        return list(view.columns)
    for_programs = format_ in ("csv", "tsv")
    return [each for each in view.columns if not each.wide or (each.told and for_programs)]


def _human(column: Column, row: Record) -> str:
    text = column.text(row) if column.text is not None else cell(value_at(row, column.path))
    return plain(text).replace("\n", " ") or "-"


@dataclass(frozen=True, slots=True)
class Sized:
    """A column of a table with its texts, the title first, and the width it gets.

    It can be clipped down to `floor`.
    """

    column: Column
    width: int
    floor: int
    texts: Sequence[str]


def _floor_of(texts: Sequence[str]) -> int:
    """How narrow a column may get: its numbers stay whole."""
    return max(_NARROWEST, *(width_of(text) for text in texts if _NUMBERS.fullmatch(text)), 0)


def _table_line(index: int, row: Record | None, shown: Sequence[Sized], out: Stream) -> str:
    """A row of a table, or its heading where there is no record."""
    parts = []
    for sized in shown:
        text = clipped(sized.texts[index], sized.width, out.ellipsis)
        space = " " * (sized.width - width_of(text))
        padded = space + text if sized.column.right else text + space
        tone = sized.column.tone
        parts.append(out.toned(padded, tone(row) if tone is not None and row is not None else None))
    line = _GAP.join(parts).rstrip()
    return line if row is not None else out.toned(line, "dim")


def fitted(columns: Sequence[Sized], available: int) -> list[Sized]:
    """The columns that fit into so many, as wide as they can be."""
    kept = list(columns)
    while True:
        narrowed, excess = _narrowed(kept, available, firm=False)
        spare = [sized for sized in kept if sized.column.spare is not None]
        if excess <= 0 or not spare:
            break
        kept.remove(min(spare, key=lambda sized: sized.column.spare or 0))
    return _narrowed(narrowed, available, firm=True)[0]


def _narrowed(columns: Sequence[Sized], available: int, *, firm: bool) -> tuple[list[Sized], int]:
    """The columns with the widest of one kind clipped until all fit; how much they still exceed."""
    widths = [sized.width for sized in columns]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - available
    while excess > 0:
        yielding = [
            index
            for index, sized in enumerate(columns)
            if sized.column.firm is firm and widths[index] > sized.floor
        ]
        if not yielding:
            break
        widths[max(yielding, key=lambda index: widths[index])] -= 1
        excess -= 1
    resized = [replace(sized, width=width) for sized, width in zip(columns, widths, strict=True)]
    return resized, excess


def drained(pages: Iterable[Record], rest: dict[str, Any]) -> Iterator[Record]:
    """The rows of several pages; the last cursor and their count are left in `rest`."""
    rest["count"] = 0
    for page in pages:
        data = page.get("data") or ()
        rest["next_cursor"] = page.get("next_cursor")
        rest["count"] += len(data)
        yield from data
