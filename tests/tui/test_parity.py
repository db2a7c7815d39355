"""Whatever the interface can do, a command can do too; the chat's are in `test_chat_parity`."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from conduit.tui.actions import APP_ACTIONS
from conduit.tui.places import PLACES

PLACES_BUT_CHAT = [place for place in PLACES if place.name != "chat"]
ACTIONS = [*APP_ACTIONS, *(each for place in PLACES_BUT_CHAT for each in place.load().ACTIONS)]

# Verbs that only change what is seen, on whatever screen.
SEEING = frozenset(
    {
        *("open", "close", "filter", "mark", "mark-all", "mark-range", "sort", "copy", "refresh"),
        # of the program
        *("help", "palette", "command", "goto", "previous", "back", "forward", "messages"),
        *("jump", "mouse"),
        *("theme", "reconnect", "quit", "strip"),
        # of single screens
        *("live", "live.pause", "live.view", "live.follow", "live.fit", "live.next"),
        *("live.before", "live.summary", "live.timeline", "live.json", "live.clear"),
        *("live.route", "live.request", "live.sent", "live.answer", "live.headers"),
        *("live.differences", "live.pager"),
        *(
            "providers.credential",
            "providers.breaker",
            "config.undo",
            "notifications.goto",
            "keys.groups",
        ),
        *("keys.budgets", "groups.keys", "groups.pay", "groups.budgets"),
        *("usage.metric", "images.chat", "video.models", "security.limits", "security.events"),
        *("security.denied", "security.admin"),
    }
)

# What does the same, with the options that it takes.
COMMANDS: Mapping[str, str] = {
    "live.chat": "logs replay --model",
    "live.replay": "logs replay --model",
    "live.running": "requests cancel",
    "app.context": "context use",
    "app.undo": "keys enable",  # or whatever is the opposite of what was done
    "mappings.add": "mappings add",
    "mappings.edit": "mappings update",
    "mappings.test": "mappings test",
    "mappings.toggle": "mappings disable",
    "mappings.delete": "mappings delete",
    "mappings.down": "mappings update --to",
    "mappings.up": "mappings update --to",
    "providers.add": "providers add",
    "providers.edit": "providers update",
    "providers.test": "providers test",
    "providers.toggle": "providers disable",
    "providers.delete": "providers remove",
    "providers.models": "providers models",
    "providers.map": "mappings discover",
    "providers.health": "health history --since",
    "providers.breaker-open": "breakers open --for",
    "providers.breaker-close": "breakers close",
    "providers.breaker-reset": "breakers reset",
    "providers.credential-add": "providers credentials add",
    "providers.credential-enter": "providers credentials update",
    "providers.credential-toggle": "providers credentials disable",
    "providers.credential-first": "providers credentials primary",
    "providers.credential-test": "providers credentials test",
    "providers.credential-remove": "providers credentials remove",
    "groups.add": "groups create --budget --period --prepaid --rpm --models --description",
    "groups.adjust": "groups adjust --reason --minus --allow-negative",
    "groups.budget-add": "budgets create --scope --period --timezone --mode",
    "groups.budget-delete": "budgets delete",
    "groups.budget-edit": "budgets update --limit --mode",
    "groups.credit": "groups credit --reason",
    "groups.debit": "groups debit --reason --allow-negative",
    "groups.delete": "groups delete",
    "groups.edit": "groups update --name --budget --models --description --concurrent",
    "groups.refund": "groups refund --reason",
    "groups.reset-spend": "budgets reset-spend",
    "groups.take-in": "keys update --group",
    "groups.toggle": "groups disable",
    "keys.add": "keys create --budget --group --models --rpm --concurrent --expires --ips --tags"
    " --direct --priority --log-bodies --metadata",
    "keys.budget-add": "budgets create --scope --period --timezone --mode",
    "keys.budget-delete": "budgets delete",
    "keys.budget-edit": "budgets update --limit --mode",
    "keys.delete": "keys delete",
    "keys.edit": "keys update --name --budget --models --tpm --rpd --tpd --expires --ips --tags"
    " --direct --priority --log-bodies --metadata",
    "keys.move": "keys update --group",
    "keys.reset-spend": "budgets reset-spend",
    "keys.rotate": "keys rotate --grace",
    "keys.tag": "keys update --tags",
    "keys.toggle": "keys enable",
    "overview.acknowledge": "notifications ack",
    "overview.acknowledge-all": "notifications ack --all",
    "overview.test": "providers test",
    "live.inspect": "logs show",
    "config.edit": "config set",
    "config.apply": "config set --dry-run",
    "config.unset": "config unset",
    "config.reload": "config reload",
    "prices.edit": "prices set --effective",
    "prices.add": "prices set --effective",
    "prices.delete": "prices remove",
    "prices.book": "prices update --dry-run",
    "cache.clear": "cache clear --model",
    "notifications.ack": "notifications ack",
    "notifications.ack-all": "notifications ack --all",
    "contexts.use": "context use",
    "usage.period": "usage --since --until",
    "usage.by": "usage --by",
    "usage.export": "usage --output",
    "live.export": "logs export --format",
    "keys.export": "keys list --all --output",
    "groups.export": "groups list --all --output",
    "providers.export": "providers list --all --output",
    "mappings.export": "mappings list --all --output",
    "prices.export": "prices export",
    "cache.export": "cache stats --output",
    "notifications.export": "notifications list --all --output",
    "config.export": "config list --output",
}


@cache
def options_of() -> Mapping[str, frozenset[str]]:
    """The options of every command, by its words."""
    command = [sys.executable, "-m", "conduit.cli", "spec"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return dict(_walk(json.loads(outcome.stdout)))


def _walk(command: Mapping[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    flags = (flag for option in command.get("options", ()) for flag in option["flags"])
    yield command.get("path", "").removeprefix("conduit").strip(), frozenset(flags)
    for each in command.get("commands", ()):
        yield from _walk(each)


def is_seeing(action: Any) -> bool:
    return action.id in SEEING or (action.verb in SEEING and not action.changes)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_is_a_command_or_only_changes_what_is_seen(action: Any) -> None:
    told = f"which command does what {action.id} does? Name it in COMMANDS"
    assert (action.id in COMMANDS) != is_seeing(action), told
    if action.changes:
        assert action.id in COMMANDS, told


def test_every_command_that_is_named_exists_with_its_options() -> None:
    known = options_of()
    for action, line in COMMANDS.items():
        words = [word for word in line.split() if not word.startswith("--")]
        flags = {word for word in line.split() if word.startswith("--")}
        assert " ".join(words) in known, action
        assert flags <= known[" ".join(words)], action


def test_no_command_is_named_for_what_is_no_action() -> None:
    assert set(COMMANDS) <= {action.id for action in ACTIONS}
