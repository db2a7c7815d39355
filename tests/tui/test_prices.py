"""The screen of prices."""

import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from conduit.tui.app import ConduitApp
from conduit.tui.glyphs import ASCII
from conduit.tui.screens.prices import effect_of
from tests.tui.events import event
from tests.tui.made import past_price, price
from tests.tui.screens import STATES, back, in_state, list_of, on_screen, sent
from tests.tui.snapshots import assert_looks
from tests.tui.support import (
    SIZES,
    Answer,
    link_of,
    page,
    refusal,
    screen_text,
    until,
    until_said,
    until_shown,
)

OWN = price(
    "openai",
    "own",
    input="1",
    output="2",
    cache_write_5m="1.25",
    source="override",
    price_version="override-7",
    effective_from="2026-11-03T00:00:00Z",
)
PRICES = (price("openai", "gpt-4o", cache_read="1.25"), OWN, price("cohere", "rank", request="2"))
HISTORY = page(
    past_price("planned", "2026-12-01T00:00:00Z", input="3"),
    past_price("in_force", "2026-11-03T00:00:00Z", input="1", output="2"),
    past_price("past", "2026-10-01T00:00:00Z"),
)
DATA: dict[str, Answer] = {"prices.list": page(*PRICES), "prices.history": HISTORY}
PLAN = {
    "version": "book-2026-12",
    "version_before": "book-2026-11",
    "removes_unused": False,
    "changes": [
        {"provider": "openai", "model": "gpt-4o", "changes": {"input": ["2.50", "2.00"]}},
    ],
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
async def test_it_looks_as_it_was_looked_at(state: str, size: str) -> None:
    async with in_state("prices", state, DATA, size) as (_, pilot):
        await assert_looks(pilot, f"prices-{size}-{state}")


async def test_a_price_in_full_looks_as_it_was_looked_at() -> None:
    async with on_screen("prices", DATA) as (app, pilot):
        await pilot.press("down", "enter")
        await until_shown("planned", pilot)
        assert sent(app, "prices.history")[-1][1] == ("openai", "own")
        await assert_looks(pilot, "prices-80x24-detail")


async def fill(app: ConduitApp, pilot: Pilot[Any], key: str, **values: str) -> None:
    """Fill in the form that a key opens, and send it."""
    await pilot.press(key)
    await until(lambda: app.screen is not app.frame, pilot)
    for name, value in values.items():
        app.screen.query_one(f"#field-{name}").value = value  # type: ignore[attr-defined]
    await pilot.press("ctrl+s")


async def test_a_price_is_set_whole_so_that_its_other_parts_stay() -> None:
    answer = {**OWN, "input": "1.50"}
    async with on_screen("prices", {**DATA, "prices.set": answer}) as (app, pilot):
        await pilot.press("down")
        await fill(app, pilot, "e", input="1.50")
        await until(lambda: sent(app, "prices.set"), pilot)
        _, names, body = sent(app, "prices.set")[0]
        assert names == ("openai", "own")
        assert body["input"] == "1.50"
        assert (body["output"], body["cache_write_5m"]) == ("2.00", "1.25")
        assert "effective_from" not in body
        assert "source" not in body
        await until_said("set the price of openai/own", pilot)


async def test_a_price_of_another_model_may_begin_later() -> None:
    planned = {**OWN, "model": "new", "effective_from": "2030-01-31T00:00:00Z"}
    async with on_screen("prices", {**DATA, "prices.set": planned}) as (app, pilot):
        when = "2030-01-31T00:00:00Z"
        await fill(app, pilot, "a", target="openai/new", input="1", output="2", effective_from=when)
        await until(lambda: sent(app, "prices.set"), pilot)
        _, names, body = sent(app, "prices.set")[0]
        assert names == ("openai", "new")
        assert body["effective_from"].startswith("2030-01-31T00:00:00")
        await until_said("from 2030-01-31 00:00:00Z on", pilot)


async def test_a_name_without_a_provider_and_an_amount_that_is_none_are_refused_here() -> None:
    async with on_screen("prices", DATA) as (app, pilot):
        await fill(app, pilot, "a", target="new", input="much", output="2")
        await until_shown("PROVIDER/MODEL is expected", pilot)
        assert not sent(app, "prices.set")


async def test_only_a_price_that_was_set_can_be_removed() -> None:
    async with on_screen("prices", {**DATA, "prices.delete": {}}) as (app, pilot):
        await pilot.press("D")
        await until_said("the price book's cannot be removed", pilot)
        await pilot.press("down", "D")
        await until_shown("Remove the price set for openai/own?", pilot)
        await pilot.press("y")
        await until(lambda: sent(app, "prices.delete"), pilot)
        assert sent(app, "prices.delete")[0][1] == ("openai", "own")


async def test_prices_are_read_again_when_one_was_set_elsewhere() -> None:
    async with on_screen("prices", DATA) as (app, pilot):
        link_of(app).answers["prices.list"] = page(price("openai", "elsewhere"))
        told = [event(1, "price.set", {"provider": "openai", "model": "elsewhere"})]
        app.store.receive(told)
        app.link._note_changes(told)
        await until_shown("elsewhere", pilot)


def book(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"vendors": {}}))
    return path


async def test_a_price_book_is_previewed_before_it_is_put_in_force(tmp_path: Path) -> None:
    async with on_screen("prices", {**DATA, "price_book.update": PLAN}) as (app, pilot):
        await fill(app, pilot, "B", path=str(book(tmp_path)))
        await until_shown("openai/gpt-4o: input $2.50 \u2192 $2.00", pilot)
        assert [call[2].get("dry_run") for call in sent(app, "price_book.update")] == [True]
        await pilot.press("y")
        await until(lambda: len(sent(app, "price_book.update")) == 2, pilot)
        body = sent(app, "price_book.update")[1][2]
        assert body == {"book": {"vendors": {}}, "expected": "book-2026-11"}
        await until_said("the price book is book-2026-12", pilot)


async def test_the_book_in_force_is_not_put_in_force_again(tmp_path: Path) -> None:
    same = {**PLAN, "version": "book-2026-11", "changes": []}
    async with on_screen("prices", {**DATA, "price_book.update": same}) as (app, pilot):
        await fill(app, pilot, "B", path=str(book(tmp_path)))
        await until_said("nothing to do", pilot)
        await back(app, pilot)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), ("{", "it is not JSON"), ("{}", "it is no price book")],
)
async def test_a_file_that_is_no_price_book_says_so(
    content: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    async with on_screen("prices", DATA) as (app, pilot):
        await fill(app, pilot, "B", path=str(path))
        await until_shown(said, pilot)
        assert not sent(app, "price_book.update")


async def test_a_history_that_cannot_be_read_says_why() -> None:
    refused = refusal(500, "the database is busy", "unavailable")
    async with on_screen("prices", {**DATA, "prices.history": refused}, "120x40") as (_, pilot):
        await until_shown("the database is busy", pilot)


async def test_a_past_price_in_a_state_that_is_not_known_shows_it() -> None:
    history = page(past_price("revoked", "2026-10-01T00:00:00Z"))
    async with on_screen("prices", {**DATA, "prices.history": history}, "120x40") as (_, pilot):
        await until_shown("revoked", pilot)


async def test_a_price_by_the_call_shows_as_one() -> None:
    async with on_screen("prices", DATA, "120x40") as (app, pilot):
        await pilot.press("end")
        await until(lambda: (list_of(app).row or {}).get("model") == "rank", pilot)
        assert "$2.00" in screen_text(app)


def test_many_changes_of_a_book_are_told_in_some_lines() -> None:
    change = {"provider": "p", "model": "m", "changes": {"units": [{}, {"images": "1"}]}}
    told = effect_of({**PLAN, "changes": [change] * 20}, ASCII)
    assert "p/m: other parts" in told
    assert "and 12 more" in told
    assert "No price in use changes." in effect_of({**PLAN, "changes": []}, ASCII)
