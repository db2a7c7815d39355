"""The health of a provider: what has happened to it, and its breakers by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from conduit.core import people
from conduit.core.redaction import redacted
from conduit.tui.actions import Action
from conduit.tui.state.store import id_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.dialogs.levels import is_agreed
from conduit.tui.widgets.dialogs.picker import Choice, Picker
from conduit.tui.widgets.providers.credentials import CredentialsScreen

OPEN_S = 600
SINCE = "24h"
_SPAN = timedelta(hours=24)
_MOST_CHANGES = 200
_DEPLOYMENTS = "deployments"
_CHORD = {
    "o": (f"open {OPEN_S // 60} min", "open"),
    "c": ("close", "close"),
    "r": ("reset", "reset"),
}
HEALTH_ACTIONS = (
    Action("providers.health", "Its health in the last 24 hours", ("H",), "health", 6),
    Action("providers.breaker", "Breakers: open, close, reset", ("b",), "breaker", 6),
    Action("providers.breaker-open", "Open its breakers for 10 minutes", changes=True),
    Action("providers.breaker-close", "Close its breakers", changes=True),
    Action("providers.breaker-reset", "Forget what is held against it", changes=True),
)


class HealthScreen(CredentialsScreen):
    """Verbs on the health of the provider under the cursor."""

    async def do_health(self) -> None:
        """List what has happened; breakers and credentials, the newest first."""
        row, link = self.row, self.conduit.link
        if row is None:
            return
        query: dict[str, object] = {
            "provider": row["name"],
            "since": _since(self.store.wall_ms()),
            "limit": _MOST_CHANGES,
        }
        found = (await link.call("health.history", query=query))["data"]
        arrow = self.glyphs.arrow
        choices = [Choice(str(n), change_told(each, arrow)) for n, each in enumerate(found)]
        empty = "no breaker and no credential has changed in the last 24 hours"
        picker = Picker(f"health of {row['name']}, {SINCE}", choices, empty=empty)
        await self.conduit.push_screen_wait(picker)

    def do_breaker(self) -> None:
        """Wait for the letter of what is to be done."""
        options: dict[str, tuple[str, Callable[[], object]]] = {
            key: (label, partial(self.conduit.perform, f"providers.breaker-{verb}"))
            for key, (label, verb) in _CHORD.items()
        }
        self.conduit.ask_key("breakers", options)

    async def do_breaker_open(self) -> None:
        row = self.row
        if row is None:
            return
        question = f"Open the breakers of {row['name']} for {OPEN_S // 60} minutes?"
        effect = "No request goes there meanwhile; mappings go on with their other targets."
        name = row["name"]
        if await is_agreed(self, "moderate", question, effect, name=name, verb="Open"):
            await self._order("breakers.open", "opened", row, for_s=OPEN_S)

    async def do_breaker_close(self) -> None:
        await self._order("breakers.close", "closed", self.row)

    async def do_breaker_reset(self) -> None:
        await self._order("breakers.reset", "reset", self.row)

    async def _order(self, name: str, done: str, row: Record | None, **more: object) -> None:
        if row is None:
            return
        link = self.conduit.link
        targets = (await link.change(name, body={"provider": row["name"], **more}))["data"]
        told = people.counted(len(targets), "breaker")
        self.conduit.tell(f"{done} {told} of {row['name']}")
        link.refresh({_DEPLOYMENTS, self.TABLE})
        if self.row is not None and id_of(self.row) == id_of(row):
            await self.read_again(row, link)


def _since(now_ms: int) -> str:
    return (datetime.fromtimestamp(now_ms / 1000, UTC) - _SPAN).isoformat(timespec="seconds")


def change_told(change: Record, arrow: str) -> str:
    """`11-30 07:20:18  gpt-4o (main)  closed → open  5 of 10 calls failed`."""
    at = people.moment(change["at"])[5:].removesuffix("Z")
    model = change["model"] or "every model"
    credential = f" ({change['credential']})" if change["credential"] else ""
    states = f"{change['before']} {arrow} {change['after']}".replace("_", " ")
    reason = f"  {redacted(change['reason'])}" if change["reason"] else ""
    return f"{at}  {model}{credential}  {states}{reason}"
