"""An answer by a schema, asked for as the arguments of a forced tool call and turned back.

Of an answer that is to be JSON, the client gets JSON alone. The first call of the tool is the
answer, as it is written; of another one in the same answer nothing is told, though its tokens
count. A call that came whole and whose arguments are no object is passed over for a later one that
is. What the model writes beside the call is held back, and told of at the end only where no call
came: then it is the answer. Thinking and calls of the client's own tools stay as they are.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from conduit.gateway.conversation import (
    AnswerFormat,
    ArgumentsDelta,
    ChatRequest,
    ChatResponse,
    CitationDelta,
    Finished,
    FinishReason,
    PartFinished,
    PartStarted,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    Tool,
    ToolChoice,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.lenient_json import read_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import InexpressibleError

_DESCRIPTION: Final = "Give the final answer. Its arguments are the whole answer."
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME: Final = 60

_OfPart = TextDelta | ThinkingDelta | ArgumentsDelta | SignatureDelta | CitationDelta | PartFinished


def must_call(request: ChatRequest) -> bool:
    """Whether the answer will be a call of a tool, so that its text can have no form."""
    choice = request.tool_choice
    return bool(request.tools) and choice is not None and choice.mode in ("required", "named")


def ask_by_tool(
    request: ChatRequest, losses: Losses, *, strict: bool = False
) -> tuple[ChatRequest, str | None]:
    """The request with its schema as a tool that must be called, and the name of that tool.

    None where the client forces another tool: there is no answer then that could have a form.
    Where the model may call others, it must call one of them or this one. `strict` says that the
    target holds calls to their schema where that is asked for.
    """
    wanted = request.answer_format
    free = replace(request, answer_format=AnswerFormat("text"))
    if must_call(request):
        losses.lack("answer_format")
        return free, None
    schema = wanted.schema or {"type": "object"}
    if schema.get("type", "object") != "object":
        raise InexpressibleError("answer_format", "The schema of the answer must be of an object")
    losses.emulate("answer_format")
    name = _free_name(wanted.name or "answer", {tool.name for tool in request.tools})
    tool = Tool(name, _DESCRIPTION, schema, wanted.strict if strict else None)
    choice = request.tool_choice
    may_call = bool(request.tools) and (choice is None or choice.mode == "auto")
    forced = ToolChoice("required") if may_call else ToolChoice("named", name)
    return replace(free, tools=(*request.tools, tool), tool_choice=forced), name


def _free_name(name: str, taken: set[str]) -> str:
    name = _FOREIGN.sub("_", name)[:_LONGEST_NAME]
    while name in taken:
        name += "_"
    return name


@dataclass(slots=True)
class _Choice:
    """One answer on its way: its part, the parts that are held back, those that are not told of."""

    answer: int | None = None
    has_called: bool = False
    held: list[StreamEvent] = field(default_factory=list)
    beside: set[int] = field(default_factory=set)
    untold: set[int] = field(default_factory=set)

    def hold(self, event: StreamEvent) -> None:
        if self.answer is None:
            self.held.append(event)

    def released(self) -> list[StreamEvent]:
        held, self.held = self.held, []
        return held if self.answer is None else []


class AnswerTool:
    """Turns the call of one tool back into text; without its name, nothing is touched."""

    __slots__ = ("_choices", "_name")

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._choices: dict[int, _Choice] = {}

    def turn(self, events: list[StreamEvent]) -> list[StreamEvent]:
        if self._name is None:
            return events
        turned: list[StreamEvent] = []
        for at, event in enumerate(events):
            match event:
                case PartStarted():
                    self._start(event, events[at + 1 :], turned)
                case Finished():
                    self._finish(event, turned)
                case (
                    TextDelta()
                    | ThinkingDelta()
                    | ArgumentsDelta()
                    | SignatureDelta()
                    | CitationDelta()
                    | PartFinished()
                ):
                    self._go_on(event, turned)
                case _:
                    turned.append(event)
        return turned

    def finish(self) -> list[StreamEvent]:
        """What was held back of an answer that has no end."""
        return [event for choice in self._choices.values() for event in choice.released()]

    def _of(self, number: int) -> _Choice:
        return self._choices.setdefault(number, _Choice())

    def _start(
        self, event: PartStarted, later: Sequence[StreamEvent], turned: list[StreamEvent]
    ) -> None:
        choice = self._of(event.choice)
        as_text = PartStarted(event.index, "text", event.choice)
        if event.kind == "text":
            choice.beside.add(event.index)
            choice.hold(event)
        elif event.kind != "tool_call":
            turned.append(event)
        elif event.tool_name != self._name:
            choice.has_called = True
            turned.append(event)
        elif choice.answer is not None:
            choice.untold.add(event.index)
        elif _may_be_the_answer(event, later):
            choice.answer = event.index
            choice.held.clear()
            turned.append(as_text)
        else:
            choice.beside.add(event.index)
            choice.hold(as_text)

    def _go_on(self, event: _OfPart, turned: list[StreamEvent]) -> None:
        choice = self._of(event.choice)
        if event.index in choice.beside:
            choice.hold(_as_text(event))
        elif event.index != choice.answer:
            if event.index not in choice.untold:
                turned.append(event)
        elif not isinstance(event, SignatureDelta):
            turned.append(_as_text(event))

    def _finish(self, event: Finished, turned: list[StreamEvent]) -> None:
        choice = self._of(event.choice)
        turned += choice.released()
        is_over = event.reason is FinishReason.TOOL_CALLS and not choice.has_called
        turned.append(replace(event, reason=FinishReason.STOP) if is_over else event)


def collected(events: Iterable[StreamEvent], answer_tool: str | None) -> ChatResponse:
    """The whole answer of events, its call turned back where a tool stands for it."""
    tool = AnswerTool(answer_tool)
    return collect([*tool.turn(list(events)), *tool.finish()])


def _as_text(event: StreamEvent) -> StreamEvent:
    if isinstance(event, ArgumentsDelta):
        return TextDelta(event.index, event.text, event.choice)
    return event


def _may_be_the_answer(call: PartStarted, later: Sequence[StreamEvent]) -> bool:
    """Whether a call's arguments are an object, or not all there yet."""
    arguments = []
    for event in later:
        match event:
            case ArgumentsDelta(index=call.index, choice=call.choice):
                arguments.append(event.text)
            case PartFinished(index=call.index, choice=call.choice):
                text = "".join(arguments).encode("utf-8", "surrogatepass")
                return isinstance(read_json(text), dict)
            case _:
                pass
    return True
