"""The filter language of logs and events: parse, print, match.

    status:>=400 -provider:openai alias:gpt-4*,claude-* cost:>0.01 "rate limit"

Terms stand side by side and must all hold. `field:a,b` holds for any of its values, `-` negates,
`*` stands for any run of characters in a text, a word without a field is looked for inside every
text field. Texts compare without regard to case. Double quotes keep spaces, commas, colons and
leading operators as they are; inside them `\\"` and `\\\\` are a quote and a backslash.

A field that a record does not have, or that is None, makes a term false and its negation true.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, cast

from conduit.core.money import format_usd, parse_usd

Operator = Literal["=", ">", ">=", "<", "<="]
Predicate = Callable[[Mapping[str, Any]], bool]


class FieldKind(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    MONEY = "money"
    BOOLEAN = "boolean"


REQUEST_FIELDS: Mapping[str, FieldKind] = {
    "id": FieldKind.TEXT,
    "key": FieldKind.TEXT,
    "alias": FieldKind.TEXT,
    "provider": FieldKind.TEXT,
    "model": FieldKind.TEXT,
    "status": FieldKind.INTEGER,
    "outcome": FieldKind.TEXT,
    "error": FieldKind.TEXT,
    "operation": FieldKind.TEXT,
    "stream": FieldKind.BOOLEAN,
    "ms": FieldKind.INTEGER,
    "ttft": FieldKind.INTEGER,
    "tokens": FieldKind.INTEGER,
    "cost": FieldKind.MONEY,
    "ip": FieldKind.TEXT,
    "cache": FieldKind.TEXT,
    "session": FieldKind.TEXT,
    "user": FieldKind.TEXT,
    "dropped": FieldKind.TEXT,
    "group": FieldKind.TEXT,
    "credential": FieldKind.TEXT,
    "dialect": FieldKind.TEXT,
    "provider_dialect": FieldKind.TEXT,
}

COLUMN_OF_FIELD: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "key": ("key_name",),
    "alias": ("alias",),
    "provider": ("provider",),
    "model": ("model",),
    "status": ("status",),
    "outcome": ("outcome",),
    "error": ("error_code",),
    "operation": ("operation",),
    "stream": ("stream",),
    "ms": ("duration_ms",),
    "ttft": ("ttft_ms",),
    "tokens": ("input_tokens", "output_tokens"),
    "cost": ("cost_nanodollars",),
    "ip": ("client_ip",),
    "cache": ("cache",),
    "session": ("session",),
    "user": ("end_user",),
    "dropped": ("dropped",),
    "group": ("group_name",),
    "credential": ("credential_name",),
    "dialect": ("client_dialect",),
    "provider_dialect": ("provider_dialect",),
}
"""The columns of a request record that a field means; where there are several, their sum."""

_OF_NEARLY_ALL = frozenset({"dialect", "provider_dialect"})  # `openai` means a provider or a model
TEXT_FIELDS = tuple(
    name
    for name, kind in REQUEST_FIELDS.items()
    if kind is FieldKind.TEXT and name not in _OF_NEARLY_ALL
)
"""The fields in which a word without a field is looked for."""

MAXIMUM_CHARACTERS = 2_000
MAXIMUM_TERMS = 50
MAXIMUM_VALUES = 100

_LARGEST_INTEGER = 2**63 - 1
_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})
_SPACES = " \t\r\n"
_FIELD = re.compile(r'([^\s":,]+):')
_OPERATOR = re.compile(r">=|<=|>|<|=")
_BARE = re.compile(r'[^\s",]+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_PLAIN_VALUE = re.compile(r'[^\s",:<>=\-][^\s",:]*')
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `field` is None for a word that any text field may contain.

    A term with `=` holds where any of its values matches; every other operator has one value.
    Values are canonical texts: `operand` gives what they compare as.
    """

    field: str | None
    op: Operator
    values: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        sign = "-" if self.negated else ""
        field = "" if self.field is None else f"{self.field}:"
        op = "" if self.op == "=" else self.op
        return f"{sign}{field}{op}{','.join(map(_printed, self.values))}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold; none at all holds for everything."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))


def parse_filter(text: str, fields: Mapping[str, FieldKind] = REQUEST_FIELDS) -> Filter:
    """The filter that `text` says. Raises ValueError with a sentence for its author."""
    if len(text) > MAXIMUM_CHARACTERS:
        raise ValueError(f"a filter has at most {MAXIMUM_CHARACTERS} characters")
    terms = tuple(_Reader(text, fields).terms())
    if len(terms) > MAXIMUM_TERMS:
        raise ValueError(f"a filter has at most {MAXIMUM_TERMS} terms")
    return Filter(terms)


def operand(kind: FieldKind, value: str) -> str | int | bool:
    """What a term's value compares as: nano-dollars, an integer, a truth value or the text."""
    match kind:
        case FieldKind.INTEGER:
            return int(value)
        case FieldKind.MONEY:
            return parse_usd(value)
        case FieldKind.BOOLEAN:
            return value == "true"
        case FieldKind.TEXT:
            return value


def matches(wanted: Filter, record: Mapping[str, object]) -> bool:
    """Whether a record holds all terms; `compile_filter` is for many records."""
    return compile_filter(wanted)(record)


def compile_filter(wanted: Filter) -> Predicate:
    """A fast predicate over request records, as mappings from column to value."""
    tests = tuple(_compile_term(term) for term in wanted.terms)
    if len(tests) == 1:
        return tests[0]
    return lambda record: all(test(record) for test in tests)


class _Reader:
    """Reads terms from left to right; `_at` is the position of the next character."""

    def __init__(self, text: str, fields: Mapping[str, FieldKind]) -> None:
        self._text = text
        self._fields = fields
        self._at = 0

    def terms(self) -> Iterable[Term]:
        while self._skip_spaces():
            yield self._term()
            if self._at < len(self._text) and self._text[self._at] not in _SPACES:
                raise ValueError(f"a space is missing before {self._text[self._at :]!r}")

    def _skip_spaces(self) -> bool:
        while self._at < len(self._text) and self._text[self._at] in _SPACES:
            self._at += 1
        return self._at < len(self._text)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _term(self) -> Term:
        negated = self._text[self._at] == "-"
        self._at += negated
        named = self._take(_FIELD)
        if named is None:
            return Term(None, "=", self._values("a word to look for"), negated)
        field = named[1].lower()
        if field not in self._fields:
            raise ValueError(
                f"unknown field {named[1]!r}; the fields are {', '.join(self._fields)}"
                " (put a word that has a colon into double quotes)"
            )
        written = self._take(_OPERATOR)
        op = cast(Operator, written[0] if written else "=")
        values = self._values(f"a value after {field}:{op if written else ''}")
        return _checked(Term(field, op, values, negated), self._fields[field])

    def _values(self, wanted: str) -> tuple[str, ...]:
        values = [self._value(wanted)]
        while self._text.startswith(",", self._at):
            self._at += 1
            values.append(self._value(wanted))
        if len(values) > MAXIMUM_VALUES:
            raise ValueError(f"a term has at most {MAXIMUM_VALUES} values")
        return tuple(values)

    def _value(self, wanted: str) -> str:
        if self._text.startswith('"', self._at):
            quoted = self._take(_QUOTED)
            if quoted is None:
                raise ValueError("a double quote is not closed, or a backslash escapes nothing")
            value = re.sub(r"\\(.)", r"\1", quoted[1])
        else:
            bare = self._take(_BARE)
            value = bare[0] if bare else ""
        if not value:
            raise ValueError(f"the filter lacks {wanted}")
        if not value.isprintable():
            raise ValueError(f"{value!r} holds a character that cannot be printed")
        return value


def _checked(term: Term, kind: FieldKind) -> Term:
    if term.op != "=" and kind in (FieldKind.TEXT, FieldKind.BOOLEAN):
        raise ValueError(f"{term.field} is a {kind}: it cannot be compared with {term.op}")
    if term.op != "=" and len(term.values) > 1:
        raise ValueError(f"{term.field}:{term.op} takes one value, not {len(term.values)}")
    values = tuple(_canonical(str(term.field), kind, value) for value in term.values)
    return Term(term.field, term.op, values, term.negated)


def _canonical(field: str, kind: FieldKind, value: str) -> str:
    match kind:
        case FieldKind.INTEGER:
            # The length is looked at first: int() refuses thousands of digits in its own words.
            if not (value.isascii() and value.isdigit() and len(value) <= 19):
                raise ValueError(f"{field} is a whole number, not {value!r}")
            if int(value) > _LARGEST_INTEGER:
                raise ValueError(f"{value} is too large for {field}")
            return str(int(value))
        case FieldKind.MONEY:
            try:
                return format_usd(parse_usd(value))
            except ValueError as error:
                raise ValueError(f"{field} is in USD, such as 0.01: {error}") from error
        case FieldKind.BOOLEAN:
            if value.lower() not in _TRUE | _FALSE:
                raise ValueError(f"{field} is true or false, not {value!r}")
            return "true" if value.lower() in _TRUE else "false"
        case FieldKind.TEXT:
            return value


def _printed(value: str) -> str:
    if _PLAIN_VALUE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _compile_term(term: Term) -> Predicate:
    test = _compile_word(term) if term.field is None else _compile_field(term.field, term)
    if not term.negated:
        return test
    return lambda record: not test(record)


def _compile_word(term: Term) -> Predicate:
    patterns = tuple(text_test(f"*{value}*") for value in term.values)
    readers = tuple(_reader_of(field) for field in TEXT_FIELDS)

    def test(record: Mapping[str, Any]) -> bool:
        texts = [str(text).lower() for read in readers if (text := read(record)) is not None]
        return any(pattern(text) for pattern in patterns for text in texts)

    return test


def _compile_field(field: str, term: Term) -> Predicate:
    kind = REQUEST_FIELDS.get(field, FieldKind.TEXT)
    read = _reader_of(field)
    if kind is FieldKind.TEXT:
        texts = tuple(text_test(value) for value in term.values)
        return lambda record: (
            (found := read(record)) is not None and any(test(str(found).lower()) for test in texts)
        )
    operands = [operand(kind, value) for value in term.values]
    if term.op == "=":
        wanted = frozenset(operands)
        return lambda record: read(record) in wanted
    compare, bound = _COMPARE[term.op], operands[0]
    return lambda record: (found := read(record)) is not None and compare(found, bound)


def _reader_of(field: str) -> Callable[[Mapping[str, Any]], Any]:
    columns = COLUMN_OF_FIELD.get(field, (field,))
    if len(columns) > 1:
        return lambda record: (
            sum(record.get(column) or 0 for column in columns)
            if any(record.get(column) is not None for column in columns)
            else None
        )
    column = columns[0]
    if column == field:
        return lambda record: record.get(field)
    # Events that are no whole records, such as request.started, carry the field's own name.
    return lambda record: record.get(column, record.get(field))


def text_test(pattern: str) -> Callable[[str], bool]:
    """A test of lower-case texts against a pattern with `*`, linear in the text's length.

    Not a regular expression: several `.*` in one take exponential time on a chosen text.
    """
    start, *rest = pattern.lower().split("*")
    if not rest:
        return start.__eq__
    *middle, end = rest
    pieces = tuple(piece for piece in middle if piece)

    def test(text: str) -> bool:
        if not text.startswith(start):
            return False
        at = len(start)
        for piece in pieces:
            found = text.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        return len(text) - len(end) >= at and text.endswith(end)

    return test
