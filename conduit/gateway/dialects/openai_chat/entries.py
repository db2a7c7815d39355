"""The messages of OpenAI's chat format, as cutting a conversation sees them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from conduit.gateway.conversation import Message
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.entries import Entry, Speaker, Turns
from conduit.gateway.dialects.openai_chat.decode_messages import decode_message

_SPEAKERS: Final[Mapping[str, Speaker]] = {
    "system": "instructions",
    "developer": "instructions",
    "user": "user",
}


def _entries_of(messages: Sequence[Any]) -> list[Entry]:
    return [_entry(message) for message in messages]


def _entry(message: Mapping[str, Any]) -> Entry:
    role = message["role"]
    if role == "assistant":
        return Entry("others", calls=tuple(_called(message)) if len(message) > 2 else ())
    if role in ("tool", "function"):
        # Functions are of the time before there were tools: one call at a time, without an id.
        answered = message.get("tool_call_id" if role == "tool" else "name")
        return Entry("others", results=(answered,) if isinstance(answered, str) else ())
    return Entry(_SPEAKERS.get(role, "others"))


def _called(message: Mapping[str, Any]) -> Iterator[str]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call_id := call.get("id"), str):
            yield call_id
    match message.get("function_call"):
        case {"name": str(name)}:
            yield name
        case _:
            pass


def _decode(messages: list[Any]) -> list[Message]:
    return [decode_message(message, f"messages[{at}].") for at, message in enumerate(messages)]


def _beside(call: ClientCall) -> int:
    return 0


TURNS: Final = Turns("messages", _entries_of, _decode, _beside)
