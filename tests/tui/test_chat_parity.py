"""What can be done in a chat of the interface can be done with `conduit` as well."""

from collections.abc import Mapping

import pytest

from conduit.cli.chat.repl import HELP
from conduit.cli.main import root_command
from conduit.tui.screens.chat import ChatScreen

# A command with an option, or what a conversation on the command line takes. Of what is only a
# matter of a screen, what the shell or the terminal does instead.
SAME: Mapping[str, str] = {
    "chat.stop": "terminal: Ctrl-C",
    "chat.new": "/new",
    "chat.model": "/model",
    "chat.retry": "/retry",
    "chat.flip": "/other",
    "chat.flip-back": "/other",
    "chat.ways": "conversations show",
    "chat.rewrite": "/edit",
    "chat.settings": "/set",
    "chat.attach": "/attach",
    "chat.detach": "terminal: what was attached goes along with one question",
    "chat.tools": "chat --tools",
    "chat.results": "terminal: a call is a line of JSON for a program",
    "chat.reasoning": "conversations show",
    "chat.compare": "logs replay --model",
    "chat.copy": "/copy",
    "chat.list": "conversations search",
    "chat.export": "conversations export",
    "chat.forget": "conversations delete",
    "chat.key": "keys create",
}


def test_every_action_of_the_chat_is_accounted_for() -> None:
    assert set(SAME) == {action.id for action in ChatScreen.ACTIONS}


@pytest.mark.parametrize("words", sorted(set(SAME.values())))
def test_the_command_that_does_the_same_exists(words: str) -> None:
    if words.startswith("terminal:"):
        return
    if words.startswith("/"):
        assert words in {usage.split()[0] for usage in HELP}
        return
    noun, *rest = words.split()
    command = root_command().get_command(None, noun)
    if rest and not rest[0].startswith("-"):
        command = command.get_command(None, rest.pop(0))
    assert command is not None
    options = {option for param in command.params for option in getattr(param, "opts", ())}
    assert set(rest) <= options
