"""Contexts that want names typed ask of all that is done to keys, groups, alerts and settings."""

from dataclasses import replace

import pytest

from conduit.tui.state.session import Look
from tests.tui.allowed import alert, group, monthly
from tests.tui.events import key, mapping, provider, target
from tests.tui.made import setting
from tests.tui.screens import NOTHING, back
from tests.tui.support import (
    TARGET,
    Answer,
    link_of,
    make_app,
    page,
    running,
    screen_text,
    until_shown,
)

CI = key("ci", limit="50")
TYPED = replace(TARGET, confirm_typed=True)
DATA: dict[str, Answer] = {
    **NOTHING,
    "keys.list": page(CI),
    "keys.show": CI,
    "groups.list": page(group("eng", budgets=[monthly("group", "eng", "200")])),
    "mappings.list": page(mapping("fast", target("groq", "a"), target("groq", "b", 1))),
    "providers.list": page(provider("groq")),
    "providers.models": page({"provider": "groq", "model": "llama", "aliases": []}),
    "notifications.list": page(alert(1, "budget_threshold", "ci has reached 80 %")),
    "config.list": page(setting("workers", 1)),
    "group_transactions.list": page(),
}
CHANGES = [
    ("keys", "ci", ["a", "n", "e", "w", "ctrl+s"], "Create new?", "keys.create"),
    ("keys", "ci", ["e", "end", "2", "ctrl+s"], "Save key ci?", "keys.update"),
    ("keys", "ci", ["T", *"a=b", "ctrl+s"], "Change the tags of ci?", "keys.update"),
    ("keys", "ci", ["b", "a", "5", "ctrl+s"], "Add a budget to ci?", "budgets.create"),
    ("keys", "ci", ["b", "e", "5", "ctrl+s"], "Change a budget of ci?", "budgets.update"),
    ("keys", "ci", ["R", *"24h", "enter"], "Type ci to go on", "keys.rotate"),
    ("groups", "eng", ["a", "n", "e", "w", "ctrl+s"], "Create new?", "groups.create"),
    ("groups", "eng", ["e", "end", "2", "ctrl+s"], "Save group eng?", "groups.update"),
    ("groups", "eng", ["m", "enter"], "Move 1 key into eng?", "keys.update"),
    ("overview", "1 alert", ["a"], "Acknowledge the alert?", "notifications.acknowledge"),
    ("notifications", "80 %", ["a"], "Acknowledge 1 notif", "notifications.acknowledge"),
    ("mappings", "fast", ["x"], "Disable fast?", "mappings.update"),
    ("mappings", "fast", ["e", "tab", "space", "ctrl+s"], "Save mapping fast?", "mappings.update"),
    ("mappings", "fast", ["enter", "J"], "Move groq/a in fast?", "mappings.update"),
    ("providers", "groq", ["x"], "Disable groq?", "providers.update"),
    (
        "providers",
        "groq",
        ["e", "tab", "space", "ctrl+s"],
        "Save provider groq?",
        "providers.update",
    ),
    ("providers", "groq", ["c", "a", "b", "tab", "k", "ctrl+s"], "to groq?", "credentials.create"),
    ("providers", "groq", ["c", "e", "k", "ctrl+s"], "of groq?", "credentials.update"),
    ("providers", "groq", ["c", "x"], "Disable the credential", "credentials.update"),
    ("providers", "groq", ["c", "p"], "Use the credential default first?", "credentials.update"),
    ("providers", "groq", ["c", "D"], "Type default to go on", "credentials.delete"),
    ("providers", "groq", ["M", "ctrl+a", "enter"], "Map 1 model of groq?", "mappings.create"),
    ("config", "workers", ["R"], "Have the settings read again?", "config.reload"),
]


@pytest.mark.parametrize(("place", "there", "pressed", "question", "operation"), CHANGES)
async def test_a_context_that_wants_names_typed_asks_first(
    place: str, there: str, pressed: list[str], question: str, operation: str
) -> None:
    app = make_app({**DATA, operation: {}}, look=Look(screen=place), target=TYPED)
    async with running(app) as pilot:
        await until_shown(there, pilot)
        assert "TYPED" in screen_text(app).splitlines()[0]
        assert app.has_class("-typed")
        for press in pressed:
            await pilot.press(press)
            await pilot.pause()
        await until_shown(question, pilot)
        assert operation not in [call[0] for call in link_of(app).calls]
        await pilot.press("escape", "escape", "escape")
        await back(app, pilot)
        assert operation not in [call[0] for call in link_of(app).calls]
