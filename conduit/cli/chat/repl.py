"""The conversation of `conduit chat` on a terminal: lines, commands, answers."""

import base64
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

from conduit.cli import inputs
from conduit.cli.chat.answers import Reply, looked_up_cost, printed, usage_line
from conduit.cli.chat.conversing import Session, models_of
from conduit.cli.chat.line_editing import LineReader
from conduit.cli.editor import run_editor
from conduit.cli.failures import Failure, shown, tell_people
from conduit.client.conversation_texts import export
from conduit.client.conversations import Turn, now
from conduit.client.errors import ClientError
from conduit.core import people

_LONGEST_COPY = 100_000
_CLIPBOARDS = (["wl-copy"], ["xclip", "-selection", "clipboard"], ["pbcopy"], ["clip.exe"])

HELP: Mapping[str, str] = {
    "/model [ALIAS]": "use another model, or list those there are",
    "/system [TEXT]": "set the system message, or remove it",
    "/set [NAME=VALUE]": "set a parameter, NAME= removes it, alone lists them",
    "/attach FILE": "send a file or an image's URL with the next question",
    "/retry": "ask the last question again; the former answer is kept",
    "/other": "show another answer to the last question, or go back to a former one",
    "/undo": "take the last question and its answer out",
    "/edit": "write in $EDITOR, beginning with the last question, and ask that as another way",
    "/copy": "put the last answer on the clipboard",
    "/save FILE": "write the conversation as Markdown, or as JSON to NAME.json",
    "/cost": "tokens and cost so far",
    "/new": "begin another conversation",
    "/quit": "leave; Ctrl-D does too",
    "/help": "this",
}


class Repl:
    """Reads a line, does what it says, until the end."""

    def __init__(self, session: Session, *, raw: bool, usage: bool) -> None:
        self._session = session
        self._call = session.call
        self._raw = raw
        self._usage = usage
        self._commands: Mapping[str, Callable[[str], None]] = {
            "model": self._model,
            "system": self._system,
            "set": self._set,
            "attach": self._attach,
            "retry": self._retry,
            "other": self._other,
            "undo": self._undo,
            "edit": self._edit,
            "copy": self._copy,
            "save": self._save,
            "cost": self._cost,
            "new": self._new,
            "help": self._help,
        }

    def run(self) -> None:
        # Ctrl-C ends an answer here, and not the program, as often as it is pressed.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        session = self._session
        said = f"{session.model} at {session.conversation.url} - /help for commands, Ctrl-D to quit"
        self._say(said)
        if session.conversation.turns:
            self._say(f"going on with {session.conversation.id}: {session.conversation.title}")
        with LineReader() as reader:
            while self._step(reader):
                pass

    def _step(self, reader: LineReader) -> bool:
        """One line; False once the reader wants to leave."""
        try:
            line = reader.read()
        except EOFError:
            self._call.console.say("")
            return False
        except KeyboardInterrupt:
            self._call.console.say("")
            return True
        if line.strip() in ("/quit", "/exit", "/q"):
            return False
        self._guarded(line)
        return True

    def _guarded(self, line: str) -> None:
        """Do what a line says; what goes wrong is told and ends nothing."""
        try:
            self._do(line)
        except KeyboardInterrupt:
            self._call.console.say("\n(stopped)", "dim")
        except (ClientError, Failure) as error:
            failure = shown(error)
            if failure is not None:
                tell_people(failure)
        except OSError as error:
            self._call.console.say(f"error: {error.strerror or error}", "bad")

    def _do(self, line: str) -> None:
        text = line.strip()
        if not text and not self._session.waiting:
            return
        if not text.startswith("/") or text.startswith("//"):
            self._ask(text.removeprefix("/") if text.startswith("//") else text)
            return
        name, _, rest = text[1:].partition(" ")
        command = self._commands.get(name)
        if command is None:
            close = get_close_matches(name, self._commands, n=1, cutoff=0.5)
            meant = f"did you mean /{close[0]}?" if close else "/help lists them"
            raise Failure(f"there is no command /{name}", hint=f"{meant} // begins a text with /")
        command(rest.strip())

    def _say(self, text: str) -> None:
        self._call.console.say(text, "dim")

    def _ask(self, text: str) -> None:
        reply = Reply()
        self._session.ask(text, reply, printed(self._call, raw=self._raw))
        self._account(reply)

    def _account(self, reply: Reply) -> None:
        if self._usage:
            self._say(usage_line(reply))

    def _model(self, name: str) -> None:
        session = self._session
        if name:
            session.model = name
            self._say(f"now asking {name}")
            return
        for alias in models_of(self._call, session.key):
            self._say(f"{'*' if alias == session.model else ' '} {alias}")

    def _system(self, text: str) -> None:
        session = self._session
        session.rewrite(replace(session.conversation, system=text or None))
        self._say("system message set" if text else "no system message")

    def _set(self, pair: str) -> None:
        parameters = self._session.parameters
        name, separator, value = pair.partition("=")
        if separator and not value:
            parameters.pop(name, None)
        elif pair:
            parameters.update(inputs.pairs([pair], "/set"))
        for known, current in parameters.items():
            self._say(f"{known} = {current}")

    def _attach(self, given: str) -> None:
        if not given:
            raise Failure("/attach FILE: which one?")
        self._session.attach(given)
        self._say(f"{people.counted(len(self._session.waiting), 'attachment')} for the next one")

    def _last_question(self) -> Turn:
        asked = [turn for turn in self._session.conversation.turns if turn.role == "user"]
        if not asked:
            raise Failure("nothing has been asked yet")
        return asked[-1]

    def _retry(self, _: str) -> None:
        self._ask_instead(self._last_question())

    def _ask_instead(self, question: Turn) -> None:
        """Ask in place of the last question, whose exchange is kept as another way."""
        session, reply = self._session, Reply()
        before = session.conversation
        last = self._last_question()
        session.conversation = before.forked(before.turns.index(last))
        again = question is last
        try:
            session.ask_again(question, reply, printed(self._call, raw=self._raw), again=again)
        except (ClientError, Failure, KeyboardInterrupt):
            if not reply.text:
                session.conversation = before
            raise
        self._account(reply)

    def _other(self, _: str) -> None:
        session = self._session
        turns = session.conversation.turns
        if not turns:
            raise Failure("nothing has been asked yet")
        at = next((i for i in reversed(range(len(turns))) if self._ways(i) > 1), None)
        if at is None:
            raise Failure("there is one answer", hint="/retry asks for another")
        ways = session.conversation.ways(at)
        place = (ways.index(turns[at]) + 1) % len(ways)
        session.rewrite(session.conversation.showing(ways[place].id))
        self._say(f"{place + 1} of {len(ways)}")
        printed(self._call, raw=self._raw)(iter([session.conversation.turns[-1].text]))

    def _ways(self, at: int) -> int:
        return len(self._session.conversation.ways(at))

    def _undo(self, _: str) -> None:
        question = self._last_question()
        session = self._session
        session.rewrite(session.conversation.without_last_exchange())
        self._say(f"taken out: {question.text[:60]}")

    def _edit(self, _: str) -> None:
        turns = self._session.conversation.turns
        before = self._last_question().text if turns else ""
        text = edited(before).strip()
        if not text or text == before:
            self._say("nothing new to ask")
            return
        if turns:
            self._ask_instead(Turn("user", text, now()))
        else:
            self._ask(text)

    def _last_answer(self) -> str:
        answers = [turn for turn in self._session.conversation.turns if turn.role == "assistant"]
        if not answers:
            raise Failure("there is no answer yet")
        return answers[-1].text

    def _copy(self, _: str) -> None:
        self._say(copied(self._last_answer()))

    def _save(self, given: str) -> None:
        if not given:
            raise Failure("/save FILE: where to?")
        path = Path(given).expanduser()
        if path.exists():
            raise Failure(f"{given} exists already")
        export(self._session.conversation, path)
        self._say(f"written to {given}")

    def _cost(self, _: str) -> None:
        session = self._session
        turns = tuple(self._priced(turn) for turn in session.conversation.turns)
        if turns != session.conversation.turns:
            session.rewrite(replace(session.conversation, turns=turns))
        costs = [Decimal(turn.cost) for turn in turns if turn.cost is not None]
        tokens_in = sum(turn.input_tokens or 0 for turn in turns)
        tokens_out = sum(turn.output_tokens or 0 for turn in turns)
        known = people.money(sum(costs)) if costs else "cost not known"
        self._say(f"{tokens_in:,} in / {tokens_out:,} out  {known}")

    def _priced(self, turn: Turn) -> Turn:
        """A stream's cost is on record only once it has ended: it is looked up when wanted."""
        if turn.role == "user" or turn.cost is not None:
            return turn
        return replace(turn, cost=looked_up_cost(self._call, turn.request_id))

    def _new(self, _: str) -> None:
        self._session.begin_anew()
        self._say("a new conversation")

    def _help(self, _: str) -> None:
        for usage, meaning in HELP.items():
            self._say(f"{usage:18} {meaning}")
        self._say(r"A line that ends in \ goes on in the next; Ctrl-C stops an answer.")


def edited(text: str) -> str:
    """The text after its reader has been to the editor. Raises Failure without one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "question.md"
        path.write_text(text, encoding="utf-8")
        run_editor(path)
        return path.read_text(encoding="utf-8")


def copied(text: str) -> str:
    """Put a text on the clipboard; what was done, in words."""
    for command in _CLIPBOARDS:
        if shutil.which(command[0]) is None:
            continue
        try:
            subprocess.run(command, input=text.encode(), check=True, timeout=5)
        except (OSError, subprocess.SubprocessError):
            continue  # it is installed and reaches no desktop
        return "copied"
    if not sys.stderr.isatty() or len(text) > _LONGEST_COPY:
        return "no clipboard within reach"
    # OSC 52: the terminal itself keeps it, over SSH too.
    encoded = base64.b64encode(text.encode()).decode("ascii")
    sys.stderr.write(f"\x1b]52;c;{encoded}\x07")
    sys.stderr.flush()
    return "sent to the terminal's clipboard"
