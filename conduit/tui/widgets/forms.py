"""A form in a dialog: checked field by field here, and again by the gateway."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Input, Select, Static

from conduit.client.errors import ApiError, ClientError
from conduit.core.redaction import redacted
from conduit.tui.widgets.completion import PartSuggester
from conduit.tui.widgets.frame import app_of
from conduit.tui.widgets.modal import Modal

Values = dict[str, Any]
Submit = Callable[[Values], Awaitable[Mapping[str, Any]]]


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
    Misfit for what two fields say together.
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
    ) -> None:
        super().__init__()
        self._title = title
        self._fields = fields
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
        if self._sending:
            return
        faulty = [field for field in self._fields if not self._checked(field)]
        if faulty:
            self.query_one(f"#field-{faulty[0].name}").focus()
            return
        self._sending = True
        self._say("sending")
        app_of(self).attempt(self._send(), self._title)

    def on_mount(self) -> None:
        for field in self._fields:
            self._fault(field.name, "")

    async def _send(self) -> None:
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
            self.query_one(f"#field-{error.field}").focus()
            return
        except ClientError as error:
            self._refused(error)
            return
        finally:
            self._sending = False
        self.answer(record)

    def _refused(self, error: ClientError) -> None:
        message = redacted(error.message)
        hint = error.hint if isinstance(error, ApiError) else None
        if isinstance(error, ApiError) and error.status == 422:
            known = {field.name for field in self._fields}
            by_field, message = faults_of(message, known)
            for name, text in by_field.items():
                self._fault(name, text)
            if by_field:
                first = next(field for field in self._fields if field.name in by_field)
                self.query_one(f"#field-{first.name}").focus()
        elif isinstance(error, ApiError) and error.status == 409:
            message = f"{message} (nothing was saved)"
        self._say("\n".join(filter(None, (message, hint))))

    def _say(self, text: str) -> None:
        self.query_one("#form-error", Static).update(text)


def faults_of(message: str, known: set[str]) -> tuple[dict[str, str], str]:
    """A 422's message apart by field, `a.b: text; c: text`; what fits no field is left over."""
    by_field: dict[str, str] = {}
    rest: list[str] = []
    for part in message.split("; "):
        path, separator, text = part.partition(": ")
        name = next((step for step in path.split(".") if step in known), None)
        if separator and name is not None:
            by_field[name] = text
        else:
            rest.append(part)
    return by_field, "; ".join(rest)


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
