"""The admin operation that gives all records of a time, as lines of JSON or as CSV."""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from pydantic import Field

from conduit.core.filters import Filter
from conduit.core.resources.fields import Resource, Time
from conduit.core.resources.requests import RequestView
from conduit.gateway.admin.operation import AdminOperation, Call
from conduit.gateway.admin.requests import fields_of, filter_of, span_of
from conduit.gateway.admin.streaming import Streamed
from conduit.gateway.storage import requests
from conduit.gateway.storage.engine import Database, outages_reported, reading
from conduit.gateway.storage.requests import Span
from conduit.gateway.storage.rows import Window

_ROWS_A_PIECE = 500
"""As many are in memory at a time; requests are served between two pieces."""

_READING_S = 120.0
"""A filter that hardly any record fits has to look at all of them for one piece."""

_FIELDS = tuple(RequestView.model_fields)
_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}

Row = Mapping[str, Any]


class ExportQuery(Resource):
    """`filter` is in the filter language. `until` is no part of the time."""

    filter: str = Field(default="", max_length=2000)
    since: Time | None = None
    until: Time | None = None
    format: Literal["jsonl", "csv"] = "jsonl"


async def _export(call: Call[None, ExportQuery]) -> Streamed:
    query = call.query
    wanted, span = filter_of(query.filter), span_of(query.since, query.until)
    pieces = _pieces(call.admin.database, wanted, span, query.format)
    return Streamed(_TYPES[query.format], pieces)


async def _pieces(
    database: Database, wanted: Filter, span: Span, form: Literal["jsonl", "csv"]
) -> AsyncGenerator[bytes, None]:
    """The records newest first, each piece read by itself from where the one before has ended.

    No transaction is open while a client takes its time, and what is written meanwhile is newer
    than the first record, so it is no part of the export.
    """
    if form == "csv":
        yield _csv([_FIELDS])
    window = Window(_ROWS_A_PIECE)
    while True:
        with outages_reported():
            async with reading(database, _READING_S) as connection:
                found = await requests.page(connection, wanted, window, span)
        rows = [fields_of(each) for each in found.rows]
        if rows:
            yield _lines(rows) if form == "jsonl" else _csv_of(rows)
        if found.next_cursor is None:
            return
        window = Window(_ROWS_A_PIECE, found.next_cursor)
        await asyncio.sleep(0)


def _lines(rows: Sequence[Row]) -> bytes:
    encode = msgspec.json.Encoder().encode
    return b"".join(encode(row) + b"\n" for row in rows)


def _csv_of(rows: Sequence[Row]) -> bytes:
    return _csv([[_cell(row[name]) for name in _FIELDS] for row in rows])


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    """As the command line writes it: in full, a list with commas between."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return ",".join(map(str, value))
        case _:
            return str(value)


OPERATIONS = (
    AdminOperation(
        "requests.export",
        "GET",
        "/admin/requests/export",
        "Give all records of a time, the newest first, as lines of JSON or as CSV",
        _export,
        None,
        query=ExportQuery,
        streams=tuple(_TYPES.values()),
    ),
)
