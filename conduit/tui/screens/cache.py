"""Answers that the gateway keeps: how many, what they have avoided, and forgetting them."""

from collections.abc import Iterator, Sequence

from textual.app import ComposeResult

from conduit.core import people
from conduit.tui.actions import LIST_VERBS, Action, listed
from conduit.tui.glyphs import Glyphs
from conduit.tui.state.traffic import Record
from conduit.tui.widgets.detailed import Reading, closing
from conduit.tui.widgets.facts import Fact, Facts
from conduit.tui.widgets.grid import Cell, Column
from conduit.tui.widgets.records import Empty
from conduit.tui.widgets.sections import ReadScreen

ALL = "all of them"


def _hit_rate(row: Record) -> float:
    looked_for = row["hits"] + row["misses"]
    return row["hits"] / looked_for if looked_for else 0.0


def _shown_rate(row: Record, _: Glyphs) -> str:
    return f"{_hit_rate(row):.0%}" if row["hits"] + row["misses"] else "-"


class CacheScreen(ReadScreen):
    """The first row is the sum; the others are the aliases that have kept anything."""

    PLACE = "cache"
    TABLE = "cache"
    NOUN = "row"
    PLURAL = "rows"
    PANE_KEYS = "D clear"
    CSS_PATH = ["detailed.tcss", "sections.tcss"]
    EMPTY = Empty("Nothing is known of kept answers.", "conduit cache stats")
    ACTIONS = (
        *listed("cache", "row", (verb for verb in LIST_VERBS if "mark" not in verb)),
        Action("cache.clear", "Forget the answers that are kept", ("D",), "clear", 1, changes=True),
        closing("cache"),
    )
    COLUMNS = (
        Column(
            "ALIAS",
            lambda row, _: Cell(row["name"], "accent" if row["name"] == ALL else ""),
            16,
            grow=1,
            priority=0,
            sort=lambda row: row["name"],
        ),
        Column("KEPT", lambda r, _: people.count(r["entries"]), 7, right=True, priority=0),
        Column("SIZE", lambda r, _: people.size(r["bytes"]), 8, right=True, priority=2),
        Column("HITS", lambda r, _: people.count(r["hits"]), 8, right=True, priority=0),
        Column("MISSES", lambda r, _: people.count(r["misses"]), 8, right=True, priority=1),
        Column("RATE", _shown_rate, 5, right=True, priority=0, sort=_hit_rate),
        Column("AVOIDED", lambda r, _: people.money(r["avoided"]), 9, right=True, priority=0),
    )

    async def read_rows(self) -> list[Record]:
        found = await self.conduit.link.call("cache.show")
        aliases = found.pop("aliases")
        return [{**found, "name": ALL}, *({**each, "name": each["alias"]} for each in aliases)]

    def compose_detail(self) -> ComposeResult:
        yield Facts(id="facts")

    def draw_detail(self, row: Record, reading: Reading | None) -> None:
        self.query_one("#facts", Facts).show([*_facts(row)])

    def shown_rows(self) -> list[Record]:
        rows = super().shown_rows()
        return sorted(rows, key=lambda row: row["name"] != ALL)

    async def do_clear(self) -> None:
        row, link = self.row, self.conduit.link
        if row is None:
            return
        alias = row.get("alias")
        question = f"Forget the kept answers of {alias}?" if alias else "Forget all kept answers?"
        effect = "The next requests are sent to providers and cost what they cost."
        if not await self.sure(question, effect, "Forget"):
            return
        body = {"alias": alias} if alias else {}
        answer = await link.change("cache.clear", body=body)
        self.conduit.tell(f"forgot {people.counted(answer['cleared'], 'answer')}")
        self.do_refresh()

    def curl_of(self, row: Record) -> str:
        url = f"{self.conduit.target.admin_url}/admin/cache"
        return f'curl -s {url} -H "Authorization: Bearer $CONDUIT_MASTER_KEY"'


def _facts(row: Record) -> Iterator[Fact]:
    shown: Sequence[tuple[str, str]] = (
        ("kept", people.count(row["entries"])),
        ("size", people.size(row["bytes"])),
        ("hits", people.count(row["hits"])),
        ("misses", people.count(row["misses"])),
        ("bypassed", people.count(row["bypassed"])),
        ("avoided", people.money(row["avoided"])),
    )
    for name, text in shown:
        yield Fact(name, text)
    if "limit_bytes" in row:
        yield Fact("since", people.moment(row["since"]))
        yield Fact("room", people.size(row["limit_bytes"]))
        yield Fact("of one", people.size(row["entry_limit_bytes"]))
        yield Fact("at most", f"{people.count(row['max_entries'])} answers")
