"""The frame: going about, saying why not, and staying up whatever happens."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from conduit.client import contexts
from conduit.client.errors import ApiError, AuthenticationFailed, Unreachable
from conduit.tui import commanding
from conduit.tui.actions import APP_ACTIONS, Action, shown_key
from conduit.tui.app import ConduitApp
from conduit.tui.farewell import farewell_of
from conduit.tui.journal import journal_file
from conduit.tui.places import PLACES, TABS, place_named, tab_of
from conduit.tui.state.session import Look
from conduit.tui.trail import Trail
from conduit.tui.widgets.dialogs.picker import Picker
from conduit.tui.widgets.frame import clock_time
from tests.tui.events import figures, key, provider, request_events
from tests.tui.screens import list_of
from tests.tui.support import (
    NOW_MS,
    SIZES,
    TARGET,
    link_of,
    make_app,
    page,
    running,
    screen_text,
    until,
    until_shown,
)

ANSWERS = {
    "providers.list": page(provider("openai-main")),
    "keys.list": page(),
    "mappings.list": page(),
    "budgets.list": page(),
}
OTHERS = [place for place in PLACES if place.name != "overview"]
# A screen without a text field, where letters act at once.
OTHER = next(place for place in PLACES if place.name == "live")


async def here(app: ConduitApp, name: str, pilot: Pilot[Any]) -> None:
    await until(lambda: app.here == name, pilot)


@pytest.mark.parametrize("place", OTHERS, ids=lambda place: place.name)
async def test_every_screen_has_a_key_a_letter_and_a_word(place: Any) -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await pilot.press("g", place.letter)
        await here(app, place.name, pilot)
        await pilot.press("f8")
        await here(app, "overview", pilot)
        app.run_line(place.nouns[-1])
        await here(app, place.name, pilot)
        if place.key:
            await pilot.press("f8")
            await here(app, "overview", pilot)
            await pilot.press(place.key)
            await here(app, place.name, pilot)


@pytest.mark.parametrize("place", OTHERS, ids=lambda place: place.name)
async def test_it_may_begin_on_any_screen(place: Any) -> None:
    app = make_app(ANSWERS, look=Look(screen=place.name))
    async with running(app) as pilot:
        assert app.here == place.name
        await pilot.press("f8")
        await here(app, "overview", pilot)


async def test_a_screen_stays_as_it_was_left() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        first = app.frame
        app.go(OTHERS[0].name)
        await here(app, OTHERS[0].name, pilot)
        app.go("overview")
        await here(app, "overview", pilot)
        assert app.frame is first


async def test_the_newest_requests_stand_at_the_foot_of_every_screen_that_has_none() -> None:
    app = make_app(ANSWERS, look=Look(screen="keys"))
    app.store.receive(request_events(*range(1, 9)))
    async with running(app) as pilot:
        await pilot.press("ctrl+l")
        await until_shown(f"{clock_time(NOW_MS - 52_000)} 200 gpt-4o", pilot)
        assert screen_text(app).count(" 200 gpt-4o") == 5
        app.store.receive(request_events(9, status=503, error_code="overloaded"))
        await until_shown(f"{clock_time(NOW_MS - 51_000)} 503 gpt-4o", pilot)
        await pilot.press("f3")
        await until(lambda: app.here == "mappings", pilot)
        await until_shown(" 503 gpt-4o", pilot)
        await pilot.press("f8")
        await until(lambda: app.here == "overview", pilot)
        assert not app.frame.query("#strip")
        await pilot.press("f7", "ctrl+l")
        await until(lambda: not app.frame.query("#strip"), pilot)
        assert app.here == "keys"
        await pilot.press("f3")
        await until(lambda: app.here == "mappings" and not app.frame.query("#strip"), pilot)


async def test_minus_goes_to_and_fro_and_brackets_through_history() -> None:
    app, other = make_app(ANSWERS), OTHER
    async with running(app) as pilot:
        await pilot.press("g", other.letter)
        await here(app, other.name, pilot)
        await pilot.press("minus")
        await here(app, "overview", pilot)
        await pilot.press("minus")
        await here(app, other.name, pilot)
        await pilot.press("left_square_bracket", "left_square_bracket")
        await here(app, other.name, pilot)
        await pilot.press("left_square_bracket")
        await here(app, "overview", pilot)
        await pilot.press("right_square_bracket")
        await here(app, other.name, pilot)


def test_a_trail_forgets_what_was_ahead_when_it_turns_off() -> None:
    trail = Trail()
    for name in ("a", "b", "c"):
        trail.visit(name)
    assert trail.step(-1) == "b"
    trail.visit("d")
    assert trail.places == ["a", "b", "d"]
    assert trail.step(1) is None
    assert trail.step(-2) == "a"


async def test_a_chord_shows_its_options_and_any_other_key_ends_it() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await pilot.press("g")
        await until_shown("go to  ", pilot)
        assert "h Overview" in screen_text(app)
        await pilot.press("q")
        await until(lambda: app.chord is None, pilot)
        assert app.here == "overview"


async def test_help_lists_what_can_be_done_here_and_does_it() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        await pilot.press("question_mark")
        await until_shown("help: overview", pilot)
        text = screen_text(app)
        for action in app.frame.ACTIONS:
            assert action.title in text
        await pilot.press(*"messages", "enter")
        await until_shown("nothing has been said yet", pilot)


async def test_what_cannot_be_done_stays_in_the_help_with_its_reason() -> None:
    app = make_app({**ANSWERS, "providers.list": page()})
    async with running(app) as pilot:
        await pilot.press("f1")
        await until_shown("Test the provider  there is no provider to choose", pilot)
        await pilot.press(*"test the", "enter")
        await until(lambda: "there is no provider to choose" in screen_text(app), pilot)
        assert isinstance(app.screen, Picker)


async def test_the_palette_finds_a_record_and_opens_its_screen() -> None:
    app = make_app({**ANSWERS, "keys.list": page(key("ci"), key("web"))})
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        assert not app.store.table("keys").is_loaded  # nobody has looked at them yet
        await pilot.press("ctrl+p", *"key web")
        await until_shown("key web  open", pilot)
        await pilot.press("enter")
        await here(app, "keys", pilot)
        await until(lambda: (list_of(app).row or {}).get("name") == "web", pilot)


async def test_what_is_highlighted_in_the_palette_stays_so_while_records_come() -> None:
    asked = asyncio.Event()

    async def slowly(**_: Any) -> Any:
        await asked.wait()
        return page(key("go to key"))

    app = make_app({**ANSWERS, "keys.list": slowly})
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        await pilot.press("ctrl+p", *"go to", "down", "down")
        await until(lambda: app.store.table("keys").loading, pilot)
        chosen = app.screen.query_one(OptionList).highlighted_option
        assert chosen is not None
        asked.set()
        await until_shown("go to key", pilot)
        now = app.screen.query_one(OptionList).highlighted_option
        assert now is not None
        assert now.id == chosen.id


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (120, 40)], ids=lambda size: str(size[0]))
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_no_hint_tab_or_title_is_cut(place: Any, size: tuple[int, int]) -> None:
    app = make_app(ANSWERS, look=Look(screen=place.name))
    async with running(app, size) as pilot:
        app.store.receive(
            [{"boot": "b", "seq": 1, "at_ms": NOW_MS, "kind": "stats.sampled", "data": figures()}]
        )
        await pilot.pause()
        footer = screen_text(app).splitlines()[-1]
        helps = "F1 help" if place.name == "chat" else "? help"  # where `?` is typed
        assert helps in footer
        assert "^p palette" in footer
        hints = [f"{action.shown_key} {action.hint}" for action in app.actions() if action.hint]
        hints.append(helps)
        rest = footer
        for hint in sorted(hints, key=len, reverse=True):
            rest = rest.replace(hint, "", 1)
        assert not rest.strip(), f"{rest!r} is left of {footer!r}"
        assert "LIVE 41ms" in screen_text(app).splitlines()[0]
        tabs = screen_text(app).splitlines()[1]
        tab = place_named(tab_of(place.name))
        assert tab is not None
        assert f"{app.shown_key_of(tab)} {tab.title}" in tabs


@pytest.mark.parametrize(("size", "rank"), [("80x24", 1), ("120x40", 3)])
async def test_the_tab_strip_shows_what_is_used_most_in_eighty_columns_and_all_in_more(
    size: str, rank: int
) -> None:
    app = make_app(ANSWERS)
    async with running(app, SIZES[size]):
        tabs = screen_text(app).splitlines()[1]
        for place in TABS:
            if place.rank <= rank:
                assert f"{app.shown_key_of(place)} {place.title}" in tabs


async def test_a_click_on_a_hint_and_on_a_tab_does_what_it_says() -> None:
    app, other = make_app(ANSWERS), OTHER
    async with running(app) as pilot:
        lines = screen_text(app).splitlines()
        await pilot.click(offset=(lines[1].index(other.title) + 1, 1))
        await here(app, other.name, pilot)
        await until_shown("? help", pilot)
        lines = screen_text(app).splitlines()
        await pilot.click(offset=(lines[-1].index("? help") + 2, len(lines) - 1))
        await until_shown("help: ", pilot)


@pytest.mark.parametrize("size", [(1, 1), (20, 5), (59, 30), (100, 15)])
async def test_a_terminal_that_is_too_small_is_told_so_and_nothing_breaks(
    size: tuple[int, int],
) -> None:
    app = make_app(ANSWERS)
    async with running(app, size) as pilot:
        for key in (
            "question_mark",
            "escape",
            "colon",
            "escape",
            "g",
            "escape",
            "ctrl+p",
            "escape",
        ):
            await pilot.press(key)
        for place in PLACES:
            app.go(place.name)
            await here(app, place.name, pilot)
        if size[0] >= 20:
            await until_shown(f"{size[0]}x{size[1]} is", pilot)
        await pilot.resize_terminal(80, 24)
        await until(lambda: "is too small" not in screen_text(app), pilot)


async def test_sixty_by_sixteen_is_small_but_works() -> None:
    app = make_app(ANSWERS)
    async with running(app, (60, 16)) as pilot:
        await until_shown("openai-main", pilot)
        assert "too small" not in screen_text(app)


async def test_a_storm_of_resizes_leaves_a_whole_screen() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        for width in (1, 200, 60, 7, 120, 80):
            await pilot.resize_terminal(width, max(1, width // 4))
        await pilot.resize_terminal(80, 24)
        await until_shown("openai-main", pilot)


async def test_a_size_that_textual_forgot_to_tell_of_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        at_once = app.set_timer

        def dropped(delay: float, *args: Any, **options: Any) -> Any:
            return at_once(delay, *args, **options | {"pause": True})

        monkeypatch.setattr(app, "set_timer", dropped)
        await pilot.resize_terminal(59, 15)
        await until_shown("59x15 is too small", pilot)
        await pilot.resize_terminal(80, 24)
        await until_shown("openai-main", pilot)
        assert app.screen.outer_size == app.size


async def test_nothing_is_changed_while_there_is_no_connection_and_the_reason_is_said() -> None:
    app = make_app(ANSWERS, connected=False)
    action = Action("overview.change", "Change it", changes=True)
    async with running(app):
        assert app.why_not(action) == "the gateway has not answered yet"
        app.store.connectivity.refused("no")
        assert app.why_not(action) == "the gateway refused the master key"


async def test_a_lost_connection_is_told_on_every_screen_with_its_reason() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        app.store.connectivity.lost("connection refused", 4)
        await until_shown("RETRY 1 (4s)", pilot)
        await until_shown("not connected to the gateway for 0s: connection refused", pilot)
        app.store.connectivity.connected()
        await until(lambda: "connection refused" not in screen_text(app), pilot)


async def test_an_error_of_the_gateway_is_a_toast_and_stays_in_the_messages() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        app.report(
            ApiError("conflict", "it is taken", hint="use another", request_id="req_42"),
            "Add a key",
        )
        await until_shown("Add a key: it is taken", pilot)
        app.run_line("messages")
        await until_shown("req_42", pilot)


async def test_a_fault_in_background_work_is_shown_and_written_down_without_secrets() -> None:
    app = make_app(ANSWERS)

    async def work() -> None:
        raise ValueError("broken by condt_0123456789abcdefghij")

    async with running(app) as pilot:
        app.attempt(work(), "Some work")
        await until_shown("Some work: ValueError", pilot)
        assert "0123456789abcdef" not in screen_text(app)
        assert app.is_running
        await pilot.press("question_mark")
        await until_shown("help:", pilot)
    trace = journal_file().read_text()
    assert "Traceback" in trace
    assert "0123456789abcdef" not in trace
    assert journal_file().stat().st_mode & 0o777 == 0o600


async def test_an_unexpected_fault_of_the_interface_ends_it_with_a_sentence_and_no_locals() -> None:
    app = make_app(ANSWERS)

    async def run_into_it() -> None:
        async with running(app):
            app.call_later(_broken, "condt_0123456789abcdefghij")
            await ended(app)

    with pytest.raises(RuntimeError, match="out of order"):
        await run_into_it()
    assert app.return_code == 1
    assert app.farewell is not None
    assert "unexpected failure: RuntimeError: out of order" in app.farewell.text
    assert "0123456789abcdef" not in journal_file().read_text()


async def ended(app: ConduitApp) -> None:
    async with asyncio.timeout(20):
        while app.is_running:
            await asyncio.sleep(0.01)


def _broken(secret: str) -> None:
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "no such command: nonsense"),
        ("theme mauve", "no such theme: mauve"),
        ("providers nobody", "no providers record is called 'nobody'"),
    ],
)
async def test_a_command_line_that_means_nothing_says_so(line: str, said: str) -> None:
    if line.startswith("providers") and not any(place.name == "providers" for place in PLACES):
        line, said = "nonsense", "no such command: nonsense"
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await pilot.press("colon", *line, "enter")
        await until_shown(said, pilot)


@pytest.mark.parametrize(
    ("line", "place", "verb", "record"),
    [
        ("keys", "keys", None, None),
        ("keys ci", "keys", None, "ci"),
        ("keys show ci", "keys", "open", "ci"),
        ("keys create ci --budget 5", "keys", "add", "ci"),
        ("keys update ci", "keys", "edit", "ci"),
        ("keys rm ci", "keys", "delete", "ci"),
        ("keys disable ci", "keys", "toggle", "ci"),
        ("keys two words", "keys", None, "two words"),
        ("budgets list", "keys", None, None),
        ("groups members eng", "groups", "open", "eng"),
        ("route explain fast", "mappings", "open", "fast"),
        ("breakers open groq/llama", "providers", "breaker-open", "groq"),
        ("providers list", "providers", None, None),
        ("providers models groq", "providers", "models", "groq"),
        ("prices update", "prices", "book", None),
        ("logs show req_1", "live", None, "req_1"),
        ("requests cancel req_1", "live", "running", "req_1"),
        ("usage 7d key", "usage", None, "7d key"),
        ("config set workers", "config", "edit", "workers"),
    ],
)
def test_the_words_of_the_command_line_are_understood(
    line: str, place: str, verb: str | None, record: str | None
) -> None:
    meant = commanding.read(line)
    assert meant is not None
    found = meant.action.verb if meant.action else None
    assert (meant.place.name, found, meant.record) == (place, verb, record)


@pytest.mark.parametrize(
    "line", ["logs tail --filter 'status:>=400'", "requests list status:>=400"]
)
def test_a_list_is_narrowed_by_a_filter(line: str) -> None:
    meant = commanding.read(line)
    assert meant is not None
    assert (meant.place.name, meant.filter) == ("live", "status:>=400")


async def test_a_new_record_is_named_on_the_command_line() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        app.run_line("keys create nightly --budget 5")
        await until_shown("new key", pilot)
        await until_shown("nightly", pilot)


async def test_enabling_what_is_enabled_does_not_disable_it() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        app.run_line("providers enable openai-main")
        await until_shown("openai-main is enabled already", pilot)
        assert not [name for name, _, _ in link_of(app).calls if name == "providers.update"]


async def test_the_command_line_remembers_what_was_typed() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await pilot.press("colon", *"theme conduit-light", "enter")
        await until(lambda: app.theme == "conduit-light", pilot)
        app.theme = "conduit-dark"
        await pilot.press("colon", "up", "enter")
        await until(lambda: app.theme == "conduit-light", pilot)


async def test_a_theme_is_chosen_from_a_list() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await pilot.press("colon", *"theme", "enter")
        await until_shown("deuteranopia", pilot)
        await pilot.press(*"high", "enter")
        await until(lambda: app.theme == "high-contrast", pilot)


@pytest.mark.parametrize("keys", [("ctrl+q",), ("colon", "q", "enter")], ids=["key", "command"])
async def test_it_quits(keys: tuple[str, ...]) -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await pilot.press(*keys)
        await ended(app)
    assert app.return_code == 0


async def test_quitting_asks_when_something_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        monkeypatch.setattr(app.frame, "is_busy", lambda: "an answer is being streamed")
        await pilot.press("ctrl+q")
        await until_shown("an answer is being streamed", pilot)
        await pilot.press("n")
        await until(lambda: app.screen is app.frame, pilot)
        assert app.is_running


async def test_a_cursor_does_not_blink() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await pilot.press("colon")
        await until(lambda: app.focused is not None and app.screen is not app.frame, pilot)
        await until(lambda: not app.focused.cursor_blink, pilot)  # type: ignore[union-attr]


async def test_another_context_forgets_everything_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contexts.save(contexts.Context("other", "http://other.invalid:5000"))
    contexts.store_secrets("other", "http://other.invalid:5000", master_key="condt_mk_other")
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        before = link_of(app)
        app.run_line("context other")
        await until(lambda: app.target.name == "other", pilot)
        assert app.target.master_key == "condt_mk_other"
        await until(lambda: app.link is not before, pilot)
        assert app.store.epoch == before.epoch + 1
        assert not before.store.fill("keys", [], epoch=before.epoch)


async def test_a_context_that_is_not_there_is_told() -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        app.run_line("context nowhere")
        await until_shown("there is no context 'nowhere'", pilot)


async def test_a_read_only_context_says_so_in_row_one() -> None:
    app = make_app(ANSWERS, target=replace(TARGET, read_only=True))
    async with running(app):
        assert "READ-ONLY" in screen_text(app).splitlines()[0]
        assert app.why_not(Action("overview.x", "x", changes=True)) == "context 'prod' is read-only"


async def test_ascii_draws_nothing_but_ascii() -> None:
    app = make_app(ANSWERS, look=Look(ascii=True))
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        assert screen_text(app).isascii(), screen_text(app)
        for key in ("question_mark", "colon"):
            await pilot.press(key)
            await until(lambda: app.screen is not app.frame, pilot)
            assert screen_text(app).isascii(), screen_text(app)
            await pilot.press("escape")
            await until(lambda: app.screen is app.frame, pilot)


async def test_an_idle_screen_is_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(ANSWERS)
    async with running(app) as pilot:
        await until_shown("openai-main", pilot)
        drawn: list[object] = []
        monkeypatch.setattr(app, "_display", lambda *arguments: drawn.append(arguments))
        async with asyncio.timeout(30):
            while True:  # what was still on its way may be drawn; then there is a pause
                drawn.clear()
                await pilot.pause(3 / app.look.flush_hz)
                if not drawn:
                    break


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (AuthenticationFailed("invalid_api_key", "wrong key", status=401), 4, "wrong key"),
        (Unreachable("no answer from http://x"), 3, "conduit up"),
        (ApiError("permission_denied", "not you", status=403), 4, "not you"),
    ],
)
def test_what_ends_it_at_the_start_has_the_exit_code_of_the_command_line(
    error: Any, code: int, said: str
) -> None:
    farewell = farewell_of(error)
    assert farewell.exit_code == code
    assert said in farewell.text


@pytest.mark.parametrize(
    ("key", "shown"),
    [("ctrl+p", "^p"), ("f2", "F2"), ("question_mark", "?"), ("a", "a"), ("enter", "Enter")],
)
def test_keys_are_shown_as_people_write_them(key: str, shown: str) -> None:
    assert shown_key(key) == shown


def test_every_action_of_the_app_has_a_key_or_a_command() -> None:
    for action in APP_ACTIONS:
        assert action.keys or action.commands, action.id
