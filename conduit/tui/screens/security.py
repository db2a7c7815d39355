"""Who may call, from where and how much; what was refused; and where that is changed."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from textual.app import ComposeResult

from conduit.core import people
from conduit.tui.actions import Action
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.connectivity import duration
from conduit.tui.state.store import id_of
from conduit.tui.state.traffic import Record
from conduit.tui.widgets import standing
from conduit.tui.widgets.facts import Fact, Facts
from conduit.tui.widgets.frame import FrameScreen, Said
from conduit.tui.widgets.grid import Cell, Column, Grid
from conduit.tui.widgets.records import LOADING_AFTER_S

AUTH_FAILED = "auth.failed"
_HELD_UP = (
    "Wrong keys are held up by themselves, 10 a minute from one address to the admin API, 60 to "
    "/v1: conduit bans lists and lifts that."
)


class SecurityScreen(FrameScreen):
    """Reads the keys and the settings; what can be changed of them is changed on their screens."""

    PLACE = "security"
    CSS_PATH = "security.tcss"
    TABLES = frozenset({"keys", "config"})
    AUTO_FOCUS = "#grid"
    ACTIONS = (
        Action("security.open", "Open the key", ("enter",), "open", 1),
        Action("security.limits", "Go to the gateway's own limits", ("w",), "gateway limits", 2),
        Action("security.denied", "Go to the networks that are shut out", ("d",), "shut out", 5),
        Action("security.admin", "Go to those that may administer", ("a",), "admin from", 5),
        Action("security.events", "Go to the events", ("v",), "events", 3),
        Action("security.refresh", "Read everything again", ("r",), "refresh", 4),
    )

    def __init__(self) -> None:
        super().__init__()
        self._loading_is_due = False
        self._columns = (
            Column("KEY", lambda row, _: row["name"], 14, grow=1, priority=0),
            Column("STATE", standing.of_key, 10, priority=0),
            Column("LIMITS", lambda row, _: _or_none(limits_of(row)), 18, grow=2, priority=0),
            Column("FROM", lambda row, _: _from(row), 14, grow=1, priority=1),
            Column("EXPIRES", self._expires, 8, right=True, priority=2),
        )

    def compose_body(self) -> ComposeResult:
        yield Facts(id="facts")
        yield Said(id="banner", classes="banner")
        yield Said(id="state", classes="state")
        yield Grid(self._columns, id="grid")

    def on_mount(self) -> None:
        self.set_timer(LOADING_AFTER_S, self._loading_due)

    def _loading_due(self) -> None:
        self._loading_is_due = True
        self.show_store()

    # What is shown

    def show_store(self) -> None:
        if not self.can_draw:
            return
        table = self.store.table("keys")
        rows = list(table.rows.values())
        self.query_one("#facts", Facts).show([*self._facts(rows)])
        grid = self.query_one("#grid", Grid)
        grid.set_rows(rows, [id_of(row) for row in rows])
        grid.display = bool(rows)
        if rows and self.focused is None:
            grid.focus()
        self._say("#state", "" if rows else self._state_text())
        self._say("#banner", f"{table.error}  (r reads again)" if table.error and rows else "")

    def _say(self, selector: str, text: str) -> None:
        line = self.query_one(selector, Said)
        line.say(text)
        line.set_class(bool(text), "-on")

    def _state_text(self) -> str:
        table, connectivity = self.store.table("keys"), self.store.connectivity
        if table.error is not None:
            return f"{self.glyphs.bad} {table.error}\n\nr reads again."
        if table.is_loaded:
            return "There are no virtual keys: nobody may call /v1.\n\nconduit keys create NAME"
        reason = connectivity.why_no_change()
        if reason is not None and connectivity.phase != "connecting":
            return f"{self.glyphs.bad} {reason}\n\n{connectivity.reason}"
        return "loading" + self.glyphs.ellipsis if self._loading_is_due else ""

    def _facts(self, keys: Sequence[Record]) -> Iterator[Fact]:
        if keys:
            yield Fact("keys", ", ".join(open_ends(keys)))
        setting = self.store.table("config").rows.get("rate_limits")
        if setting is not None:
            yield Fact("gateway", setting["value"] or "no limits of all requests together")
        yield from self._addresses()
        figures = self.store.figures
        if figures is not None and figures["requests"]:
            parts = (f"{name} {count:,}" for name, count in figures["statuses"].items())
            yield Fact("a minute", ", ".join(parts))
        wrong = self.store.received[AUTH_FAILED]
        if wrong:
            yield Fact("wrong keys", f"{people.counted(wrong, 'event')} since the start", "warn")
        yield Fact("held up", _HELD_UP, "dim")

    def _addresses(self) -> Iterator[Fact]:
        """The address lists of the whole gateway, which count before those of keys."""
        for name, title, without in (
            ("admin_allowed_ips", "admin from", "anywhere; a limits it"),
            ("denied_ips", "shut out", "no network; d shuts one out"),
        ):
            setting = self.store.table("config").rows.get(name)
            if setting is not None:
                yield Fact(title, setting["value"] or without)

    def _expires(self, row: Record, _: Glyphs) -> Cell | str:
        if row["expires_at"] is None:
            return "never"
        left_s = datetime.fromisoformat(row["expires_at"]).timestamp()
        left_s -= self.store.wall_ms() / 1000
        return duration(left_s) if left_s > 0 else Cell("past", "bad")

    # Actions

    @property
    def row(self) -> Record | None:
        found: Record | None = self.query_one("#grid", Grid).cursor_row
        return found

    def why_not(self, action: Action) -> str | None:
        if action.verb == "open" and self.can_draw and self.row is None:
            return "there is no key to choose"
        return None

    def on_grid_opened(self) -> None:
        self.conduit.perform("security.open")

    def do_open(self) -> None:
        if self.row is not None:
            self.conduit.open_record("keys", self.row["name"])

    def do_limits(self) -> None:
        self.conduit.open_record("config", "rate_limits")

    def do_denied(self) -> None:
        self.conduit.open_record("config", "denied_ips")

    def do_admin(self) -> None:
        self.conduit.open_record("config", "admin_allowed_ips")

    def do_events(self) -> None:
        self.conduit.go("live")

    def do_refresh(self) -> None:
        self.conduit.link.refresh(self.TABLES)


def limits_of(row: Record) -> str:
    """`rpm 60, tpm 100,000 (shadow)`."""
    return ", ".join(map(_limit, row.get("limits") or []))


def _limit(limit: Any) -> str:
    shadow = " (shadow)" if limit.get("shadow") else ""
    return f"{limit['kind']} {limit['limit']:,}{shadow}"


def _or_none(text: str) -> Cell | str:
    return text or Cell("none", "dim")


def _from(row: Record) -> Cell | str:
    return ", ".join(row.get("allowed_ips") or []) or Cell("anywhere", "dim")


def open_ends(keys: Sequence[Record]) -> Iterator[str]:
    """How many keys that are admitted are held by nothing, in words."""
    admitted = [row for row in keys if row["enabled"] and row["state"] != "expired"]
    yield f"{len(admitted):,} of {len(keys):,} admitted"
    for word, rows in (
        ("without a budget", [row for row in admitted if not row["budgets"]]),
        ("without limits", [row for row in admitted if not row.get("limits")]),
        ("from anywhere", [row for row in admitted if not row.get("allowed_ips")]),
        ("without an end", [row for row in admitted if row["expires_at"] is None]),
    ):
        if rows:
            yield f"{len(rows):,} {word}"
