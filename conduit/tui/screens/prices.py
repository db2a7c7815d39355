"""Prices in use: where they come from, what was set before, setting one, and a newer price book."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.app import ComposeResult

from conduit.client.declared_prices import PRICE_FIELDS
from conduit.core import people
from conduit.core.moments import parse_moment
from conduit.core.money import format_usd, parse_usd
from conduit.tui.actions import LIST_VERBS, Action, listed
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.store import id_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.detailed import DetailedScreen, Listed, Reading, closing
from conduit.tui.widgets.dialogs.forms import Field, Misfit, Values
from conduit.tui.widgets.dialogs.levels import must_agree
from conduit.tui.widgets.facts import BLANK, Fact, Facts
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.records import Empty
from conduit.tui.widgets.sections import SectionScreen

OVERRIDE = "override"
EDITED = ("input", "output", "cache_read", "request")
"""What the form asks for; the other parts of a price stay as they are."""
MOST_TOLD = 8
_STATES: Mapping[str, Cell] = {
    "in_force": Cell("in force", "good"),
    "planned": Cell("planned", "accent"),
    "past": Cell("past", "dim"),
}


def _amount(name: str) -> Any:
    return lambda row, _: "-" if row.get(name) in (None, "0", "0.00") else people.money(row[name])


HISTORY_COLUMNS = (
    Column("STATE", lambda row, _: _STATES.get(row["state"], row["state"]), 8, priority=0),
    Column("FROM", lambda row, _: people.moment(row["effective_from"])[:10], 10, priority=0),
    Column("INPUT", lambda row, _: people.money(row["input"]), 8, right=True, priority=0),
    Column("OUTPUT", lambda row, _: people.money(row["output"]), 8, right=True, priority=0),
)


class PricesScreen(SectionScreen):
    """A price is set whole: what the form does not ask for is sent as it is."""

    PLACE = "prices"
    TABLE = "prices"
    NOUN = "price"
    PANE_KEYS = "e set  D remove"
    CSS_PATH = ["detailed.tcss", "sections.tcss"]
    EMPTY = Empty(
        "No prices are in use: no mapping has a target.",
        "All that are known: conduit prices list --book",
    )
    ACTIONS = (
        *listed("prices", "price", LIST_VERBS),
        Action("prices.edit", "Set the price", ("e",), "set", 1, changes=True),
        Action("prices.add", "Set the price of another model", ("a",), "add", 2, changes=True),
        Action("prices.delete", "Remove the price that was set", ("D",), "remove", 4, changes=True),
        Action("prices.book", "Put a newer price book in force", ("B",), "book", 5, changes=True),
        closing("prices"),
    )
    COLUMNS = (
        Column("PROVIDER", lambda row, _: row["provider"], 12, grow=1, priority=0),
        Column("MODEL", lambda row, _: row["model"], 18, grow=2, priority=0),
        Column("INPUT", _amount("input"), 8, right=True, priority=0),
        Column("OUTPUT", _amount("output"), 8, right=True, priority=0),
        Column("CACHED", _amount("cache_read"), 8, right=True, priority=2),
        Column("A CALL", _amount("request"), 8, right=True, priority=3),
        Column(
            "SOURCE",
            lambda row, _: Cell("set", "accent") if row["source"] == OVERRIDE else row["source"],
            6,
            priority=1,
        ),
    )

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")
        yield Listed(HISTORY_COLUMNS, id="history")

    def names_of(self, row: Record) -> tuple[str, ...]:
        return row["provider"], row["model"]

    # What is shown

    def detail_stamp(self, row: Record) -> object:
        return row["price_version"], row["source"]

    async def read_detail(self, row: Record) -> Sequence[Record]:
        page = await self.conduit.link.call("prices.history", *self.names_of(row))
        past: Sequence[Record] = page["data"]
        return past

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*_facts(row), *self._told(reading)])
        past = reading.value if reading is not None and reading.value else []
        keys = [f"{each['price_version']} {each['effective_from']}" for each in past]
        self.query_one("#history", Listed).show(past, keys)

    def _told(self, reading: Reading | None) -> Iterator[Fact]:
        yield BLANK
        yield Fact("What was set, USD a million tokens")
        if reading is None:
            live = self.store.connectivity.is_live
            state = f"reading{self.glyphs.ellipsis}" if live else "not known without a connection"
            yield Fact("", state, "dim")
        elif reading.error is not None:
            yield Fact("", f"{self.glyphs.bad} {reading.error}", "bad")
        elif not reading.value:
            yield Fact("", "nothing was ever set", "dim")

    # Verbs

    def why_not(self, action: Action) -> str | None:
        row = self.row if self.can_draw else None
        if action.verb == "delete" and row is not None and row["source"] != OVERRIDE:
            return "the price book's cannot be removed"
        return super().why_not(action)

    async def do_edit(self) -> None:
        if (row := self.row) is not None:
            await self._ask_price(row)

    async def do_add(self) -> None:
        await self._ask_price(None)

    async def _ask_price(self, row: Record | None) -> None:
        """Ask for the price of a model, or for a model and its price."""
        link = self.conduit.link

        async def set_price(values: Values) -> Mapping[str, Any]:
            provider, model = values.pop("target") if row is None else self.names_of(row)
            body = price_body(row, values)
            name, effect = f"{provider}/{model}", "What calls cost follows it from then on."
            await must_agree(
                self, "mild", f"Set the price of {name}?", effect, name=name, verb="Set"
            )
            answer = await link.change("prices.set", provider, model, body=body)
            return {**answer, "planned": "effective_from" in body}

        title = "set a price" if row is None else f"price of {id_of(row)}"
        fields = [*_target_field(row), *_fields(row)]
        price = await self.ask_form(title, fields, set_price, verb="Set")
        if price is not None:
            since = f", from {people.moment(price['effective_from'])} on"
            later = since if price["planned"] else ""
            self.conduit.tell(f"set the price of {id_of(price)}{later}")
            DetailedScreen.do_refresh(self)

    async def do_delete(self) -> None:
        link = self.conduit.link
        rows = [row for row in self.chosen() if row["source"] == OVERRIDE]
        what = id_of(rows[0]) if len(rows) == 1 else f"{len(rows)} models"
        effect = "The price book's counts again, where it has one. What was charged stays."
        if not rows or not await self.sure(f"Remove the price set for {what}?", effect, "Remove"):
            return

        async def remove(row: Record) -> None:
            await link.change("prices.delete", *self.names_of(row))

        await self.for_each(rows, remove, "removed the price of", link=link)
        DetailedScreen.do_refresh(self)

    async def do_book(self) -> None:
        """Read a price book from a file, show what it would change, and put it in force."""
        found: dict[str, Any] = {}
        link = self.conduit.link

        async def preview(values: Values) -> Mapping[str, Any]:
            book = await asyncio.to_thread(_book_in, Path(values["path"]))
            body = {"book": book, "dry_run": True}
            found["book"] = book
            return await link.change("price_book.update", body=body)

        hint = "a newer release's prices.json"
        fields = [Field("path", "File", required=True, hint=hint)]
        plan = await self.ask_form("price book", fields, preview, verb="Preview")
        if plan is None:
            return
        if plan["version"] == plan["version_before"]:
            self.conduit.tell(f"the price book is {plan['version']} already: nothing to do")
            return
        question = f"Put the price book {plan['version']} in force?"
        if await self.sure(question, effect_of(plan, self.glyphs), "Put in force"):
            body = {**found, "expected": plan["version_before"]}
            done = await link.change("price_book.update", body=body)
            self.conduit.tell(f"the price book is {done['version']}")
            DetailedScreen.do_refresh(self)


def _book_in(path: Path) -> Record:
    """The price book in a file. Raises Misfit."""
    try:
        content = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise Misfit("path", error.strerror or str(error)) from error
    except ValueError as error:
        raise Misfit("path", f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or "vendors" not in content:
        raise Misfit("path", "it is no price book")
    return content


def effect_of(plan: Record, glyphs: Glyphs) -> str:
    """What a price book would change of the prices in use, in some lines."""
    lines = [f"In place of {plan['version_before']}. Prices that were set stay in force."]
    changes = plan["changes"]
    if not changes:
        lines.append("No price in use changes.")
    for each in changes[:MOST_TOLD]:
        parts = (
            f"{name} {people.money(old)} {glyphs.arrow} {people.money(new)}"
            for name, (old, new) in each["changes"].items()
            if isinstance(old, str | None) and isinstance(new, str | None)
        )
        lines.append(f"{each['provider']}/{each['model']}: {', '.join(parts) or 'other parts'}")
    if len(changes) > MOST_TOLD:
        lines.append(f"and {len(changes) - MOST_TOLD} more: conduit prices update --dry-run")
    return "\n".join(lines)


def price_body(row: Record | None, values: Values) -> dict[str, Any]:
    """The whole price that is to be set: what was entered, and of the present one the rest."""
    kept = {name: row[name] for name in PRICE_FIELDS if name in row} if row is not None else {}
    entered = {name: values[name] for name in EDITED}
    body = {**kept, **entered, "effective_from": values["effective_from"]}
    return {name: value for name, value in body.items() if value is not None}


def _target_field(row: Record | None) -> Iterator[Field]:
    if row is None:
        hint = "PROVIDER/MODEL, such as openai/my-model"
        yield Field("target", "Model", required=True, check=_target, hint=hint)


def _fields(row: Record | None) -> Iterator[Field]:
    present: Mapping[str, Any] = row or {}
    titles = {"input": "Input", "output": "Output", "cache_read": "Cache read", "request": "A call"}
    for name in EDITED:
        value = present.get(name)
        needed = name in ("input", "output")
        hint = "USD a call" if name == "request" else "USD a million tokens"
        text = "" if value is None else str(value)
        yield Field(name, titles[name], text, required=needed, check=_usd, hint=hint)
    hint = "at once; or 2027-01-31, or 7d"
    yield Field("effective_from", "From", check=_since, hint=hint)


def _usd(text: str) -> str:
    """A decimal text in USD. Raises ValueError."""
    return format_usd(parse_usd(text))


def _since(text: str) -> str:
    """When it begins to count. Raises ValueError."""
    return parse_moment(text, ahead=True)


def _target(text: str) -> tuple[str, str]:
    """Provider and model. Raises ValueError."""
    provider, slash, model = text.partition("/")
    if not (provider and slash and model):
        raise ValueError("PROVIDER/MODEL is expected")
    return provider, model


_NAMES = {
    "input": "input",
    "output": "output",
    "cache_read": "cache read",
    "cache_write_5m": "write 5m",
    "cache_write_1h": "write 1h",
    "reasoning": "reasoning",
    "input_audio": "audio in",
    "output_audio": "audio out",
    "request": "a call",
}


def _facts(row: Record) -> Iterator[Fact]:
    for name, title in _NAMES.items():
        if row.get(name) not in (None, "0", "0.00"):
            yield Fact(title, people.money(row[name]))
    for tier in row.get("tiers") or []:
        yield Fact("longer", f"other prices over {tier['over_tokens']:,} tokens of input")
    for name, factor in (row.get("service_tiers") or {}).items():
        yield Fact(name, f"times {factor}")
    for name, price in (row.get("units") or {}).items():
        yield Fact(name, people.money(price))
    if row.get("context_tokens"):
        yield Fact("context", f"{row['context_tokens']:,} tokens")
    yield Fact("source", "set here" if row["source"] == OVERRIDE else "price book")
    yield Fact("version", row["price_version"])
    if row.get("effective_from"):
        yield Fact("since", people.moment(row["effective_from"]))
