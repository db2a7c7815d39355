"""A form in a dialog: checked field by field here, and again by the gateway."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Input, Select, Static

from conduit.client.errors import ApiError, ClientError
from conduit.core.redaction import redacted
from conduit.tui.widgets.dialogs.completion import PartSuggester
from conduit.tui.widgets.dialogs.modal import Modal
from conduit.tui.widgets.frame import app_of

Values = dict[str, Any]
Submit = Callable[[Values], Awaitable[Mapping[str, Any]]]
CONFLICT = 409
_NAMED = re.compile(r"(?:^|; )[a-z_][a-z0-9_.]*: ")


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `check` turns the text into what the API takes, or raises ValueError.

    `choices` are what a choice is made of, and what completes the parts of a text between commas;
    a list may still grow while the form is open.
    """

    name: str
    label: str
    value: Any = ""
    kind: Literal["text", "secret", "bool", "choice"] = "text"
    hint: str = ""
    required: bool = False
    check: Callable[[str], Any] | None = None
    choices: Sequence[str] = ()


def begun_with(fields: Sequence[Field], named: str | None) -> Sequence[Field]:
    """Fields of which the first one that takes this name has it already."""
    for place, field in enumerate(fields):
        takes = field.kind == "text" or (field.kind == "choice" and named in field.choices)
        if named is not None and takes:
            return [*fields[:place], replace(field, value=named), *fields[place + 1 :]]
    return fields


Reread = Callable[[], Awaitable[Sequence[Field] | None]]
"""Reads the record of a form again after a conflict: its fields as somebody else left them, or None
where the record is as it was, so that the conflict is about something else. Raises ClientError."""


class Misfit(ValueError):
    """A field that does not go with another one."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Box(Checkbox):
    """A yes or no that can be told apart without colours, and is written in ASCII."""

    BUTTON_LEFT = BUTTON_RIGHT = ""
    BUTTON_INNER = "[ ]"
    DEFAULT_CSS = """
    Box > .toggle--button { color: $foreground; background: $panel; }
    Box.-on > .toggle--button { color: $good; background: $panel; }
    """

    def watch_value(self) -> None:
        self.BUTTON_INNER = "[x]" if self.value else "[ ]"
        super().watch_value()


class FormDialog(Modal[Mapping[str, Any] | None]):
    """Answers with the record that the gateway made of it, or None.

    `submit` gets the values of all fields; with `only_changes`, of those that differ from what
    they were. It may raise ClientError: 422 is shown at the fields it names, the rest below; and
    Misfit for what two fields say together. With `reread`, a record that somebody else has changed
    meanwhile is merged: both changes are shown, and what is chosen is saved.
    """

    BINDINGS = [
        Binding("escape", "leave", "Cancel"),
        Binding("ctrl+s", "submit", "Save", priority=True),
    ]
    AUTO_FOCUS = "Input, Select, Checkbox"

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        submit: Submit,
        *,
        verb: str = "Save",
        only_changes: bool = False,
        reread: Reread | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._fields = fields
        self._reread = reread
        self._submit = submit
        self._verb = verb
        self._only_changes = only_changes
        self._leaving = False
        self._sending = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog form") as dialog:
            dialog.border_title = self._title
            with VerticalScroll(classes="fields", can_focus=False):
                for field in self._fields:
                    yield from self._composed(field)
            yield Static("", id="form-error", classes="field-error", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel  Esc", id="cancel", compact=True)
                yield Button(f"{self._verb}  ^s", id="submit", variant="primary", compact=True)

    def _composed(self, field: Field) -> ComposeResult:
        with Horizontal(classes="field"):
            label = f"{field.label}{' *' if field.required else ''}"
            yield Static(label, classes="label", markup=False)
            yield _entry(field)
        yield Static("", id=f"error-{field.name}", classes="field-error", markup=False)

    # What was typed

    def value_of(self, field: Field) -> Any:
        """The value as the API takes it. Raises ValueError."""
        entry = self.query_one(f"#field-{field.name}")
        if isinstance(entry, Checkbox):
            return entry.value
        if isinstance(entry, Select):
            return entry.value if isinstance(entry.value, str) else None
        assert isinstance(entry, Input), "the other kinds are texts"
        text = entry.value.strip()
        if not text:
            if field.required:
                raise ValueError("is needed")
            return None
        return field.check(text) if field.check else text

    def _raw(self, field: Field) -> Any:
        entry = self.query_one(f"#field-{field.name}")
        assert isinstance(entry, Checkbox | Select | Input), "what fields are made of"
        return entry.value

    def _is_changed(self, field: Field) -> bool:
        return bool(self._raw(field) != field.value)

    def on_descendant_blur(self, event: Any) -> None:
        name = (event.widget.id or "").removeprefix("field-")
        field = next((field for field in self._fields if field.name == name), None)
        if field is not None and self._raw(field) != "":
            self._checked(field)

    def on_input_changed(self, event: Input.Changed) -> None:
        """What is wrong is said until it is right, and not longer."""
        name = (event.input.id or "").removeprefix("field-")
        field = next((field for field in self._fields if field.name == name), None)
        if field is not None and self.query_one(f"#error-{name}").display:
            self._checked(field)

    def _checked(self, field: Field) -> bool:
        if self._only_changes and not self._is_changed(field):
            # It stays as it is, even if it could not be entered now: an expiry that is past.
            self._fault(field.name, "")
            return True
        try:
            self.value_of(field)
        except ValueError as error:
            self._fault(field.name, str(error))
            return False
        self._fault(field.name, "")
        return True

    def _fault(self, name: str, text: str) -> None:
        fault = self.query_one(f"#error-{name}", Static)
        fault.update(text)
        fault.display = bool(text)

    def _point_at(self, name: str) -> None:
        """Go to a field, with what is wrong of it in sight too: a long form shows a part."""
        self.query_one(f"#field-{name}").focus()
        fault = self.query_one(f"#error-{name}")
        self.call_after_refresh(fault.scroll_visible, animate=False)

    # Keys

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == f"field-{self._fields[-1].name}":
            self.action_submit()
        else:
            self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "submit":
            self.action_submit()
        else:
            self._leave()

    def _leave(self) -> None:
        """Not while an answer is on its way: it may bring what cannot be had again."""
        if self._sending:
            self._say("wait: the gateway has been asked and will answer")
        else:
            self.answer(None)

    def action_leave(self) -> None:
        if (
            self._sending
            or self._leaving
            or not any(self._is_changed(field) for field in self._fields)
        ):
            self._leave()
            return
        self._leaving = True
        self._say("Esc again discards what you typed")

    def action_submit(self) -> None:
        """Once the field has got what was typed ahead: its keys come by a longer way than `^s`."""
        (self.focused or self).call_later(self._submit_now)

    def _submit_now(self) -> None:
        if self._sending:
            return
        faulty = [field for field in self._fields if not self._checked(field)]
        if faulty:
            self._point_at(faulty[0].name)
            return
        self._sending = True
        self._say("sending")
        app_of(self).attempt(self._send(), self._title)

    def on_mount(self) -> None:
        for field in self._fields:
            self._fault(field.name, "")

    async def _send(self) -> None:
        """Send until it is saved, refused, or given up at a merge."""
        try:
            while await self._sent_in_vain():
                pass
        finally:
            self._sending = False

    async def _sent_in_vain(self) -> bool:
        """Send what stands in the form; True when it was merged and is to be sent again."""
        values = {
            field.name: self.value_of(field)
            for field in self._fields
            if not self._only_changes or self._is_changed(field)
        }
        try:
            record = await self._submit(values)
        except Misfit as error:
            self._say("")
            self._fault(error.field, str(error))
            self._point_at(error.field)
            return False
        except ApiError as error:
            # One that names a field is of a name that is taken, not of what others have changed.
            if error.status == CONFLICT and error.param is None and self._reread is not None:
                return await self._merged(error, self._reread)
            self._refused(error)
            return False
        except ClientError as error:
            self._refused(error)
            return False
        self.answer(record)
        return False

    async def _merged(self, error: ApiError, reread: Reread) -> bool:
        """Show what both changed; True when it is to be saved as it was chosen."""
        from conduit.tui.widgets.dialogs import merging  # noqa: PLC0415  # deferred: rare

        try:
            theirs = await reread()
        except ClientError as failure:
            self._refused(failure)
            return False
        if theirs is None:
            self._refused(error)
            return False
        found = merging.differences(
            {field.name: field.label for field in self._fields},
            {field.name: field.value for field in self._fields},
            {field.name: field.value for field in theirs},
            {field.name: self._raw(field) for field in self._fields},
        )
        self._fields = theirs
        if all(each.theirs == each.was for each in found):
            return True  # what the other one changed stands in no field
        chosen = await app_of(self).push_screen_wait(merging.MergeDialog(self._title, found))
        for each in chosen or found:
            if chosen is not None or not each.keeps_yours:
                self._put(each.name, each.chosen)
        if chosen is None:
            self._say("nothing was saved: what was changed by others stands in the form now")
        return chosen is not None

    def _put(self, name: str, value: Any) -> None:
        entry = self.query_one(f"#field-{name}")
        assert isinstance(entry, Checkbox | Select | Input), "what fields are made of"
        entry.value = value

    def _refused(self, error: ClientError) -> None:
        message = redacted(error.message)
        hint = error.hint if isinstance(error, ApiError) else None
        if isinstance(error, ApiError) and (error.status == 422 or error.param is not None):
            known = {field.name for field in self._fields}
            by_field, message = faults_of(message, known, error.param)
            for name, text in by_field.items():
                self._fault(name, text)
            if by_field:
                first = next(field for field in self._fields if field.name in by_field)
                self._point_at(first.name)
        elif isinstance(error, ApiError) and error.status == CONFLICT:
            message = f"{message} (nothing was saved)"
        self._say("\n".join(filter(None, (message, hint))))

    def _say(self, text: str) -> None:
        self.query_one("#form-error", Static).update(text)


def faults_of(message: str, known: set[str], param: str | None) -> tuple[dict[str, str], str]:
    """What a 422 says by field; what fits no field is left over.

    `param` names the field, and the first one where the message names several: `a.b: text; c: text`
    is taken apart then.
    """
    if len(_NAMED.findall(message)) < 2:
        name = _field_of(param or "", known)
        return ({}, message) if name is None else ({name: message.removeprefix(f"{param}: ")}, "")
    by_field: dict[str, str] = {}
    rest: list[str] = []
    for part in message.split("; "):
        path, separator, text = part.partition(": ")
        name = _field_of(path, known)
        if separator and name is not None:
            by_field[name] = text
        else:
            rest.append(part)
    return by_field, "; ".join(rest)


def _field_of(path: str, known: set[str]) -> str | None:
    """The field that a path such as `budget.limit` leads to. What stands in a list is the list's:
    the `limit` of `limits.0.limit` is not that of the budget.
    """
    steps = takewhile(lambda step: not step.isdigit(), path.split("."))
    return next((step for step in steps if step in known), None)


def _entry(field: Field) -> Widget:
    entry_id = f"field-{field.name}"
    match field.kind:
        case "bool":
            return Box(field.hint or "yes", value=bool(field.value), id=entry_id, compact=True)
        case "choice":
            return Select(
                [(choice, choice) for choice in field.choices],
                value=field.value or field.choices[0],
                allow_blank=False,
                id=entry_id,
                compact=True,
            )
        case "secret":
            return Input(password=True, placeholder=field.hint, id=entry_id, compact=True)
        case "text":
            return Input(
                value=str(field.value),
                placeholder=field.hint,
                suggester=PartSuggester(field.choices) if field.choices else None,
                id=entry_id,
                compact=True,
            )
