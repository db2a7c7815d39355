"""Messages as Bedrock's Converse format wants them: alternating turns of content blocks."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, assert_never

import msgspec

from conduit.gateway.conversation import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from conduit.gateway.dialects.bedrock.media import FileBlocks, audio_block, image_block
from conduit.gateway.dialects.bedrock.models import Model
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError

NAME: Final = "bedrock_converse"

_NO_OUTPUT: Final = "(no output)"
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_.:-]")

Block = dict[str, Any]


class MessageWriter:
    """Writes the messages of one request."""

    def __init__(self, model: Model, losses: Losses) -> None:
        self._model = model
        self._losses = losses
        self._files = FileBlocks()

    def write(self, messages: tuple[Message, ...]) -> tuple[list[Block], list[Block]]:
        """(system blocks, messages); raises InexpressibleError for what cannot be said."""
        system: list[Block] = []
        turns: list[Block] = []
        for message in messages:
            self._losses.lack_if(name=message.name)
            extras = self._losses.own(message.extras)
            if message.role in ("system", "developer"):
                if turns:
                    self._losses.emulate("system")  # it stands before all that was said before it
                system += self._system(message.parts)
                continue
            role = "assistant" if message.role == "assistant" else "user"
            blocks = self._blocks(message.parts, role)
            if not blocks:
                continue  # an empty turn is refused, and says nothing
            if turns and turns[-1]["role"] == role and not extras:
                turns[-1]["content"] += blocks
            else:
                turns.append({"role": role, "content": blocks, **extras})
        return system, turns

    def cache_point(self, mark: Mapping[str, Any] | None, *, tools: bool = False) -> list[Block]:
        """What makes a cache end here; nothing without a mark or where the model has none."""
        if mark is None:
            return []
        if not (self._model.caches_tools if tools else self._model.caches):
            self._losses.lack("cache_mark")
            return []
        point = {"type": "default"}
        if mark.get("ttl") == "1h":
            if self._model.vendor == "amazon":
                self._losses.emulate("cache_mark")  # it keeps five minutes and no longer
            else:
                point["ttl"] = "1h"
        return [{"cachePoint": point}]

    def _system(self, parts: tuple[Part, ...]) -> list[Block]:
        blocks: list[Block] = []
        for part in parts:
            match part:
                case Text():
                    blocks += self._text(part.text, drops_citations=bool(part.citations))
                    blocks += self.cache_point(part.cache_mark)
                case Opaque():
                    blocks.append(self._losses.own_part(part))
                case _:
                    raise InexpressibleError("system", "Bedrock takes only text as instructions")
        return blocks

    def _blocks(self, parts: tuple[Part, ...], role: str) -> list[Block]:
        blocks: list[Block] = []
        for part in parts:
            blocks += self._block(part, role)
            mark = getattr(part, "cache_mark", None)
            if mark is None and isinstance(part, ToolResult):
                # Within a result there is no place for one: the nearest is behind it.
                mark = next(
                    filter(None, (getattr(p, "cache_mark", None) for p in part.parts)), None
                )
            blocks += self.cache_point(mark)
        return blocks

    def _block(self, part: Part, role: str) -> list[Block]:
        match part:
            case Text():
                return self._cited(part)
            case Refusal():
                self._losses.emulate("refusal")
                return self._text(part.text)
            case Thinking():
                return self._thinking(part)
            case ToolCall():
                return [{"toolUse": self._call(part)}]
            case ToolResult():
                return [{"toolResult": self._result(part)}]
            case Opaque():
                return [self._losses.own_part(part)]
            case Image() | Audio() | File():
                if role == "assistant":
                    raise InexpressibleError(
                        _feature(part),
                        "Bedrock takes pictures, sound and files from the user alone",
                    )
                return [self._media(part)]
            case _:
                assert_never(part)

    def _cited(self, part: Text) -> list[Block]:
        own = [dict(each.raw) for each in part.citations if each.dialect == NAME]
        blocks = self._text(part.text, drops_citations=len(own) < len(part.citations))
        if own and blocks:
            return [{"citationsContent": {"content": blocks, "citations": own}}]
        return blocks

    def _text(self, text: str, *, drops_citations: bool = False) -> list[Block]:
        if drops_citations:
            self._losses.lack("citations")
        if text.strip():
            return [{"text": text}]
        self._losses.lack_if(text=text)  # blank text is refused
        return []

    def _thinking(self, part: Thinking) -> list[Block]:
        if part.signed_by == NAME and part.redacted is not None:
            return [{"reasoningContent": {"redactedContent": part.redacted}}]
        if part.signed_by == NAME and part.signature is not None:
            text = {"text": part.text, "signature": part.signature}
            return [{"reasoningContent": {"reasoningText": text}}]
        self._losses.lack("thinking")
        return []

    def _call(self, call: ToolCall) -> Block:
        fields = {"toolUseId": _tool_use_id(call.id), "name": call.name}
        return {**fields, "input": _input(call.arguments), **self._losses.own(call.extras)}

    def _result(self, result: ToolResult) -> Block:
        content: list[Block] = []
        for part in result.parts:
            match part:
                case Text():
                    content += self._text(part.text, drops_citations=bool(part.citations))
                case Image() | File():
                    content.append(self._media(part))
                case Opaque():
                    content.append(self._losses.own_part(part))
                case _:
                    raise InexpressibleError(
                        _feature(part), "Bedrock has no place for it in the result of a tool"
                    )
        if not content:
            content = [{"text": _NO_OUTPUT}]  # Claude refuses a result without any
        fields: Block = {"toolUseId": _tool_use_id(result.call_id), "content": content}
        return fields | ({"status": "error"} if result.is_error else {})

    def _media(self, part: Image | Audio | File) -> Block:
        match part:
            case Image():
                self._losses.lack_if(detail=part.detail not in (None, "auto"))
                return image_block(part)
            case Audio():
                return audio_block(part)
            case File():
                return self._files.block(part)
            case _:
                assert_never(part)


def _feature(part: Part) -> str:
    names: dict[type, str] = {Image: "image", Audio: "audio", File: "file"}
    return names.get(type(part), "tool_result")


def _tool_use_id(text: str) -> str:
    """The id, or a stable stand-in for one that Bedrock refuses."""
    if _ID.fullmatch(text):
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_NOT_IN_IDS.sub('_', text)[:47]}-{digest}"


def _input(arguments: str) -> Any:
    """The arguments with their numbers as they were written."""
    if not arguments.strip():
        return {}
    try:
        return msgspec.json.decode(arguments, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass
    value = read_json(arguments.encode("utf-8", "surrogatepass"))
    if value is None:
        raise InexpressibleError(
            "tool_calls", "Bedrock takes the arguments of a call as JSON, and these are none"
        )
    return value
