"""Writes the table of faults in docs/reliability.md, from the rows that the tests hold it to."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.e2e.faults.rows import ROWS, Charged, Mode, Row, Seen, Text

PAGE: Final = Path("docs/reliability.md")
_ROOT: Final = Path(__file__).parents[1]
_BEGIN, _END = "<!-- faults: begin -->", "<!-- faults: end -->"
_HEAD: Final = (
    "| What happens | Answer | At the first target | At all three | Outcome | Charged | Billed |"
)
_CALLS: Final = {
    tuple(Mode): "any",
    (Mode.WHOLE,): "in one piece",
    (Mode.STREAM,): "a stream",
}


def table() -> Iterator[str]:
    yield _HEAD
    yield "|---" * (_HEAD.count("|") - 1) + "|"
    for row in ROWS:
        yield "| " + " | ".join(_cells(row)) + " |"


def _cells(row: Row) -> Iterator[str]:
    spoiled = row.spoiled
    yield row.says
    yield _CALLS[row.modes]
    yield _seen(row.first)
    yield "" if row.every is None else _seen(row.every)
    yield f"`{spoiled.outcome}`"
    yield spoiled.charged.value
    yield "yes" if spoiled.is_billed else "" if spoiled.charged is Charged.NOTHING else "no"


def _seen(seen: Seen) -> str:
    """What the client gets, and how often each target is tried for it."""
    told = {
        Text.ALL: "the answer",
        Text.PART: f"a part of the answer, then `{seen.code}`",
        Text.NONE: f"{seen.status} {_code(seen.code)}",
    }[seen.text]
    if seen.retry_after_s is not None:
        told += ", with `Retry-After`"
    return f"{told} ({'·'.join(map(str, seen.tried))})"


def _code(code: str | None) -> str:
    return "in the provider's words" if f"{code}".startswith("fake_") else f"`{code}`"


def markdown() -> str:
    """The page as it stands, with the table made anew."""
    page = (_ROOT / PAGE).read_text(encoding="utf-8")
    made = f"{_BEGIN}\n" + "\n".join(table()) + f"\n{_END}"
    return re.sub(f"{_BEGIN}\n.*{_END}", lambda _: made, page, flags=re.DOTALL)
