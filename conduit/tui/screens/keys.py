"""Virtual keys: what they may spend and have spent; making, rotating and ending them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from textual.app import ComposeResult

from conduit.client.errors import ApiError, ClientError
from conduit.core import people
from conduit.core.ids import now_ms
from conduit.core.moments import parse_duration, parse_moment
from conduit.core.money import format_usd, parse_usd
from conduit.tui.actions import LIST_VERBS, Action, listed
from conduit.tui.connectivity import duration
from conduit.tui.glyphs import Glyphs
from conduit.tui.store import id_of, label_of
from conduit.tui.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.detailed import DetailedScreen, Listed, Reading, closing
from conduit.tui.widgets.dialogs import Confirm
from conduit.tui.widgets.facts import BLANK, Fact, Facts
from conduit.tui.widgets.forms import Field, Values
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.records import Empty
from conduit.tui.widgets.secrets import SecretDialog

PERIODS = ("total", "day", "week", "month")
"""What the admin API takes as the period of a budget."""
EVERY_MODEL = "*"
USAGE_DAYS = 30
_METER_CELLS = 10
_SOON_S = 7 * 86_400

USAGE_COLUMNS = (
    Column("MODEL", lambda row, _: row["group"] or "-", 14, grow=1, priority=0),
    Column("REQ", lambda row, _: people.count(row["requests"]), 6, right=True, priority=0),
    Column("IN", lambda row, _: people.count(row["input_tokens"]), 9, right=True, priority=1),
    Column("OUT", lambda row, _: people.count(row["output_tokens"]), 9, right=True, priority=2),
    Column("COST", lambda row, _: people.money(row["cost"]), 8, right=True, priority=0),
)


class KeysScreen(DetailedScreen):
    """A key's secret passes through a dialog, once; neither the list nor the store holds it."""

    PLACE = "keys"
    TABLE = "keys"
    TABLES = frozenset({"mappings"})
    NOUN = "key"
    SEVERE = True
    PANE_KEYS = "R rotate  z reset"
    CSS_PATH = ["detailed.tcss", "keys.tcss"]
    EMPTY = Empty("There are no virtual keys yet.", "conduit keys create NAME")
    ACTIONS = (
        *listed("keys", "key", (*LIST_VERBS, "add", "edit", "toggle", "delete")),
        Action("keys.rotate", "Rotate: a new secret", ("R",), "rotate", 3, changes=True),
        Action("keys.reset-spend", "Reset spend", ("z",), "reset", 6, changes=True),
        closing("keys"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.columns = (
            Column("NAME", lambda row, _: row["name"], 12, grow=2, priority=0),
            Column("STATE", standing.of_key, 10, priority=0),
            Column("SPENT / BUDGET", _spending, 17, priority=1, sort=_spent),
            Column("USED", _meter, 15, priority=0, sort=_share),
            Column("EXPIRES", self._expires, 7, right=True, priority=2, sort=_expiry),
            Column("LAST USED", self._last_used, 9, right=True, priority=3, sort=_use),
        )

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")
        yield Facts(id="total")
        yield Listed(USAGE_COLUMNS, id="usage")

    # What is shown

    def _expires(self, row: Record, _: Glyphs) -> Cell | str:
        left_s = self._seconds_until(row["expires_at"])
        if left_s is None:
            return "-"
        if left_s <= 0:
            return Cell("past", "bad")
        return Cell(duration(left_s), "warn" if left_s < _SOON_S else "")

    def _last_used(self, row: Record, _: Glyphs) -> str:
        past_s = self._seconds_until(row["last_used_at"])
        return "never" if past_s is None else duration(-past_s)

    def _seconds_until(self, moment: str | None) -> float | None:
        """From now, negative where it is past."""
        if moment is None:
            return None
        return datetime.fromisoformat(moment).timestamp() - self.store.wall_ms() / 1000

    def detail_stamp(self, row: Record) -> object:
        return row["last_used_at"], tuple(budget["spent"] for budget in row["budgets"])

    async def read_detail(self, row: Record) -> Record:
        start = datetime.now(UTC) - timedelta(days=USAGE_DAYS)
        query = {"since": start.isoformat(timespec="seconds"), "by": "model"}
        return await self.conduit.link.call("keys.usage", id_of(row), query=query)

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*self._facts(row)])
        self.query_one("#total", Facts).show([*self._total(reading)])
        groups = reading.value["groups"] if reading is not None and reading.value else []
        self.query_one("#usage", Listed).show(groups, [str(row["group"]) for row in groups])

    def _facts(self, row: Record) -> Iterator[Fact]:
        state = standing.of_key(row, self.glyphs)
        yield Fact("state", state.text, state.tone)
        yield Fact("key", row["start"] + self.glyphs.ellipsis)
        for budget in row["budgets"]:
            yield from self._budget_facts(budget)
        if not row["budgets"]:
            yield Fact("budget", "none: it may spend without limit")
        models = row["allowed_models"]
        yield Fact("models", "every one" if models == [EVERY_MODEL] else ", ".join(models))
        yield Fact("expires", self._told(row["expires_at"], "never"))
        yield Fact("last used", self._told(row["last_used_at"], "never"))
        yield Fact("created", self._told(row["created_at"], "-"))
        if row.get("former_expires_at"):
            end = self._told(row["former_expires_at"], "")
            yield Fact("former key", f"good until {end}", "warn")

    def _budget_facts(self, budget: Record) -> Iterator[Fact]:
        share = standing.share_used(budget)
        bar = self.glyphs.meter(share, _METER_CELLS)
        yield Fact("budget", f"{share:.0%}", standing.tone_of_share(share), bar)
        held = "" if Decimal(budget["held"]) == 0 else f", {people.money(budget['held'])} held"
        spent, limit = people.money(budget["spent"]), people.money(budget["limit"])
        period = "in all" if budget["period"] == "total" else f"a {budget['period']}"
        mode = "" if budget["mode"] == "hard" else f", {budget['mode']}"
        yield Fact(" ", f"{spent} of {limit} {period}{mode}{held}")

    def _told(self, moment: str | None, absent: str) -> str:
        """A moment, and how far away it is."""
        away_s = self._seconds_until(moment)
        if away_s is None:
            return absent
        far = f"in {duration(away_s)}" if away_s > 0 else f"{duration(-away_s)} ago"
        return f"{people.moment(moment)}, {far}"

    def _total(self, reading: Reading | None) -> Iterator[Fact]:
        yield BLANK
        yield Fact(f"Usage, last {USAGE_DAYS} days")
        if reading is None:
            live = self.store.connectivity.is_live
            state = f"reading{self.glyphs.ellipsis}" if live else "not known without a connection"
            yield Fact("", state, "dim")
            return
        if reading.error is not None:
            yield Fact("unknown", f"{self.glyphs.bad} {reading.error}", "bad")
        if reading.value:
            total = reading.value["total"]
            failed = f", {total['failed']:,} failed" if total["failed"] else ""
            yield Fact("requests", f"{total['requests']:,}{failed}")
            yield Fact("cost", people.money(total["cost"]))
            yield BLANK

    # Verbs

    def why_not(self, action: Action) -> str | None:
        if action.verb in ("rotate", "reset-spend") and self.can_draw:
            if self.row is None:
                return "there is no key to choose"
            if action.verb == "reset-spend" and not self._with_budgets():
                return "there is no budget"
        return super().why_not(action)

    def _with_budgets(self) -> list[Record]:
        return [row for row in self.chosen() if row["budgets"]]

    async def do_add(self) -> None:
        async def create(values: Values) -> Mapping[str, Any]:
            return await self.conduit.link.change("keys.create", body=new_key(values))

        fields = [
            Field("name", "Name", required=True, hint="such as ci"),
            Field("limit", "Budget in USD", check=amount, hint="none: it may spend without limit"),
            Field("period", "Period", PERIODS[0], kind="choice", choices=PERIODS),
            self._models_field(""),
            Field("expires_at", "Expires", check=expiry, hint="never; or 30d, or 2027-01-31"),
        ]
        await self._show_secret(await self.ask_form("new key", fields, create, verb="Create"))

    def _models_field(self, value: str) -> Field:
        """The aliases that there are complete what is typed."""
        mappings = self.store.table("mappings").rows.values()
        aliases = [row["alias"] for row in mappings]
        hint = "every one; or gpt-4o, claude-*"
        return Field("allowed_models", "Models", value, hint=hint, check=names, choices=aliases)

    async def _show_secret(self, key: Mapping[str, Any] | None, note: str = "") -> None:
        if key is None:
            return
        dialog = SecretDialog(
            f"key {key['name']}", key["secret"], file_name=f"{key['name']}.key", note=note
        )
        await self.conduit.push_screen_wait(dialog)

    async def do_edit(self) -> None:
        row = self.row
        if row is None:
            return
        budget = row["budgets"][0] if row["budgets"] else None
        models = "" if row["allowed_models"] == [EVERY_MODEL] else ", ".join(row["allowed_models"])
        fields = [
            Field("name", "Name", row["name"], required=True),
            Field("limit", "Budget in USD", budget["limit"] if budget else "", check=amount),
            self._models_field(models),
            Field("expires_at", "Expires", row["expires_at"] or "", check=expiry, hint="never"),
        ]
        editing = Editing(self, row)
        saved = await self.ask_form(
            f"key {row['name']}, version {row['version']}", fields, editing.save, only_changes=True
        )
        if saved is not None and editing.changed:
            self.conduit.tell(f"changed {label_of(saved)}")

    async def do_rotate(self) -> None:
        row = self.row
        if row is None:
            return

        async def rotate(values: Values) -> Mapping[str, Any]:
            body = {"grace_s": values["grace_s"] or 0}
            return await self.conduit.link.change("keys.rotate", id_of(row), body=body)

        hint = "empty: the former secret ends at once; or 24h"
        fields = [Field("grace_s", "Grace", check=grace, hint=hint)]
        title = f"rotate key {row['name']}"
        key = await self.ask_form(title, fields, rotate, verb="Rotate")
        if key is not None:
            end = key["former_expires_at"]
            former = f"is good until {people.moment(end)}" if end else "has ended"
            await self._show_secret(key, f"The former secret {former}.")

    async def do_reset_spend(self) -> None:
        rows = self._with_budgets()
        sure = bool(rows) and await self.conduit.push_screen_wait(_reset_question(rows))
        if sure:
            await self.for_each(rows, self._reset, "reset what was spent by")

    async def _reset(self, row: Record) -> None:
        for budget in row["budgets"]:
            await self.conduit.link.change("budgets.reset_spend", id_of(budget))
        await self.read_again(row)

    def delete_effect(self, rows: Sequence[Record]) -> str:
        it = "it" if len(rows) == 1 else "one of them"
        return f"Whoever calls with {it} is refused at once. Records of requests stay."


class Editing:
    """Saves the fields of a form into a key and its budget, which are two records.

    Where the second one is refused, the first one is saved already: the next try goes on from it.
    """

    def __init__(self, screen: KeysScreen, row: Record) -> None:
        self._screen = screen
        self._row = row
        self.changed = False

    async def save(self, values: Values) -> Mapping[str, Any]:
        changes = {name: value for name, value in values.items() if name != "limit"}
        if "allowed_models" in changes:
            changes["allowed_models"] = changes["allowed_models"] or [EVERY_MODEL]
        if changes:
            self._row = await self._screen.change(self._row, changes)
            self.changed = True
        if "limit" in values:
            try:
                await self._set_limit(values["limit"])
            except ApiError as error:
                self._screen.conduit.link.refresh({"keys"})
                if self.changed:
                    text = f"the key is saved, its budget is not: {error.message}"
                    raise ClientError(text) from error
                raise
            self._row = await self._screen.read_again(self._row)
            self.changed = True
        return self._row

    async def _set_limit(self, limit: str | None) -> None:
        change = self._screen.conduit.link.change
        budget = self._row["budgets"][0] if self._row["budgets"] else None
        if budget is None and limit is not None:
            scope = {"kind": "key", "id": id_of(self._row)}
            new = {"scope": scope, "limit": limit, "period": PERIODS[0]}
            await change("budgets.create", body=new)
        elif budget is not None and limit is None:
            await change("budgets.delete", id_of(budget))
        elif budget is not None:
            body = {"limit": limit, "version": budget["version"]}
            await change("budgets.update", id_of(budget), body=body)


def new_key(values: Values) -> dict[str, Any]:
    """The body of `keys.create`."""
    body: dict[str, Any] = {"name": values["name"]}
    if values["allowed_models"]:
        body["allowed_models"] = values["allowed_models"]
    if values["expires_at"]:
        body["expires_at"] = values["expires_at"]
    if values["limit"]:
        body["budget"] = {"limit": values["limit"], "period": values["period"]}
    return body


def amount(text: str) -> str:
    """A decimal text in USD. Raises ValueError."""
    return format_usd(parse_usd(text))


def names(text: str) -> list[str]:
    """The parts of `a, b, c`. Raises ValueError where there is none."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise ValueError("names of models, with commas between")
    return found


def expiry(text: str) -> str | None:
    """When it ends: a time ahead, a duration from now, or never. Raises ValueError."""
    if text == "never":
        return None
    at = parse_moment(text, ahead=True)
    if datetime.fromisoformat(at).timestamp() * 1000 <= now_ms():
        raise ValueError("that is past already")
    return at


def grace(text: str) -> int:
    """Whole seconds. Raises ValueError."""
    seconds = round(parse_duration(text))
    if not seconds:
        raise ValueError("at least 1s is expected")
    return seconds


def _reset_question(rows: Sequence[Record]) -> Confirm:
    what = rows[0]["name"] if len(rows) == 1 else f"{len(rows)} keys"
    budget = nearest(rows[0])
    assert budget is not None, "only keys with budgets are asked about"
    sum_ = f"{people.money(budget['spent'])} of {people.money(budget['limit'])} counts no more. "
    effect = "The period begins anew. Records of requests stay, and the ledger notes the reset."
    return Confirm(
        f"Reset what {what} spent?", (sum_ if len(rows) == 1 else "") + effect, verb="Reset"
    )


def nearest(row: Record) -> Record | None:
    """The budget of a key that is nearest to its end."""
    budget: Record | None = max(row["budgets"], key=standing.share_used, default=None)
    return budget


def _spending(row: Record, _: Glyphs) -> str:
    budget = nearest(row)
    if budget is None:
        return "no budget"
    return f"{people.money(budget['spent'])} / {people.money(budget['limit'])}"


def _meter(row: Record, glyphs: Glyphs) -> Cell:
    budget = nearest(row)
    if budget is None:
        return Cell("-", "dim")
    share = standing.share_used(budget)
    return Cell(f"{glyphs.meter(share, _METER_CELLS)} {share:4.0%}", standing.tone_of_share(share))


def _spent(row: Record) -> Decimal:
    budget = nearest(row)
    return Decimal(budget["spent"]) if budget else Decimal(-1)


def _share(row: Record) -> float:
    budget = nearest(row)
    return standing.share_used(budget) if budget else -1.0


def _by_time(field: str, absent: str) -> Callable[[Record], str]:
    return lambda row: row[field] or absent


_expiry = _by_time("expires_at", "9999")
_use = _by_time("last_used_at", "")
