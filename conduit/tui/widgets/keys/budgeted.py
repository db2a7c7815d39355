"""What the lists of keys and of groups have in common: budgets, limits, and saving both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

from conduit.client.errors import ApiError, ClientError
from conduit.core import people, projections
from conduit.core.limits import WORDS
from conduit.tui.actions import Action
from conduit.tui.glyphs import Glyphs
from conduit.tui.state import allowances
from conduit.tui.state.connectivity import duration
from conduit.tui.state.store import id_of, label_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.detailed import DetailedScreen
from conduit.tui.widgets.dialogs.forms import CONFLICT, Field, FormDialog, Values
from conduit.tui.widgets.dialogs.levels import Level, is_agreed, must_agree
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from conduit.tui.widgets.facts import Fact
from conduit.tui.widgets.grid import Cell
from conduit.tui.widgets.keys.allowance_fields import budget_fields

USAGE_DAYS = 30
METER_CELLS = 10
_CHORD = {"a": ("add", "add"), "e": ("edit", "edit"), "D": ("delete", "delete")}


def budget_actions(place: str) -> tuple[Action, ...]:
    """Those of the budgets of a key or a group, reached by one key and a letter."""
    return (
        Action(f"{place}.budgets", "Budgets: add, edit, delete", ("b",), "budgets", 5),
        Action(f"{place}.budget-add", "Add a budget", changes=True),
        Action(f"{place}.budget-edit", "Edit a budget", changes=True),
        Action(f"{place}.budget-delete", "Delete a budget", changes=True),
        Action(f"{place}.reset-spend", "Reset spend", ("z",), "reset", 7, changes=True),
    )


class BudgetedScreen(DetailedScreen):
    """The verbs of budgets, of keys and of groups alike. Subclasses give SCOPE beside the rest."""

    SCOPE: ClassVar[str] = ""
    """What the admin API calls the scope of a budget of theirs."""

    def why_not(self, action: Action) -> str | None:
        on_one = action.verb in ("budgets", "budget-add", "budget-edit", "budget-delete")
        if self.can_draw and (on_one or action.verb == "reset-spend"):
            if self.row is None:
                return f"there is no {self.NOUN} to choose"
            if action.verb in ("budget-edit", "budget-delete") and not self.row["budgets"]:
                return f"{label_of(self.row)} has no budget"
            if action.verb == "reset-spend" and not self._has_budget():
                return "there is no budget"
        return super().why_not(action)

    def _has_budget(self) -> bool:
        """Whether any of the chosen has one; asked at every drawing, of up to thousands of rows."""
        if not self.grid.marked:
            return bool(self.row and self.row["budgets"])
        rows = self.table.rows
        return any(rows[key]["budgets"] for key in self.grid.marked if key in rows)

    def _with_budgets(self) -> list[Record]:
        return [row for row in self.chosen() if row["budgets"]]

    # What is known of them

    def seconds_until(self, moment: str | None) -> float | None:
        """From now, negative where it is past."""
        if moment is None:
            return None
        return datetime.fromisoformat(moment).timestamp() - self.store.wall_ms() / 1000

    def told(self, moment: str | None, absent: str) -> str:
        """A moment, and how far away it is."""
        away_s = self.seconds_until(moment)
        if away_s is None:
            return absent
        far = f"in {duration(away_s)}" if away_s > 0 else f"{duration(-away_s)} ago"
        return f"{people.moment(moment)}, {far}"

    def resets(self, row: Record, _: Glyphs) -> str:
        """When the nearest budget begins anew."""
        budget = nearest(row)
        end_s = projections.period_ends_at_s(budget) if budget else None
        return "-" if end_s is None else duration(max(0, end_s - self.store.wall_ms() / 1000))

    def budget_facts(self, row: Record) -> Iterator[Fact]:
        for budget in row["budgets"]:
            share = standing.share_used(budget)
            bar = self.glyphs.meter(share, METER_CELLS)
            yield Fact("budget", f"{share:.0%}", standing.tone_of_share(share), bar)
            yield Fact(" ", ", ".join(self._budget_told(budget)))
            projection = projections.projection_of(budget, self.store.wall_ms() / 1000)
            if projection is not None:
                over = Decimal(projection.spent) > Decimal(budget["limit"])
                yield Fact(" ", projection.text, "warn" if over else "dim")
        if not row["budgets"]:
            yield Fact("budget", "none: it may spend without limit")

    def _budget_told(self, budget: Record) -> Iterator[str]:
        yield from allowances.used_by([budget])
        if budget["mode"] != "hard":
            yield str(budget["mode"])
        if Decimal(budget["held"]):
            yield f"{people.money(budget['held'])} held"
        end_s = projections.period_ends_at_s(budget)
        if end_s is not None:
            yield f"anew in {duration(max(0, end_s - self.store.wall_ms() / 1000))}"

    def spend_facts(self, days: Sequence[Record]) -> Iterator[Fact]:
        """What was spent on each of the last days, as a line of bars."""
        if not days:
            return
        today = datetime.fromtimestamp(self.store.wall_ms() / 1000, UTC).date()
        costs = costs_by_day(days, today)
        line = self.glyphs.spark(list(costs))
        yield Fact("a day", "", "accent", line)
        yield Fact(" ", f"{people.money(max(days, key=_cost)['cost'])} at most")

    # Budgets

    def do_budgets(self) -> None:
        """Wait for the letter of what is to be done."""
        options: dict[str, tuple[str, Callable[[], object]]] = {
            key: (label, partial(self.conduit.perform, f"{self.PLACE}.budget-{verb}"))
            for key, (label, verb) in _CHORD.items()
        }
        self.conduit.ask_key("budget", options)

    async def do_budget_add(self) -> None:
        row, link = self.row, self.conduit.link
        if row is None:
            return

        async def add(values: Values) -> Mapping[str, Any]:
            name = label_of(row)
            question, effect = f"Add a budget to {name}?", "Where it is spent, calls are refused."
            await must_agree(self, "mild", question, effect, name=name, verb="Add")
            scope = {"kind": self.SCOPE, "id": id_of(row)}
            body = {"scope": scope, **(allowances.budget_body(values) or {})}
            return await link.change("budgets.create", body=body)

        dialog = FormDialog(
            f"new budget of {label_of(row)}", budget_fields(required=True), add, verb="Create"
        )
        if await self.conduit.push_screen_wait(dialog) is not None:
            self.conduit.tell(f"added a budget to {label_of(row)}")
            await self.read_again(row, link)

    async def do_budget_edit(self) -> None:
        link = self.conduit.link
        row, budget = await self._choose_budget()
        if row is None or budget is None:
            return
        now = budget

        def fields() -> list[Field]:
            amount, modes = allowances.amount, allowances.MODES
            return [
                Field("limit", "Limit in USD", now["limit"], required=True, check=amount),
                Field("mode", "When it is spent", now["mode"], kind="choice", choices=modes),
            ]

        async def save(values: Values) -> Mapping[str, Any]:
            name, effect = label_of(row), "It counts from the next call on."
            question = f"Change a budget of {name}?"
            await must_agree(self, "mild", question, effect, name=name, verb="Change")
            body = {**values, "version": now["version"]}
            return await link.change("budgets.update", id_of(now), body=body)

        async def reread() -> Sequence[Field] | None:
            nonlocal now
            before = now["version"]
            now = await link.call("budgets.show", id_of(now))
            return None if now["version"] == before else fields()

        title = f"budget of {label_of(row)}: {allowances.period_told(budget)}"
        dialog = FormDialog(title, fields(), save, only_changes=True, reread=reread)
        if await self.conduit.push_screen_wait(dialog) is not None:
            self.conduit.tell(f"changed a budget of {label_of(row)}")
            await self.read_again(row, link)

    async def do_budget_delete(self) -> None:
        link = self.conduit.link
        row, budget = await self._choose_budget()
        if row is None or budget is None:
            return
        used = next(allowances.used_by([budget]))
        others = len(row["budgets"]) - 1
        rest = "Others hold it still." if others else "It may spend without limit then."
        question = f"Delete a budget of {label_of(row)}?"
        effect = f"{used} counts no more. {rest}"
        name = label_of(row)
        if await is_agreed(self, "moderate", question, effect, name=name, verb="Delete"):
            await link.change("budgets.delete", id_of(budget))
            self.conduit.tell(f"deleted a budget of {name}")
            await self.read_again(row, link)

    async def _choose_budget(self) -> tuple[Record | None, Record | None]:
        """The record under the cursor, and one of its budgets; of several, ask which."""
        row = self.row
        if row is None or not row["budgets"]:
            return row, None
        if len(row["budgets"]) == 1:
            return row, row["budgets"][0]
        choices = [
            Choice(id_of(each), next(allowances.used_by([each])), note=each["mode"])
            for each in row["budgets"]
        ]
        picker = Picker(f"which budget of {label_of(row)}", choices)
        chosen = await self.conduit.push_screen_wait(picker)
        return row, next((each for each in row["budgets"] if id_of(each) == chosen), None)

    async def do_reset_spend(self) -> None:
        rows, link = self._with_budgets(), self.conduit.link
        if not rows:
            return
        what = label_of(rows[0]) if len(rows) == 1 else f"{len(rows)} {self.TABLE}"
        sums = ", ".join(allowances.used_by(rows[0]["budgets"])) if len(rows) == 1 else ""
        counts = f"{sums}: it counts no more. " if sums else ""
        effect = "The period begins anew. Records of requests stay, and the ledger notes the reset."
        question, name = f"Reset what {what} spent?", what if len(rows) == 1 else str(len(rows))
        sure = await is_agreed(self, "moderate", question, counts + effect, name=name, verb="Reset")

        async def reset(row: Record) -> None:
            for budget in row["budgets"]:
                await link.change("budgets.reset_spend", id_of(budget))
            await self.read_again(row, link)

        if sure:
            await self.for_each(rows, reset, "reset what was spent by", link=link)

    # Editing

    def fields_of(self, row: Record) -> list[Field]:
        """What can be changed of a record."""
        raise AssertionError("a screen of what has budgets says what can be changed")

    async def do_edit(self) -> None:
        """Show the form of a record that exists; what others save meanwhile is merged."""
        row = self.row
        if row is None:
            return
        editing = Editing(self, row)
        title = f"{self.NOUN} {row['name']}, version {row['version']}"
        saved = await self.ask_form(
            title, editing.fields(), editing.save, only_changes=True, reread=editing.reread
        )
        if saved is not None and editing.changed:
            self.conduit.tell(f"changed {label_of(saved)}")

    # Switching

    SWITCH_OFF: ClassVar[Level] = "mild"
    """How much is asked before one is switched off; several are always asked about."""
    OFF_EFFECT: ClassVar[str] = ""

    async def may_switch(self, rows: Sequence[Record], *, enabled: bool) -> bool:
        level: Level = "mild" if enabled else self.SWITCH_OFF
        if level == "mild" and not enabled and len(rows) > 1:
            level = "moderate"
        what = label_of(rows[0]) if len(rows) == 1 else f"{len(rows)} {self.TABLE}"
        verb = "Enable" if enabled else "Disable"
        name = what if len(rows) == 1 else str(len(rows))
        effect = "They are admitted again." if enabled else self.OFF_EFFECT
        question = f"{verb} {what}?"
        return await is_agreed(self, level, question, effect, name=name, verb=verb)


class Editing:
    """Saves the fields of a form into a record and its budget, which are two.

    Where the second one is refused, the first one is saved already: the next try goes on from it.
    """

    def __init__(self, screen: BudgetedScreen, row: Record) -> None:
        self._screen = screen
        self._row = row
        self._link = screen.conduit.link
        self.changed = False

    def fields(self) -> list[Field]:
        return self._screen.fields_of(self._row)

    async def save(self, values: Values) -> Mapping[str, Any]:
        if values:
            name, effect = label_of(self._row), "It counts from the next call on."
            question = f"Save {self._screen.NOUN} {name}?"
            await must_agree(self._screen, "mild", question, effect, name=name, verb="Save")
        changes = allowances.rights_body(values, self._row)
        if changes:
            self._row = await self._screen.change(self._row, changes, link=self._link)
            self.changed = True
        if "limit" in values:
            try:
                await self._set_limit(values["limit"])
            except ApiError as error:
                self._link.refresh({self._screen.TABLE})
                if self.changed and error.status != CONFLICT:
                    noun = self._screen.NOUN
                    text = f"the {noun} is saved, its budget is not: {error.message}"
                    raise ClientError(text) from error
                raise
            self._row = await self._screen.read_again(self._row, self._link)
            self.changed = True
        return self._row

    async def reread(self) -> list[Field] | None:
        """The fields as they are now, or None where nobody else has changed them."""
        before = _versions(self._row)
        self._row = await self._screen.read_again(self._row, self._link)
        return None if _versions(self._row) == before else self.fields()

    async def _set_limit(self, limit: str | None) -> None:
        change = self._link.change
        budget = self._row["budgets"][0] if self._row["budgets"] else None
        if budget is None and limit is not None:
            scope = {"kind": self._screen.SCOPE, "id": id_of(self._row)}
            new = {"scope": scope, "limit": limit, "period": allowances.PERIODS[0]}
            await change("budgets.create", body=new)
        elif budget is not None and limit is None:
            await change("budgets.delete", id_of(budget))
        elif budget is not None:
            body = {"limit": limit, "version": budget["version"]}
            await change("budgets.update", id_of(budget), body=body)


def limit_field(row: Record) -> list[Field]:
    """The limit of its budget; of several, none can be meant."""
    budgets = row["budgets"]
    if len(budgets) > 1:
        return []
    label = f"USD {allowances.period_told(budgets[0])}" if budgets else "Budget in USD"
    limit = budgets[0]["limit"] if budgets else ""
    return [Field("limit", label, limit, check=allowances.amount, hint="none; b for more of it")]


def limit_facts(limits: Sequence[Record]) -> Iterator[Fact]:
    """Every rate limit with what is left of it now."""
    for number, limit in enumerate(allowances.in_order(limits)):
        left = limit.get("remaining")
        rest = "" if left is None else f", {left:,} left"
        burst = "" if limit.get("burst") is None else f", bursts of {limit['burst']:,}"
        shadow = ", only counted" if limit.get("shadow") else ""
        refused = f", exceeded {limit['exceeded']:,} times" if limit.get("exceeded") else ""
        words = WORDS.get(limit["kind"], limit["kind"])
        tone: Any = "warn" if left == 0 and not shadow else ""
        of = allowances.of_model(limit)
        text = f"{limit['limit']:,} {words}{of}{rest}{burst}{shadow}{refused}"
        yield Fact("limits" if number == 0 else " ", text, tone)


def _versions(row: Record) -> object:
    return row["version"], [(id_of(each), each["version"]) for each in row["budgets"]]


def costs_by_day(days: Sequence[Record], today: date) -> list[float]:
    """What the days up to today cost, the oldest first; days that are not told of cost nothing."""
    told = {str(row["group"])[:10]: _cost(row) for row in days}
    first = today - timedelta(days=USAGE_DAYS - 1)
    return [told.get(str(first + timedelta(days=n)), 0.0) for n in range(USAGE_DAYS)]


def _cost(row: Record) -> float:
    return float(row["cost"])


def nearest(row: Record) -> Record | None:
    """The budget of a record that is nearest to its end."""
    budget: Record | None = max(row["budgets"], key=standing.share_used, default=None)
    return budget


def spending(row: Record, _: Glyphs) -> str:
    budget = nearest(row)
    if budget is None:
        return "no budget"
    return f"{people.money(budget['spent'])} / {people.money(budget['limit'])}"


def meter(row: Record, glyphs: Glyphs) -> Cell:
    budget = nearest(row)
    if budget is None:
        return Cell("-", "dim")
    share = standing.share_used(budget)
    return Cell(f"{glyphs.meter(share, METER_CELLS)} {share:4.0%}", standing.tone_of_share(share))


def spent(row: Record) -> Decimal:
    budget = nearest(row)
    return Decimal(budget["spent"]) if budget else Decimal(-1)


def share_of(row: Record) -> float:
    budget = nearest(row)
    return standing.share_used(budget) if budget else -1.0
