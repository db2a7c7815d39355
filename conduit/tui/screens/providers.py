"""Providers: who serves models, the credentials that open them, the models that they offer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from textual.app import ComposeResult

from conduit.client.errors import ClientError
from conduit.core import people
from conduit.core.redaction import redacted
from conduit.tui.actions import RECORD_VERBS, Action, listed
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.gateway import GatewayLink
from conduit.tui.state.store import id_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.detailed import Listed, Reading, closing
from conduit.tui.widgets.dialogs.forms import Field, Misfit, Values
from conduit.tui.widgets.dialogs.levels import is_agreed, must_agree
from conduit.tui.widgets.dialogs.several import SeveralPicker
from conduit.tui.widgets.editing import Edited
from conduit.tui.widgets.facts import BLANK, Fact, Facts
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.providers.credentials import (
    CREDENTIAL_ACTIONS,
    CREDENTIAL_COLUMNS,
    answered,
    credential_fields,
    entered,
)
from conduit.tui.widgets.providers.health import HEALTH_ACTIONS, HealthScreen
from conduit.tui.widgets.records import Empty

_PAGE_ROWS = 1_000
_MOST_MODELS = 5_000
MODEL_COLUMNS = (
    Column("MODEL", lambda row, _: row["model"], 20, grow=2, priority=0),
    Column("ALIASES", lambda row, _: ", ".join(row["aliases"]) or "-", 12, grow=1, priority=1),
)


class ProvidersScreen(HealthScreen):
    """What a provider answers to a test or about its models is kept while the program runs."""

    PLACE = "providers"
    TABLE = "providers"
    TABLES = frozenset({"mappings"})
    NOUN = "provider"
    SEVERE = True
    PANE_KEYS = "c credentials  m models  M map  b breakers  H health"
    CSS_PATH = ["detailed.tcss", "providers.tcss"]
    EMPTY = Empty("There are no providers yet.", "conduit providers add")
    ACTIONS = (
        *listed("providers", "provider", RECORD_VERBS),
        Action("providers.models", "Ask for the models it offers", ("m",), "models", 3),
        Action("providers.map", "Map models that it offers", ("M",), "map", 4, changes=True),
        *CREDENTIAL_ACTIONS,
        *HEALTH_ACTIONS,
        closing("providers"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[str, Record] = {}
        self._asking: set[str] = set()
        self.columns = (
            Column("NAME", lambda row, _: row["name"], 14, grow=2, priority=0),
            Column("STATE", standing.of_provider, 13, priority=0),
            Column("TYPE", lambda row, _: row["type"], 17, priority=1),
            Column("TEST", self._tested, 9, grow=1, priority=2),
            Column("HOST", _host, 20, grow=2, priority=3),
        )

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")
        yield Listed(CREDENTIAL_COLUMNS, id="credentials")
        yield Facts(id="offer")
        yield Listed(MODEL_COLUMNS, id="models")

    # What is shown

    def _tested(self, row: Record, glyphs: Glyphs) -> Cell | str:
        answer = self._answers.get(id_of(row))
        if answer is None:
            return Cell("not yet", "dim")
        if answer["ok"]:
            return standing.pill(glyphs, "good", f"{answer['latency_ms']} ms")
        return standing.pill(glyphs, "bad", "failed")

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*self._facts(row)])
        credentials = row["credentials"]
        ids = [id_of(each) for each in credentials]
        self.query_one("#credentials", Listed).show(credentials, ids)
        self.query_one("#offer", Facts).show([*self._offer_facts(row, reading)])
        models = reading.value if reading is not None and reading.value else []
        self.query_one("#models", Listed).show(models, [each["model"] for each in models])

    def _facts(self, row: Record) -> Iterator[Fact]:
        state = standing.of_provider(row, self.glyphs)
        yield Fact("state", state.text, state.tone)
        yield Fact("type", row["type"])
        yield Fact("base URL", row["base_url"] or "-")
        private = "allowed, and plain http" if row["allow_private"] else "refused"
        yield Fact("private", private)
        answer = self._answers.get(id_of(row))
        if answer is None:
            yield Fact("test", "t tests it, which costs nothing", "dim")
        elif answer["ok"]:
            yield Fact("test", answered(answer), "good")
        else:
            yield Fact("test", redacted(answer["error"]), "bad")
        yield BLANK
        if not row["credentials"]:
            yield Fact("Credentials")
            yield Fact("", "none; c a adds one", "dim")

    def _offer_facts(self, row: Record, reading: Reading | None) -> Iterator[Fact]:
        if not row["credentials"]:
            yield BLANK
        yield from _left_out(row)
        yield Fact("Models that it offers")
        if id_of(row) in self._asking:
            yield Fact("", f"asking{self.glyphs.ellipsis}", "dim")
        elif reading is None:
            yield Fact("", "m asks for them", "dim")
        elif reading.error is not None:
            yield Fact("", f"{self.glyphs.bad} {redacted(reading.error)}", "bad")
        elif not reading.value:
            yield Fact("", "none", "dim")
        else:
            mapped = sum(1 for each in reading.value if each["aliases"])
            offered = people.counted(len(reading.value), "model")
            yield Fact("", f"{offered}, {mapped:,} with an alias; M maps others", "dim")

    # Testing and models

    async def do_test(self) -> None:
        link = self.conduit.link
        for row in self.chosen():
            try:
                await self._test_aloud(row, link)
            except ClientError as error:
                self.conduit.report(error, row["name"])

    async def _test_aloud(self, row: Record, link: GatewayLink) -> None:
        answer = await self._test(row, link)
        if answer["ok"]:
            self.conduit.tell(f"{row['name']}: {answered(answer)}")
        else:
            self.conduit.tell(f"{row['name']}: {redacted(answer['error'])}", severity="error")

    async def _test(self, row: Record, link: GatewayLink) -> Record:
        answer = await link.call("providers.test", id_of(row))
        if link.is_current and self.can_draw:
            self._answers[id_of(row)] = answer
            self.grid.repaint()
            self.show_record(self.row)
        return answer

    async def do_models(self) -> None:
        row = self.row
        if row is None:
            return
        self.do_open()
        await self._read_models(row, refresh=self.reading_of(row) is not None)

    async def _read_models(self, row: Record, *, refresh: bool = False) -> Sequence[Record]:
        """What the provider offers; what it answered stands in the pane, a refusal too."""
        epoch = self.store.epoch
        self._asking.add(id_of(row))
        self.show_record(self.row)
        try:
            reading = Reading(None, await self._models_of(row, refresh))
        except ClientError as error:
            reading = Reading(None, error=error.message)
        finally:
            self._asking.discard(id_of(row))
        self.note_reading(row, reading, epoch=epoch)
        return reading.value or []

    async def _models_of(self, row: Record, refresh: bool) -> list[Record]:
        models: list[Record] = []
        query: dict[str, object] = {"limit": _PAGE_ROWS, "refresh": refresh or None}
        link = self.conduit.link
        while True:
            page = await link.call("providers.models", id_of(row), query=query)
            models += page["data"]
            query["cursor"] = page.get("next_cursor")
            if not query["cursor"] or len(models) >= _MOST_MODELS:
                return models

    async def do_map(self) -> None:
        row, link = self.row, self.conduit.link
        if row is not None:
            await self._offer_models(row, link)

    async def _offer_models(self, row: Record, link: GatewayLink) -> None:
        """Ask which of the models without an alias are to get one, of their own name."""
        taken = {each["alias"] for each in self.store.table("mappings").rows.values()}
        models = await self._read_models(row)
        free = [m["model"] for m in models if not m["aliases"] and m["model"] not in taken]
        if not free:
            reading = self.reading_of(row)
            failed = reading.error if reading is not None else None
            why = failed or ("every model has an alias" if models else "it offers no models")
            self.conduit.tell(f"{row['name']}: {redacted(why)}", severity="warning")
            return
        dialog = SeveralPicker(f"map models of {row['name']}", free, verb="maps")
        chosen: list[str] | None = await self.conduit.push_screen_wait(dialog)
        if not chosen:
            return
        name, effect = row["name"], "They count from the next call on."
        question = f"Map {people.counted(len(chosen), 'model')} of {name}?"
        if await is_agreed(self, "mild", question, effect, name=name, verb="Map"):
            await self._map(row, chosen, link)

    async def _map(self, row: Record, models: Sequence[str], link: GatewayLink) -> None:
        mapped = 0
        for number, model in enumerate(models):
            if self.is_stopped(link, number, len(models)):
                return
            body = {"alias": model, "targets": [{"provider": row["name"], "model": model}]}
            try:
                made = await link.change("mappings.create", body=body)
            except ClientError as error:
                self.conduit.report(error, model)
            else:
                mapped += 1
                self.store.put("mappings", made, epoch=link.epoch)
        if mapped:
            self.conduit.tell(f"mapped {people.counted(mapped, 'model')} of {row['name']}")
            await self._read_models(row)

    # Changing

    async def do_add(self) -> None:
        link = self.conduit.link
        answer = await link.call("provider_types.list", query={"limit": _PAGE_ROWS})
        kinds = {kind["name"]: kind for kind in answer["data"]}

        async def create(values: Values) -> Mapping[str, Any]:
            body = new_provider(values, kinds[values["type"]])
            name, effect = body["name"], "It is tested at once, and mappings may name it."
            await must_agree(self, "mild", f"Add {name}?", effect, name=name, verb="Add")
            return await link.change("providers.create", body=body)

        fields = [
            Field("type", "Type", next(iter(kinds)), kind="choice", choices=tuple(kinds)),
            Field("name", "Name", hint="that of the type"),
            Field("base_url", "Base URL", hint="that of the type"),
            *credential_fields(needed=False),
            _private_field(False),
        ]
        provider = await self.ask_form("new provider", fields, create, verb="Add")
        if provider is not None:
            await self._try_new(provider, link)

    async def _try_new(self, row: Record, link: GatewayLink) -> None:
        """Test what was just added; what fails stays, switched off, so that nothing is sent."""
        answer = await self._test(row, link)
        if answer["ok"]:
            self.conduit.tell(f"added {row['name']}: {answered(answer)}")
            await self._offer_models(row, link)
            return
        await self.change(row, {"enabled": False}, link=link)
        self.conduit.tell(
            f"{row['name']} was added and is off, for its test failed: {redacted(answer['error'])}",
            severity="error",
            hint="c e enters its key anew, t tests it, x enables it",
        )

    async def do_edit(self) -> None:
        row, link = self.row, self.conduit.link
        if row is None:
            return

        edited = Edited(self, row, _fields_of)
        title = f"provider {row['name']}, version {row['version']}"
        saved = await self.ask_form(
            title, edited.fields(), edited.save, only_changes=True, reread=edited.reread
        )
        if saved is not None and edited.changed:
            await self._tell_edited(row, saved, link)

    async def _tell_edited(self, before: Record, saved: Record, link: GatewayLink) -> None:
        """A new host leaves the credentials unusable, which only reading it again shows."""
        now = await self.read_again(saved, link)
        unusable = [each for each in now["credentials"] if each["state"] == "wrong_host"]
        if before["base_url"] != now["base_url"] and unusable:
            hint = "c e enters its key anew: it was given for another host"
            self.conduit.tell(f"changed {now['name']}", severity="warning", hint=hint)
        else:
            self.conduit.tell(f"changed {now['name']}")

    def delete_effect(self, rows: Sequence[Record]) -> str:
        count = sum(len(row["credentials"]) for row in rows)
        what = people.counted(count, "credential")
        own = f"{what} will be deleted too. " if count else ""
        return f"{own}A provider that a mapping names is not deleted."


def _host(row: Record, _: Glyphs) -> str:
    return urlsplit(row["base_url"]).netloc or "-"


def _fields_of(row: Record) -> list[Field]:
    """What can be changed of a provider."""
    return [
        Field("base_url", "Base URL", row["base_url"], required=True),
        _private_field(row["allow_private"]),
        Field("enabled", "Enabled", row["enabled"], kind="bool", hint="requests may go to it"),
        Field(
            "on_hang_up",
            "On hang-up",
            row["on_hang_up"],
            kind="choice",
            choices=("cancel", "drain"),
            hint="drain reads on what is billed all the same",
        ),
    ]


def _private_field(value: bool) -> Field:
    hint = "plain http and private addresses are allowed"
    return Field("allow_private", "Private", value, kind="bool", hint=hint)


def new_provider(values: Values, kind: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `providers.create`. Raises Misfit for what the type needs and is missing."""
    body: dict[str, Any] = {"name": values["name"] or kind["name"], "type": kind["name"]}
    if values["base_url"]:
        body["base_url"] = values["base_url"]
    elif kind["default_base_url"] is None and not kind["simulated"]:
        form = kind.get("base_url_form")
        like = f", such as {form}" if form else f": {kind['name']} has none of its own"
        raise Misfit("base_url", f"is needed{like}")
    if values["allow_private"]:
        body["allow_private"] = True
    credential = entered(values, needed=kind["needs_credential"])
    if credential:
        body["credential"] = credential
    return body


def _left_out(row: Record) -> Iterator[Fact]:
    """The credentials that calls leave out, until when, and how to have them used again."""
    for credential in row["credentials"]:
        if credential["state"] != "ready" or not (found := standing.left_out(credential)):
            continue
        for each in found:
            of = "" if each["model"] is None else f"{each['model']}: "
            said = f"{of}{each['reason']}; until {people.moment(each['until'])}"
            yield Fact(credential["name"], said, "bad" if each["model"] is None else "warn")
        again = f"conduit breakers reset {row['name']} --credential {credential['name']}"
        yield Fact("", f"{again} uses it again", "dim")
        yield BLANK
