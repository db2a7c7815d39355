"""Groups of keys: what they share, who is in them, and what was paid in for them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from textual.app import ComposeResult

from conduit.client.errors import ClientError
from conduit.core import people
from conduit.tui.actions import LIST_VERBS, Action, listed
from conduit.tui.glyphs import Glyphs
from conduit.tui.state import allowances
from conduit.tui.state.allowances import EVERY_MODEL
from conduit.tui.state.store import id_of, label_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.detailed import Listed, Reading, closing
from conduit.tui.widgets.dialogs.forms import Field, Values
from conduit.tui.widgets.dialogs.levels import is_agreed, must_agree
from conduit.tui.widgets.dialogs.several import SeveralPicker
from conduit.tui.widgets.facts import BLANK, Fact, Facts
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.keys import allowance_fields, budgeted
from conduit.tui.widgets.keys.balances import BalancesScreen, balance_actions, signed
from conduit.tui.widgets.keys.budgeted import USAGE_DAYS, budget_actions
from conduit.tui.widgets.keys.kinds import Kinds
from conduit.tui.widgets.records import Empty

MOST_TRANSACTIONS = 100
_RECENT = timedelta(days=300)

MEMBER_COLUMNS = (
    Column("KEY", lambda row, _: row["name"], 12, grow=1, priority=0),
    Column("STATE", standing.of_key, 10, priority=0),
    Column("SPENT / BUDGET", budgeted.spending, 17, priority=1),
)
TRANSACTION_COLUMNS = (
    Column("PAID", lambda row, _: _day(row["at"]), 7, priority=0),
    Column("KIND", lambda row, _: row["kind"], 10, priority=0),
    Column("AMOUNT", lambda row, _: _signed_cell(row["amount"]), 9, right=True, priority=0),
    Column("LEFT", lambda row, _: people.money(row["balance"]), 9, right=True, priority=1),
    Column("REASON", lambda row, _: row["reason"] or "-", 12, grow=1, priority=2),
    Column("BY", lambda row, _: row["actor"], 10, priority=3),
)


class GroupsScreen(BalancesScreen):
    """The second list of the tab of keys."""

    PLACE = "groups"
    TABLE = "groups"
    TABLES = frozenset({"keys", "mappings"})
    NOUN = "group"
    SCOPE = "group"
    SEVERE = True
    SWITCH_OFF = "moderate"
    OFF_EFFECT = "All keys in it are refused at once, until it is enabled again."
    PANE_KEYS = "p pay  b budgets"
    CSS_PATH = ["detailed.tcss", "groups.tcss"]
    EMPTY = Empty("There are no groups yet.", "conduit groups create NAME")
    ACTIONS = (
        *listed("groups", "group", (*LIST_VERBS, "add", "edit", "toggle", "delete")),
        Action("groups.keys", "Virtual keys", ("v",), "keys", 3),
        *balance_actions("groups"),
        Action("groups.take-in", "Move keys into the group", ("m",), "members", 5, changes=True),
        *budget_actions("groups"),
        closing("groups"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._keys_drawn = -1
        self.columns = (
            Column("NAME", lambda row, _: row["name"], 12, grow=2, priority=0),
            Column("STATE", standing.of_group, 10, priority=0),
            Column("KEYS", lambda row, _: str(row["keys"]), 4, right=True, priority=1),
            Column("SPENT / BUDGET", budgeted.spending, 17, priority=2, sort=budgeted.spent),
            Column("USED", budgeted.meter, 15, priority=3, sort=budgeted.share_of),
            Column("BALANCE", _balance, 9, right=True, priority=0, sort=_paid),
            Column("RESETS", self.resets, 6, right=True, priority=5),
            Column("LIMITS", _limits, 18, grow=1, priority=6),
        )

    def compose_body(self) -> ComposeResult:
        yield Kinds()
        yield from super().compose_body()

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")
        yield Listed(TRANSACTION_COLUMNS, id="transactions")
        yield Listed(MEMBER_COLUMNS, id="members")
        yield Facts(id="rest")

    # What is shown

    def show_store(self) -> None:
        super().show_store()
        revision = self.store.table("keys").revision
        if revision != self._keys_drawn:
            self._keys_drawn = revision
            self.show_record(self.row)

    def members(self, row: Record) -> list[Record]:
        """The keys in a group."""
        keys = self.store.table("keys").rows.values()
        return [key for key in keys if key.get("group_id") == id_of(row)]

    def detail_stamp(self, row: Record) -> object:
        prepaid = row["prepaid"] or {}
        spent = tuple(budget["spent"] for budget in row["budgets"])
        return row["version"], prepaid.get("paid_in"), prepaid.get("spent"), spent

    async def read_detail(self, row: Record) -> Record:
        start = datetime.now(UTC) - timedelta(days=USAGE_DAYS)
        since = start.isoformat(timespec="seconds")
        call = self.conduit.link.call
        made, by_day = await asyncio.gather(
            call("group_transactions.list", id_of(row), query={"limit": MOST_TRANSACTIONS}),
            call("usage.show", query={"since": since, "by": "day", "group": id_of(row)}),
        )
        return {"transactions": made["data"], "more": made["next_cursor"], "usage": by_day}

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*self._facts(row)])
        made = reading.value["transactions"] if reading is not None and reading.value else []
        self.query_one("#transactions", Listed).show(made, [id_of(each) for each in made])
        members = self.members(row)
        self.query_one("#members", Listed).show(members, [id_of(each) for each in members])
        self.query_one("#rest", Facts).show([*self._rest(row, reading)])

    def _facts(self, row: Record) -> Iterator[Fact]:
        state = standing.of_group(row, self.glyphs)
        yield Fact("state", state.text, state.tone)
        if row["description"]:
            yield Fact("for", row["description"])
        yield from self._balance_facts(row["prepaid"])
        yield from self.budget_facts(row)
        yield from budgeted.limit_facts(row["limits"])
        models = row["allowed_models"]
        yield Fact("models", "every one" if models == [EVERY_MODEL] else ", ".join(models))
        if row.get("allowed_ips"):
            yield Fact("from", ", ".join(row["allowed_ips"]))
        yield Fact("keys", people.count(row["keys"]))
        yield BLANK

    def _balance_facts(self, prepaid: Record | None) -> Iterator[Fact]:
        if prepaid is None:
            yield Fact("balance", "none: its keys need not be paid for before")
            return
        balance = Decimal(prepaid["balance"])
        yield Fact("balance", people.money(balance), "good" if balance > 0 else "bad")
        held = f", {people.money(prepaid['held'])} held" if Decimal(prepaid["held"]) else ""
        paid, spent = people.money(prepaid["paid_in"]), people.money(prepaid["spent"])
        yield Fact(" ", f"{paid} paid in, {spent} spent{held}")
        yield Fact(" ", f"since {people.moment(prepaid['since'])}", "dim")

    def _rest(self, row: Record, reading: Reading | None) -> Iterator[Fact]:
        yield Fact(f"Usage, last {USAGE_DAYS} days")
        if reading is None:
            live = self.store.connectivity.is_live
            state = f"reading{self.glyphs.ellipsis}" if live else "not known without a connection"
            yield Fact("", state, "dim")
            return
        if reading.error is not None:
            yield Fact("unknown", f"{self.glyphs.bad} {reading.error}", "bad")
        if reading.value:
            usage = reading.value["usage"]
            yield Fact("requests", f"{usage['total']['requests']:,}")
            yield Fact("cost", people.money(usage["total"]["cost"]))
            yield from self.spend_facts(usage["groups"])
            if reading.value["more"]:
                yield Fact("", f"older ones: conduit groups transactions {row['name']}", "dim")

    # Verbs

    def why_not(self, action: Action) -> str | None:
        if action.verb == "take-in" and self.can_draw and self.row is None:
            return "there is no group to choose"
        return super().why_not(action)

    def do_keys(self) -> None:
        self.conduit.go("keys")

    async def do_add(self) -> None:
        """Make a group, then its budget, which is a record of its own."""
        link = self.conduit.link

        async def create(values: Values) -> Mapping[str, Any]:
            name, effect = values["name"], "It holds for the keys that are moved into it."
            await must_agree(self, "mild", f"Create {name}?", effect, name=name, verb="Create")
            body = allowances.rights_body(values)
            if values["prepaid"]:
                body["prepaid"] = True
            made = await link.change("groups.create", body=body)
            budget = allowances.budget_body(values)
            if budget is None:
                return made
            scope = {"kind": "group", "id": id_of(made)}
            try:
                await link.change("budgets.create", body={"scope": scope, **budget})
                return await self.read_again(made, link)
            except ClientError as error:
                # The form is done with all the same: sent again, its name would be taken.
                self.conduit.report(error, f"group {made['name']} is there, its budget is not")
                return made

        fields = [
            Field("name", "Name", required=True, hint="such as eng"),
            Field("description", "What it is for"),
            *allowance_fields.budget_fields(),
            Field("prepaid", "Balance", kind="bool", hint="prepaid: nothing is served unpaid"),
            allowance_fields.models_field(self.store),
            *allowance_fields.limit_fields(),
            allowance_fields.ips_field(),
        ]
        made = await self.ask_form("new group", fields, create, verb="Create")
        if made is not None:
            self.conduit.tell(f"made group {made['name']}")

    def fields_of(self, row: Record) -> list[Field]:
        """What can be changed of a group."""
        return [
            Field("name", "Name", row["name"], required=True),
            Field("description", "What it is for", row["description"]),
            *budgeted.limit_field(row),
            allowance_fields.models_field(self.store, allowances.models_text(row)),
            *allowance_fields.limit_fields(row["limits"]),
            allowance_fields.ips_field(row),
        ]

    async def do_take_in(self) -> None:
        """Choose among the keys that are not in the group, and move them into it."""
        row, link = self.row, self.conduit.link
        if row is None:
            return
        others = [
            key
            for key in self.store.table("keys").rows.values()
            if key.get("group_id") != id_of(row)
        ]
        if not others:
            self.conduit.tell(f"every key is in {row['name']} already", severity="warning")
            return
        title = f"keys to move into {row['name']}"
        picker = SeveralPicker(title, [key["name"] for key in others], verb="moves")
        chosen = await self.conduit.push_screen_wait(picker)
        moved = [key for key in others if key["name"] in (chosen or ())]
        told = people.counted(len(moved), "key")
        question, effect = f"Move {told} into {row['name']}?", "What it allows holds for them then."
        if not moved or not await is_agreed(
            self, "mild", question, effect, name=row["name"], verb="Move"
        ):
            return
        good = 0
        for number, key in enumerate(moved):
            if self.is_stopped(link, number, len(moved)):
                return
            body = {"group": row["name"], "version": key["version"]}
            try:
                answer = await link.change("keys.update", id_of(key), body=body)
            except ClientError as error:
                self.conduit.report(error, label_of(key))
                continue
            self.store.put("keys", answer, epoch=link.epoch)
            good += 1
        if good:
            self.conduit.tell(f"moved {people.counted(good, 'key')} into {row['name']}")
            await self.read_again(row, link)

    def delete_effect(self, rows: Sequence[Record]) -> str:
        full = sum(row["keys"] for row in rows)
        if full:
            return f"{people.counted(full, 'key')} in it: it is refused until they are moved away."
        return "No key is in it. Records of requests and its transactions stay."


def _day(moment: str) -> str:
    """Month and day; of what is long ago year and month."""
    recent = datetime.fromisoformat(moment) > datetime.now(UTC) - _RECENT
    return moment[5:10] if recent else moment[:7]


def _signed_cell(amount: str) -> Cell:
    return Cell(signed(amount), "bad" if Decimal(amount) < 0 else "good")


def _balance(row: Record, _: Glyphs) -> Cell | str:
    if row["prepaid"] is None:
        return Cell("-", "dim")
    balance = row["prepaid"]["balance"]
    return Cell(people.money(balance), "" if Decimal(balance) > 0 else "bad")


def _paid(row: Record) -> Decimal:
    return Decimal(row["prepaid"]["balance"]) if row["prepaid"] else Decimal("-Infinity")


def _limits(row: Record, _: Glyphs) -> str:
    return allowances.limits_told(row["limits"]) or "-"
