"""The call that stands for a JSON answer, turned back, whatever else the model writes."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import (
    ArgumentsDelta,
    Choice,
    Finished,
    FinishReason,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from conduit.gateway.dialects.answer_tool import AnswerTool
from conduit.gateway.dialects.collect import collect

BEGIN = Started("a", "m", 0)
CALLS = Finished(FinishReason.TOOL_CALLS, raw_reason="tool_use")


def call(index: int, *arguments: str, name: str = "answer", choice: int = 0) -> list[StreamEvent]:
    started = PartStarted(index, "tool_call", choice, tool_call_id=f"c{index}", tool_name=name)
    deltas = (ArgumentsDelta(index, text, choice) for text in arguments)
    return [started, *deltas, PartFinished(index, choice)]


def said(index: int, text: str) -> list[StreamEvent]:
    return [PartStarted(index, "text"), TextDelta(index, text), PartFinished(index)]


def thought(index: int, text: str) -> list[StreamEvent]:
    return [PartStarted(index, "thinking"), ThinkingDelta(index, text), PartFinished(index)]


def turned(events: Iterable[StreamEvent], *, whole: bool) -> Choice:
    """The answer of events that come at once, or one by one."""
    tool = AnswerTool("answer")
    events = list(events)
    batches = [events] if whole else [[event] for event in events]
    given = [event for batch in batches for event in tool.turn(batch)] + tool.finish()
    (choice,) = collect(given).choices
    return choice


@pytest.mark.parametrize("whole", [True, False])
def test_a_second_call_does_not_spoil_the_first(whole: bool) -> None:
    events = [BEGIN, *call(0, '{"n":', "1}"), *call(1, '{"n":2}'), CALLS]
    choice = turned(events, whole=whole)
    assert choice.parts == (Text('{"n":1}'),)
    assert (choice.finish_reason, choice.raw_reason) == (FinishReason.STOP, "tool_use")


def test_a_call_that_is_no_object_gives_way_to_one_that_is() -> None:
    events = [BEGIN, *call(0, '{"n":'), *call(1, '{"n":2}'), *call(2, '{"n":3}'), CALLS]
    assert turned(events, whole=True).parts == (Text('{"n":2}'),)


def test_the_only_call_is_the_answer_even_where_it_was_cut() -> None:
    events = [BEGIN, *call(0, '{"n":'), Finished(FinishReason.LENGTH)]
    choice = turned(events, whole=True)
    assert (choice.parts, choice.finish_reason) == ((Text('{"n":'),), FinishReason.LENGTH)


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_written_beside_the_call_is_left_out_but_not_the_thinking(whole: bool) -> None:
    called = call(2, '{"n":1}')
    called[1:1] = [SignatureDelta(2, "s")]
    events = [
        *said(0, "Here:"),
        *thought(1, "hm"),
        *called,
        *said(3, "So."),
    ]
    choice = turned([BEGIN, *events, CALLS], whole=whole)
    assert choice.parts == (Thinking("hm"), Text('{"n":1}'))


@pytest.mark.parametrize("end", [[Finished(FinishReason.STOP)], []])
def test_without_a_call_the_answer_is_what_was_written(end: list[StreamEvent]) -> None:
    assert turned([BEGIN, *said(0, '{"n":1}'), *end], whole=False).parts == (Text('{"n":1}'),)


@pytest.mark.parametrize("whole", [True, False])
def test_calls_of_other_tools_stay(whole: bool) -> None:
    choice = turned([BEGIN, *said(0, "Looking."), *call(1, "{}", name="f"), CALLS], whole=whole)
    assert sorted(map(type, choice.parts), key=repr) == [Text, ToolCall]
    assert choice.finish_reason is FinishReason.TOOL_CALLS
    both = turned([BEGIN, *call(0, '{"n":1}'), *call(1, "{}", name="f"), CALLS], whole=whole)
    assert both.parts == (Text('{"n":1}'), ToolCall("c1", "f", "{}"))
    assert both.finish_reason is FinishReason.TOOL_CALLS


def test_each_choice_has_an_answer_of_its_own() -> None:
    events = [BEGIN, *call(0, '{"n":1}'), *call(0, '{"n":2}', choice=1)]
    ends = [replace_choice(CALLS, number) for number in (0, 1)]
    response = collect(AnswerTool("answer").turn([*events, *ends]))
    assert [choice.parts for choice in response.choices] == [
        (Text('{"n":1}'),),
        (Text('{"n":2}'),),
    ]


def replace_choice(finished: Finished, number: int) -> Finished:
    return Finished(finished.reason, number, finished.raw_reason)


def test_without_a_tool_nothing_is_touched() -> None:
    events = [BEGIN, *call(0, "{}"), CALLS]
    assert AnswerTool(None).turn(events) is events


PARTS = st.one_of(
    st.tuples(st.just("answer"), st.dictionaries(st.text(), st.integers())),
    st.tuples(st.just("f"), st.dictionaries(st.text(), st.integers())),
    st.tuples(st.just("text"), st.text(min_size=1)),
)


@given(parts=st.lists(PARTS, max_size=6), cuts=st.lists(st.integers(1, 4), min_size=1))
def test_the_answer_is_one_json_text_however_it_is_cut(
    parts: list[tuple[str, Any]], cuts: list[int]
) -> None:
    events: list[StreamEvent] = [BEGIN]
    for index, (kind, value) in enumerate(parts):
        if kind == "text":
            events += said(index, value)
        else:
            events += call(index, json.dumps(value), name=kind)
    events.append(CALLS)
    tool = AnswerTool("answer")
    given: list[StreamEvent] = []
    at = 0
    while at < len(events):
        step = cuts[at % len(cuts)]
        given += tool.turn(events[at : at + step])
        at += step
    (choice,) = collect(given).choices
    texts = [part.text for part in choice.parts if isinstance(part, Text)]
    answers = [value for kind, value in parts if kind == "answer"]
    if answers:
        assert [json.loads(text) for text in texts] == answers[:1]
    else:
        assert texts == [value for kind, value in parts if kind == "text"]
    called = [part for part in choice.parts if isinstance(part, ToolCall)]
    assert len(called) == sum(kind == "f" for kind, _ in parts)
