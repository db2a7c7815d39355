"""An answer by a schema, asked for as the arguments of a forced tool call and turned back."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from conduit.gateway.conversation import (
    AnswerFormat,
    ArgumentsDelta,
    ChatRequest,
    Finished,
    FinishReason,
    PartStarted,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    Tool,
    ToolChoice,
)

_DESCRIPTION: Final = "Give the final answer. Its arguments are the whole answer."
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME: Final = 60


def ask_by_tool(request: ChatRequest) -> tuple[ChatRequest, str | None]:
    """The request with its schema as a tool that must be called, and the name of that tool.

    None where the client forces another tool: there is no answer then that could have a form.
    Where the model may call others, it must call one of them or this one.
    """
    choice = request.tool_choice
    free = replace(request, answer_format=AnswerFormat("text"))
    if choice is not None and choice.mode in ("required", "named"):
        return free, None
    wanted = request.answer_format
    name = _free_name(wanted.name or "answer", {tool.name for tool in request.tools})
    tool = Tool(name, _DESCRIPTION, wanted.schema or {"type": "object"}, wanted.strict)
    may_call = bool(request.tools) and (choice is None or choice.mode == "auto")
    forced = ToolChoice("required") if may_call else ToolChoice("named", name)
    return replace(free, tools=(*request.tools, tool), tool_choice=forced), name


def _free_name(name: str, taken: set[str]) -> str:
    name = _FOREIGN.sub("_", name)[:_LONGEST_NAME]
    while name in taken:
        name += "_"
    return name


class AnswerTool:
    """Turns the calls of one tool back into text; the events of all else stay as they are."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._turned: set[tuple[int, int]] = set()
        self._called: set[int] = set()

    def turn(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        if self._name is None:
            return list(events)
        turned = (self._turn(event) for event in events)
        return [event for event in turned if event is not None]

    def _turn(self, event: StreamEvent) -> StreamEvent | None:
        match event:
            case PartStarted(kind="tool_call", tool_name=name):
                if name != self._name:
                    self._called.add(event.choice)
                    return event
                self._turned.add((event.choice, event.index))
                return PartStarted(event.index, "text", event.choice)
            case ArgumentsDelta() if (event.choice, event.index) in self._turned:
                return TextDelta(event.index, event.text, event.choice)
            case SignatureDelta() if (event.choice, event.index) in self._turned:
                return None
            case Finished(reason=FinishReason.TOOL_CALLS) if event.choice not in self._called:
                return Finished(FinishReason.STOP, event.choice)
            case _:
                return event
