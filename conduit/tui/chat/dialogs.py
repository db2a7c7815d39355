"""What the chat screen asks for in dialogs: models, parameters, files, conversations, keys."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conduit.client.attachments import AttachmentError, part_of
from conduit.client.conversation_texts import export, found_in
from conduit.client.conversations import Conversation, Turn
from conduit.client.offered_tools import ToolsError, name_of, read_tools
from conduit.tui.chat.dialogue import MOST_RIVALS, Dialogue
from conduit.tui.chat.models import note_of
from conduit.tui.widgets.dialogs.forms import Field, FormDialog, Misfit
from conduit.tui.widgets.dialogs.picker import Choice, Picker

if TYPE_CHECKING:
    from conduit.tui.app import ConduitApp

_NOWHERE = "no conversation has all these words"
_PREVIEW = 60


class ConversationPicker(Picker):
    """Conversations, found by any word in them."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        super().__init__(
            "conversations: all words in them are looked through",
            [_choice_of(each, each.at[:16].replace("T", " ")) for each in conversations],
            empty=_NOWHERE if conversations else "none yet with this gateway",
        )
        self._conversations = conversations

    def fitting(self, words: Sequence[str]) -> list[Choice]:
        """The conversations with all the words, each with a place where they stand."""
        if not words:
            return list(self._choices)
        hits = ((each, found_in(each, words)) for each in self._conversations)
        return [_choice_of(each, where) for each, where in hits if where is not None]


def _choice_of(conversation: Conversation, note: str) -> Choice:
    return Choice(conversation.id, conversation.title or conversation.id, note=note)


async def chosen_model(
    app: "ConduitApp",
    aliases: Sequence[str],
    models: Mapping[str, Mapping[str, Any]],
    present: str | None,
) -> str | None:
    """The model that is chosen, each shown with what it can do."""
    choices = [
        Choice(
            alias,
            alias,
            note="  ".join(filter(None, (note_of(models.get(alias)), _now(alias, present)))),
        )
        for alias in aliases
    ]
    picker = Picker("model", choices, empty="there are no mappings yet: F3 adds one")
    return await app.push_screen_wait(picker)


def _now(alias: str, present: str | None) -> str:
    return "now" if alias == present else ""


async def change_settings(app: "ConduitApp", dialogue: Dialogue) -> None:
    """System text, parameters and tools, each as it is until it is changed."""
    parameters = dialogue.parameters
    known = ("temperature", "top_p", "max_tokens", "seed", "reasoning_effort", "response_format")
    others = {name: value for name, value in parameters.items() if name not in known}

    def field(name: str, label: str, **options: Any) -> Field:
        value = parameters.get(name, "")
        text = json.dumps(value) if isinstance(value, dict) else str(value)
        return Field(name, label, text, **options)

    fields = [
        Field("system", "System text", dialogue.conversation.system or ""),
        field("temperature", "Temperature", check=number),
        field("top_p", "Top p", check=number),
        field("max_tokens", "Max tokens", check=count),
        field("seed", "Seed", check=count),
        field("reasoning_effort", "Reasoning effort", hint="low, medium, high"),
        field("response_format", "Response format", hint="json_object, or JSON", check=shape),
        Field(
            "others", "Others", json.dumps(others) if others else "", hint="JSON", check=fields_of
        ),
    ]

    async def keep(values: dict[str, Any]) -> dict[str, Any]:
        dialogue.set_system(values.pop("system"))
        more = values.pop("others") or {}
        named = {name: value for name, value in values.items() if value is not None}
        dialogue.parameters = {**more, **named}
        return values

    await app.push_screen_wait(FormDialog("Parameters", fields, keep, verb="Use"))


async def attach_file(app: "ConduitApp", dialogue: Dialogue) -> None:
    """A file, or the URL of an image, for the next question."""

    async def take(values: dict[str, Any]) -> dict[str, Any]:
        try:
            part = await asyncio.to_thread(part_of, values["file"])
            dialogue.attach(part)
        except AttachmentError as error:
            raise Misfit("file", str(error)) from error
        return values

    field = Field("file", "File or URL", hint="image, PDF, audio, text", required=True)
    await app.push_screen_wait(FormDialog("Attach", [field], take, verb="Attach"))


async def offer_tools(app: "ConduitApp", dialogue: Dialogue) -> None:
    """The tools of a JSON file, offered with each question; an empty name takes them away."""

    async def take(values: dict[str, Any]) -> dict[str, Any]:
        given = values["file"]
        try:
            dialogue.tools = await asyncio.to_thread(_tools_in, given) if given else []
        except (ToolsError, RuntimeError) as error:
            raise Misfit("file", str(error)) from error
        return values

    hint = ", ".join(map(name_of, dialogue.tools)) or "JSON, as chat --tools takes it"
    field = Field("file", "File of tools", hint=hint)
    await app.push_screen_wait(FormDialog("Tools", [field], take, verb="Offer"))


async def results_of_calls(app: "ConduitApp", calls: Sequence[dict[str, Any]]) -> list[str] | None:
    """What the tools answered, one field for each call; None where nobody says."""
    fields = [
        Field(f"call-{place}", str(call.get("function", {}).get("name", "tool")), required=True)
        for place, call in enumerate(calls)
    ]

    async def take(values: dict[str, Any]) -> dict[str, Any]:
        return values

    told = await app.push_screen_wait(FormDialog("Results of tools", fields, take, verb="Send"))
    return None if told is None else [str(told[field.name]) for field in fields]


async def export_conversation(app: "ConduitApp", conversation: Conversation) -> None:
    """To a file for its owner alone, as Markdown or JSON by its name."""

    async def write(values: dict[str, Any]) -> dict[str, Any]:
        try:
            path = await asyncio.to_thread(_written, conversation, values["file"])
        except FileExistsError as error:
            raise Misfit("file", "exists already") from error
        except OSError as error:
            raise Misfit("file", error.strerror or str(error)) from error
        app.tell(f"written to {path}")
        return values

    hint = "NAME.md, or NAME.json with all ways that it took"
    field = Field("file", "File", f"{conversation.id}.md", hint=hint, required=True)
    await app.push_screen_wait(FormDialog("Export", [field], write, verb="Export"))


def _tools_in(given: str) -> list[dict[str, Any]]:
    return read_tools(Path(given).expanduser())


def _written(conversation: Conversation, given: str) -> Path:
    """Export to a file that is not there yet. Raises OSError."""
    path = Path(given).expanduser()
    if path.exists():
        raise FileExistsError(str(path))
    export(conversation, path)
    return path


async def chosen_rivals(app: "ConduitApp", dialogue: Dialogue, aliases: Sequence[str]) -> None:
    """The models beside the present one; none ends comparing."""
    others = [alias for alias in aliases if alias != dialogue.model]

    def check(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in others]
        if unknown:
            raise ValueError(f"{unknown[0]} is none of: {', '.join(others[:8]) or 'no other'}")
        if len(names) > MOST_RIVALS:
            raise ValueError(f"at most {MOST_RIVALS} beside {dialogue.model}")
        return names

    async def take(values: dict[str, Any]) -> dict[str, Any]:
        dialogue.rivals = values["models"] or []
        return values

    field = Field(
        "models",
        "Beside it",
        ", ".join(dialogue.rivals),
        hint="one or two models; none ends it",
        choices=others,
        check=check,
    )
    title = f"Compare {dialogue.model} with"
    await app.push_screen_wait(FormDialog(title, [field], take, verb="Compare"))


async def chosen_way(app: "ConduitApp", conversation: Conversation) -> int | None:
    """The number of the last turn of the way that is chosen."""
    end = conversation.turns[-1].id if conversation.turns else 0
    choices = [
        Choice(str(turn.id), _preview(turn), note="now" if turn.id == end else turn.model or "")
        for turn in conversation.ends()
    ]
    chosen = await app.push_screen_wait(Picker("ways that the conversation took", choices))
    return None if chosen is None else int(chosen)


def _preview(turn: Turn) -> str:
    text = " ".join(turn.text.split())
    return text[:_PREVIEW] or f"turn {turn.id}"


async def key_taken(app: "ConduitApp") -> str | None:
    """A virtual key that somebody types; it goes nowhere but into the requests."""

    async def take(values: dict[str, Any]) -> dict[str, Any]:
        return values

    field = Field("key", "Virtual key", kind="secret", required=True, check=virtual_key)
    taken = await app.push_screen_wait(FormDialog("Virtual key", [field], take, verb="Use"))
    return None if taken is None else str(taken["key"])


def virtual_key(text: str) -> str:
    """The key, or ValueError."""
    from conduit.core.keys import is_virtual_key  # noqa: PLC0415  # deferred: rare

    if not is_virtual_key(text):
        raise ValueError("is no virtual key, or is mistyped")
    return text


def number(text: str) -> float:
    """A number, or ValueError."""
    try:
        return float(text)
    except ValueError as error:
        raise ValueError("must be a number, such as 0.7") from error


def count(text: str) -> int:
    """A whole number, or ValueError."""
    if not text.isascii() or not text.isdigit():
        raise ValueError("must be a whole number")
    return int(text)


def shape(text: str) -> dict[str, Any]:
    """A response format: its type alone, or all of it as JSON. Raises ValueError."""
    return fields_of(text) if text.startswith("{") else {"type": text}


def fields_of(text: str) -> dict[str, Any]:
    """A JSON object, or ValueError."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError("must be JSON") from error
    if not isinstance(value, dict):
        raise ValueError('must be a JSON object, such as {"stop": ["END"]}')
    return value
