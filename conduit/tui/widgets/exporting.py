"""What a list shows, written into a file for its owner alone."""

import asyncio
import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conduit.client.contexts import write_private
from conduit.core.redaction import redacted_fields
from conduit.tui.state.traffic import Finished, Happened, Record
from conduit.tui.widgets.dialogs.forms import Field, FormDialog, Misfit, Values
from conduit.tui.widgets.frame import FrameScreen

FORMATS = ("jsonl", "csv")


async def export(screen: FrameScreen, plural: str, noun: str, records: Sequence[Record]) -> None:
    """Ask where to, and write these. A file that is there stays unless it is to be replaced."""
    at = datetime.fromtimestamp(screen.store.wall_ms() / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    usual = {form: f"{plural}-{at}.{form}" for form in FORMATS}

    async def write(values: Values) -> Mapping[str, Any]:
        form, path = values["form"], values["path"]
        path = usual[form] if path in usual.values() else path
        await asyncio.to_thread(_write, Path(path), records, form, values["over"])
        return {"path": path}

    fields = [
        Field("form", "Format", FORMATS[0], kind="choice", choices=FORMATS),
        Field("path", "File", usual[FORMATS[0]], required=True),
        Field("over", "Replace", False, kind="bool", hint="a file that is there"),
    ]
    counted = f"{len(records):,} {noun if len(records) == 1 else plural}"
    dialog = FormDialog(f"export {counted}", fields, write, verb="Export")
    done = await screen.conduit.push_screen_wait(dialog)
    if done is not None:
        screen.conduit.tell(f"wrote {counted} to {done['path']}")


def _write(path: Path, records: Sequence[Record], form: str, over: bool) -> None:
    """Raises Misfit where that cannot be done."""
    text, path = written(records, form), path.expanduser()
    try:
        if over:
            write_private(path, text)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Misfit("path", "there is such a file already") from None
    except OSError as error:
        raise Misfit("path", error.strerror or str(error)) from error


def written(records: Iterable[Record], form: str) -> str:
    """One record on each line, as JSON, or as CSV with a heading."""
    rows = [redacted_fields(dict(record)) for record in records]
    if form == "jsonl":
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(names)
    lines.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return out.getvalue()


def record_of(entry: Finished | Happened) -> Record:
    """All that was told of a request, or of another event."""
    if isinstance(entry, Finished):
        return dict(entry.record)
    return {"at_ms": entry.at_ms, "seq": entry.seq, "kind": entry.kind, "data": entry.data}


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)
