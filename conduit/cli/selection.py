"""The filter language over records that a front-end holds: which of them are meant."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from conduit.cli.failures import Failure
from conduit.cli.output import value_at
from conduit.client.api import Record
from conduit.core.filters import FieldKind, Term, operand, parse_filter, text_test
from conduit.core.money import parse_usd

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": lambda found, bound: found > bound,
    ">=": lambda found, bound: found >= bound,
    "<": lambda found, bound: found < bound,
    "<=": lambda found, bound: found <= bound,
}


def selected(text: str, rows: Sequence[Record]) -> list[Record]:
    """The rows that a filter holds for; its fields are those of the rows. Raises Failure.

    A field may be a dotted path: `budgets.spent:>5 state:active name:ci-*`.
    """
    kinds = _kinds_of(rows)
    try:
        terms = parse_filter(text, kinds).terms
    except ValueError as error:
        if not rows:
            return []
        raise Failure(f"--filter: {error}") from error
    return [row for row in rows if all(_holds(term, row, kinds) for term in terms)]


def _kinds_of(rows: Iterable[Record]) -> dict[str, FieldKind]:
    kinds: dict[str, FieldKind] = {}
    known: set[str] = set()
    for row in rows:
        for path, value in _leaves(row, ""):
            if value is not None and kinds.get(path) is not FieldKind.TEXT:
                kinds[path] = _kind_of(value)
            known.add(path)
    return {path: kinds.get(path, FieldKind.TEXT) for path in sorted(known)}


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value


def _kind_of(value: Any) -> FieldKind:
    match value:
        case bool():
            return FieldKind.BOOLEAN
        case int():
            return FieldKind.INTEGER
        # The API writes amounts with decimals; `2024` is somebody's name.
        case str() if "." in value and _nanodollars(value) is not None:
            return FieldKind.MONEY
        case _:
            return FieldKind.TEXT


def _holds(term: Term, row: Record, kinds: Mapping[str, FieldKind]) -> bool:
    if term.field is None:
        texts = [value for _, value in _leaves(row, "") if isinstance(value, str)]
        tests = [text_test(f"*{value}*") for value in term.values]
        found = any(test(text.lower()) for test in tests for text in texts)
    else:
        values = value_at(row, term.field)
        candidates = values if isinstance(values, list) else [values]
        kind = kinds[term.field]
        found = any(value is not None and _meets(term, kind, value) for value in candidates)
    return found is not term.negated


def _meets(term: Term, kind: FieldKind, value: Any) -> bool:
    if kind is FieldKind.TEXT:
        return any(text_test(wanted)(str(value).lower()) for wanted in term.values)
    known = _nanodollars(value) if kind is FieldKind.MONEY else value
    if known is None:
        return False
    wanted = [operand(kind, each) for each in term.values]
    return known in wanted if term.op == "=" else _COMPARE[term.op](known, wanted[0])


def _nanodollars(value: Any) -> int | None:
    try:
        return parse_usd(value)
    except (ValueError, TypeError, AttributeError):
        return None
