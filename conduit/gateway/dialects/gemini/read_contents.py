"""Contents that a Gemini client sends, as messages of the internal form."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import (
    Message,
    Opaque,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from conduit.gateway.dialects.fields import (
    Fields,
    read_flag,
    read_object_field,
    read_objects,
    read_text,
    rest_of,
    wrong,
)
from conduit.gateway.dialects.gemini.media import Media, part_of_address, part_of_blob
from conduit.gateway.dialects.gemini.signatures import read_seal
from conduit.gateway.dialects.gemini.words import NAME, camel, made_id
from conduit.gateway.dialects.lenient_json import write_json

# SDKs have written results of functions under each of the last two.
_ROLES: Final[Mapping[str, Role]] = {
    "user": "user",
    "model": "assistant",
    "function": "user",
    "tool": "user",
}
_CONTENT_FIELDS = frozenset({"role", "parts"})
_TEXT_FIELDS = frozenset({"text", "thought", "thoughtSignature"})


def read_contents(fields: Fields, name: str = "contents") -> tuple[Message, ...]:
    """The messages of an array of contents, or of a single one, which the API takes as well.

    Every function response becomes a message of its own, as other formats have them.
    """
    calls = CallIds()
    messages: list[Message] = []
    for index, content in enumerate(_one_or_many(fields, name)):
        where = f"{name}[{index}]."
        messages += _read_content(camel(content, where), where, calls)
    return tuple(messages)


def read_system(fields: Fields, name: str = "systemInstruction") -> tuple[Message, ...]:
    """The system message of a content, or none; the role that SDKs write there says nothing."""
    given = read_object_field(fields, name)
    if given is None:
        return ()
    where = f"{name}."
    content = camel(given, where)
    parts = _read_parts(content, where, CallIds())
    return (Message("system", tuple(parts), extras=rest_of(content, _CONTENT_FIELDS)),)


class CallIds:
    """The calls so far: a response without an id belongs to the first open call of its name."""

    def __init__(self) -> None:
        self._count = 0
        self._open: dict[str, deque[str]] = {}

    def call(self, name: str, call_id: str | None) -> str:
        self._count += 1
        call_id = call_id or made_id("request", self._count, name)
        self._open.setdefault(name, deque()).append(call_id)
        return call_id

    def answer(self, name: str, call_id: str | None) -> str:
        waiting = self._open.get(name, deque())
        if call_id is None:
            return waiting.popleft() if waiting else made_id("no call", name)
        if call_id in waiting:
            waiting.remove(call_id)
        return call_id


def _one_or_many(fields: Fields, name: str, where: str = "") -> list[Fields]:
    value = fields.get(name)
    return [value] if isinstance(value, dict) else read_objects(fields, name, where)


def _read_content(content: Fields, where: str, calls: CallIds) -> list[Message]:
    given = read_text(content, "role", where) or "user"
    role = _ROLES.get(given)
    if role is None:
        raise wrong(f"{where}role", 'must be "user" or "model"')
    extras = rest_of(content, _CONTENT_FIELDS)
    messages: list[Message] = []
    parts: list[Part] = []
    for part in _read_parts(content, where, calls):
        if isinstance(part, ToolResult):
            messages.append(Message("tool", (part,)))
        else:
            parts.append(part)
    if parts or extras or not messages:
        messages.append(Message(role, tuple(parts), extras=extras))
    return messages


def _read_parts(content: Fields, where: str, calls: CallIds) -> list[Part]:
    parts: list[Part] = []
    for index, part in enumerate(_one_or_many(content, "parts", where)):
        parts += _read_part(part, f"{where}parts[{index}].", calls)
    return parts


def _read_part(written: Fields, where: str, calls: CallIds) -> tuple[Part, ...]:
    """A part whose every field has a place; otherwise the part as it stands, so nothing is lost."""
    part = camel(written, where)
    thought = read_flag(part, "thought", where) or False
    seal = read_text(part, "thoughtSignature", where)
    kinds = part.keys() - {"thought", "thoughtSignature"}
    if kinds <= {"text"} and (kinds or seal):
        return _read_text_part(read_text(part, "text", where) or "", seal, thought=thought)
    placed: Part | None = None
    if len(kinds) == 1 and not thought:
        (kind,) = kinds
        inner = camel(read_object_field(part, kind, where) or {}, f"{where}{kind}.")
        match kind:
            case "functionCall":
                return (_read_call(inner, seal, f"{where}functionCall.", calls),)
            case "functionResponse":
                placed = _read_result(inner, f"{where}functionResponse.", calls)
            case "inlineData" | "fileData":
                placed = _read_media(kind, inner)
            case _:
                pass
        if placed is not None:
            return (placed, *_signature_of(seal, kind))
    return (Opaque(NAME, "parts", written),)


def _read_text_part(text: str, seal: str | None, *, thought: bool) -> tuple[Part, ...]:
    if not thought:
        if not seal:
            return (Text(text),)
        return (Text(text), *_signature_of(seal, "text")) if text else _signature_of(seal, None)
    if not seal:
        return (Thinking(text, signed_by=NAME),)
    found = read_seal(seal)
    extras = {} if text or found.signed_by != NAME else {"thought": True}
    return (Thinking(text, found.signature, found.redacted, found.signed_by, extras),)


def _signature_of(seal: str | None, of: str | None) -> tuple[Thinking, ...]:
    """The thinking behind a part that is no thought but signed; `of` names what was signed."""
    if not seal:
        return ()
    found = read_seal(seal)
    extras = {"of": of} if of and found.signed_by == NAME else {}
    return (Thinking("", found.signature, found.redacted, found.signed_by, extras),)


def _read_call(call: Fields, seal: str | None, where: str, calls: CallIds) -> ToolCall:
    name = read_text(call, "name", where)
    if not name:
        raise wrong(f"{where}name", "must be a non-empty string")
    args = read_object_field(call, "args", where)
    found = read_seal(seal) if seal else None
    return ToolCall(
        id=calls.call(name, read_text(call, "id", where)),
        name=name,
        arguments=write_json(args or {}).decode(),
        signature=found.signature if found else None,
        signed_by=found.signed_by if found else "",
        extras=rest_of(call, frozenset({"id", "name", "args"})),
    )


def _read_result(result: Fields, where: str, calls: CallIds) -> ToolResult | None:
    name = read_text(result, "name", where)
    if not name:
        raise wrong(f"{where}name", "must be a non-empty string")
    call_id = calls.answer(name, read_text(result, "id", where))
    response = read_object_field(result, "response", where) or {}
    if result.keys() - {"id", "name", "response", "parts"}:
        return None
    media: list[Part] = []
    for item in read_objects(result, "parts", where):
        part = _result_media(camel(item, f"{where}parts."))
        if part is None:
            return None
        media.append(part)
    is_error = response.keys() == {"error"}
    texts = result_texts(response)
    return ToolResult(call_id, (*map(Text, texts), *media), is_error=is_error)


def result_texts(response: Mapping[str, Any]) -> list[str]:
    """The text of a function's response; what stands alone under `output` or `error` is all of it.

    Several texts are an array of strings there. An empty response is no text.
    """
    if not response:
        return []
    value: Any = response
    if response.keys() in ({"output"}, {"error"}):
        (value,) = response.values()
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and len(value) > 1 and all(isinstance(item, str) for item in value):
        return value
    return [write_json(value).decode()]


def _result_media(item: Fields) -> Media | None:
    if len(item) != 1:
        return None
    ((kind, inner),) = item.items()
    return _read_media(kind, camel(inner)) if isinstance(inner, dict) else None


def _read_media(kind: str, inner: Fields) -> Media | None:
    if kind == "inlineData":
        return part_of_blob(inner)
    return part_of_address(inner) if kind == "fileData" else None
