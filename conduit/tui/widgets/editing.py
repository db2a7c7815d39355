"""A record in a form: saved by its version, merged with what somebody else saves meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from conduit.tui.state.store import label_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.dialogs.forms import Field, Values
from conduit.tui.widgets.dialogs.levels import must_agree

if TYPE_CHECKING:
    from conduit.tui.widgets.records import RecordsScreen

FieldsOf = Callable[[Record], Sequence[Field]]
BodyOf = Callable[[Values, Record], Mapping[str, Any]]


def as_typed(values: Values, _: Record) -> Mapping[str, Any]:
    """What is sent where the fields are those of the record."""
    return values


class Edited:
    """What `ask_form` needs to change a record of a list: its fields, its saving, its rereading.

    `body_of` says what is sent for the values that were changed, and of which record.
    """

    def __init__(
        self,
        screen: "RecordsScreen",
        row: Record,
        fields_of: FieldsOf,
        body_of: BodyOf = as_typed,
    ) -> None:
        self._screen = screen
        self._link = screen.conduit.link
        self._fields_of = fields_of
        self._body_of = body_of
        self.row = row
        self.changed = False

    def fields(self) -> Sequence[Field]:
        return self._fields_of(self.row)

    async def save(self, values: Values) -> Mapping[str, Any]:
        if values:
            name, effect = label_of(self.row), "It counts from the next call on."
            question = f"Save {self._screen.NOUN} {name}?"
            await must_agree(self._screen, "mild", question, effect, name=name, verb="Save")
            body = self._body_of(values, self.row)
            self.row = await self._screen.change(self.row, body, link=self._link)
            self.changed = True
        return self.row

    async def reread(self) -> Sequence[Field] | None:
        """The fields as they are now, or None where nobody else has changed the record."""
        before = self.row["version"]
        self.row = await self._screen.read_again(self.row, self._link)
        return None if self.row["version"] == before else self.fields()
