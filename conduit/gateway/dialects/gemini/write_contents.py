"""Messages of the internal form as the contents of a request to a provider.

Sources: https://ai.google.dev/api/caching#Content, for tool results with media
https://ai.google.dev/gemini-api/docs/function-calling, for signatures
https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from conduit.gateway.conversation import (
    Audio,
    ChatRequest,
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
from conduit.gateway.dialects.gemini.media import Media, media_fields
from conduit.gateway.dialects.gemini.words import NAME, is_third_generation, written_id
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError

# What Google documents in place of a signature for calls that its model did not make.
_UNSIGNED: Final = "skip_thought_signature_validator"


@dataclass(slots=True)
class Contents:
    """Takes the messages one by one; `written` and `system` are the fields so far."""

    request: ChatRequest
    model: str
    losses: Losses
    written: list[dict[str, Any]] = field(default_factory=list)
    system: list[dict[str, Any]] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    _results: list[dict[str, Any]] | None = None

    def add_all(self) -> None:
        """Write every message of the request; raises InexpressibleError."""
        for message in self.request.messages:
            self._report(message)
            if message.role in ("system", "developer"):
                self._add_system(message)
            else:
                self._add(message)
        if not self.written and self.system:
            # There must be a content; a prompt that is all instructions is one as well.
            self.losses.emulate("system")
            self.written, self.system = [{"role": "user", "parts": self.system}], []

    @property
    def _is_own(self) -> bool:
        return self.losses.is_own

    def _report(self, message: Message) -> None:
        if message.name is not None and message.role != "tool":
            self.losses.lack("name")
        self.losses.own(message.extras)

    def _add_system(self, message: Message) -> None:
        if self.written:
            self.losses.emulate("system")  # the format has instructions before the contents alone
        for part in message.parts:
            if isinstance(part, Opaque) and part.dialect == NAME:
                self.system.append(dict(part.value))
            elif isinstance(part, Text):
                self._drop_mark(part)
                self.system.append({"text": part.text})
            else:
                raise InexpressibleError("system", "instructions can be text alone for Gemini")

    def _add(self, message: Message) -> None:
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            self._add_part(part, message, parts)
        results = [part for part in parts if "functionResponse" in part]
        others = [part for part in parts if "functionResponse" not in part]
        if results:
            self._add_results(results)
        else:
            self._results = None
        # A content without parts is refused.
        if others or (self._is_own and not results):
            self._add_content(message, others)

    def _add_results(self, results: list[dict[str, Any]]) -> None:
        """The responses to parallel calls must stand in one content, and nothing between them."""
        if self._results is None:
            self._results = results
            self.written.append({"role": "user", "parts": results})
        else:
            self._results += results

    def _add_content(self, message: Message, parts: list[dict[str, Any]]) -> None:
        role = "model" if message.role == "assistant" else "user"
        if self._is_own:
            self.written.append({"role": role, "parts": parts, **message.extras})
            return
        last = self.written[-1] if self.written else {}
        # Parallel calls that came as messages of their own are one turn, as their responses are.
        if role == last.get("role") == "model":
            parts = [*last["parts"], *parts]
            self.written.pop()
        if role == "model" and is_third_generation(self.model):
            _excuse_unsigned(parts)
        self.written.append({"role": role, "parts": parts})

    def _add_part(self, part: Part, message: Message, parts: list[dict[str, Any]]) -> None:
        match part:
            case Text():
                self._drop_mark(part)
                if part.text or self._is_own:
                    parts.append({"text": part.text})
            case Refusal():
                self.losses.emulate("refusal")
                parts.append({"text": part.text})
            case Image() | Audio() | File():
                parts.append(self._media(part))
            case Thinking():
                self._add_thinking(part, parts)
            case ToolCall():
                parts.append(self._call(part))
            case ToolResult():
                parts += self._result(part, message)
            case Opaque():
                parts.append(self.losses.own_part(part))
            case _:
                assert_never(part)

    def _media(self, part: Media) -> dict[str, Any]:
        fields = media_fields(part)
        if fields is None:
            feature = "image" if isinstance(part, Image) else "file"
            raise InexpressibleError(feature, "Gemini takes it by its data or its address alone")
        if isinstance(part, Image | File):
            self._drop_mark(part)
        if isinstance(part, Image):
            self.losses.lack_if(detail=part.detail not in (None, "auto"))
        if isinstance(part, File) and part.filename is not None:
            if self._is_own:
                next(iter(fields.values()))["displayName"] = part.filename
            else:
                self.losses.lack("filename")
        return fields

    def _add_thinking(self, part: Thinking, parts: list[dict[str, Any]]) -> None:
        if part.signed_by != NAME or part.redacted is not None:
            self.losses.lack("thinking")
            return
        seal = {} if part.signature is None else {"thoughtSignature": part.signature}
        if part.text or part.extras.get("thought"):
            parts.append({"text": part.text, "thought": True, **seal})
            return
        signed = parts[-1] if parts else {}
        if part.extras.get("of") in signed and "thoughtSignature" not in signed:
            signed |= seal
        elif seal:
            parts.append({"text": "", **seal})

    def _call(self, call: ToolCall) -> dict[str, Any]:
        args = read_json(call.arguments.encode("utf-8", "surrogatepass")) if call.arguments else {}
        if not isinstance(args, dict):
            raise InexpressibleError(
                "arguments", f'the arguments of the call of "{call.name}" are not a JSON object'
            )
        self.losses.lack_if(cache_mark=call.cache_mark)
        self._names[call.id] = call.name
        fields = {
            **written_id(call.id),
            "name": call.name,
            "args": args,
            **self.losses.own(call.extras),
        }
        if call.signature is None or call.signed_by != NAME:
            return {"functionCall": fields}
        return {"functionCall": fields, "thoughtSignature": call.signature}

    def _result(self, result: ToolResult, message: Message) -> list[dict[str, Any]]:
        """The response of a function, and after it the media that it cannot hold."""
        name = self._names.get(result.call_id) or message.name
        if name is None:
            raise InexpressibleError(
                "tool_call_id", f'no call with the id "{result.call_id}" comes before its result'
            )
        self.losses.lack_if(cache_mark=result.cache_mark)
        texts: list[str] = []
        media: list[dict[str, Any]] = []
        for part in result.parts:
            match part:
                case Text():
                    self._drop_mark(part)
                    texts.append(part.text)
                case Image() | Audio() | File():
                    media.append(self._media(part))
                case _:
                    raise InexpressibleError(
                        "tool_result", "the result of a tool can be text and media alone for Gemini"
                    )
        fields: dict[str, Any] = {**written_id(result.call_id), "name": name}
        fields["response"] = _response(texts, is_error=result.is_error)
        # A response holds data alone, and that of older models none.
        held = [item for item in media if self._is_held(item)]
        if held:
            fields["parts"] = held
        beside = [item for item in media if item not in held]
        if beside:
            self.losses.emulate("tool_result")
        return [{"functionResponse": fields}, *beside]

    def _is_held(self, media: dict[str, Any]) -> bool:
        return self._is_own or ("inlineData" in media and is_third_generation(self.model))

    def _drop_mark(self, part: Text | Image | File) -> None:
        citations = part.citations if isinstance(part, Text) else ()
        self.losses.lack_if(cache_mark=part.cache_mark, citations=citations)


def _response(texts: list[str], *, is_error: bool) -> dict[str, Any]:
    """A function's response, which must be an object: the text itself where it is one."""
    value: Any = texts
    if len(texts) <= 1:
        value = texts[0] if texts else ""
        read = read_json(value.encode("utf-8", "surrogatepass")) if value.startswith("{") else None
        value = read if isinstance(read, dict) else value
    if is_error:
        return {"error": value}
    if not texts:
        return {}
    return value if isinstance(value, dict) else {"output": value}


def _excuse_unsigned(parts: list[dict[str, Any]]) -> None:
    """Without a signature on the first call of a step, Gemini 3 refuses the whole request."""
    calls = [part for part in parts if "functionCall" in part]
    if calls and not any("thoughtSignature" in part for part in calls):
        calls[0]["thoughtSignature"] = _UNSIGNED
