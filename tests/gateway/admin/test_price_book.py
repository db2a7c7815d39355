"""Admin operations on the price book as a whole."""

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from conduit.gateway.pricing.book import PriceBook
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
    assert change["changes"]["tiers"] == [None, "over 200000: 6.00 in, 10.00 out"]
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
