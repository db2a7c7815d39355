"""Conversations with models, kept on this machine and shared by the front-ends.

A conversation is a file of JSON lines, `conversations/ID.jsonl` in the state folder, readable by
its owner alone. The first line describes it, each other line is a turn:

    {"conversation": 1, "id": "…", "at": "…", "url": "…", "model": "…", "system": "…"}
    {"role": "user", "content": "…", "at": "…"}
    {"role": "assistant", "content": "…", "at": "…", "model": "…", "request_id": "…",
     "input_tokens": 12, "output_tokens": 3, "cost": "0.0041", "cut": true}

`content` is a text or a list of parts as in OpenAI's API, what was typed before what was attached;
fields without a value are left out.
Turns are appended; what changes earlier ones writes the file anew. Unknown fields are kept out of
the way of a newer version: a reader ignores them.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from conduit.client.contexts import make_private_folder, write_private
from conduit.core.paths import state_folder

VERSION = 1
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_TITLE_CHARACTERS = 60
Content = str | list[dict[str, Any]]
Role = Literal["user", "assistant"]


class ConversationError(Exception):
    """A conversation that does not exist or cannot be read; the message is one line."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. What an answer cost stands with it; `cut` marks one that was broken off."""

    role: Role
    content: Content
    at: str = ""
    model: str | None = None
    request_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: str | None = None
    cut: bool = False

    @property
    def text(self) -> str:
        """What was written, without what was attached to it."""
        if isinstance(self.content, str):
            return self.content
        return next((str(part["text"]) for part in self.content if "text" in part), "")

    def message(self) -> dict[str, Any]:
        """The turn as a request carries it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with one gateway."""

    id: str
    at: str
    url: str
    model: str | None = None
    system: str | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def title(self) -> str:
        """The beginning of the first question."""
        text = next((turn.text for turn in self.turns if turn.role == "user"), "")
        line = " ".join(text.split())
        return line if len(line) <= _TITLE_CHARACTERS else line[: _TITLE_CHARACTERS - 1] + "…"

    def messages(self) -> list[dict[str, Any]]:
        """All of it as a request carries it."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *(turn.message() for turn in self.turns)]

    def without_last_exchange(self) -> "Conversation":
        """The conversation before its last question."""
        asked = [index for index, turn in enumerate(self.turns) if turn.role == "user"]
        return replace(self, turns=self.turns[: asked[-1]] if asked else ())


def new_conversation(url: str, model: str | None = None, system: str | None = None) -> Conversation:
    """A conversation that is on no disk yet."""
    began = datetime.now(UTC)
    # The time first: names in order are conversations in order.
    name = f"{began:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    return Conversation(name, _rfc3339(began), url, model, system)


def now() -> str:
    """The time of a turn."""
    return _rfc3339(datetime.now(UTC))


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


class Conversations:
    """The conversations in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder if folder is not None else state_folder() / "conversations"

    def all(self) -> list[Conversation]:
        """All that can be read, the newest first."""
        found = []
        for path in sorted(self._paths(), reverse=True):
            try:
                found.append(_read(path))
            except ConversationError:
                continue  # one damaged file does not hide the others
        return found

    def latest(self, url: str) -> Conversation | None:
        """The conversation with a gateway that was last written to."""
        for path in sorted(self._paths(), key=_written_at, reverse=True):
            try:
                conversation = _read(path)
            except ConversationError:
                continue
            if conversation.url == url:
                return conversation
        return None

    def open(self, id: str) -> Conversation:
        """The conversation with an id, or the only one whose id begins so.

        Raises ConversationError.
        """
        fitting = [path for path in self._paths() if path.stem.startswith(id)]
        exact = [path for path in fitting if path.stem == id]
        if len(exact or fitting) != 1:
            raise ConversationError(
                f"{len(fitting)} conversations begin with {id!r}"
                if fitting
                else f"there is no conversation {id!r}"
            )
        return _read((exact or fitting)[0])

    def append(self, conversation: Conversation, *turns: Turn) -> Conversation:
        """Add turns, on disk too; the first ones make the file. Raises OSError."""
        extended = replace(conversation, turns=(*conversation.turns, *turns))
        path = self.path_of(conversation.id)
        if not path.exists():
            return self.save(extended)
        text = "".join(_line(turn) for turn in turns)
        # One write at the end of the file: another front-end may be adding to it as well.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        with open(descriptor, "ab", buffering=0) as file:
            file.write(text.encode("utf-8"))
        return extended

    def save(self, conversation: Conversation) -> Conversation:
        """Write all of a conversation in place of what was there. Raises OSError."""
        make_private_folder(self._folder)
        head = {
            "conversation": VERSION,
            "id": conversation.id,
            "at": conversation.at,
            "url": conversation.url,
            "model": conversation.model,
            "system": conversation.system,
        }
        lines = [_json(head), *(_line(turn) for turn in conversation.turns)]
        write_private(self.path_of(conversation.id), "".join(lines))
        return conversation

    def delete(self, id: str) -> None:
        """Forget a conversation."""
        self.path_of(id).unlink(missing_ok=True)

    def path_of(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise ConversationError(f"not the id of a conversation: {id!r}")
        return self._folder / f"{id}.jsonl"

    def _paths(self) -> list[Path]:
        try:
            return [path for path in self._folder.glob("*.jsonl") if _ID.fullmatch(path.stem)]
        except OSError:
            return []


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> Conversation:
    try:
        # What comes after the last line end is a write that a crash cut off.
        *lines, _ = path.read_text(encoding="utf-8").split("\n")
        head, *rows = [json.loads(line) for line in lines]
        if head["conversation"] != VERSION:
            raise ConversationError(f"{path} is of another version")
        turns = tuple(_turn(row) for row in rows)
        return Conversation(
            path.stem, head["at"], head["url"], head.get("model"), head.get("system"), turns
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConversationError(f"{path} cannot be read: {type(error).__name__}") from error


_TURN_FIELDS = frozenset(field.name for field in fields(Turn))


def _turn(row: Mapping[str, Any]) -> Turn:
    known = {name: value for name, value in row.items() if name in _TURN_FIELDS}
    if known.get("role") not in ("user", "assistant"):
        raise ValueError(f"unknown role {known.get('role')!r}")
    return Turn(**known)


def _line(turn: Turn) -> str:
    row = {name: getattr(turn, name) for name in Turn.__slots__}
    return _json(row)


def _json(row: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in row.items() if value is not None and value is not False}
    return json.dumps(kept, ensure_ascii=False) + "\n"
