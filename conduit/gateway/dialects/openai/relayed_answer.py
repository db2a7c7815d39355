"""Looking into a whole OpenAI answer that is relayed byte for byte."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, field

from conduit.core.errors import UpstreamFailure
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.answer_fields import text_or_none
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.openai.errors import Scrub, reported_error, scrub
from conduit.gateway.dialects.openai.usage import reported_usage, usage_of_writing
from conduit.gateway.provider import Operation
from conduit.gateway.tokens import estimate_tokens

_BLOCK_BYTES = 64 * 1024  # beyond most answers, so that few are estimated for nothing
_BYTES_A_TOKEN = 4


class Output(msgspec.Struct):
    """How much text a provider has written: for settling by count where no usage comes.

    Text is kept only until there is enough of it to be estimated as a block. (A Struct, as one is
    made for every answer.)
    """

    bytes: int = 0
    deltas: int = 0
    choices: set[int] = field(default_factory=set)
    _estimated: int = 0
    _pending: list[str] = field(default_factory=list)
    _block_end: int = _BLOCK_BYTES

    def add(self, text: str) -> None:
        """Count one piece of text; an empty one is none."""
        if text:
            ascii_only = text.isascii()
            self.bytes += len(text) if ascii_only else len(text.encode("utf-8", "surrogatepass"))
            self.deltas += 1
            self._pending.append(text)
            if self.bytes >= self._block_end:
                self._estimate_block()

    @property
    def tokens(self) -> int:
        """About how many tokens the text is."""
        if self._pending:
            self._estimate_block()
        return self._estimated

    @property
    def rough_tokens(self) -> int:
        """A count that costs nothing: a provider sends a token a piece, or several at once."""
        return max(self.deltas, -(-self.bytes // _BYTES_A_TOKEN))

    def _estimate_block(self) -> None:
        self._estimated += estimate_tokens("".join(self._pending))
        self._pending.clear()
        self._block_end = self.bytes + _BLOCK_BYTES


class Answer(msgspec.Struct, frozen=True):
    """What the gateway notes of a whole answer."""

    id: str | None
    model: str | None
    usage: Usage | None
    output: Output
    finish_reasons: Mapping[int, str]


_NoText = Annotated[str, Meta(max_length=0)] | None
_NoItems = Annotated[list[Any], Meta(max_length=0)] | None


class _PlainMessage(msgspec.Struct, gc=False):
    """A message of text alone, whatever fields there are for more."""

    content: str | None = None
    reasoning_content: _NoText = None
    reasoning: _NoText = None
    refusal: _NoText = None
    tool_calls: _NoItems = None
    function_call: None = None
    audio: None = None


class _PlainChoice(msgspec.Struct, gc=False):
    index: int
    message: _PlainMessage | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Plain(msgspec.Struct, gc=False):
    """What most answers are: choices of text, and a usage."""

    choices: list[_PlainChoice]
    id: str | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    service_tier: Any = None
    error: Any = None


class _Vectors(msgspec.Struct):
    """An embedding answer without its numbers, of which there may be millions."""

    data: msgspec.Raw
    id: str | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None
    error: Any = None

    @property
    def starts_with_a_list(self) -> bool:
        return memoryview(self.data)[:1].tobytes() == b"["


_ITEMS: Final[Mapping[Operation, str]] = {
    Operation.EMBEDDING: "data",
    Operation.RERANK: "results",
    Operation.MODERATION: "results",
}
_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_vectors = msgspec.json.Decoder(_Vectors).decode


def decode_answer(operation: Operation, body: bytes, *, secrets_scrub: Scrub = scrub) -> Answer:
    """Read a whole answer; raises UpstreamFailure where it is none."""
    if operation is Operation.CHAT or operation.writes:
        answer = _read_plain(body)
        if answer is not None:
            return answer
    elif operation is Operation.EMBEDDING:
        answer = _read_vectors(body)
        if answer is not None:
            return answer
    value = read_json(body)
    if not isinstance(value, dict):
        raise UpstreamFailure("The provider's answer is not a JSON object")
    if value.get("error") is not None:
        raise reported_error(value, secrets_scrub=secrets_scrub)
    field = _ITEMS.get(operation, "choices")
    items = value.get(field)
    if not isinstance(items, list):
        raise UpstreamFailure(f'The provider\'s answer has no "{field}"')
    output = Output()
    reasons: dict[int, str] = {}
    if operation.writes:
        for position, choice in enumerate(items):
            if isinstance(choice, dict):
                _read_choice(choice, position, output, reasons)
    told = usage_of_writing if operation.writes else reported_usage
    return Answer(
        id=text_or_none(value.get("id")),
        model=text_or_none(value.get("model")),
        usage=told(value.get("usage"), value.get("service_tier")),
        output=output,
        finish_reasons=reasons,
    )


def _read_plain(body: bytes) -> Answer | None:
    """An answer of text alone and of the usual form; None where anything is out of the ordinary."""
    try:
        plain = _decode_plain(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if plain.error is not None:
        return None
    output = Output()
    reasons: dict[int, str] = {}
    for choice in plain.choices:
        message = choice.message
        text = choice.text if message is None else message.content
        if text is None:
            return None
        output.choices.add(choice.index)
        output.add(text)
        if choice.finish_reason is not None:
            reasons[choice.index] = choice.finish_reason
    return Answer(
        plain.id, plain.model, usage_of_writing(plain.usage, plain.service_tier), output, reasons
    )


def _read_vectors(body: bytes) -> Answer | None:
    """An embedding answer of the usual form, its vectors skipped unread."""
    try:
        vectors = _decode_vectors(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if vectors.error is not None or not vectors.starts_with_a_list:
        return None
    usage = reported_usage(vectors.usage)
    return Answer(vectors.id, vectors.model, usage, Output(), finish_reasons={})


def _read_choice(
    choice: dict[str, Any], position: int, output: Output, reasons: dict[int, str]
) -> None:
    index = choice.get("index")
    index = index if isinstance(index, int) else position
    output.choices.add(index)
    output.add(text_or_none(choice.get("text")) or "")
    add_message(output, choice.get("message"))
    reason = text_or_none(choice.get("finish_reason"))
    if reason is not None:
        reasons[index] = reason


def add_message(output: Output, message: Any) -> None:
    """Count a message, or the delta of one, in any of the forms that providers send."""
    if not isinstance(message, dict):
        return
    _add_content(output, message.get("content"))
    _add_content(output, message.get("reasoning_content") or message.get("reasoning"))
    _add_content(output, message.get("refusal"))
    calls = message.get("tool_calls")
    functions = [message.get("function_call")]
    if isinstance(calls, list):
        functions += [call.get("function") for call in calls if isinstance(call, dict)]
    for function in functions:
        if isinstance(function, dict):
            _add_content(output, function.get("name"))
            _add_content(output, function.get("arguments"))


def _add_content(output: Output, content: Any) -> None:
    """Text, or the parts of it: Mistral's reasoning models nest them as text in `thinking`."""
    if isinstance(content, str):
        output.add(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict):
                _add_content(output, part.get("text"))
                _add_content(output, part.get("thinking"))
