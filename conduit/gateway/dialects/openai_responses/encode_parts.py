"""Parts of an answer of OpenAI's responses, written piece by piece."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from conduit.gateway.conversation import Citation, PartStarted, SignatureDelta
from conduit.gateway.dialects import signatures
from conduit.gateway.dialects.frames.text import TextFrame, text_frame
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.openai.google_signatures import signed_content
from conduit.gateway.dialects.openai_responses.encode_input import annotation_of
from conduit.gateway.dialects.openai_responses.encode_output import refusal_content, text_content
from conduit.gateway.dialects.openai_responses.seals import Seal, write_seal

_DIALECT: Final = "openai_responses"


class Emit(Protocol):
    def __call__(self, kind: str, **fields: Any) -> None: ...


@dataclass(slots=True)
class Part:
    """A part of the answer, in the item at `output_index`."""

    output_index: int
    item: dict[str, Any]
    texts: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    signature: str = ""
    signed_by: str = ""
    is_open: bool = True

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def add(self, text: str, logprobs: Any, emit: Emit) -> None:
        """More of it has come."""

    def sign(self, delta: SignatureDelta) -> None:
        self.signature += delta.signature
        self.signed_by = delta.signed_by

    def close(self, emit: Emit) -> None:
        if self.is_open:
            self.is_open = False
            self.end(emit)

    def end(self, emit: Emit) -> None:
        """What is said once when the part is whole."""

    def place(self) -> dict[str, Any]:
        return {"item_id": self.item["id"], "output_index": self.output_index}

    def end_item(self, emit: Emit) -> None:
        if "status" in self.item:
            self.item["status"] = "completed"
        emit("response.output_item.done", output_index=self.output_index, item=self.item)


@dataclass(slots=True)
class Spoken(Part):
    """Text or a refusal, in the content of a message."""

    content_index: int = 0
    is_refusal: bool = False
    logprobs: list[Any] = field(default_factory=list)
    _frame: TextFrame | None = None

    def begin(self, emit: Emit) -> None:
        part = self._content()
        self.item["content"].append(part)
        emit("response.content_part.added", **self.place(), part=part)

    def add(self, text: str, logprobs: Any, emit: Emit) -> None:
        self.texts.append(text)
        if self.is_refusal:
            emit("response.refusal.delta", **self.place(), delta=text)
            return
        tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
        tokens = tokens if isinstance(tokens, list) else []
        self.logprobs += tokens
        emit("response.output_text.delta", **self.place(), delta=text, logprobs=tokens)

    def add_usual(self, text: str) -> bytes | None:
        """Add a text without more; gives its event from the first own field of that on.

        None where it is not added, because it has to be written in the general way.
        """
        if self.is_refusal:
            return None
        if self._frame is None:
            empty = write_json({**self.place(), "delta": "", "logprobs": []})
            self._frame = text_frame(empty, "delta")
        written = self._frame.around(text)
        if written is not None:
            self.texts.append(text)
        return written

    def end(self, emit: Emit) -> None:
        part = self._content()
        self.item["content"][self.content_index] = part
        if self.is_refusal:
            emit("response.refusal.done", **self.place(), refusal=self.text)
        else:
            part["annotations"] = self._cite(emit)
            emit(
                "response.output_text.done",
                **self.place(),
                text=self.text,
                logprobs=self.logprobs,
            )
        emit("response.content_part.done", **self.place(), part=part)

    def place(self) -> dict[str, Any]:
        return Part.place(self) | {"content_index": self.content_index}

    def _content(self) -> dict[str, Any]:
        if self.is_refusal:
            return refusal_content(self.text)
        return text_content(self.text, self.logprobs)

    def _cite(self, emit: Emit) -> list[Mapping[str, Any]]:
        """The sources, told only now: most are for the whole text, the length of which is new."""
        found = [annotation_of(citation, len(self.text)) for citation in self.citations]
        annotations = [annotation for annotation in found if annotation is not None]
        for at, annotation in enumerate(annotations):
            emit(
                "response.output_text.annotation.added",
                **self.place(),
                annotation_index=at,
                annotation=annotation,
            )
        return annotations


@dataclass(slots=True)
class Call(Part):
    """A call of a function, an item of its own."""

    def add(self, text: str, logprobs: Any, emit: Emit) -> None:
        self.texts.append(text)
        emit("response.function_call_arguments.delta", **self.place(), delta=text)

    def end(self, emit: Emit) -> None:
        self.item["arguments"] = self.text
        if self.signature:  # it came too late to stand before the call
            text = signatures.written(self.signature, self.signed_by or _DIALECT, _DIALECT)
            self.item["extra_content"] = signed_content(text, self.item.get("extra_content"))
        emit(
            "response.function_call_arguments.done",
            **self.place(),
            name=self.item["name"],
            arguments=self.text,
        )
        self.end_item(emit)


@dataclass(slots=True)
class Thought(Part):
    """Thinking, an item of its own: as its summary, or as its own words where it came as those."""

    redacted: str | None = None
    is_content: bool = False

    @classmethod
    def begun(
        cls, output_index: int, item: dict[str, Any], event: PartStarted, *, is_content: bool
    ) -> "Thought":
        return cls(
            output_index,
            item,
            redacted=event.redacted,
            signed_by=event.signed_by,
            is_content=is_content,
        )

    def add(self, text: str, logprobs: Any, emit: Emit) -> None:
        is_first = not self.texts
        self.texts.append(text)
        if self.is_content:
            if is_first:
                part = {"type": "reasoning_text", "text": ""}
                emit("response.content_part.added", **self.place(), part=part)
            emit("response.reasoning_text.delta", **self.place(), delta=text)
            return
        if is_first:
            part = {"type": "summary_text", "text": ""}
            emit("response.reasoning_summary_part.added", **self.place(), part=part)
        emit("response.reasoning_summary_text.delta", **self.place(), delta=text)

    def end(self, emit: Emit) -> None:
        if self.texts:
            self._end_text(emit)
        if self.redacted is not None:
            sealed = Seal("redacted", self.redacted, self.signed_by)
            self.item["encrypted_content"] = write_seal(sealed)
        elif self.signature:
            sealed = Seal("thinking", self.signature, self.signed_by)
            self.item["encrypted_content"] = write_seal(sealed)
        self.end_item(emit)

    def _end_text(self, emit: Emit) -> None:
        if self.is_content:
            part = {"type": "reasoning_text", "text": self.text}
            self.item["content"] = [part]
            emit("response.reasoning_text.done", **self.place(), text=self.text)
            emit("response.content_part.done", **self.place(), part=part)
            return
        part = {"type": "summary_text", "text": self.text}
        self.item["summary"] = [part]
        emit("response.reasoning_summary_text.done", **self.place(), text=self.text)
        emit("response.reasoning_summary_part.done", **self.place(), part=part)

    def place(self) -> dict[str, Any]:
        return Part.place(self) | {"content_index" if self.is_content else "summary_index": 0}


@dataclass(slots=True)
class Spoke:
    """A message of the answer, and what it says."""

    output_index: int
    item: dict[str, Any]
    parts: list[Spoken] = field(default_factory=list)

    def close(self, emit: Emit) -> None:
        for part in self.parts:
            part.close(emit)
        self.item["status"] = "completed"
        emit("response.output_item.done", output_index=self.output_index, item=self.item)
