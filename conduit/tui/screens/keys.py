"""Virtual keys: what they may spend and have spent; making, rotating, moving and ending them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from textual.app import ComposeResult

from conduit.core import people
from conduit.tui.actions import LIST_VERBS, Action, listed
from conduit.tui.glyphs import Glyphs
from conduit.tui.state import allowances
from conduit.tui.state.allowances import EVERY_MODEL
from conduit.tui.state.connectivity import duration
from conduit.tui.state.reports import tokens_read, tokens_written
from conduit.tui.state.store import id_of, label_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.detailed import Listed, Reading, closing
from conduit.tui.widgets.dialogs.forms import Field, FormDialog, Misfit, Values
from conduit.tui.widgets.dialogs.levels import Level, is_agreed, must_agree
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from conduit.tui.widgets.dialogs.secrets import SecretDialog
from conduit.tui.widgets.facts import BLANK, Fact, Facts
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.keys import allowance_fields, budgeted
from conduit.tui.widgets.keys.budgeted import USAGE_DAYS, BudgetedScreen, budget_actions
from conduit.tui.widgets.keys.kinds import Kinds
from conduit.tui.widgets.records import Empty

_NO_GROUP = "-"
_SOON_S = 7 * 86_400

USAGE_COLUMNS = (
    Column("MODEL", lambda row, _: row["group"] or "-", 14, grow=1, priority=0),
    Column("REQ", lambda row, _: people.count(row["requests"]), 6, right=True, priority=0),
    Column("IN", lambda row, _: people.count(tokens_read(row)), 9, right=True, priority=1),
    Column("OUT", lambda row, _: people.count(tokens_written(row)), 9, right=True, priority=2),
    Column("COST", lambda row, _: people.money(row["cost"]), 8, right=True, priority=0),
)


class KeysScreen(BudgetedScreen):
    """A key's secret passes through a dialog, once; neither the list nor the store holds it."""

    PLACE = "keys"
    TABLE = "keys"
    TABLES = frozenset({"groups", "mappings"})
    NOUN = "key"
    SCOPE = "key"
    SEVERE = True
    OFF_EFFECT = "Whoever calls with them is refused at once."
    PANE_KEYS = "R rotate  b budgets"
    CSS_PATH = ["detailed.tcss", "keys.tcss"]
    EMPTY = Empty("There are no virtual keys yet.", "conduit keys create NAME")
    ACTIONS = (
        *listed("keys", "key", (*LIST_VERBS, "add", "edit", "toggle", "delete")),
        Action("keys.rotate", "Rotate: a new secret", ("R",), "rotate", 3, changes=True),
        Action("keys.groups", "Groups of keys", ("v",), "groups", 3),
        Action("keys.move", "Move to a group", ("m",), "move", 5, changes=True),
        Action("keys.tag", "Tag", ("T",), "tag", 5, changes=True),
        *budget_actions("keys"),
        closing("keys"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.columns = (
            Column("NAME", lambda row, _: row["name"], 12, grow=2, priority=0),
            Column("GROUP", _group, 8, grow=1, priority=2),
            Column("STATE", standing.of_key, 10, priority=0),
            Column("SPENT / BUDGET", budgeted.spending, 17, priority=1, sort=budgeted.spent),
            Column("USED", budgeted.meter, 15, priority=0, sort=budgeted.share_of),
            Column("EXP", self._expires, 5, right=True, priority=3, sort=_expiry),
            Column("LAST", self._last_used, 5, right=True, priority=4, sort=_use),
            Column("RESETS", self.resets, 6, right=True, priority=5),
            Column("LIMITS", _limits, 18, grow=1, priority=6),
            Column("TAGS", _tags, 14, grow=1, priority=7),
        )

    def compose_body(self) -> ComposeResult:
        yield Kinds()
        yield from super().compose_body()

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")
        yield Facts(id="total")
        yield Listed(USAGE_COLUMNS, id="usage")

    # What is shown

    def _expires(self, row: Record, _: Glyphs) -> Cell | str:
        left_s = self.seconds_until(row["expires_at"])
        if left_s is None:
            return "-"
        if left_s <= 0:
            return Cell("past", "bad")
        return Cell(duration(left_s), "warn" if left_s < _SOON_S else "")

    def _last_used(self, row: Record, _: Glyphs) -> str:
        past_s = self.seconds_until(row["last_used_at"])
        return "never" if past_s is None else duration(-past_s)

    def detail_stamp(self, row: Record) -> object:
        return row["last_used_at"], tuple(budget["spent"] for budget in row["budgets"])

    async def read_detail(self, row: Record) -> Record:
        start = datetime.now(UTC) - timedelta(days=USAGE_DAYS)
        since = start.isoformat(timespec="seconds")
        call = self.conduit.link.call
        by_model, by_day = await asyncio.gather(
            call("keys.usage", id_of(row), query={"since": since, "by": "model"}),
            call("usage.show", query={"since": since, "by": "day", "key": id_of(row)}),
        )
        return {**by_model, "days": by_day["groups"]}

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*self._facts(row)])
        self.query_one("#total", Facts).show([*self._total(reading)])
        groups = reading.value["groups"] if reading is not None and reading.value else []
        self.query_one("#usage", Listed).show(groups, [str(row["group"]) for row in groups])

    def _facts(self, row: Record) -> Iterator[Fact]:
        state = standing.of_key(row, self.glyphs)
        yield Fact("state", state.text, state.tone)
        yield Fact("key", row["start"] + self.glyphs.ellipsis)
        yield from self.budget_facts(row)
        yield from budgeted.limit_facts(row.get("limits", ()))
        yield from _belongings(row)
        models = row["allowed_models"]
        yield Fact("models", "every one" if models == [EVERY_MODEL] else ", ".join(models))
        yield Fact("expires", self.told(row["expires_at"], "never"))
        yield Fact("last used", self.told(row["last_used_at"], "never"))
        yield Fact("created", self.told(row["created_at"], "-"))
        if row.get("former_expires_at"):
            end = self.told(row["former_expires_at"], "")
            yield Fact("former key", f"good until {end}", "warn")

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
            yield from self.spend_facts(reading.value["days"])
            yield BLANK

    # Verbs

    def why_not(self, action: Action) -> str | None:
        needs_key = action.verb in ("rotate", "move", "tag")
        if needs_key and self.can_draw and self.row is None:
            return "there is no key to choose"
        return super().why_not(action)

    def do_groups(self) -> None:
        self.conduit.go("groups")

    async def do_add(self) -> None:
        link = self.conduit.link

        async def create(values: Values) -> Mapping[str, Any]:
            name, effect = values["name"], "Whoever has its secret may call from then on."
            await must_agree(self, "mild", f"Create {name}?", effect, name=name, verb="Create")
            return await link.change("keys.create", body=new_key(values))

        fields = [
            Field("name", "Name", required=True, hint="such as ci"),
            *allowance_fields.budget_fields(),
            allowance_fields.group_field(self.store),
            allowance_fields.models_field(self.store),
            *allowance_fields.limit_fields(),
            *allowance_fields.right_fields(),
        ]
        await self._show_secret(await self.ask_form("new key", fields, create, verb="Create"))

    async def _show_secret(self, key: Mapping[str, Any] | None, note: str = "") -> None:
        if key is None:
            return
        dialog = SecretDialog(
            f"key {key['name']}", key["secret"], file_name=f"{key['name']}.key", note=note
        )
        await self.conduit.push_screen_wait(dialog)

    def fields_of(self, row: Record) -> list[Field]:
        """What can be changed of a key."""
        return [
            Field("name", "Name", row["name"], required=True),
            *budgeted.limit_field(row),
            allowance_fields.group_field(self.store, row.get("group") or ""),
            allowance_fields.models_field(self.store, allowances.models_text(row)),
            *allowance_fields.limit_fields(row.get("limits", ())),
            *allowance_fields.right_fields(row),
        ]

    async def do_rotate(self) -> None:
        row, link = self.row, self.conduit.link
        if row is None:
            return

        async def rotate(values: Values) -> Mapping[str, Any]:
            body = {"grace_s": values["grace_s"] or 0}
            level, effect = _rotation(body["grace_s"])
            question, name = f"Rotate {row['name']}?", row["name"]
            await must_agree(self, level, question, effect, name=name, verb="Rotate")
            return await link.change("keys.rotate", id_of(row), body=body)

        hint = "empty: the former secret ends at once; or 24h"
        fields = [Field("grace_s", "Grace", check=allowances.grace, hint=hint)]
        title = f"rotate key {row['name']}"
        key = await self.ask_form(title, fields, rotate, verb="Rotate")
        if key is not None:
            end = key["former_expires_at"]
            former = f"is good until {people.moment(end)}" if end else "has ended"
            await self._show_secret(key, f"The former secret {former}.")

    async def do_move(self) -> None:
        """Put the chosen keys into a group, or into none."""
        rows, link = self.chosen(), self.conduit.link
        groups = self.store.table("groups").rows.values()
        choices = [Choice(_NO_GROUP, "no group")]
        for group in groups:
            off = "" if group["enabled"] else ", off"
            choices.append(
                Choice(
                    group["name"],
                    group["name"],
                    note=f"{people.counted(group['keys'], 'key')}{off}",
                )
            )
        chosen = await self.conduit.push_screen_wait(Picker(f"move {_told(rows)} to", choices))
        if chosen is None:
            return
        group_name = None if chosen == _NO_GROUP else chosen
        where = "out of their groups" if group_name is None else f"to {group_name}"
        effect = "What the group allows holds for them from now on; what they spent stays its own."
        question = f"Move {_told(rows)} {where}?"
        if await is_agreed(self, "mild", question, effect, name=_typed(rows), verb="Move"):
            others = [row for row in rows if row.get("group") != group_name]
            body = {"group": group_name}

            async def move(row: Record) -> None:
                await self.change(row, body, link=link)

            await self.for_each(others, move, f"moved {where}:", link=link)
            link.refresh({"groups"})

    async def do_tag(self) -> None:
        """Give the chosen keys tags, or take some away; others that they have stay."""
        rows, link = self.chosen(), self.conduit.link

        async def submit(values: Values) -> Mapping[str, Any]:
            added, removed = values["tags"] or {}, values["without"] or []
            if not added and not removed:
                raise Misfit("tags", "a tag to add, or one below to take away")
            return {"tags": added, "without": removed}

        present = sorted({name for row in rows for name in row.get("tags", {})})
        fields = [
            Field("tags", "Add", check=allowances.tags, hint="team=a, env=ci"),
            Field("without", "Take away", check=allowances.parts, hint="env", choices=present),
        ]
        said = await self.conduit.push_screen_wait(
            FormDialog(f"tags of {_told(rows)}", fields, submit)
        )
        if said is None:
            return
        question, effect = f"Change the tags of {_told(rows)}?", "Usage is told apart by them."
        if not await is_agreed(self, "mild", question, effect, name=_typed(rows), verb="Change"):
            return

        async def tag(row: Record) -> None:
            kept = {n: v for n, v in row.get("tags", {}).items() if n not in said["without"]}
            await self.change(row, {"tags": {**kept, **said["tags"]}}, link=link)

        await self.for_each(rows, tag, "tagged", link=link)

    def delete_effect(self, rows: Sequence[Record]) -> str:
        it = "it" if len(rows) == 1 else "one of them"
        return f"Whoever calls with {it} is refused at once. Records of requests stay."


def new_key(values: Values) -> dict[str, Any]:
    """The body of `keys.create`."""
    body = allowances.rights_body(values)
    budget = allowances.budget_body(values)
    return body if budget is None else {**body, "budget": budget}


def _rotation(grace_s: int) -> tuple[Level, str]:
    """How much is asked before a key is rotated, and what that does."""
    if grace_s:
        return "moderate", f"The former secret ends in {duration(grace_s)}."
    return "severe", "Whoever calls with the former secret is refused at once."


def _told(rows: Sequence[Record]) -> str:
    return label_of(rows[0]) if len(rows) == 1 else people.counted(len(rows), "key")


def _typed(rows: Sequence[Record]) -> str:
    """What has to be typed for these."""
    return label_of(rows[0]) if len(rows) == 1 else str(len(rows))


def _belongings(row: Record) -> Iterator[Fact]:
    """Where the key belongs, from where and how it may be used, and what is kept with it."""
    if row.get("group"):
        yield Fact("group", row["group"])
    if row.get("tags"):
        yield Fact("tags", allowances.tags_text(row["tags"]))
    if row.get("allowed_ips"):
        yield Fact("from", ", ".join(row["allowed_ips"]))
    if row.get("allow_direct"):
        yield Fact("direct", "it may name provider/model too")
    if row.get("priority"):
        yield Fact("priority", "reserved slots serve it under overload")
    if row.get("log_bodies") is not None:
        yield Fact("bodies", "kept" if row["log_bodies"] else "not kept")
    if row.get("metadata"):
        yield Fact("metadata", allowances.metadata_text(row["metadata"]))


def _group(row: Record, _: Glyphs) -> Cell | str:
    return row.get("group") or Cell("-", "dim")


def _limits(row: Record, _: Glyphs) -> str:
    return allowances.limits_told(row.get("limits", ())) or "-"


def _tags(row: Record, _: Glyphs) -> str:
    return allowances.tags_text(row.get("tags", {})) or "-"


def _by_time(field: str, absent: str) -> Callable[[Record], str]:
    return lambda row: row[field] or absent


_expiry = _by_time("expires_at", "9999")
_use = _by_time("last_used_at", "")
