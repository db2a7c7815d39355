"""The interface against a gateway: its sums are the admin API's, and a setting is changed there."""

from pathlib import Path

from conduit.core import people
from tests.e2e.test_tui_reconnect import QUIT, serving, tui
from tests.fakes.upstream import FakeUpstream
from tests.tui.ptys import Terminal


def sum_of(terminal: Terminal) -> list[str]:
    """The figures of the last row: requests, tokens in, out and read from a cache, the cost."""
    line = next((line for line in terminal.lines() if line.startswith("  sum")), "")
    return line.split()[1:]


async def test_the_sum_that_is_shown_is_what_the_gateway_answers(
    fake: FakeUpstream, tmp_path: Path
) -> None:
    async with (
        serving(tmp_path, fake) as served,
        tui(served, tmp_path, "--screen", "usage") as terminal,
    ):
        await terminal.shows("LIVE", "Nothing was used in this time.")
        for model in ("ask-a", "ask-b", "ask-b"):
            await served.ask(model)
        terminal.type("r")
        await terminal.until(lambda: sum_of(terminal)[:1] == ["3"])
        terminal.type("ba")
        await terminal.shows("ask-a", "ask-b")
        used = await served.admin("GET", "/usage?by=alias")
        total = used["total"]
        assert total["requests"] == 3
        assert total["cost"] != "0"
        counts = ("requests", "input_tokens", "output_tokens", "cache_read_tokens")
        wanted = [people.count(total[name]) for name in counts]
        await terminal.until(lambda: sum_of(terminal) == [*wanted, people.money(total["cost"])])
        terminal.type(QUIT)
        assert await terminal.ended() == 0


async def test_a_setting_is_changed_at_the_gateway_once_its_difference_was_seen(
    fake: FakeUpstream, tmp_path: Path
) -> None:
    async with (
        serving(tmp_path, fake) as served,
        tui(served, tmp_path, "--screen", "config") as terminal,
    ):
        await terminal.shows("LIVE", "answer_limit_bytes")
        terminal.type(":")
        await terminal.until(lambda: terminal.lines()[-1].startswith(":"))
        terminal.type("config max_attempts\r")
        await terminal.shows("Most dispatches for one request")
        terminal.type("e")
        await terminal.shows("setting max_attempts")
        terminal.type("\x157\x13")  # empty the line, enter, save
        await terminal.shows("1 not applied")
        terminal.type("w")
        await terminal.shows("Apply this setting?")
        terminal.type("y")
        await terminal.shows("changed: max_attempts")
        rows = await served.admin("GET", "/config?limit=1000")
        row = next(row for row in rows["data"] if row["name"] == "max_attempts")
        assert row["value"] == 7
        assert row["origin"].startswith("file ")
        terminal.type(QUIT)
        assert await terminal.ended() == 0
