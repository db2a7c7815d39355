"""Input items of OpenAI's responses, decoded into messages.

What the assistant did between two turns of others (items of reasoning, messages, calls) is one
message, as in every other format. `form` keeps what an item had beside what is understood of it:
`items` holds (start, stop, fields) of the parts of each.

Source: ResponseInputItem of https://platform.openai.com/docs/api-reference/responses/create.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conduit.gateway.conversation import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from conduit.gateway.dialects.fields import Fields, read_objects, read_text, rest_of, wrong
from conduit.gateway.dialects.openai.annotations import citation_of
from conduit.gateway.dialects.openai.google_signatures import take_signature
from conduit.gateway.dialects.openai_responses.seals import Seal, is_made, read_seal

_DIALECT: Final = "openai_responses"
_ROLES: Final = ("assistant", "developer", "system", "user")
CACHE_MARK: Final[Mapping[str, Any]] = {"type": "ephemeral"}

_MESSAGE_FIELDS = frozenset({"type", "role", "content"})
_CALL_FIELDS = frozenset({"type", "call_id", "name", "arguments"})
_RESULT_FIELDS = frozenset({"type", "call_id", "output"})
_REASONING_FIELDS = frozenset({"type", "encrypted_content", "summary", "content"})
_FILE_FIELDS = frozenset({"file_id", "file_data", "file_url", "filename"})
_FORM_FIELDS = frozenset({"id", "status", "phase"})

_Span = tuple[int, int, Mapping[str, Any]]
_SPOKEN = (Text, Image, Audio, File, Refusal)


def decode_items(items: list[Fields]) -> tuple[Message, ...]:
    """The messages of an input array; raises an InvalidRequestError that names the field."""
    reader = _Reader()
    for index, item in enumerate(items):
        reader.add(item, f"input[{index}].")
    return reader.finish()


def kind_of(item: Fields) -> str:
    """The type of an item; messages and references may leave theirs out."""
    kind = item.get("type", "message" if "role" in item else "item_reference")
    return kind if isinstance(kind, str) else ""


def default_spans(parts: tuple[Part, ...]) -> tuple[_Span, ...]:
    """How parts make items where nothing else is known: all that is said in a row is a message."""
    if not parts:
        return ((0, 0, {}),)
    spans: list[_Span] = []
    start = 0
    for at, part in enumerate(parts):
        joins_next = at + 1 < len(parts) and _is_spoken(part) and _is_spoken(parts[at + 1])
        if not joins_next:
            spans.append((start, at + 1, {}))
            start = at + 1
    return tuple(spans)


def _is_spoken(part: Part) -> bool:
    """Whether a part stands in the content of a message."""
    return isinstance(part, _SPOKEN) or (isinstance(part, Opaque) and part.place == "content")


@dataclass(slots=True)
class _Reader:
    messages: list[Message] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    spans: list[_Span] = field(default_factory=list)
    seal: Seal | None = None

    def add(self, item: Fields, where: str) -> None:
        match kind_of(item):
            case "message":
                role, parts, fields = _message(item, where)
                if role == "assistant":
                    self._assist(parts, fields)
                else:
                    self._turn(role, parts, fields)
            case "function_call":
                self._assist((self._call(item, where),), _form(item, _CALL_FIELDS))
            case "function_call_output":
                call_id = read_text(item, "call_id", where) or ""
                result = ToolResult(call_id, _parts(item, "output", where))
                self._turn("tool", (result,), _form(item, _RESULT_FIELDS, whole=True))
            case "reasoning":
                self._reason(item, where)
            case _:
                self._assist((Opaque(_DIALECT, "input", item),), {})

    def finish(self) -> tuple[Message, ...]:
        self._end_turn()
        return tuple(self.messages)

    def _turn(self, role: Role, parts: tuple[Part, ...], fields: Mapping[str, Any]) -> None:
        self._end_turn()
        self._assist(parts, fields)
        self._end_turn(role)

    def _assist(self, parts: tuple[Part, ...], fields: Mapping[str, Any]) -> None:
        start = len(self.parts)
        self.parts += parts
        self.spans.append((start, start + len(parts), fields))

    def _end_turn(self, role: Role = "assistant") -> None:
        if not self.spans:
            return
        parts, spans = tuple(self.parts), tuple(self.spans)
        form = {} if spans == default_spans(parts) else {"items": spans}
        self.messages.append(Message(role, parts, form=form))
        self.parts, self.spans, self.seal = [], [], None

    def _call(self, item: Fields, where: str) -> ToolCall:
        texts = [read_text(item, name, where) for name in ("call_id", "name", "arguments")]
        for name, text in zip(("call_id", "name", "arguments"), texts, strict=True):
            if text is None:
                raise wrong(where + name, "must be a string")
        extras = rest_of(item, _CALL_FIELDS | _FORM_FIELDS)
        signature, signed_by = take_signature(extras, _DIALECT)
        if self.seal is not None:
            _, signature, signed_by = self.seal
            self.seal = None
        call_id, name, arguments = (text or "" for text in texts)
        return ToolCall(
            call_id, name, arguments, signature=signature, signed_by=signed_by, extras=extras
        )

    def _reason(self, item: Fields, where: str) -> None:
        summary = _texts(item, "summary", where)
        content = _texts(item, "content", where)
        text = "\n\n".join(content or summary)
        encrypted = read_text(item, "encrypted_content", where)
        seal = None if encrypted is None else read_seal(encrypted)
        if seal is not None and seal.kind == "call":
            self.seal = seal
            return
        fields = _form(item, _REASONING_FIELDS, whole=True)
        if content or len(summary) > 1:
            kept = ("summary", "content")
            fields |= {name: item[name] for name in kept if item.get(name) is not None}
        if seal is None:
            thought = Thinking(text)
        elif seal.kind == "redacted":
            thought = Thinking(text, redacted=seal.text, signed_by=seal.signed_by)
        else:
            thought = Thinking(text, signature=seal.text, signed_by=seal.signed_by)
        self._assist((thought,), fields)


def _message(item: Fields, where: str) -> tuple[Role, tuple[Part, ...], dict[str, Any]]:
    role = item.get("role")
    if role not in _ROLES:
        raise wrong(f"{where}role", f"must be one of {', '.join(_ROLES)}")
    return role, _parts(item, "content", where), _form(item, _MESSAGE_FIELDS, whole=True)


def _form(item: Fields, known: frozenset[str], *, whole: bool = False) -> dict[str, Any]:
    """What an item has beside what is understood; without an id that was made here."""
    fields = rest_of(item, known) if whole else {}
    fields |= {name: item[name] for name in _FORM_FIELDS if name in item}
    if is_made(fields.get("id")):
        del fields["id"]
    return fields


def _texts(item: Fields, name: str, where: str) -> list[str]:
    texts = []
    for index, part in enumerate(read_objects(item, name, where)):
        text = read_text(part, "text", f"{where}{name}[{index}].")
        texts.append(text or "")
    return texts


def _parts(item: Fields, name: str, where: str) -> tuple[Part, ...]:
    content = item.get(name)
    if isinstance(content, str):
        return (Text(content),)
    if content is None or not isinstance(content, list):
        raise wrong(where + name, "must be a string or an array")
    return tuple(
        _part(part, f"{where}{name}[{index}].")
        for index, part in enumerate(read_objects(item, name, where))
    )


def _part(part: Fields, where: str) -> Part:
    """A part whose every field has a place; otherwise the part as it stands, so nothing is lost."""
    fields = dict(part)
    kind = fields.pop("type", None)
    mark = _mark(fields)
    placed: Part | None = None
    match kind:
        case "input_text" | "output_text" | "text":
            placed = _text(fields, mark, where)
        case "input_image":
            placed = _image(fields, mark)
        case "input_file":
            placed = _file(fields, mark)
        case "input_audio":
            match fields:
                case {"input_audio": {"data": str(data), "format": str(form), **more}} if not more:
                    placed = Audio(data, form) if len(fields) == 1 and mark is None else None
        case "refusal" if mark is None and fields.keys() == {"refusal"}:
            refusal = read_text(fields, "refusal", where)
            placed = None if refusal is None else Refusal(refusal)
    return placed or Opaque(_DIALECT, "content", part)


def _mark(fields: dict[str, Any]) -> Mapping[str, Any] | None:
    """OpenAI's breakpoint of the prompt cache, which has one form only."""
    if fields.get("prompt_cache_breakpoint") != {"mode": "explicit"}:
        return None
    del fields["prompt_cache_breakpoint"]
    return CACHE_MARK


def _text(fields: dict[str, Any], mark: Mapping[str, Any] | None, where: str) -> Text | None:
    text = read_text(fields, "text", where)
    if text is None:
        raise wrong(f"{where}text", "must be a string")
    annotations = read_objects(fields, "annotations", where)
    if fields.keys() - {"text", "annotations", "logprobs", "parsed"}:
        return None
    return Text(text, mark, tuple(citation_of(raw, _DIALECT) for raw in annotations))


def _image(fields: dict[str, Any], mark: Mapping[str, Any] | None) -> Image | None:
    match {name: value for name, value in fields.items() if value is not None}:
        case {"image_url": str(url), "detail": str(detail), **more} if not more:
            return Image(url, detail, mark)
        case {"image_url": str(url), **more} if not more:
            return Image(url, cache_mark=mark)
        case _:
            return None


def _file(fields: dict[str, Any], mark: Mapping[str, Any] | None) -> File | None:
    given = {name: value for name, value in fields.items() if value is not None}
    if given.keys() - _FILE_FIELDS or not all(isinstance(v, str) for v in given.values()):
        return None
    return File(
        file_id=given.get("file_id"),
        data=given.get("file_data"),
        url=given.get("file_url"),
        filename=given.get("filename"),
        cache_mark=mark,
    )
