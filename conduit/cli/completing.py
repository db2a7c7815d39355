"""Answers to a shell that asks what may follow; it never prompts and never shows an error."""

import os
from collections.abc import Sequence
from typing import Any

from typer._click.shell_completion import CompletionItem, add_completion_class
from typer._completion_classes import FishComplete, ZshComplete, completion_init
from typer.completion import shell_complete

from conduit.cli.names import names_of
from conduit.cli.output import FORMATS
from conduit.cli.program import COMPLETION_VARIABLE
from conduit.client.contexts import Choice
from conduit.core.capabilities import ABILITIES
from conduit.core.groupings import BY_TAG, GROUPINGS
from conduit.core.policies import FALLBACK_CAUSES, LONG_CONTEXT, STICKY, STRATEGIES, UNKNOWN_PRICE

_KINDS_OF_OPTIONS = {
    "--context": "contexts",
    "--model": "mappings",
    "--alias": "mappings",
    "--provider": "providers",
    "--if-down": "providers",
    "--key": "keys",
    "--group": "groups",
    "--template": "templates",
}
_WORDS_OF_OPTIONS = {
    "--output": FORMATS,
    "--color": ("auto", "always", "never"),
    "--log-format": ("text", "json"),
    "--log-level": ("debug", "info", "warning", "error"),
    "--mode": ("hard", "soft"),
    "--strategy": STRATEGIES,
    "--sticky": STICKY,
    "--breakers": ("on", "off"),
    "--long-context": LONG_CONTEXT,
    "--unknown-price": UNKNOWN_PRICE,
    "--fallback": tuple(f"{cause}=" for cause in FALLBACK_CAUSES),
    "--state": ("open", "acknowledged", "all"),
    "--kind": (
        "budget_threshold",
        "key_expiring",
        "credential_failed",
        "price_unknown",
        "unusual_spend",
    ),
    "--include-secrets": ("none", "encrypted"),
}
# Of an option that means something else in each command.
_WORDS_OF_COMMANDS = {
    ("usage", "--by"): (*GROUPINGS, BY_TAG),
    ("groups usage", "--by"): tuple(each for each in (*GROUPINGS, BY_TAG) if each != "group"),
    ("spend review", "--state"): ("open", "corrected", "all"),
    ("spend review", "--outcome"): ("recovered", "ambiguous", "cut", "client_gone", "stopped"),
    ("usage", "--plot"): ("bar", "line"),
    ("logs export", "--format"): ("jsonl", "csv"),
    ("logs export", "--output"): ("jsonl", "csv"),
    ("logs export", "-o"): ("jsonl", "csv"),
    ("keys usage", "--by"): ("model", "alias", "provider", "day"),
}
# Several of them between commas.
_LISTS_OF_OPTIONS = {"--capability": ABILITIES, "--caps": ABILITIES}
_KINDS_OF_NOUNS = {
    "keys": "keys",
    "groups": "groups",
    "providers": "providers",
    "credentials": "providers",
    "mappings": "mappings",
    "route": "mappings",
    "breakers": "providers",
    "models": "mappings",
    "budgets": "budgets",
    "notifications": "notifications",
    "context": "contexts",
    "set-ttl": "mappings",
    "bans": "bans",
}
_NAMING = ("NAME", "ALIAS", "PROVIDER", "KEY", "MODEL", "BUDGET", "ID", "[CONTEXT]", "IP")
_MAKING = ("create", "add")
_SHELLS = ("bash", "zsh", "fish", "powershell")


class _Zsh(ZshComplete):
    """As Typer has it, without loading Rich to render a line of plain text."""

    def format_completion(self, item: CompletionItem) -> str:
        text = _plain_words(item.help)
        return f'"{item.value}":"{text}"' if text else f'"{item.value}"'


class _Fish(FishComplete):
    """As Typer has it, without loading Rich to render a line of plain text."""

    def format_completion(self, item: CompletionItem) -> str:
        text = _plain_words(item.help)
        return f"{item.value}\t{text}" if text else str(item.value)


def _plain_words(text: str | None) -> str:
    """A description without what a shell's `eval` or `_arguments` would act on."""
    words = "".join(
        " " if character in "\"'`$\\:()[]{};" else character for character in text or ""
    )
    return " ".join(words.split())


def answer(root: Any) -> int:
    """Print what may follow the words that the shell has passed in the environment."""
    completion_init()
    add_completion_class(_Zsh, "zsh")
    add_completion_class(_Fish, "fish")
    return shell_complete(root, {}, "conduit", COMPLETION_VARIABLE, os.environ[COMPLETION_VARIABLE])


def offered(ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
    """Values that a parameter may have."""
    if param.param_type_name == "option":
        for flag in _LISTS_OF_OPTIONS.keys() & set(param.opts):
            return _next_of_list(_LISTS_OF_OPTIONS[flag], incomplete)
    return [CompletionItem(word) for word in _words(ctx, param) if word.startswith(incomplete)]


def _next_of_list(words: Sequence[str], incomplete: str) -> list[CompletionItem]:
    """The list so far with each word that may be its next one."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [
        CompletionItem(f"{before}{comma}{word}")
        for word in words
        if word.startswith(last) and word not in taken
    ]


def _words(ctx: Any, param: Any) -> list[str]:
    if param.param_type_name == "option":
        _, _, command = ctx.command_path.partition(" ")
        for flag in param.opts:
            if (command, flag) in _WORDS_OF_COMMANDS:
                return list(_WORDS_OF_COMMANDS[command, flag])
            if flag in _WORDS_OF_OPTIONS:
                return list(_WORDS_OF_OPTIONS[flag])
            if flag in _KINDS_OF_OPTIONS:
                return names_of(_KINDS_OF_OPTIONS[flag], _choice(ctx))
        return []
    return _words_of_argument(ctx, param)


def _words_of_argument(ctx: Any, param: Any) -> list[str]:
    _, *path = ctx.command_path.split()
    if path[:1] == ["completion"]:
        return list(_SHELLS)
    if path[:1] == ["help"]:
        return _commands_below(ctx, list(ctx.params.get("words") or ()))
    if param.metavar == "STRATEGY":
        return list(STRATEGIES)
    if path[:1] == ["limits"]:
        return ["gateway"] if param.metavar == "SCOPE" else []  # a colon ends a word in bash
    names_one = any(word in (param.metavar or "") for word in _NAMING)
    if not names_one or path[-1] in _MAKING:
        return []
    nouns = [step for step in path if step in _KINDS_OF_NOUNS]
    return names_of(_KINDS_OF_NOUNS[nouns[0]], _choice(ctx)) if nouns else []


def _commands_below(ctx: Any, words: list[str]) -> list[str]:
    """What `conduit help WORDS` may go on with."""
    command = ctx.find_root().command
    for word in words:
        command = command.get_command(ctx, word) if hasattr(command, "get_command") else None
    return list(command.list_commands(ctx)) if hasattr(command, "list_commands") else []


def _choice(ctx: Any) -> Choice:
    """The gateway that the words so far name."""
    given: dict[str, Any] = {}
    while ctx is not None:
        given = {**{name: value for name, value in ctx.params.items() if value}, **given}
        ctx = ctx.parent
    return Choice(given.get("url"), given.get("context"))
