"""Content blocks of Anthropic's format as parts of the internal form.

Source: platform.claude.com/docs "Messages API", and the types of the official SDK
(`ContentBlockParam`, `ContentBlock`). A block with a field that has no place in the internal form,
and every block that only Anthropic's servers understand, stays whole.
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import (
    Citation,
    Message,
    Opaque,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from conduit.gateway.dialects import signatures
from conduit.gateway.dialects.anthropic.media import decode_document, decode_image
from conduit.gateway.dialects.anthropic.words import NAME
from conduit.gateway.dialects.fields import (
    Fields,
    read_flag,
    read_object_field,
    read_objects,
    read_text,
    rest_of,
    wrong,
)
from conduit.gateway.dialects.lenient_json import write_json

_ROLES: Final = frozenset({"user", "assistant", "system"})
_MESSAGE_FIELDS: Final = frozenset({"role", "content"})
_TEXT_FIELDS: Final = frozenset({"type", "text", "cache_control", "citations"})
_IMAGE_FIELDS: Final = frozenset({"type", "source", "cache_control"})
_DOCUMENT_FIELDS: Final = frozenset({"type", "source", "cache_control", "title"})
_THINKING_FIELDS: Final = frozenset({"type", "thinking", "signature"})
_CALL_FIELDS: Final = frozenset({"type", "id", "name", "input", "cache_control", "signature"})
_RESULT_FIELDS: Final = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})


def decode_message(fields: Fields, where: str) -> list[Message]:
    """The messages that one of Anthropic's comes to: each tool result is one of its own."""
    role = read_text(fields, "role", where) or ""
    if role not in _ROLES:
        raise wrong(f"{where}role", 'must be "user", "assistant" or "system"')
    if fields.get("content") is None:
        raise wrong(f"{where}content", "is missing")
    parts = decode_content(fields, "content", where)
    extras = rest_of(fields, _MESSAGE_FIELDS)
    # The roles are checked above.
    return _split(role, parts, extras)  # type: ignore[arg-type]


def _split(role: Role, parts: tuple[Part, ...], extras: Mapping[str, Any]) -> list[Message]:
    messages: list[Message] = []
    rest: list[Part] = []
    for part in parts:
        if isinstance(part, ToolResult) and role == "user":
            if rest:
                messages.append(Message(role, tuple(rest), extras=extras))
                rest = []
            messages.append(Message("tool", (part,), extras=extras))
        else:
            rest.append(part)
    if rest or not messages:
        messages.append(Message(role, tuple(rest), extras=extras))
    return messages


def decode_content(fields: Fields, name: str, where: str) -> tuple[Part, ...]:
    """The parts of a string or an array of blocks; an absent field has none."""
    content = fields.get(name)
    if isinstance(content, str):
        return (Text(content),)
    if content is not None and not isinstance(content, list):
        raise wrong(f"{where}{name}", "must be a string or an array")
    return tuple(
        _decode_block(block, f"{where}{name}[{index}].")
        for index, block in enumerate(read_objects(fields, name, where))
    )


def _decode_block(block: Fields, where: str) -> Part:
    kind = read_text(block, "type", where)
    if kind is None:
        raise wrong(f"{where}type", "is missing")
    part: Part | None = None
    match kind:
        case "text":
            part = _text(block, where)
        case "image" if not _says_more(block, _IMAGE_FIELDS):
            part = decode_image(_source(block, where), mark_of(block, where))
        case "document":
            part = _document(block, where)
        case "thinking":
            part = _thinking(block, where)
        case "redacted_thinking":
            part = _redacted(block, where)
        case "tool_use":
            part = _tool_use(block, where)
        case "tool_result" if not _says_more(block, _RESULT_FIELDS):
            part = _tool_result(block, where)
        case _:
            pass
    return part or Opaque(NAME, "content", block)


def _says_more(block: Fields, known: frozenset[str]) -> bool:
    """Whether a block has fields without a place; libraries write null for what they do not say."""
    if known.issuperset(block):  # as of most
        return False
    return any(value is not None for value in rest_of(block, known).values())


def mark_of(fields: Fields, where: str) -> Fields | None:
    return read_object_field(fields, "cache_control", where)


def _required(block: Fields, name: str, where: str) -> str:
    text = read_text(block, name, where)
    if text is None:
        raise wrong(f"{where}{name}", "is missing")
    return text


def _source(block: Fields, where: str) -> Fields:
    source = read_object_field(block, "source", where)
    if source is None:
        raise wrong(f"{where}source", "is missing")
    return source


def _text(block: Fields, where: str) -> Text | None:
    text = _required(block, "text", where)
    citations = tuple(decode_citation(raw) for raw in read_objects(block, "citations", where))
    if _says_more(block, _TEXT_FIELDS):
        return None
    return Text(text, cache_mark=mark_of(block, where), citations=citations)


def decode_citation(raw: Fields) -> Citation:
    """One citation, whole, and what of it other formats can show.

    Its offsets are into the cited document, not into the text that is cited for.
    """
    title = raw.get("title", raw.get("document_title"))
    url, cited = raw.get("url"), raw.get("cited_text")
    return Citation(
        NAME,
        raw,
        url=url if isinstance(url, str) else None,
        title=title if isinstance(title, str) else None,
        cited_text=cited if isinstance(cited, str) else None,
    )


def _document(block: Fields, where: str) -> Part | None:
    source = _source(block, where)
    # What citations and a context ask for has no place; off is what they are by themselves.
    if block.get("citations") == {"enabled": False}:
        block = rest_of(block, frozenset({"citations"}))
    if _says_more(block, _DOCUMENT_FIELDS):
        return None
    title = read_text(block, "title", where)
    return decode_document(source, title, mark_of(block, where))


def _thinking(block: Fields, where: str) -> Thinking:
    text = _required(block, "thinking", where)
    extras = rest_of(block, _THINKING_FIELDS)
    written = read_text(block, "signature", where)
    if not written or written == signatures.UNSIGNED:  # of a provider that signs nothing
        return Thinking(text, extras=extras)
    signature, signed_by = signatures.read(written, NAME)
    return Thinking(text, signature=signature, signed_by=signed_by, extras=extras)


def _redacted(block: Fields, where: str) -> Thinking:
    data, signed_by = signatures.read(_required(block, "data", where), NAME)
    return Thinking(
        redacted=data, signed_by=signed_by, extras=rest_of(block, frozenset({"type", "data"}))
    )


def _tool_use(block: Fields, where: str) -> ToolCall:
    arguments = read_object_field(block, "input", where)
    if arguments is None:
        raise wrong(f"{where}input", "is missing")
    written = read_text(block, "signature", where)
    signature, signed_by = signatures.read(written, NAME) if written else (None, "")
    return ToolCall(
        _required(block, "id", where),
        _required(block, "name", where),
        write_json(arguments).decode(),
        cache_mark=mark_of(block, where),
        signature=signature,
        signed_by=signed_by,
        extras=rest_of(block, _CALL_FIELDS),
    )


def _tool_result(block: Fields, where: str) -> ToolResult:
    return ToolResult(
        _required(block, "tool_use_id", where),
        decode_content(block, "content", where),
        is_error=read_flag(block, "is_error", where) or False,
        cache_mark=mark_of(block, where),
    )
