"""The file of a backup: gzip over lines of JSON, the same for every engine.

The first line is the header. Then each table is a line with its name and columns, followed by a
line for each row; then the journal's records that the tables did not have yet. The last line has
the SHA-256 of all before it. Bytes are base64; secrets are in it as they are in the database:
sealed, or as digests.
"""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from conduit.gateway.storage.copying import ROWS_AT_ONCE, Kind, Row, Shape

FORMAT = 1
_NAME = "conduit-backup"
_COMPRESSION = 6


class ArchiveError(Exception):
    """A file that is no whole backup; the message says in which way."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup is of. `tables` are their rows; `created_at_ms` is when it was begun."""

    schema: str
    engine: str
    release: str
    created_at_ms: int
    tables: dict[str, int]
    journal_records: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of the table before them."""

    rows: list[Row]


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A record that the tables do not have, as the journal's file had it."""

    line: bytes


Part = Shape | Rows | JournalLine
"""A piece of an archive; a shape begins a table."""


class Target(Protocol):
    """Where the bytes of an archive go."""

    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> object: ...


class ArchiveWriter:
    """Writes the parts in their order; `finish` makes the file whole."""

    def __init__(self, target: Target, header: Header) -> None:
        self._file = gzip.GzipFile(
            fileobj=target, mode="wb", compresslevel=_COMPRESSION, filename="", mtime=0
        )
        self._hash = hashlib.sha256()
        self._kinds: list[Kind] = []
        self._rows: dict[str, int] = {}
        self._table = ""
        self._records = 0
        self._line({_NAME: FORMAT, **asdict(header)})

    def begin_table(self, shape: Shape) -> None:
        self._kinds = [kind for _, kind in shape.columns]
        self._table = shape.name
        self._rows[shape.name] = 0
        self._line({"table": shape.name, "columns": shape.columns, "key": shape.key})

    def rows(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._line(
                [_written(value, kind) for value, kind in zip(row, self._kinds, strict=True)]
            )
        self._rows[self._table] += len(rows)

    def journal(self, lines: Sequence[bytes]) -> None:
        self._line({"journal": len(lines)})
        for line in lines:
            self._line(line.decode("utf-8"))
        self._records = len(lines)

    def finish(self) -> str:
        """Write the last line; the SHA-256 of all before it."""
        digest = self._hash.hexdigest()
        trailer = {"sha256": digest, "rows": self._rows, "journal": self._records}
        self._file.write(json.dumps(trailer).encode() + b"\n")
        self._file.close()
        return digest

    def _line(self, value: object) -> None:
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        self._file.write(line)


class Archive:
    """A backup that has been read to its end once and found whole."""

    def __init__(self, path: Path) -> None:
        """Raises ArchiveError, OSError."""
        self._path = path
        self.header, self.sha256 = _checked(path)

    def parts(self) -> Iterator[Part]:
        """Everything between the header and the last line, in its order."""
        kinds: Sequence[Kind] = ()
        rows: list[Row] = []
        for value in _values(self._path):
            if isinstance(value, list):
                rows.append([_read(each, kind) for each, kind in zip(value, kinds, strict=True)])
            if rows and (len(rows) == ROWS_AT_ONCE or not isinstance(value, list)):
                yield Rows(rows)
                rows = []
            match value:
                case {"table": name, "columns": columns, "key": key}:
                    shape = Shape(name, tuple((n, k) for n, k in columns), tuple(key))
                    kinds = [kind for _, kind in shape.columns]
                    yield shape
                case str():
                    yield JournalLine(value.encode("utf-8"))
                case _:
                    pass  # a row, the header, the journal's heading, the last line


def _checked(path: Path) -> tuple[Header, str]:
    """The header and the digest of a file that is whole: each row, each byte."""
    rows: dict[str, int] = {}
    table, records = "", 0
    header: Header | None = None
    for value in _values(path):
        match value:
            case {"conduit-backup": format_, **fields}:
                header = _header(format_, fields)
            case {"table": str(table)}:
                rows[table] = 0
            case list():
                rows[table] += 1
            case str():
                records += 1
            case {"sha256": str(digest), **trailer}:
                if header is None or rows != header.tables or trailer.get("rows") != rows:
                    raise ArchiveError(f"{path}: the rows are not as many as it says")
                if not records == header.journal_records == trailer.get("journal"):
                    raise ArchiveError(f"{path}: the journal's records are not all there")
                return header, digest
            case _:
                pass
    raise ArchiveError(f"{path} is not a whole backup: it ends early")


def _header(format_: object, fields: dict[Any, Any]) -> Header:
    if format_ != FORMAT:
        raise ArchiveError(f"a later release of Conduit has made this backup (format {format_})")
    return Header(**fields)


def _values(path: Path) -> Iterator[Any]:
    """The JSON of each line, the last only if the digest in it is that of the lines before."""
    digest = hashlib.sha256()
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file):
                value = json.loads(line)
                if number == 0 and not (isinstance(value, dict) and _NAME in value):
                    raise ArchiveError(f"{path} is not a backup of Conduit")
                if isinstance(value, dict) and "sha256" in value:
                    if value["sha256"] != digest.hexdigest():
                        raise ArchiveError(f"{path} is damaged: its SHA-256 is another")
                    yield value
                    return
                digest.update(line)
                yield value
    except (EOFError, zlib.error) as error:
        raise ArchiveError(f"{path} is not a whole backup: it ends early or is damaged") from error
    except (gzip.BadGzipFile, ValueError) as error:
        raise ArchiveError(f"{path} is not a backup of Conduit, or is damaged") from error


def _written(value: Any, kind: Kind) -> Any:  # noqa: ANN401  # JSON
    if kind == "bytes" and value is not None:
        return base64.b64encode(value).decode("ascii")
    return value


def _read(value: Any, kind: Kind) -> Any:  # noqa: ANN401  # JSON
    if kind == "bytes" and value is not None:
        return base64.b64decode(value, validate=True)
    return value
