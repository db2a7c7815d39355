"""Mappings: what clients call a model, who serves it in which order, and at which price."""

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.timer import Timer
from textual.widget import Widget

from conduit.client.errors import ApiError, ClientError
from conduit.core import people
from conduit.core.redaction import redacted
from conduit.tui.actions import RECORD_VERBS, Action, listed
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.gateway import GatewayLink
from conduit.tui.state.store import id_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.detailed import DetailedScreen, Listed, Reading, closing
from conduit.tui.widgets.dialogs.forms import Field, Values
from conduit.tui.widgets.dialogs.levels import is_agreed, must_agree
from conduit.tui.widgets.editing import Edited
from conduit.tui.widgets.facts import BLANK, Fact, Facts
from conduit.tui.widgets.grid import Cell, Column, Grid
from conduit.tui.widgets.providers import breakers
from conduit.tui.widgets.providers.abilities import ability_columns, breaker_of, can_of
from conduit.tui.widgets.records import Empty

WILDCARD = "*"
_NOT_FOUND = 404
_COUNTDOWN_S = 1.0
_EXPLAINED = ("chat", "completion", "embedding", "rerank", "moderation")
"""The operations that a route can be explained for."""
_UNSHOWN = ("params", "capabilities")  # of a target, by its form
_TARGET = re.compile(r"(?P<provider>[^/\s]+)/(?P<model>\S+?)(?:\s+x(?P<weight>\d{1,7}))?")


class MappingsScreen(DetailedScreen):
    """The pane has a cursor of its own, on a target: `J` and `K` move that target."""

    PLACE = "mappings"
    TABLE = "mappings"
    TABLES = frozenset({"providers", "deployments"})
    NOUN = "mapping"
    PANE_KEYS = "J later  K earlier  Enter provider"
    CSS_PATH = ["detailed.tcss", "mappings.tcss"]
    EMPTY = Empty("There are no mappings yet.", "conduit mappings add ALIAS --to PROVIDER/MODEL")
    ACTIONS = (
        *listed("mappings", "mapping", RECORD_VERBS),
        Action("mappings.down", "Try this target later", ("J",), "later", 4, changes=True),
        Action("mappings.up", "Try this target earlier", ("K",), "earlier", 4, changes=True),
        closing("mappings"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[str, Record] = {}
        self._breakers_seen = (-1, -1)
        self._countdown: Timer | None = None
        self.columns = (
            Column("ALIAS", lambda row, _: row["alias"], 14, grow=1, priority=0),
            Column("STATE", self._state, 11, priority=0),
            Column("N", lambda row, _: str(len(row["targets"])), 2, right=True, priority=1),
            Column("FIRST TARGET", _first, 25, grow=2, priority=0),
            Column("THEN", _others, 20, grow=3, priority=2),
            Column("STRATEGY", lambda row, _: row["strategy"], 8, priority=3),
        )

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")
        yield Grid(
            (
                Column("", lambda row, _: str(row["place"]), 2, right=True, priority=0),
                Column("TARGET", self._target, 28, grow=1, priority=0),
                Column("W", lambda row, _: str(row["weight"]), 3, right=True, priority=1),
                Column("IN $/M", self._price("input"), 6, right=True, priority=0),
                Column("OUT $/M", self._price("output"), 7, right=True, priority=0),
                Column("TEST", self._tested, 9, priority=2),
            ),
            id="targets",
        )
        yield Listed(ability_columns(self._breaker), id="abilities")
        yield Facts(id="notes")

    def on_mount(self) -> None:
        self._countdown = self.set_interval(_COUNTDOWN_S, self._show_breakers, pause=True)

    # What is shown

    def show_store(self) -> None:
        super().show_store()
        table = self.store.table("deployments")
        seen = self.store.epoch, table.revision
        if self.can_draw and seen != self._breakers_seen:
            self._breakers_seen = seen
            self._show_breakers()
            if self._countdown is not None:
                # How long a breaker stays open goes on by itself; nothing else here does.
                is_open = any(map(breakers.is_open, table.rows.values()))
                (self._countdown.resume if is_open else self._countdown.pause)()

    def _show_breakers(self) -> None:
        self.grid.repaint()
        self.query_one("#abilities", Listed).repaint()

    def _told(self, targets: Sequence[Record]) -> Cell:
        deployments = self.store.table("deployments").rows.values()
        return breaker_of(targets, deployments, self.store.wall_ms())

    def _state(self, row: Record, glyphs: Glyphs) -> Cell:
        """On or off; of one that is on, the breakers that keep targets from serving."""
        told = self._told(row["targets"])
        if row["enabled"] and (told.tone == "bad" or told.tone == "warn"):
            return standing.pill(glyphs, told.tone, told.text)
        return standing.of_mapping(row, glyphs)

    def _breaker(self, target: Record, _: Glyphs) -> Cell:
        return self._told([target])

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*self._facts(row, reading)])
        targets = [
            {**target, "place": place, "mapping": id_of(row)}
            for place, target in enumerate(in_order(row), 1)
        ]
        grid = self.query_one("#targets", Grid)
        grid.styles.height = len(targets) + 1
        grid.set_rows(targets, [_named(target) for target in targets])
        candidates = (reading.value or {}).get("candidates", ()) if reading is not None else ()
        able = [{**target, "can": can_of(target, candidates)} for target in targets]
        self.query_one("#abilities", Listed).show(able, [str(each["place"]) for each in able])
        self.query_one("#notes", Facts).show([*self._notes(row, reading)])

    def _facts(self, row: Record, reading: Reading | None) -> Iterator[Fact]:
        state = standing.of_mapping(row, self.glyphs)
        yield Fact("state", state.text, state.tone)
        yield Fact("strategy", row["strategy"])
        if reading is not None and (model := (reading.value or {}).get("model")) is not None:
            yield _served(model)
        yield Fact("changed", people.moment(row["updated_at"]))
        for fallback in row["fallbacks"]:
            arrow = self.glyphs.arrow
            yield Fact(
                "fallback", f"{fallback['on'].replace('_', ' ')} {arrow} {fallback['alias']}"
            )
        yield BLANK

    def _target(self, target: Record, _: Glyphs) -> Cell:
        """Dim where nothing goes to it: its provider is off, or its place is not confirmed."""
        provider = self.store.table("providers").find(target["provider"])
        off = provider is not None and not provider["enabled"]
        dim = off or self.table.is_unconfirmed(target["mapping"])
        return Cell(_named(target), "dim" if dim else "")

    def _price(self, field: str) -> Callable[[Record, Glyphs], Cell | str]:
        def cell(target: Record, glyphs: Glyphs) -> Cell | str:
            reading = self.reading_of({"id": target["mapping"]})
            if reading is None or reading.value is None:
                return glyphs.ellipsis if reading is None else "-"
            price = reading.value["prices"].get(_named(target))
            return Cell("none", "warn") if price is None else price[field]

        return cell

    def _tested(self, target: Record, glyphs: Glyphs) -> Cell | str:
        answers = self._answers.get(target["mapping"], {}).get("targets", ())
        answer = next((each for each in answers if _named(each) == _named(target)), None)
        if answer is None:
            return "-"
        if answer["ok"]:
            return standing.pill(glyphs, "good", people.milliseconds(answer["latency_ms"]))
        return standing.pill(glyphs, "bad", "failed")

    def _notes(self, row: Record, reading: Reading | None) -> Iterator[Fact]:
        """What keeps targets from serving, and what they answered when they were tested."""
        if reading is not None and reading.error is not None:
            yield Fact("unknown", f"{self.glyphs.bad} {redacted(reading.error)}", "bad")
        model = (reading.value or {}).get("model") if reading is not None else None
        if model is not None:
            for reason in model["reasons"]:
                yield Fact("not now", reason, "warn")
        for answer in self._answers.get(id_of(row), {}).get("targets", ()):
            if not answer["ok"]:
                yield Fact("failed", f"{_named(answer)}: {redacted(answer['error'] or '')}", "bad")

    # What is read

    def detail_stamp(self, row: Record) -> object:
        return row["version"], self.store.table("providers").revision

    async def read_detail(self, row: Record) -> Record:
        """The prices in force of all targets, and who would serve the alias at this moment."""
        targets = row["targets"]
        prices = await asyncio.gather(*(self._price_of(target) for target in targets))
        model = None
        candidates: Sequence[Record] = ()
        if row["enabled"] and not row["alias"].endswith(WILDCARD):
            model = await self._or_none("models.show", row["alias"])
        if model is not None:
            candidates = await self._candidates(model)
        return {
            "prices": {
                _named(target): price for target, price in zip(targets, prices, strict=True)
            },
            "model": model,
            "candidates": candidates,
        }

    async def _candidates(self, model: Record) -> Sequence[Record]:
        """The targets as a request to the alias would find them, with what each can do."""
        offered = [each for each in model.get("operations") or () if each in _EXPLAINED]
        body = {"alias": model["id"], "operation": offered[0] if offered else _EXPLAINED[0]}
        explained = await self._or_none("routes.explain", body=body)
        if explained is None:
            return []
        found: Sequence[Record] = explained["legs"][0]["candidates"]
        return found

    async def _price_of(self, target: Record) -> Record | None:
        return await self._or_none("prices.show", target["provider"], target["model"])

    async def _or_none(
        self, operation: str, *names: str, body: Mapping[str, Any] | None = None
    ) -> Record | None:
        """What the gateway has under this name, None where it has nothing. Raises ClientError."""
        try:
            return await self.conduit.link.call(operation, *names, body=body)
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    # Verbs

    def why_not(self, action: Action) -> str | None:
        if action.verb in ("up", "down") and self.can_draw:
            return self._why_not_moved(-1 if action.verb == "up" else 1)
        return super().why_not(action)

    def _why_not_moved(self, by: int) -> str | None:
        if self.row is None:
            return "there is no mapping to choose"
        if not self.detail_shown:
            return "open the mapping first: Enter shows its targets"
        at = self.query_one("#targets", Grid).cursor + by
        if not 0 <= at < len(self.row["targets"]):
            return "it is the first target" if by < 0 else "it is the last target"
        return None

    def opened_focus(self) -> Widget:
        return self.query_one("#targets")

    def do_open(self) -> None:
        if self.query_one("#targets").has_focus:
            self._open_provider()
        else:
            super().do_open()

    def _open_provider(self) -> None:
        target = self.query_one("#targets", Grid).cursor_row
        if target is not None:
            self.conduit.open_record("providers", target["provider"])

    def open_record(self, name: str) -> bool:
        self.grid.focus()
        return super().open_record(name)

    async def do_up(self) -> None:
        await self._move(-1)

    async def do_down(self) -> None:
        await self._move(1)

    async def _move(self, by: int) -> None:
        """Swap a target with its neighbour."""
        row, moved, link = self.row, self.query_one("#targets", Grid).cursor_key, self.conduit.link
        if row is None or moved is None:
            return
        done = f"moved {moved} {'earlier' if by < 0 else 'later'} in"
        question, name = f"Move {moved} in {row['alias']}?", row["alias"]
        effect = "It counts from the next call on."
        if not await is_agreed(self, "mild", question, effect, name=name, verb="Move"):
            return
        await self.put_at_once(
            [row], "targets", lambda known: moved_by(known, moved, by), done, link=link
        )

    async def do_test(self) -> None:
        row, link = self.row, self.conduit.link
        if row is None:
            return
        if not row["alias"].endswith(WILDCARD):
            await self._test(row, None, link)
            return

        async def test(values: Values) -> Mapping[str, Any]:
            return await self._test(row, values["model"], link)

        hint = f"what a client asks for, such as {row['alias'].rstrip(WILDCARD)}..."
        fields = [Field("model", "Model", hint=hint, required=True)]
        await self.ask_form(f"test {row['alias']}", fields, test, verb="Test")

    async def _test(self, row: Record, model: str | None, link: GatewayLink) -> Record:
        """Ask every target for a few words."""
        body = {} if model is None else {"model": model}
        answer = await link.call("mappings.test", id_of(row), body=body)
        if link.is_current and self.can_draw:
            self._answers[id_of(row)] = answer
            self.show_record(self.row)
            tried = people.counted(len(answer["targets"]), "target")
            text = f"{row['alias']}: {answer['answered']} of {tried} answered"
            self.conduit.tell(text, severity="information" if answer["ok"] else "error")
        return answer

    async def do_add(self) -> None:
        link = self.conduit.link

        async def create(values: Values) -> Mapping[str, Any]:
            name, effect = values["alias"], "Clients may ask for it from the next call on."
            await must_agree(self, "mild", f"Create {name}?", effect, name=name, verb="Create")
            return await link.change("mappings.create", body=values)

        fields = [
            Field("alias", "Alias", required=True, hint="what clients ask for, such as fast"),
            self._targets_field(()),
        ]
        made = await self.ask_form("new mapping", fields, create, verb="Create")
        if made is not None:
            self.conduit.tell(f"added {made['alias']}")

    async def do_edit(self) -> None:
        row = self.row
        if row is None:
            return
        edited = Edited(self, row, self._fields_of, with_unshown)
        title = f"mapping {row['alias']}, version {row['version']}"
        saved = await self.ask_form(
            title, edited.fields(), edited.save, only_changes=True, reread=edited.reread
        )
        if saved is not None and edited.changed:
            self.conduit.tell(f"changed {saved['alias']}")

    def _fields_of(self, row: Record) -> list[Field]:
        return [
            self._targets_field(in_order(row)),
            Field("enabled", "Enabled", row["enabled"], kind="bool", hint="clients may ask for it"),
        ]

    def _targets_field(self, targets: Sequence[Record]) -> Field:
        text = ", ".join(_weighed(target) for target in targets)
        choices = [f"{row['name']}/" for row in self.store.table("providers").rows.values()]
        known = {_named(each) for row in self.table.rows.values() for each in row["targets"]}
        choices = [*sorted(known), *choices]
        self.conduit.attempt(self._complete(choices), "Read what providers offer")
        hint = "provider/model, provider/model: tried in this order"
        return Field(
            "targets", "Targets", text, hint=hint, required=True, check=targets_of, choices=choices
        )

    async def _complete(self, choices: list[str]) -> None:
        """Let what the providers offer complete the targets too, as their answers come."""
        link = self.conduit.link

        async def offered(row: Record) -> None:
            try:
                page = await link.call("providers.models", id_of(row), query={"limit": 1000})
            except ClientError:
                return  # it only completes less; the form says nothing of providers
            choices.extend(f"{row['name']}/{model['model']}" for model in page["data"])

        rows = [row for row in self.store.table("providers").rows.values() if row["enabled"]]
        await asyncio.gather(*(offered(row) for row in rows))

    def delete_effect(self, rows: Sequence[Record]) -> str:
        it = "it" if len(rows) == 1 else "them"
        return f"Clients that ask for {it} get a 404 from now on."


def in_order(row: Record) -> list[Record]:
    """The targets as they are tried."""
    return sorted(row["targets"], key=_place)


def _place(target: Record) -> int:
    return int(target["order"])


def moved_by(row: Record, name: str, by: int) -> list[Record]:
    """The targets of a mapping with one and its neighbour in each other's place and order."""
    targets = in_order(row)
    at = next((place for place, each in enumerate(targets) if _named(each) == name), -1)
    if at < 0 or not 0 <= at + by < len(targets):
        return list(row["targets"])
    orders = [_place(target) for target in targets]
    targets[at], targets[at + by] = targets[at + by], targets[at]
    return [{**target, "order": order} for target, order in zip(targets, orders, strict=True)]


def targets_of(text: str) -> list[dict[str, Any]]:
    """The targets of `provider/model, provider/model x3`, in order. Raises ValueError."""
    targets: list[dict[str, Any]] = []
    for part in (part.strip() for part in text.split(",")):
        match = _TARGET.fullmatch(part)
        if match is None:
            raise ValueError(f"provider/model is expected, not {part!r}")
        target: dict[str, Any] = {"provider": match["provider"], "model": match["model"]}
        if match["weight"] is not None:
            target["weight"] = int(match["weight"])
        targets.append({**target, "order": 0})  # equals: the list has their order
    return targets


def with_unshown(values: Values, row: Record) -> Mapping[str, Any]:
    """What was typed, with what the form does not show of the mapping's targets."""
    if "targets" not in values:
        return values
    return {**values, "targets": with_params(values["targets"], row["targets"])}


def with_params(targets: Sequence[Record], before: Sequence[Record]) -> list[Record]:
    """The targets with the parameters and capabilities they had, which the form does not show."""
    # A target may stand there twice: the first of a name keeps what the first had, and so on.
    kept: defaultdict[str, deque[Record]] = defaultdict(deque)
    for target in sorted(before, key=_place):
        kept[_named(target)].append({name: target[name] for name in _UNSHOWN if target.get(name)})
    return [
        {**target, **(kept[_named(target)].popleft() if kept[_named(target)] else {})}
        for target in targets
    ]


def _named(target: Mapping[str, Any]) -> str:
    return f"{target['provider']}/{target['model']}"


def _weighed(target: Record) -> str:
    weight = f" x{target['weight']}" if target["weight"] != 1 else ""
    return f"{_named(target)}{weight}"


def _first(row: Record, _: Glyphs) -> str:
    return _weighed(in_order(row)[0])


def _others(row: Record, _: Glyphs) -> str:
    return ", ".join(_weighed(target) for target in in_order(row)[1:]) or "-"


def _served(model: Record) -> Fact:
    """Who would get a request for the alias now."""
    if not model["available"]:
        return Fact("served by", "nobody at this moment", "bad")
    return Fact("served by", f"{model['provider']}/{model['model']} now", "good")
