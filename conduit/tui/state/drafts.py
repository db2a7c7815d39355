"""Changes of settings that were entered and not yet sent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conduit.tui.state.traffic import Record

FROM_FILE = "file "
"""What the origin of a setting begins with that stands in the gateway's settings file."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What would become of one setting. `new` is None where it is taken out of the file."""

    name: str
    old: Any
    new: Any
    restart_needed: bool

    def told(self, arrow: str) -> str:
        new = "its default" if self.new is None else shown(self.new)
        later = ", after a restart" if self.restart_needed else ""
        return f"{self.name}: {shown(self.old)} {arrow} {new}{later}"


@dataclass(slots=True)
class Draft:
    """New values by the names of settings; None takes one out of the settings file."""

    values: dict[str, Any] = field(default_factory=dict)
    revision: int = 0

    def put(self, row: Record, value: Any) -> bool:
        """Enter a value; one that the setting has already is no change. Says whether it is one."""
        self.revision += 1
        if value == row["value"] and type(value) is type(row["value"]):
            self.values.pop(row["name"], None)
            return False
        self.values[row["name"]] = value
        return True

    def unset(self, row: Record) -> None:
        """Let the default count again."""
        self.revision += 1
        self.values[row["name"]] = None

    def drop(self, name: str) -> bool:
        """Forget a change that was entered."""
        self.revision += 1
        return self.values.pop(name, self) is not self

    def clear(self) -> None:
        self.revision += 1
        self.values.clear()

    def differences(self, rows: Iterable[Record]) -> list[Difference]:
        """What the changes would do to the settings as they are now, in their order."""
        return [
            Difference(row["name"], row["value"], self.values[row["name"]], row["restart_needed"])
            for row in rows
            if row["name"] in self.values and self._is_change(row)
        ]

    def _is_change(self, row: Record) -> bool:
        new = self.values[row["name"]]
        return is_in_file(row) if new is None else new != row["value"]


def is_in_file(row: Mapping[str, Any]) -> bool:
    """Whether the settings file is where a value comes from."""
    return str(row["origin"]).startswith(FROM_FILE)


def shown(value: Any) -> str:
    """A value as people read it."""
    match value:
        case None:
            return "not set"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
