"""Conversations as texts, to be searched or handed on."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conduit.client.attachments import described
from conduit.client.contexts import write_private
from conduit.client.conversations import Conversation, Turn
from conduit.core import people
from conduit.core.redaction import redacted

_BEFORE, _EXCERPT = 20, 80
_ABSENT = (None, False)


def facts_of(turn: Turn) -> list[str]:
    """What is known of an answer: `12 in / 34 out`, what it cost, how long it took."""
    found = []
    if turn.input_tokens is not None:
        found.append(f"{turn.input_tokens:,} in / {turn.output_tokens or 0:,} out")
    if turn.cost is not None:
        found.append(people.money(turn.cost))
    if turn.duration_ms is not None:
        found.append(f"{turn.duration_ms / 1000:.1f} s")
    if turn.tokens_per_s is not None:
        found.append(f"{turn.tokens_per_s:.0f} tok/s")
    if turn.cut:
        found.append("stopped before its end")
    return found


def attachments_of(turn: Turn) -> list[str]:
    """What was sent along with a question, each in a few words."""
    if isinstance(turn.content, str):
        return []
    parts = turn.content
    if parts and "text" in parts[0] and described(parts[0]) == "text":
        parts = parts[1:]  # what was typed stands before what was attached
    return [described(part) for part in parts]


def calls_of(turn: Turn) -> list[str]:
    """The calls of tools that an answer wants: `weather({"city": "Oslo"})`."""
    functions = [call.get("function", {}) for call in turn.tool_calls or ()]
    return [f"{each.get('name', '')}({each.get('arguments', '')})" for each in functions]


def found_in(conversation: Conversation, words: Sequence[str]) -> str | None:
    """Where all the words, in lower case, stand in a conversation, on any way; None if nowhere."""
    texts = [_searched(turn) for turn in conversation.every()]
    whole = "\n".join([conversation.system or "", *texts]).lower()
    if not all(word in whole for word in words):
        return None
    first = words[0] if words else ""
    text = next((text for text in texts if first in text.lower()), conversation.title)
    place = max(0, text.lower().find(first) - _BEFORE)
    line = " ".join(text[place : place + _EXCERPT].split())
    return f"…{line}" if place else line


def _searched(turn: Turn) -> str:
    """What of a turn is looked through: words, not the data that was attached."""
    results = [str(result.get("content", "")) for result in turn.tool_results or ()]
    return "\n".join([turn.text, *calls_of(turn), *results])


def search(conversations: Iterable[Conversation], text: str) -> Iterator[tuple[Conversation, str]]:
    """The conversations in which all words of a text stand, each with a place where."""
    words = text.lower().split()
    for conversation in conversations:
        found = found_in(conversation, words)
        if found is not None:
            yield conversation, found


def markdown_of(conversation: Conversation) -> str:
    """What is shown of a conversation, for people."""
    head = f"{conversation.url}, {conversation.at}"
    parts = [f"# {conversation.title or conversation.id}\n", f"*{head}*\n"]
    if conversation.system:
        parts.append(f"## System\n\n{conversation.system}\n")
    parts += [_markdown_of_turn(turn) for turn in conversation.turns]
    return redacted("\n".join(parts))


def _markdown_of_turn(turn: Turn) -> str:
    if turn.role == "user":
        results = [f"    {result['content']}" for result in turn.tool_results or ()]
        text = turn.text if not results else "Results of tools:\n\n" + "\n".join(results)
        attached = ", ".join(attachments_of(turn))
        return f"## You\n\n{text}\n" + (f"\n*Attached: {attached}*\n" if attached else "")
    via = f" (via {turn.provider})" if turn.provider else ""
    parts = [f"## {turn.model or 'Model'}{via}\n"]
    if turn.reasoning:
        quoted = "\n".join(f"> {line}".rstrip() for line in turn.reasoning.splitlines())
        parts.append(f"{quoted}\n")
    if turn.text:
        parts.append(f"{turn.text}\n")
    parts += [f"    {call}\n" for call in calls_of(turn)]
    facts = ", ".join(facts_of(turn))
    return "\n".join([*parts, *([f"*{facts}*\n"] if facts else [])])


def json_of(conversation: Conversation) -> str:
    """All of a conversation, for programs: `turns` are shown, `others` are those of other ways."""
    fields = {name: value for name, value in asdict(conversation).items() if name != "turns"}
    whole: dict[str, Any] = {**fields, "title": conversation.title}
    for name, turns in (("turns", conversation.turns), ("others", conversation.others)):
        whole[name] = [
            {key: value for key, value in asdict(turn).items() if value not in _ABSENT}
            for turn in turns
        ]
    return redacted(json.dumps(whole, indent=2, ensure_ascii=False)) + "\n"


def text_of(conversation: Conversation, path: Path) -> str:
    """As Markdown, or as JSON where the name of the file ends so."""
    is_json = path.suffix.lower() == ".json"
    return json_of(conversation) if is_json else markdown_of(conversation)


def export(conversation: Conversation, path: Path) -> None:
    """Write a conversation to a file for its owner alone. Raises OSError."""
    write_private(path, text_of(conversation, path))
