"""What the live screen shows, exported into a file."""

import csv
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.tui.app import ConduitApp
from conduit.tui.state.session import Look
from conduit.tui.state.traffic import Mark
from tests.tui.events import event, key, request_events
from tests.tui.lives import grid_of, live_app, showing
from tests.tui.support import NOW_MS, make_app, page, running, until, until_shown


async def export(pilot: Pilot[Any], path: Path, form: str = "jsonl") -> None:
    app = pilot.app
    assert isinstance(app, ConduitApp)
    await pilot.press("E")
    await until_shown("Replace", pilot)
    app.screen.query_one("#field-path").value = str(path)  # type: ignore[attr-defined]
    app.screen.query_one("#field-form").value = form  # type: ignore[attr-defined]
    await pilot.press("ctrl+s")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_what_is_shown_is_exported_for_its_owner_alone(form: str, tmp_path: Path) -> None:
    app, path = live_app(), tmp_path / f"requests.{form}"
    app.store.receive(request_events(31, 32, alias="another"))
    app.store.mark(Mark("lost:1", NOW_MS, "lost", 120))
    async with showing(app) as pilot:
        await pilot.press("slash", *"alias:another", "enter")
        await until(lambda: grid_of(app).count() == 3, pilot)  # the mark stays
        await export(pilot, path, form)
        await until_shown("wrote 2 requests", pilot)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text(encoding="utf-8")
    if form == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        rows = list(csv.DictReader(text.splitlines()))
    assert [row["id"] for row in rows] == [f"req_{31:026}", f"req_{32:026}"]
    assert {row["alias"] for row in rows} == {"another"}


async def test_events_are_exported_and_no_file_is_replaced_unasked(tmp_path: Path) -> None:
    app, path = live_app(), tmp_path / "events.jsonl"
    path.write_text("mine")
    app.store.receive([event(50, "key.created", {"name": "ci"})])
    async with showing(app) as pilot:
        await pilot.press("v")
        await until(lambda: grid_of(app).count() == 1, pilot)
        await export(pilot, path)
        await until_shown("there is such a file already", pilot)
        assert path.read_text() == "mine"
        app.screen.query_one("#field-over").value = True  # type: ignore[attr-defined]
        await pilot.press("ctrl+s")
        await until_shown("wrote 1 event", pilot)
    assert json.loads(path.read_text())["data"] == {"name": "ci"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("marks", "names"), [((), ["ci", "docs"]), (("space",), ["ci"])], ids=["shown", "marked"]
)
async def test_a_list_of_records_is_exported_too(
    marks: tuple[str, ...], names: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "keys.csv"
    app = make_app({"keys.list": page(key("ci"), key("docs"))}, look=Look(screen="keys"))
    async with running(app) as pilot:
        await until_shown("docs", pilot)
        await pilot.press(*marks)
        await export(pilot, path, "csv")
        await until_shown(f"wrote {len(names)} key", pilot)
    assert [row["name"] for row in csv.DictReader(path.read_text().splitlines())] == names


async def test_of_nothing_there_is_no_export() -> None:
    app = live_app(count=0)
    async with showing(app) as pilot:
        await pilot.press("E")
        await until_shown("nothing is shown", pilot)
