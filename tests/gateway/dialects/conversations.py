"""Conversations drawn at random and written in the format of each kind of client."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hypothesis import strategies as st

from conduit.gateway.dialects.chat_call import reader_in, reader_of
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.gemini import dialect as gemini
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.provider import Operation

TEXTS = ("hi", "words in a row, " * 20, "Füße, 中文, 😀 " * 9, "1,2;3.4\n" * 30, "half \ud83d", "")
DIALECTS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini")
FIELDS = {"openai_responses": "input", "gemini": "contents"}

Item = dict[str, Any]


@dataclass(frozen=True)
class Round:
    """What the assistant says and calls, and the results in the order they come in."""

    text: str
    calls: tuple[str, ...]
    results: tuple[str, ...]
    thought: bool
    with_text: str = ""  # what the user says beside the results, where a format has it in one


@dataclass(frozen=True)
class Turn:
    said: tuple[str, ...]
    rounds: tuple[Round, ...]
    instruction: str = ""


@dataclass(frozen=True)
class Talk:
    system: str
    greeting: str
    turns: tuple[Turn, ...]
    tools: bool = False


@dataclass
class _Ids:
    count: int = 0
    reused: bool = False
    given: list[str] = field(default_factory=list)


@st.composite
def _rounds(draw: st.DrawFn, ids: _Ids) -> Round:
    calls = []
    for position in range(draw(st.integers(0, 3))):
        ids.count += 1
        calls.append(f"call_{position if ids.reused else ids.count}")
    return Round(
        text=draw(st.sampled_from(TEXTS)),
        calls=tuple(calls),
        results=tuple(draw(st.permutations(calls))),
        thought=draw(st.booleans()),
        with_text=draw(st.sampled_from(("", "", "and this"))),
    )


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    ids = _Ids(reused=draw(st.booleans()))
    turns = [
        Turn(
            said=tuple(draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2))),
            rounds=tuple(draw(st.lists(_rounds(ids), max_size=3))),
            instruction=draw(st.sampled_from(("", "", "", "be brief"))),
        )
        for _ in range(draw(st.integers(1, 8)))
    ]
    return Talk(
        system=draw(st.sampled_from(("", "You are helpful. " * 4))),
        greeting=draw(st.sampled_from(("", "Hello!"))),
        turns=tuple(turns),
        tools=draw(st.booleans()),
    )


def call_in(dialect: str, talk: Talk, **more: Any) -> ClientCall:
    """The talk as a call of a client; the JSON is spaced, so that copies can be told."""
    body = json.dumps(_BODIES[dialect](talk) | more).encode()
    match dialect:
        case "openai_chat":
            return decode_call(Operation.CHAT, body)
        case "gemini":
            decode = partial(gemini.decode_request, model="m", stream=False)
            return reader_of(decode)(body)
        case _:
            return reader_in(dialect)(body)


def again(call: ClientCall) -> ClientCall:
    """The call that its body reads as."""
    match call.dialect:
        case "openai_chat":
            return decode_call(Operation.CHAT, call.body)
        case "gemini":
            decode = partial(gemini.decode_request, model=call.model, stream=call.stream)
            return reader_of(decode)(call.body)
        case _:
            return reader_in(call.dialect)(call.body)


def _chat(talk: Talk) -> Item:
    messages: list[Item] = []
    if talk.system:
        messages.append({"role": "system", "content": talk.system})
    if talk.greeting:
        messages.append({"role": "assistant", "content": talk.greeting})
    for turn in talk.turns:
        messages += [{"role": "user", "content": text} for text in turn.said]
        if turn.instruction:
            messages.append({"role": "developer", "content": turn.instruction})
        for step in turn.rounds:
            message: Item = {"role": "assistant", "content": step.text}
            if step.calls:
                message["tool_calls"] = [
                    {"id": call, "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    for call in step.calls
                ]
            messages.append(message)
            messages += [
                {"role": "tool", "tool_call_id": call, "content": step.text}
                for call in step.results
            ]
    fields: Item = {"model": "m", "messages": messages, "temperature": 0.70, "stream": False}
    if talk.tools:
        function = {"name": "f", "parameters": {"type": "object", "properties": {}}}
        fields["tools"] = [{"type": "function", "function": function}]
    return fields


def _responses(talk: Talk) -> Item:
    items: list[Item] = []
    if talk.greeting:
        items.append({"role": "assistant", "content": talk.greeting})
    for turn in talk.turns:
        items += [{"role": "user", "content": text} for text in turn.said]
        if turn.instruction:
            items.append({"role": "developer", "content": turn.instruction})
        for step in turn.rounds:
            if step.thought:
                summary = [{"type": "summary_text", "text": step.text}]
                items.append({"type": "reasoning", "id": "rs_1", "summary": summary})
            if step.text:
                content = [{"type": "output_text", "text": step.text}]
                items.append({"type": "message", "role": "assistant", "content": content})
            items += [
                {"type": "function_call", "call_id": call, "name": "f", "arguments": "{}"}
                for call in step.calls
            ]
            items += [
                {"type": "function_call_output", "call_id": call, "output": step.text}
                for call in step.results
            ]
    fields: Item = {"model": "m", "input": items, "temperature": 0.70}
    if talk.system:
        fields["instructions"] = talk.system
    return fields


def _anthropic(talk: Talk) -> Item:
    messages: list[Item] = []
    for turn in talk.turns:
        messages += [{"role": "user", "content": text} for text in turn.said]
        if turn.instruction:
            messages.append({"role": "system", "content": turn.instruction})
        for step in turn.rounds:
            blocks: list[Item] = []
            if step.thought:
                blocks.append({"type": "thinking", "thinking": step.text, "signature": "s"})
            blocks.append({"type": "text", "text": step.text})
            blocks += [
                {"type": "tool_use", "id": call, "name": "f", "input": {}} for call in step.calls
            ]
            messages.append({"role": "assistant", "content": blocks})
            if step.results:
                results: list[Item] = [
                    {"type": "tool_result", "tool_use_id": call, "content": step.text}
                    for call in step.results
                ]
                if step.with_text:
                    results.append({"type": "text", "text": step.with_text})
                messages.append({"role": "user", "content": results})
    fields: Item = {"model": "m", "max_tokens": 9, "messages": messages, "temperature": 0.70}
    if talk.system:
        fields["system"] = [{"type": "text", "text": talk.system}]
    return fields


def _gemini(talk: Talk) -> Item:
    contents: list[Item] = []
    for turn in talk.turns:
        contents += [{"role": "user", "parts": [{"text": text}]} for text in turn.said]
        for step in turn.rounds:
            parts: list[Item] = [{"text": step.text, "thought": step.thought}]
            parts += [{"functionCall": {"name": call, "args": {}}} for call in step.calls]
            contents.append({"role": "model", "parts": parts})
            if step.results:
                results: list[Item] = [
                    {"function_response": {"name": call, "response": {"output": step.text}}}
                    for call in step.results
                ]
                if step.with_text:
                    results.append({"text": step.with_text})
                contents.append({"role": "user", "parts": results})
    fields: Item = {"contents": contents, "generationConfig": {"temperature": 0.70}}
    if talk.system:
        fields["systemInstruction"] = {"parts": [{"text": talk.system}]}
    return fields


_BODIES: dict[str, Callable[[Talk], Item]] = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _anthropic,
    "gemini": _gemini,
}


def spoken_by(dialect: str, item: Item) -> str:
    """Who an item is of: "instructions", "user", or "others", to whom results belong."""
    kinds = [part for part in item.get("parts", item.get("content")) or () if type(part) is dict]
    results = [p for p in kinds if "function_response" in p or p.get("type") == "tool_result"]
    match item.get("role"):
        case "system" | "developer":
            return "instructions"
        case "user" if not (results and len(results) == len(kinds)):
            return "user"
        case _:
            return "others"


def calls_and_results(item: Item) -> tuple[list[str], list[str]]:
    """The ids in one item, which are names in Gemini's, where no ids are."""
    calls = [call["id"] for call in item.get("tool_calls", ())]
    results = [item["tool_call_id"]] if "tool_call_id" in item else []
    match item.get("type"):
        case "function_call":
            calls.append(item["call_id"])
        case "function_call_output":
            results.append(item["call_id"])
        case _:
            pass
    content = item.get("parts", item.get("content"))
    for part in content if isinstance(content, list) else ():
        match part:
            case {"type": "tool_use", "id": call} | {"functionCall": {"name": call}}:
                calls.append(call)
            case {"type": "tool_result", "tool_use_id": call}:
                results.append(call)
            case {"function_response": {"name": call}}:
                results.append(call)
            case _:
                pass
    return calls, results


def plain(talk: Talk) -> Talk:
    """Without what may keep a conversation from being cut anywhere but into its last turn."""
    turns = []
    for turn in talk.turns:
        rounds = tuple(replace(step, with_text="") for step in turn.rounds)
        turns.append(replace(turn, instruction="", rounds=(*rounds, Round("ok", (), (), False))))
    return replace(talk, turns=tuple(turns))
