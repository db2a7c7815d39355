"""What a `:` line does: a screen, a verb of it, a record on it, in the words of `conduit`."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from conduit.tui.actions import APP_ACTIONS, Action
from conduit.tui.places import PLACES, Place, place_named
from conduit.tui.state.session import THEME_NAMES
from conduit.tui.state.store import label_of

if TYPE_CHECKING:
    from conduit.tui.app import ConduitApp

# The command line's verbs by what they are called here; an empty one only shows the screen.
_VERBS: Mapping[str, str] = {
    "stats": "",
    "show": "open",
    "get": "open",
    "members": "open",
    "transactions": "open",
    "history": "open",
    "explain": "open",
    "create": "add",
    "update": "edit",
    "set": "edit",
    "remove": "delete",
    "rm": "delete",
    "enable": "toggle",
    "disable": "toggle",
}
_VERBS_AT: Mapping[tuple[str, str], str] = {
    ("config", "rollback"): "undo",
    ("prices", "update"): "book",
    ("providers", "discover"): "models",
    ("live", "show"): "",
    ("live", "cancel"): "running",
    ("contexts", "show"): "",
}
# Nouns of the command line whose verbs have longer names here.
_NOUNS: Mapping[str, tuple[str, str]] = {
    "breakers": ("providers", "breaker-"),
    "budgets": ("keys", "budget-"),
}
_LISTING = ("list", "ls", "tail")
_IS_ON: Mapping[str, bool] = {"enable": True, "disable": False}


class Line(NamedTuple):
    """A line that was understood. `record` is what the verb is for; None: what the cursor is on.

    `word` is the verb as it was typed, `filter` what a list is to be narrowed to.
    """

    place: Place
    record: str | None = None
    action: Action | None = None
    word: str = ""
    filter: str | None = None


def read(line: str) -> Line | None:
    """What a line means; None where its first word names no screen."""
    noun, _, rest = line.strip().partition(" ")
    place_name, prefix = _NOUNS.get(noun, (noun, ""))
    place = place_named(place_name)
    if place is None:
        return None
    word, _, wanted = rest.strip().partition(" ")
    if word in _LISTING:
        text = wanted.strip().removeprefix("--filter").strip().strip("'\"")
        return Line(place, word=word, filter=text or None)
    rest = rest.partition(" --")[0].strip()  # other options are entered in forms
    if rest.startswith("--"):
        rest = ""
    word, _, name = rest.partition(" ")
    verbs = {action.verb: action for action in place.load().ACTIONS}
    verb = _VERBS_AT.get((place.name, word), _VERBS.get(word, word))
    found = verbs.get(prefix + verb) or verbs.get(verb)
    if found is None and verb == word:  # no verb at all: a record, which may have several words
        return Line(place, rest or None)
    record = name.strip() or None
    if prefix == "breaker-" and record is not None:
        record = record.partition("/")[0]
    return Line(place, record, found, word)


def run(app: "ConduitApp", line: str) -> None:
    """Do what a line says, or say why not."""
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    if word == "theme" and rest:
        _use_theme(app, rest)
    elif word == "context" and rest:
        app.use_context(rest.removeprefix("use ").strip())
    elif (meant := read(line)) is not None:
        app.go(meant.place.name)
        if any(each is not None for each in meant[1:3]) or meant.filter:
            app.attempt(_do_there(app, meant), line)
    else:
        action = next((each for each in APP_ACTIONS if line in each.commands), None)
        if action is not None:
            app.perform(action.id)
        else:
            hint = f":help lists them; in a shell there may be: conduit {line}"
            app.tell(f"no such command: {word}", hint=hint, severity="warning")


def words_of(app: "ConduitApp") -> list[str]:
    """What a line can begin with, for completing it: screens, their verbs, and known records."""
    return sorted({*_words(app)})


def _words(app: "ConduitApp") -> Iterator[str]:
    for action in APP_ACTIONS:
        yield from action.commands
    for place in PLACES:
        yield place.name
        if place.table is not None:
            rows = app.store.table(place.table).rows
            yield from (f"{place.name} {label_of(row)}" for row in rows.values())
    here = app.frame
    yield from (f"{here.PLACE} {action.verb}" for action in here.ACTIONS)


def _use_theme(app: "ConduitApp", name: str) -> None:
    if name in THEME_NAMES:
        app.theme = name
    else:
        app.tell(f"no such theme: {name}", hint=", ".join(THEME_NAMES), severity="warning")


async def _do_there(app: "ConduitApp", meant: Line) -> None:
    """On its screen: open the record, then do with it what the verb says."""
    makes = meant.action is not None and meant.action.verb == "add"
    if meant.record is None or makes:
        if not await app.arrived(meant.place.name):
            return
        if meant.filter is not None:
            app.frame.filter_by(meant.filter)
    elif not await app.open_there(meant.place.name, meant.record):
        return
    if meant.action is None or _is_so_already(app, meant):
        return
    action = meant.action
    if makes and meant.record is not None:
        app.frame.first_text = meant.record
    app.call_after_refresh(app.perform, action.id)


def _is_so_already(app: "ConduitApp", meant: Line) -> bool:
    """Whether `enable` would disable what is enabled; it is told instead."""
    wanted = _IS_ON.get(meant.word)
    row = getattr(app.frame, "row", None)
    if wanted is None or row is None or row.get("enabled") is not wanted:
        return False
    app.tell(f"{label_of(row)} is {meant.word}d already")
    return True
