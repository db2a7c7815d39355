"""The credentials of a provider: adding, replacing, testing and ordering them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from conduit.client.errors import ApiError, ClientError
from conduit.core import people
from conduit.core.redaction import redacted
from conduit.tui.actions import Action
from conduit.tui.state.gateway import GatewayLink, Refused
from conduit.tui.state.store import id_of
from conduit.tui.state.tentative import shown_at_once
from conduit.tui.state.traffic import Record
from conduit.tui.state.undoing import Undo
from conduit.tui.widgets import standing
from conduit.tui.widgets.detailed import DetailedScreen
from conduit.tui.widgets.dialogs.forms import Field, FormDialog, Misfit, Values
from conduit.tui.widgets.dialogs.levels import is_agreed, must_agree
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.records import not_undone

_FROM_NOW_ON = "It counts from the next call on."
CREDENTIAL_ACTIONS = (
    Action("providers.credential", "Credentials: add, test, change", ("c",), "credentials", 3),
    Action("providers.credential-add", "Add a credential", changes=True),
    Action("providers.credential-enter", "Enter a credential anew", changes=True),
    Action("providers.credential-toggle", "Enable or disable a credential", changes=True),
    Action("providers.credential-first", "Use a credential before the others", changes=True),
    Action("providers.credential-test", "Test a credential"),
    Action("providers.credential-remove", "Remove a credential", changes=True),
)
_CHORD = {
    "a": ("add", "add"),
    "e": ("enter anew", "enter"),
    "x": ("on/off", "toggle"),
    "p": ("first", "first"),
    "t": ("test", "test"),
    "D": ("remove", "remove"),
}
CREDENTIAL_COLUMNS = (
    Column("CREDENTIAL", lambda row, _: row["name"], 11, grow=1, priority=0),
    Column("STATE", standing.of_credential, 13, priority=0),
    Column("FROM", lambda row, _: row["source"], 18, grow=2, priority=1),
    Column("ENDS", lambda row, _: row["hint"] or "-", 8, priority=2),
    Column("", lambda row, _: Cell("first", "accent") if row.get("primary") else "", 5, priority=0),
)


class CredentialsScreen(DetailedScreen):
    """The verbs of the credentials of the provider under the cursor."""

    def why_not(self, action: Action) -> str | None:
        if action.verb.startswith("credential") and self.can_draw:
            if self.row is None:
                return "there is no provider to choose"
            if action.verb not in ("credential", "credential-add") and not self.row["credentials"]:
                return f"{self.row['name']} has no credential"
        return super().why_not(action)

    def do_credential(self) -> None:
        """Wait for the letter of what is to be done."""
        options: dict[str, tuple[str, Callable[[], object]]] = {
            key: (label, partial(self.conduit.perform, f"providers.credential-{verb}"))
            for key, (label, verb) in _CHORD.items()
        }
        self.conduit.ask_key("credential", options)

    async def do_credential_add(self) -> None:
        row, link = self.row, self.conduit.link
        if row is None:
            return

        async def add(values: Values) -> Mapping[str, Any]:
            name = values["name"]
            body = {"name": name, **entered(values, needed=True)}
            question = f"Add the credential {name} to {row['name']}?"
            await must_agree(self, "mild", question, _FROM_NOW_ON, name=name, verb="Add")
            return await link.change("credentials.create", id_of(row), body=body)

        name = Field("name", "Name", "" if row["credentials"] else "default", required=True)
        title = f"new credential of {row['name']}"
        made = await self._ask(title, [name, *credential_fields()], add)
        if made is not None:
            await self._tell(row, f"added {_named(row, made)}", link)

    async def do_credential_enter(self) -> None:
        link = self.conduit.link
        row, credential = await self._choose()
        if row is None or credential is None:
            return

        async def enter(values: Values) -> Mapping[str, Any]:
            body, name = entered(values, needed=True), credential["name"]
            question = f"Replace the credential {name} of {row['name']}?"
            await must_agree(self, "mild", question, _FROM_NOW_ON, name=name, verb="Replace")
            return await _update(row, credential, body, link)

        title = f"enter {credential['name']} of {row['name']} anew"
        made = await self._ask(title, credential_fields(), enter)
        if made is not None:
            await self._tell(row, f"entered {_named(row, made)}", link)

    async def _ask(self, title: str, fields: list[Field], submit: Any) -> Record | None:
        dialog = FormDialog(title, fields, submit)
        made: Record | None = await self.conduit.push_screen_wait(dialog)
        return made

    async def _tell(self, row: Record, done: str, link: GatewayLink) -> None:
        """Say what was done, and read the provider as it is now."""
        self.conduit.tell(done)
        await self.read_again(row, link)

    async def do_credential_toggle(self) -> None:
        link = self.conduit.link
        row, credential = await self._choose()
        if row is None or credential is None:
            return
        name, verb = credential["name"], "Disable" if credential["enabled"] else "Enable"
        question = f"{verb} the credential {name}?"
        if await is_agreed(self, "mild", question, _FROM_NOW_ON, name=name, verb=verb):
            await self._switch_credential(row, credential, not credential["enabled"], link)

    async def _switch_credential(
        self,
        row: Record,
        credential: Record,
        enabled: bool,
        link: GatewayLink,
        *,
        undoes: Record | None = None,
    ) -> None:
        """Shown at once.

        With `undoes` the credential becomes again what that is; refused when somebody has changed
        it since.
        """
        done = f"{'enabled' if enabled else 'disabled'} {_named(row, credential)}"

        async def send(known: Record) -> Record:
            now = _credential_of(known, credential)
            sent = now
            if undoes is not None:
                version = undoings.version_of(id_of(credential), credential["version"])
                sent = {**now, "version": version}
            try:
                answer = await _update(known, sent, {"enabled": enabled}, link)
            except ApiError as error:
                raise (error if undoes is None else not_undone(error)) from None
            changed.append((now, answer))
            return _with_credential(known, id_of(answer), answer)

        changed: list[tuple[Record, Record]] = []
        undoings = self.conduit.undoings
        look = {"enabled": enabled, "state": "ready" if enabled else "disabled"}
        with shown_at_once(
            link, self.TABLE, [row], lambda row: _with_credential(row, id_of(credential), look)
        ) as sender:
            self.show_store()
            try:
                await sender.send(row, send)
            except ClientError as error:
                self.conduit.report(error, f"{_named(row, credential)} is shown as it was")
        self.show_store()
        if not changed:
            return

        before, after = changed[0]

        async def undo() -> None:
            await self._switch_credential(row, after, not enabled, link, undoes=before)

        if undoes is not None:
            undoings.put_back(id_of(after), undoes["version"], now=after["version"])
            self.conduit.tell(f"undone: {_named(row, credential)} is as it was")
        else:
            self.conduit.tell(done, undo=Undo(link, self.PLACE, undo))
        await self.read_again(row, link)

    async def do_credential_first(self) -> None:
        link = self.conduit.link
        row, credential = await self._choose()
        if row is None or credential is None:
            return
        name = credential["name"]
        question = f"Use the credential {name} first?"
        if await is_agreed(self, "mild", question, _FROM_NOW_ON, name=name, verb="Use"):
            await _update(row, credential, {"primary": True}, link)
            await self._tell(row, f"{_named(row, credential)} is used first now", link)

    async def do_credential_test(self) -> None:
        link = self.conduit.link
        row, credential = await self._choose()
        if row is None or credential is None:
            return
        names = id_of(row), id_of(credential)
        found = await link.call("credentials.test", *names)
        if found["ok"]:
            text = f"{_named(row, credential)}: {answered(found)}"
            self.conduit.tell(text)
        else:
            text = f"{_named(row, credential)}: {redacted(found['error'])}"
            self.conduit.tell(text, severity="error")

    async def do_credential_remove(self) -> None:
        link = self.conduit.link
        row, credential = await self._choose()
        if row is None or credential is None:
            return
        others = len(row["credentials"]) - 1
        rest = f"{others} of its credentials stay." if others else "It has no other one."
        effect, name = f"{row['name']} cannot use it any more. {rest}", credential["name"]
        question = f"Remove the credential {name}?"
        if await is_agreed(self, "moderate", question, effect, name=name, verb="Remove"):
            names = id_of(row), id_of(credential)
            await link.change("credentials.delete", *names)
            await self._tell(row, f"removed {_named(row, credential)}", link)

    async def _choose(self) -> tuple[Record | None, Record | None]:
        """The provider under the cursor, and one of its credentials; of several, ask which."""
        row = self.row
        if row is None or not row["credentials"]:
            return row, None
        if len(row["credentials"]) == 1:
            return row, row["credentials"][0]
        choices = [
            Choice(
                id_of(each), each["name"], note=f"{each['source']}  {standing.usable_state(each)}"
            )
            for each in row["credentials"]
        ]
        chosen = await self.conduit.push_screen_wait(Picker(f"which of {row['name']}", choices))
        return row, next((each for each in row["credentials"] if id_of(each) == chosen), None)


async def _update(
    row: Record, credential: Record, body: Mapping[str, Any], link: GatewayLink
) -> Record:
    sent = {**body, "version": credential["version"]}
    return await link.change("credentials.update", id_of(row), id_of(credential), body=sent)


def credential_fields(*, needed: bool = True) -> list[Field]:
    """A key in one of two ways: entered here, or as a reference that the gateway reads."""
    hint = "stored sealed, never shown again" if needed else "if it needs one"
    return [
        Field("secret", "API key", kind="secret", hint=hint),
        Field("reference", "or from", check=reference, hint="env:NAME or file:PATH of the gateway"),
    ]


def reference(text: str) -> dict[str, str]:
    """What `env:NAME` and `file:PATH` mean. Raises ValueError."""
    kind, separator, rest = text.partition(":")
    if kind not in ("env", "file") or not separator or not rest:
        raise ValueError("env:NAME or file:PATH is expected")
    return {kind: rest}


def entered(values: Values, *, needed: bool) -> dict[str, Any]:
    """The part of a credential that the two fields say. Raises Misfit."""
    secret, referred = values["secret"], values["reference"]
    if secret and referred:
        raise Misfit("reference", "give the key or where it is from, not both")
    if needed and not secret and not referred:
        raise Misfit("secret", "is needed, here or as a reference")
    return {"secret": secret} if secret else dict(referred or {})


def answered(test: Mapping[str, Any]) -> str:
    """What a test that went well found out."""
    if test.get("note"):  # it lists no models, so no credential was looked at
        return f"answers, {test['latency_ms']} ms; its key is tried when a model is asked"
    listed = test["models"]
    models = "" if listed is None else f", {people.counted(listed, 'model')}"
    return f"ok{models}, {test['latency_ms']} ms"


def _named(row: Record, credential: Mapping[str, Any]) -> str:
    return f"credential {credential['name']} of {row['name']}"


def _credential_of(row: Record, credential: Record) -> Record:
    """A credential as the provider has it now. Raises Refused."""
    for each in row["credentials"]:
        if id_of(each) == id_of(credential):
            return dict(each)
    raise Refused("not sent: it is gone")


def _with_credential(row: Record, id: str, fields: Record) -> Record:
    """A provider with one of its credentials in another state."""
    credentials = [{**each, **fields} if id_of(each) == id else each for each in row["credentials"]]
    return {**row, "credentials": credentials}
