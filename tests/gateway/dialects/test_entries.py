"""Where a conversation may be cut, in the words of each dialect."""

from typing import Any

import pytest

from conduit.gateway.dialects.entries import Entry, cuts_of
from conduit.gateway.dialects.registry import DIALECTS

USER = Entry("user")
ANSWER = Entry("others")
INSTRUCTIONS = Entry("instructions")


def calls(*ids: str) -> Entry:
    return Entry("others", calls=ids)


def results(*ids: str) -> Entry:
    return Entry("others", results=ids)


@pytest.mark.parametrize(
    ("entries", "cuts"),
    [
        ([], []),
        ([USER], []),
        ([USER, ANSWER], []),
        ([USER, ANSWER, USER], [2]),
        ([ANSWER, USER], [1]),
        ([INSTRUCTIONS, USER], []),
        ([INSTRUCTIONS, USER, ANSWER, INSTRUCTIONS, USER, ANSWER, USER], [4, 6]),
        ([USER, USER, ANSWER, USER, USER], [3]),
        ([USER, ANSWER, USER, INSTRUCTIONS, USER], [2]),
        ([USER, calls("a", "b"), results("b"), results("a"), USER], [4]),
        ([USER, calls("a"), USER, results("a"), ANSWER, USER], [5]),
        ([USER, calls("a"), USER, results("a")], []),
        ([USER, calls("a", "b"), results("a"), USER, results("b"), USER], [5]),
        ([USER, calls("a"), Entry("user", results=("a",)), ANSWER, USER], [4]),
        ([USER, calls("a"), results("a"), USER, calls("a"), results("a"), USER], [3, 6]),
        ([USER, calls("a"), USER, results("unknown")], [2]),
        ([results("unknown"), ANSWER, USER], [2]),
        ([USER, Entry("others", leads=True), USER, ANSWER, USER], [4]),
    ],
)
def test_a_cut_is_where_the_user_begins_and_parts_nothing(
    entries: list[Entry], cuts: list[int]
) -> None:
    assert cuts_of(entries, instructions_lead=True) == cuts


def test_instructions_that_may_not_lead_end_what_can_be_cut() -> None:
    entries = [USER, ANSWER, USER, INSTRUCTIONS, ANSWER, USER]
    assert cuts_of(entries, instructions_lead=False) == [2]
    assert cuts_of([INSTRUCTIONS, *entries], instructions_lead=False) == []


def read(dialect: str, *items: dict[str, Any]) -> list[Entry] | None:
    entries: list[Entry] | None = DIALECTS[dialect].TURNS.entries_of(items)
    return entries


def test_messages_of_chat() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    custom = {"id": "c2", "type": "custom", "custom": {"name": "g", "input": ""}}
    assert read(
        "openai_chat",
        {"role": "system", "content": "s"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "tool_calls": [call, custom, {"id": 5}, None]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "tool", "content": "r"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "r"},
        {"role": "assistant", "content": "a", "tool_calls": None},
        {"role": "critic", "content": "?"},
    ) == [
        INSTRUCTIONS,
        INSTRUCTIONS,
        USER,
        calls("c1", "c2"),
        results("c1"),
        ANSWER,
        calls("f"),
        results("f"),
        ANSWER,
        ANSWER,
    ]


def test_messages_of_anthropic() -> None:
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "r"}
    searched = [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
    ]
    assert read(
        "anthropic_messages",
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1"}]},
        {"role": "user", "content": [result]},
        {"role": "user", "content": [result, {"type": "text", "text": "u"}]},
        {"role": "assistant", "content": searched},
        {"role": "system", "content": "s"},
        {"role": "user", "content": []},
    ) == [
        USER,
        calls("c1"),
        results("c1"),
        Entry("user", results=("c1",)),
        Entry("others", ("s1",), ("s1",)),
        INSTRUCTIONS,
        USER,
    ]


def test_items_of_responses() -> None:
    assert read(
        "openai_responses",
        {"role": "developer", "content": "d"},
        {"type": "message", "role": "user", "content": "u"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "r"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": ""},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "r"},
        {"type": "mcp_approval_request", "id": "m1"},
        {"type": "mcp_approval_response", "approval_request_id": "m1"},
        {"type": "web_search_call", "id": "w1"},
        {"type": None},
        {"role": "assistant", "content": "a"},
    ) == [
        INSTRUCTIONS,
        USER,
        Entry("others", leads=True),
        calls("c1"),
        results("c1"),
        calls("c2"),
        results("c2"),
        calls("m1"),
        results("m1"),
        ANSWER,
        ANSWER,
        ANSWER,
    ]
    assert read("openai_responses", {"role": "user", "content": "u"}, {"id": "msg_1"}) is None


def test_contents_of_gemini() -> None:
    named = {"functionCall": {"name": "f", "args": {}}}
    with_id = {"function_call": {"name": "f", "id": "c1"}}
    entries = read(
        "gemini",
        {"role": "user", "parts": [{"text": "u"}]},
        {"role": "model", "parts": [named, with_id, named]},
        {
            "role": "function",
            "parts": [
                {"function_response": {"name": "f", "response": {}}},
                {"functionResponse": {"name": "f", "response": {}, "id": "c1"}},
            ],
        },
        {"parts": [{"functionResponse": {"name": "f"}}, {"text": "u"}]},
        {"parts": {"text": "u"}},
        {"role": "model"},
    )
    assert entries is not None
    assert [entry.speaker for entry in entries] == [
        "user",
        "others",
        "others",
        "user",
        "user",
        "others",
    ]
    first, second, third = entries[1].calls
    assert second == "c1"
    assert entries[2].results == (first, "c1")
    assert entries[3].results == (third,)
