"""Conversations with models, kept on this machine and shared by the front-ends.

A conversation is a file of JSON lines, `conversations/ID.jsonl` in the state folder, readable by
its owner alone. The first line describes it, each other line is a turn:

    {"conversation": 1, "id": "…", "at": "…", "url": "…", "model": "…", "system": "…"}
    {"role": "user", "content": "…", "at": "…", "id": 1, "after": 0}
    {"role": "assistant", "content": "…", "at": "…", "model": "…", "request_id": "…",
     "input_tokens": 12, "output_tokens": 3, "cost": "0.0041", "cut": true, "id": 2, "after": 1}

`content` is a text or a list of parts as in OpenAI's API, what was typed before what was attached;
fields without a value are left out.

Turns are numbered from 1, and `after` is the one that a turn follows, 0 where it is the first:
several that follow the same one are answers to one question, or ways that a conversation took. A
turn without numbers follows the line before it. The last line is the end of what is shown.
Turns are appended; what changes earlier ones writes the file anew. Unknown fields are kept out of
the way of a newer version: a reader ignores them. What looks like a key is shortened on disk.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from conduit.client.contexts import make_private_folder, write_private
from conduit.client.locking import locked
from conduit.core.paths import state_folder
from conduit.core.redaction import redacted

VERSION = 1
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_TITLE_CHARACTERS = 60
Content = str | list[dict[str, Any]]
Role = Literal["user", "assistant"]


class ConversationError(Exception):
    """A conversation that does not exist or cannot be read; the message is one line."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. What an answer cost stands with it; `cut` marks one that was broken off.

    `reasoning` is what the model thought, `tool_calls` what it wanted to be run, in OpenAI's form;
    `tool_results` are what a person answered them with: `{"tool_call_id": …, "content": …}`.
    `id` and `after` are numbers of turns, 0 for none.
    """

    role: Role
    content: Content
    at: str = ""
    model: str | None = None
    request_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: str | None = None
    cut: bool = False
    provider: str | None = None
    duration_ms: int | None = None
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_results: list[dict[str, Any]] | None = None
    id: int = 0
    after: int = 0

    @property
    def text(self) -> str:
        """What was written, without what was attached to it."""
        if isinstance(self.content, str):
            return self.content
        return next((str(part["text"]) for part in self.content if "text" in part), "")

    @property
    def tokens_per_s(self) -> float | None:
        """How quickly it came, from the question to the end."""
        if not self.output_tokens or not self.duration_ms:
            return None
        return self.output_tokens * 1000 / self.duration_ms

    def message(self) -> dict[str, Any]:
        """The turn as a request carries it."""
        return {"role": self.role, "content": self.content}


def messages_of(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Turns as a request carries them; calls of tools only where they have been answered."""
    found: list[dict[str, Any]] = []
    for place, turn in enumerate(turns):
        following = turns[place + 1] if place + 1 < len(turns) else None
        if turn.tool_results is not None:
            found += [{"role": "tool", **result} for result in turn.tool_results]
        elif turn.tool_calls and following is not None and following.tool_results is not None:
            found.append({**turn.message(), "tool_calls": turn.tool_calls})
        elif turn.content or turn.role == "user":
            found.append(turn.message())
    return found


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with one gateway: the turns that are shown, and those of other ways.

    `known` is the highest number that a turn of it has had, those too that were taken back.
    """

    id: str
    at: str
    url: str
    model: str | None = None
    system: str | None = None
    turns: tuple[Turn, ...] = ()
    others: tuple[Turn, ...] = ()
    known: int = field(default=0, compare=False)

    @property
    def highest(self) -> int:
        """The number after which turns are numbered."""
        return max(self.known, *(turn.id for turn in (*self.turns, *self.others)), 0)

    @property
    def title(self) -> str:
        """The beginning of the first question."""
        text = next((turn.text for turn in self.turns if turn.role == "user"), "")
        line = " ".join(text.split())
        return line if len(line) <= _TITLE_CHARACTERS else line[: _TITLE_CHARACTERS - 1] + "…"

    def messages(self) -> list[dict[str, Any]]:
        """All of it as a request carries it."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *messages_of(self.turns)]

    def every(self) -> list[Turn]:
        """The turns of all ways, in the order in which they were written."""
        return sorted((*self.turns, *self.others), key=lambda turn: turn.id)

    def extended(self, *turns: Turn) -> "Conversation":
        """The conversation with turns at the end of what is shown, each numbered."""
        number = self.highest
        after = self.turns[-1].id if self.turns else 0
        numbered = []
        for turn in turns:
            number += 1
            numbered.append(replace(turn, id=number, after=after))
            after = number
        return replace(self, turns=(*self.turns, *numbered), known=number)

    def forked(self, at: int) -> "Conversation":
        """The conversation before its turn at a place, for another way; what came stays aside."""
        others = sorted((*self.others, *self.turns[at:]), key=lambda turn: turn.id)
        return replace(self, turns=self.turns[:at], others=tuple(others))

    def ways(self, at: int) -> list[Turn]:
        """The turn at a place and those that stand for it, in the order of their writing."""
        turn = self.turns[at]
        aside = [t for t in self.others if (t.after, t.role) == (turn.after, turn.role)]
        return sorted([turn, *aside], key=lambda each: each.id)

    def showing(self, number: int) -> "Conversation":
        """The way that leads through a turn, and on to the end that was written last."""
        every = self.every()
        by_number = {turn.id: turn for turn in every}
        shown = [by_number[number]]
        while shown[0].after in by_number:
            shown.insert(0, by_number[shown[0].after])
        # A turn is numbered after the one it follows.
        for turn in reversed(every):
            if _leads_to(by_number, turn, number):
                shown += _steps(by_number, turn, number)
                break
        kept = {turn.id for turn in shown}
        others = tuple(turn for turn in every if turn.id not in kept)
        return replace(self, turns=tuple(shown), others=others)

    def ends(self) -> list[Turn]:
        """The last turn of each way, the newest first."""
        every = self.every()
        followed = {turn.after for turn in every}
        return [turn for turn in reversed(every) if turn.id not in followed]

    def without_last_exchange(self) -> "Conversation":
        """The conversation before its last question."""
        asked = [index for index, turn in enumerate(self.turns) if turn.role == "user"]
        turns = self.turns[: asked[-1]] if asked else ()
        kept = {0, *(turn.id for turn in turns)}
        others = []
        for turn in sorted(self.others, key=lambda each: each.id):
            if turn.after in kept:
                others.append(turn)
                kept.add(turn.id)
        return replace(self, turns=turns, others=tuple(others))


def _steps(by_number: Mapping[int, Turn], turn: Turn, since: int) -> list[Turn]:
    """The turns on the way up to a turn, after another one that leads to it."""
    steps: list[Turn] = []
    while turn.id != since:
        steps.insert(0, turn)
        turn = by_number[turn.after]
    return steps


def _leads_to(by_number: Mapping[int, Turn], turn: Turn, number: int) -> bool:
    """Whether a turn comes, however long, after that of a number."""
    while turn.id > number and turn.after in by_number:
        turn = by_number[turn.after]
    return turn.id == number


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


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation in a list, without its turns."""

    id: str
    url: str
    title: str


class Conversations:
    """The conversations in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder if folder is not None else state_folder() / "conversations"
        self._listed: dict[Path, tuple[tuple[int, int], Listed | None]] = {}

    def listed(self, url: str) -> list[Listed]:
        """Those with a gateway, the newest first; a file is read again where it has changed."""
        before = self._listed
        now_listed: dict[Path, tuple[tuple[int, int], Listed | None]] = {}
        for path in sorted(self._paths(), reverse=True):
            try:
                status = path.stat()
            except OSError:
                continue
            state = (status.st_mtime_ns, status.st_size)
            known = before.get(path)
            fresh = known is not None and known[0] == state
            now_listed[path] = known if known and fresh else (state, _listed(path))
        self._listed = now_listed
        found = [listed for _, listed in now_listed.values()]
        return [each for each in found if each is not None and each.url == url]

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
        """Add turns, on disk too; the first ones make the file.

        What another front-end has added meanwhile is part of what is returned. Raises OSError.
        """
        path = self.path_of(conversation.id)
        with self._locked():
            if not path.exists():
                return self._write(conversation.extended(*turns))
            present = _present(path)
            extended = _joined(conversation, present).extended(*turns)
            if not (_goes_on(conversation, present) and _ends_whole(path)):
                return self._write(extended)
            text = "".join(_line(turn) for turn in extended.turns[-len(turns) :])
            # One write at the end of the file: a crash leaves what was there.
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            with open(descriptor, "ab", buffering=0) as file:
                file.write(text.encode("utf-8"))
        return extended

    def save(self, conversation: Conversation) -> Conversation:
        """Write all of a conversation in place of what was there. Raises OSError.

        What another front-end has added meanwhile is kept, and part of what is returned.
        """
        with self._locked():
            return self._write(_joined(conversation, _present(self.path_of(conversation.id))))

    def joined(self, conversation: Conversation) -> Conversation:
        """The conversation with what another front-end has added to it."""
        return _joined(conversation, _present(self.path_of(conversation.id)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_private_folder(self._folder)
        with locked(self._folder / ".lock"):
            yield

    def _write(self, conversation: Conversation) -> Conversation:
        head = {
            "conversation": VERSION,
            "id": conversation.id,
            "at": conversation.at,
            "url": conversation.url,
            "model": conversation.model,
            "system": redacted(conversation.system) if conversation.system else None,
        }
        turns = (*conversation.others, *conversation.turns)
        lines = [_json(head), *(_line(turn) for turn in turns)]
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


def _listed(path: Path) -> Listed | None:
    try:
        found = _read(path)
    except ConversationError:
        return None
    return Listed(found.id, found.url, found.title)


def _read(path: Path) -> Conversation:
    try:
        head, rows = _rows(path)
        turns = _numbered(rows)
        found = Conversation(
            path.stem, head["at"], head["url"], head.get("model"), head.get("system"), (), turns
        )
        found = replace(found, known=found.highest)
        return found.showing(turns[-1].id) if turns else found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConversationError(f"{path} cannot be read: {type(error).__name__}") from error


def _rows(path: Path) -> tuple[dict[str, Any], list[Turn]]:
    # What comes after the last line end is a write that a crash cut off.
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    head, *rows = [json.loads(line) for line in lines]
    if head["conversation"] != VERSION:
        raise ConversationError(f"{path} is of another version")
    return head, [_turn(row) for row in rows]


def _present(path: Path) -> list[Turn]:
    """The turns on disk, as they are numbered there; none where they cannot be read."""
    try:
        rows = _rows(path)[1]
        _numbered(rows)
    except (OSError, ValueError, KeyError, TypeError, ConversationError):
        return []
    return rows


def _joined(conversation: Conversation, present: Sequence[Turn]) -> Conversation:
    """The conversation with the turns on disk that it has not known, as other ways."""
    ours = {turn.id: turn for turn in conversation.every()}
    added: list[Turn] = []
    needed: set[int] = set()
    for turn in sorted(_numbered(present), key=lambda each: each.id, reverse=True):
        if turn.id in ours and _is_same(ours[turn.id], turn):
            continue
        # One of a lower number was taken back, unless another one still follows it.
        if turn.id in ours or turn.id > conversation.highest or turn.id in needed:
            added.insert(0, turn)
            needed.add(turn.after)
    if not added:
        return conversation
    every = _numbered([*ours.values(), *added])
    others = sorted((*conversation.others, *every[len(ours) :]), key=lambda turn: turn.id)
    joined = replace(conversation, others=tuple(others))
    return replace(joined, known=joined.highest)


def _goes_on(conversation: Conversation, present: Sequence[Turn]) -> bool:
    """Whether what is on disk can stay as it is when turns are added to the conversation."""
    if list(_numbered(present)) != list(present):
        return False
    by_number = {turn.id: turn for turn in present}
    ours = {turn.id: turn for turn in conversation.every()}
    return all(turn.id in by_number for turn in conversation.turns) and all(
        _is_same(ours[number], turn) for number, turn in by_number.items() if number in ours
    )


def _ends_whole(path: Path) -> bool:
    """Whether a file's last line was written to its end: what is added would be part of it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read() == b"\n"


def _is_same(ours: Turn, written: Turn) -> bool:
    """Whether a turn of one number is what was written, where its keys are shortened."""
    if (ours.role, ours.at, ours.after) != (written.role, written.at, written.after):
        return False
    return ours.content == written.content or _without_keys(ours.content) == written.content


_TURN_FIELDS = frozenset(field.name for field in fields(Turn))


def _turn(row: Mapping[str, Any]) -> Turn:
    known = {name: value for name, value in row.items() if name in _TURN_FIELDS}
    if known.get("role") not in ("user", "assistant"):
        raise ValueError(f"unknown role {known.get('role')!r}")
    return Turn(**known)


def _numbered(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns as a file has them, those without a number after the one before them.

    Two front-ends may have given one number: the later turn has a new one, with all after it.
    Raises ValueError where turns cannot have been written one after the other.
    """
    found: list[Turn] = []
    numbers = {0}
    moved: dict[int, int] = {}
    number = max((turn.id for turn in turns), default=0)
    for turn in turns:
        if turn.id and turn.after >= turn.id:
            raise ValueError("a turn follows none that there is")
        if turn.id and turn.id not in numbers and turn.after not in moved:
            found.append(turn)
        else:
            number += 1
            before = found[-1].id if found else 0
            after = moved.get(turn.after, turn.after) if turn.id else before
            if turn.id:
                moved[turn.id] = number
            found.append(replace(turn, id=number, after=after))
        numbers.add(found[-1].id)
    if any(turn.after not in numbers for turn in found):
        raise ValueError("a turn follows none that there is")
    return tuple(found)


def _line(turn: Turn) -> str:
    row = {name: getattr(turn, name) for name in Turn.__slots__}
    row |= {"content": _without_keys(turn.content), "reasoning": _without_keys(turn.reasoning)}
    row |= {name: _without_keys(row[name]) for name in ("tool_calls", "tool_results")}
    return _json(row if turn.id else {n: v for n, v in row.items() if n not in ("id", "after")})


def _without_keys(value: Any) -> Any:  # JSON
    """The same, with the keys in its texts shortened; what is attached as data stays as it is."""
    match value:
        case str():
            return redacted(value)
        case list():
            return [_without_keys(each) for each in value]
        case {"type": "input_audio"}:
            return value  # base64 without a sign of it
        case {"type": "image_url" | "file" as kind, **rest}:
            return {
                "type": kind,
                **{name: _without_keys_in_part(each) for name, each in rest.items()},
            }
        case dict():
            return {name: _without_keys(each) for name, each in value.items()}
        case _:
            return value


def _without_keys_in_part(value: Any) -> Any:  # JSON
    """The same for what an attachment holds: its address or its name, and no data."""
    match value:
        case str() if value.startswith("data:"):
            return value
        case dict():
            return {name: _without_keys_in_part(each) for name, each in value.items()}
        case _:
            return _without_keys(value)


def _json(row: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in row.items() if value is not None and value is not False}
    return json.dumps(kept, ensure_ascii=False) + "\n"
