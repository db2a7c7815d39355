"""Admin operations on the price book as a whole."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from conduit.gateway.admin import price_book
from conduit.gateway.pricing.book import PriceBook
from conduit.gateway.pricing.installed import BookChange, InstalledBook, book_at_start
from conduit.gateway.storage.engine import Database, writing
from tests.gateway.admin.calls import AdminApi
from tests.gateway.admin.conftest import BOOK

PATH = "/admin/price-book"
SHIPPED = PriceBook.load().version


@pytest.fixture(autouse=True)
async def mapped(api: AdminApi) -> None:
    """Two models that are mapped, of which one has a price that was set."""
    await api.made("/admin/providers", {"name": "openai", "type": "openai"})
    targets = [{"provider": "openai", "model": name} for name in ("gpt-4o", "gpt-4o-mini")]
    await api.made("/admin/mappings", {"alias": "fast", "targets": targets})
    await api.put("/admin/prices/openai/gpt-4o-mini", {"input": "1", "output": "2"})


@pytest.fixture(autouse=True)
def _shipped_again() -> Iterator[None]:
    yield
    BOOK.take_over(PriceBook.load())


def book(version: str = "2999-01-01", **row: Any) -> dict[str, Any]:
    """The shipped book with another row for gpt-4o."""
    text = files("conduit.gateway.pricing").joinpath("prices.json").read_bytes()
    content: dict[str, Any] = json.loads(text)
    content["version"] = version
    for name in ("gpt-4o", "gpt-4o-mini"):
        content["vendors"]["openai"]["models"][name] |= row
    return content


async def test_a_newer_book_is_shown_then_put_in_force(
    api: AdminApi, tmp_path: Path, kinds: Callable[[], list[str]]
) -> None:
    newer = book(input=3_000_000_000, tiers=[[200_000, {"input": 6_000_000_000}]])
    plan = (await api.put(PATH, {"book": newer, "dry_run": True})).body
    assert (plan["version_before"], plan["version"]) == (SHIPPED, "2999-01-01")
    [change] = plan["changes"]  # a price that was set stays in force
    assert (change["provider"], change["model"]) == ("openai", "gpt-4o")
    assert change["changes"]["input"] == ["2.50", "3.00"]
    assert change["changes"]["tiers"] == [None, "over 200000: 6.00 input"]
    assert (await api.get("/admin/prices/openai/gpt-4o")).body["input"] == "2.50"
    assert not (tmp_path / "prices.json").exists()

    done = await api.put(PATH, {"book": newer, "expected": SHIPPED})
    assert (done.status, done.body["changes"]) == (200, plan["changes"])
    price = (await api.get("/admin/prices/openai/gpt-4o")).body
    assert (price["input"], price["price_version"]) == ("3.00", "2999-01-01")
    shown = (await api.get(PATH)).body
    assert (shown["version"], shown["installed"], shown["shipped_version"]) == (
        "2999-01-01",
        True,
        SHIPPED,
    )
    assert json.loads((tmp_path / "prices.json").read_text()) == newer
    assert kinds()[-1] == "price_book.updated"
    [newest, *_] = await api.listed("/admin/config/revisions")
    assert (newest["operation"], newest["kind"]) == ("price_book.update", "price_book")
    told = (await api.get(f"/admin/config/revisions/{newest['revision']}")).body["changes"]
    assert told[0]["changes"] == {"version": [SHIPPED, "2999-01-01"]}


async def test_the_book_of_the_release_comes_back(api: AdminApi, tmp_path: Path) -> None:
    await api.put(PATH, {"book": book(input=3_000_000_000)})
    back = await api.put(PATH, {})
    assert back.body["changes"][0]["changes"] == {"input": ["3.00", "2.50"]}
    assert (await api.get(PATH)).body["installed"] is False
    assert not (tmp_path / "prices.json").exists()
    assert (await api.put(PATH, {})).body["changes"] == []


async def test_a_plan_that_was_overtaken_is_refused(api: AdminApi) -> None:
    await api.put(PATH, {"book": book()})
    late = await api.put(PATH, {"book": book("2999-01-02"), "expected": SHIPPED})
    assert (late.status, late.error) == (409, "conflict")
    assert (await api.get(PATH)).body["version"] == "2999-01-01"


@pytest.mark.parametrize(
    ("content", "status"),
    [(book("2001-01-01"), 409), (book(SHIPPED), 409), (book(input=-1), 422), ({}, 422)],
)
async def test_what_is_older_or_no_book_is_refused(
    api: AdminApi, tmp_path: Path, content: dict[str, Any], status: int
) -> None:
    refused = await api.put(PATH, {"book": content})
    assert refused.status == status, refused.text
    assert (await api.get(PATH)).body["version"] == SHIPPED
    assert not (tmp_path / "prices.json").exists()


async def test_a_book_that_cannot_be_kept_does_not_count(api: AdminApi, tmp_path: Path) -> None:
    (tmp_path / "prices.json").mkdir()
    failed = await api.put(PATH, {"book": book(input=3_000_000_000)})
    assert failed.status == 503
    assert (await api.get("/admin/prices/openai/gpt-4o")).body["input"] == "2.50"


async def test_of_two_changes_at_once_the_second_learns_of_the_first(api: AdminApi) -> None:
    versions = ["2999-01-01", "2999-01-02", "2999-01-03"]
    answers = await asyncio.gather(
        *(api.put(PATH, {"book": book(each), "expected": SHIPPED}) for each in versions)
    )
    assert sorted(each.status for each in answers) == [200, 409, 409]
    [done] = [each.body["version"] for each in answers if each.status == 200]
    assert (await api.get(PATH)).body["version"] == done
    changes = [
        each for each in await api.listed("/admin/config/revisions") if each["kind"] == "price_book"
    ]
    assert len(changes) == 1


async def test_each_of_two_changes_at_once_tells_which_book_it_replaced(api: AdminApi) -> None:
    versions = ["2999-01-01", "2999-01-02"]
    answers = await asyncio.gather(*(api.put(PATH, {"book": book(each)}) for each in versions))
    replaced = {each.body["version_before"] for each in answers}
    assert SHIPPED in replaced
    assert len(replaced & set(versions)) == 1


async def history_refuses(database: Database) -> None:
    async with writing(database) as connection:
        await connection.execute(
            text(
                "CREATE TRIGGER refusing BEFORE INSERT ON revisions"
                " BEGIN SELECT RAISE(ABORT, 'no more'); END"
            )
        )


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_change_that_the_history_cannot_take_leaves_no_book_behind(
    api: AdminApi, database: Database, tmp_path: Path, kinds: Callable[[], list[str]]
) -> None:
    before = sorted(each.name for each in tmp_path.iterdir())
    await history_refuses(database)
    assert (await api.put(PATH, {"book": book()})).status == 500
    assert sorted(each.name for each in tmp_path.iterdir()) == before
    assert (await api.get(PATH)).body["version"] == SHIPPED
    assert "price_book.updated" not in kinds()


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("wanted", [{"book": book("2999-01-02")}, {}])
async def test_a_change_that_the_history_cannot_take_leaves_the_former_book(
    api: AdminApi, database: Database, tmp_path: Path, wanted: dict[str, Any]
) -> None:
    await api.put(PATH, {"book": book()})
    content = (tmp_path / "prices.json").read_bytes()
    before = sorted(each.name for each in tmp_path.iterdir())
    await history_refuses(database)
    assert (await api.put(PATH, wanted)).status == 500
    assert (tmp_path / "prices.json").read_bytes() == content
    assert sorted(each.name for each in tmp_path.iterdir()) == before
    assert (await api.get(PATH)).body["version"] == "2999-01-01"


async def test_a_start_goes_by_the_history_where_a_crash_cut_a_change_off(
    api: AdminApi, database: Database, tmp_path: Path
) -> None:
    await api.put(PATH, {"book": book()})
    file = InstalledBook(tmp_path)
    names = sorted(each.name for each in tmp_path.iterdir())
    # Between the new file and the commit, and between that and the end.
    for version, in_force in (("2999-01-02", "2999-01-01"), ("2999-01-01", "2999-01-01")):
        encoded = json.dumps(book(version)).encode()
        BookChange(file).prepare(encoded)
        assert (await book_at_start(file, database))[0].version == "2999-01-01"  # not begun
        change = BookChange(file)
        change.prepare(encoded)
        change.begin()
        found, warning = await book_at_start(file, database)
        assert (found.version, warning) == (in_force, None)
        assert sorted(each.name for each in tmp_path.iterdir()) == names
    change = BookChange(file)
    change.prepare(None)
    change.begin()
    assert (await book_at_start(file, database))[0].version == "2999-01-01"
    assert json.loads((tmp_path / "prices.json").read_text())["version"] == "2999-01-01"


async def test_a_start_takes_back_a_first_book_that_the_history_does_not_have(
    database: Database, tmp_path: Path
) -> None:
    file = InstalledBook(tmp_path)
    change = BookChange(file)
    change.prepare(json.dumps(book()).encode())
    change.begin()
    assert (await book_at_start(file, database))[0].version == SHIPPED
    assert not file.exists


@pytest.mark.parametrize("content", ["{", "", json.dumps(book("2001-01-01"))])
async def test_a_file_that_does_not_count_is_removed_by_going_back(
    api: AdminApi, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "prices.json"
    file.write_text(content)
    plan = (await api.put(PATH, {"dry_run": True})).body
    assert (plan["version_before"], plan["version"]) == (SHIPPED, SHIPPED)
    assert (plan["removes_unused"], file.exists()) == (True, True)
    done = (await api.put(PATH, {"expected": SHIPPED})).body
    assert (done["removes_unused"], done["installed"], file.exists()) == (True, False, False)
    [newest, *_] = await api.listed("/admin/config/revisions")
    told = (await api.get(f"/admin/config/revisions/{newest['revision']}")).body["changes"]
    assert (told[0]["kind"], told[0]["changes"]) == ("price_book", {})
    assert told[0]["note"] == "a file that did not count was removed"
    again = (await api.put(PATH, {})).body
    assert again["removes_unused"] is False
    assert (await api.listed("/admin/config/revisions"))[0] == newest


async def test_a_book_is_read_beside_the_event_loop(
    api: AdminApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    checked = PriceBook.check

    def check(self: PriceBook) -> None:
        threads.append(threading.current_thread().name)
        checked(self)

    monkeypatch.setattr(PriceBook, "check", check)
    monkeypatch.setattr(price_book, "json", _Watched(threads))
    await api.put(PATH, {"book": book()})
    await api.put(PATH, {})
    assert len(threads) >= 3
    assert threading.main_thread().name not in threads


class _Watched:
    """`json`, and in which threads it wrote."""

    def __init__(self, threads: list[str]) -> None:
        self._threads = threads

    def dumps(self, value: Any) -> str:
        self._threads.append(threading.current_thread().name)
        return json.dumps(value)
