"""What requests of other dialects ask of the model, in the words of its generation."""

import json
from typing import Any

import pytest

from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Message,
    Reasoning,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from conduit.gateway.dialects.anthropic.dialect import (
    NAME,
    encode_count_request,
    encode_request,
)
from conduit.gateway.dialects.target import InexpressibleError, Target
from tests.gateway.dialects.anthropic.requests import (
    ADAPTIVE,
    BUDGETED,
    MARK,
    OLD,
    SCHEMA,
    USER,
    F,
    encoded,
    written,
)


@pytest.mark.parametrize(
    ("model", "sampling", "sent", "dropped"),
    [
        (BUDGETED, Sampling(temperature=0.5, top_k=3), {"temperature": 0.5, "top_k": 3}, ()),
        (BUDGETED, Sampling(temperature=0.5, top_p=0.9), {"temperature": 0.5}, ("top_p",)),
        (BUDGETED, Sampling(temperature=0.5, top_p=1), {"temperature": 0.5}, ()),
        (BUDGETED, Sampling(top_p=0.9), {"top_p": 0.9}, ()),
        (OLD, Sampling(temperature=0, top_p=0.9), {"temperature": 0, "top_p": 0.9}, ()),
        (ADAPTIVE, Sampling(temperature=1, top_p=1, top_k=1), {}, ("top_k",)),
        (
            ADAPTIVE,
            Sampling(temperature=0.5, top_p=0.9, top_k=3),
            {},
            ("temperature", "top_p", "top_k"),
        ),
    ],
)
def test_sampling_is_what_the_generation_takes(
    model: str, sampling: Sampling, sent: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    result = encoded(model=model, sampling=sampling)
    body = json.loads(result.body)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == sent
    assert result.dropped == dropped


def test_a_temperature_beyond_one_is_one() -> None:
    result = encoded(sampling=Sampling(temperature=1.5, stop=("END",)))
    body = json.loads(result.body)
    assert (body["temperature"], body["stop_sequences"]) == (1.0, ["END"])
    assert result.emulated == ("temperature",)


def enabled(budget: int, **more: Any) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": budget, **more}}


def adaptive(effort: str | None = None, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"thinking": {"type": "adaptive", **more}}
    return fields | ({"output_config": {"effort": effort}} if effort else {})


@pytest.mark.parametrize(
    ("model", "wanted", "sent", "dropped", "emulated"),
    [
        (BUDGETED, Reasoning(), {}, (), ()),
        (BUDGETED, Reasoning(shown=True), {}, ("shown",), ()),
        (BUDGETED, Reasoning(enabled=True), enabled(8192), (), ()),
        (BUDGETED, Reasoning(effort="low"), enabled(2048), (), ("effort",)),
        (BUDGETED, Reasoning(effort="huge"), enabled(8192), ("effort",), ()),
        (BUDGETED, Reasoning(effort="low", budget_tokens=5000), enabled(5000), ("effort",), ()),
        (BUDGETED, Reasoning(budget_tokens=5), enabled(1024), (), ()),
        (BUDGETED, Reasoning(effort="none"), {}, (), ()),
        (BUDGETED, Reasoning(budget_tokens=0), {}, (), ()),
        (OLD, Reasoning(effort="high"), {}, ("reasoning",), ()),
        ("kimi-k2", Reasoning(effort="low"), enabled(2048), (), ("effort",)),
        (
            "claude-opus-4-6",
            Reasoning(budget_tokens=5000, shown=False),
            enabled(5000, display="omitted"),
            (),
            (),
        ),
        ("claude-opus-4-6", Reasoning(effort="xhigh"), adaptive("max"), (), ("effort",)),
        (ADAPTIVE, Reasoning(effort="xhigh"), adaptive("xhigh"), (), ()),
        (ADAPTIVE, Reasoning(effort="minimal"), adaptive("low"), (), ("effort",)),
        (ADAPTIVE, Reasoning(effort="huge"), adaptive(), ("effort",), ()),
        (ADAPTIVE, Reasoning(budget_tokens=5000), adaptive(), ("budget_tokens",), ()),
        (
            ADAPTIVE,
            Reasoning(enabled=True, shown=True),
            adaptive(display="summarized"),
            (),
            (),
        ),
        (ADAPTIVE, Reasoning(enabled=False), {}, (), ()),
        ("claude-opus-5", Reasoning(effort="none"), {"thinking": {"type": "disabled"}}, (), ()),
        ("claude-haiku-5-5", Reasoning(enabled=False), {"thinking": {"type": "disabled"}}, (), ()),
        (
            "claude-sonnet-5-5",
            Reasoning(enabled=False),
            {"thinking": {"type": "between_tools"}},
            (),
            (),
        ),
        (
            "claude-opus-5-5",
            Reasoning(enabled=False),
            {"output_config": {"effort": "low"}},
            (),
            ("reasoning",),
        ),
        (
            "claude-fable-5",
            Reasoning(enabled=False),
            {"output_config": {"effort": "low"}},
            (),
            ("reasoning",),
        ),
    ],
)
def test_thinking_is_asked_for_as_the_generation_takes_it(
    model: str,
    wanted: Reasoning,
    sent: dict[str, Any],
    dropped: tuple[str, ...],
    emulated: tuple[str, ...],
) -> None:
    result = encoded(model=model, reasoning=wanted, most=64_000)
    body = json.loads(result.body)
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == sent
    assert (result.dropped, result.emulated) == (dropped, emulated)


@pytest.mark.parametrize(
    ("cap", "most", "wanted", "budget", "max_tokens", "emulated"),
    [
        (4096, None, Reasoning(effort="high"), 2048, 4096, ("effort",)),
        (4096, None, Reasoning(budget_tokens=9000), 2048, 4096, ("budget_tokens",)),
        (1500, None, Reasoning(budget_tokens=9000), None, 1500, ("budget_tokens",)),
        (None, None, Reasoning(budget_tokens=9000), 9000, 41_000, ()),
        (None, 8192, Reasoning(budget_tokens=9000), 4096, 8192, ("budget_tokens",)),
    ],
)
def test_a_budget_leaves_room_for_the_answer(
    cap: int | None,
    most: int | None,
    wanted: Reasoning,
    budget: int | None,
    max_tokens: int,
    emulated: tuple[str, ...],
) -> None:
    result = encoded(most=most, reasoning=wanted, sampling=Sampling(max_output_tokens=cap))
    body = json.loads(result.body)
    assert body["max_tokens"] == max_tokens
    assert body.get("thinking", {}).get("budget_tokens") == budget
    assert result.dropped == (() if budget else ("reasoning",))
    assert result.emulated == emulated


def test_thinking_rules_out_some_sampling() -> None:
    result = encoded(
        reasoning=Reasoning(enabled=True), sampling=Sampling(temperature=0.2, top_p=0.5, top_k=4)
    )
    assert result.dropped == ("temperature", "top_k", "top_p")
    kept = written(reasoning=Reasoning(enabled=True), sampling=Sampling(temperature=1, top_p=0.99))
    assert kept["top_p"] == 0.99


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("named", "f"), None, {"type": "tool", "name": "f"}),
        (ToolChoice("none"), False, {"type": "none"}),
    ],
)
def test_the_choice_of_tools_is_said_in_the_api_s_words(
    choice: ToolChoice | None, parallel: bool | None, sent: Any
) -> None:
    body = written(tools=(F,), tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == sent


def test_without_tools_nothing_is_said_of_their_choice() -> None:
    assert "tool_choice" not in written(tool_choice=ToolChoice("none"), parallel_tool_calls=False)
    assert written(tool_choice=ToolChoice("required"))["tool_choice"] == {"type": "any"}


def test_a_tool_has_a_schema_that_says_it_is_an_object() -> None:
    tools = (
        Tool("f", description="d", cache_mark=MARK),
        Tool("g", parameters=SCHEMA, strict=True),
        Tool("h", parameters={"properties": {"n": {"minimum": 1}}}, strict=True),
    )
    result = encoded(tools=tools)
    closed = SCHEMA | {
        "properties": {"a": {"type": "object", "properties": {}, "additionalProperties": False}}
    }
    assert json.loads(result.body)["tools"] == [
        {
            "name": "f",
            "description": "d",
            "input_schema": {"type": "object", "properties": {}},
            "cache_control": MARK,
        },
        {"name": "g", "input_schema": closed, "strict": True},
        {
            "name": "h",
            "input_schema": {"type": "object", "properties": {"n": {"minimum": 1}}},
        },
    ]
    assert result.dropped == ("strict",)


def test_older_models_force_a_tool_without_thinking() -> None:
    wanted: dict[str, Any] = {
        "reasoning": Reasoning(enabled=True),
        "tools": (F,),
        "tool_choice": ToolChoice("required"),
    }
    result = encoded(**wanted)
    assert "thinking" not in json.loads(result.body)
    assert result.dropped == ("reasoning",)
    assert written(model=ADAPTIVE, **wanted)["thinking"] == {"type": "adaptive"}


CALLED = (USER, Message("assistant", (Text("so"), ToolCall("c", "f", "{}"))))
RESULT = Message("tool", (ToolResult("c", (Text("r"),)),))


def test_a_conversation_with_calls_names_their_tools() -> None:
    result = encoded(*CALLED, RESULT, tool_choice=ToolChoice("required"))
    body = json.loads(result.body)
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}
    assert result.emulated == ("tools",)


@pytest.mark.parametrize(
    ("model", "messages", "thinks"),
    [
        (BUDGETED, (*CALLED, RESULT), False),
        (ADAPTIVE, (*CALLED, RESULT), True),
        (BUDGETED, (*CALLED, RESULT, Message("assistant", (Text("done"),)), USER), True),
        (BUDGETED, (USER, Message("assistant", (Text("so"),)), RESULT), False),
        (BUDGETED, (RESULT,), True),
        (
            BUDGETED,
            (
                USER,
                Message(
                    "assistant",
                    (Thinking("h", signature="s", signed_by=NAME), ToolCall("c", "f", "{}")),
                ),
                RESULT,
            ),
            True,
        ),
    ],
)
def test_results_without_the_thinking_that_led_to_them_are_not_thought_about(
    model: str, messages: tuple[Message, ...], thinks: bool
) -> None:
    result = encoded(*messages, model=model, reasoning=Reasoning(enabled=True), tools=(F,))
    assert ("thinking" in json.loads(result.body)) is thinks
    assert result.dropped == (() if thinks else ("reasoning",))


def test_an_answer_by_a_schema_is_asked_for_natively() -> None:
    wanted = AnswerFormat("json_schema", name="s", schema={"type": "object"}, strict=False)
    result = encoded(answer_format=wanted, reasoning=Reasoning(effort="low"), model=ADAPTIVE)
    assert json.loads(result.body)["output_config"] == {
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {"type": "object", "additionalProperties": False},
        },
    }
    assert (result.answer_tool, result.emulated) == (None, ())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": True},
        {"properties": {"n": {"type": "integer", "minimum": 1}}},
        {"$defs": {"a": {"maxLength": 5}}},
        {"anyOf": [{"type": "string"}, {"pattern": "x", "minLength": 1}]},
        {"type": "object", "properties": {"l": {"items": {"multipleOf": 2}, "minItems": 2}}},
        {"$ref": "#"},
        {"$ref": "https://x"},
        {"$ref": 5},
    ],
)
def test_a_schema_that_the_api_refuses_is_that_of_a_forced_tool(schema: dict[str, Any]) -> None:
    result = encoded(answer_format=AnswerFormat("json_schema", schema=schema))
    body = json.loads(result.body)
    assert body["tools"][0]["input_schema"] == {"type": "object", **schema}
    assert body["tool_choice"] == {"type": "tool", "name": "answer"}
    assert (result.answer_tool, result.emulated) == ("answer", ("answer_format",))


def test_an_answer_that_can_be_no_arguments_is_refused() -> None:
    listing = AnswerFormat("json_schema", schema={"type": "array", "minItems": 2})
    with pytest.raises(InexpressibleError) as caught:
        encoded(answer_format=listing)
    assert caught.value.feature == "answer_format"


def test_a_model_that_cannot_be_forced_is_asked_by_the_schema_as_it_is() -> None:
    schema = {"type": "integer", "minimum": 1}
    body = written(
        answer_format=AnswerFormat("json_schema", schema=schema), model="claude-opus-5-5"
    )
    assert body["output_config"]["format"]["schema"] == schema


def test_every_schema_inside_is_closed() -> None:
    inner: dict[str, Any] = {"properties": {}}
    schema = {
        "type": "object",
        "properties": {"a": inner, "b": True},
        "$defs": {"c": inner},
        "anyOf": [inner, True],
        "items": inner,
    }
    body = written(answer_format=AnswerFormat("json_schema", schema=schema))
    closed = inner | {"additionalProperties": False}
    assert body["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {"a": closed, "b": True},
        "$defs": {"c": closed},
        "anyOf": [closed, True],
        "items": closed,
        "additionalProperties": False,
    }


@pytest.mark.parametrize("model", [OLD, "claude-sonnet-4-20250514"])
def test_a_generation_without_schemas_is_asked_by_a_tool(model: str) -> None:
    result = encoded(answer_format=AnswerFormat("json_schema", schema=SCHEMA), model=model)
    assert result.answer_tool == "answer"


def test_a_target_without_schemas_is_asked_by_a_tool() -> None:
    request = ChatRequest(
        "m", (USER,), answer_format=AnswerFormat("json_schema", schema=SCHEMA), tools=(F,)
    )
    result = encode_request(request, Target(OLD, schema=False))
    body = json.loads(result.body)
    assert [tool["name"] for tool in body["tools"]] == ["f", "answer"]
    assert body["tool_choice"] == {"type": "any"}
    assert result.answer_tool == "answer"
    counted = json.loads(encode_count_request(request, Target(OLD, schema=False)).body)
    assert counted == {
        name: value for name, value in body.items() if name not in ("max_tokens", "stream")
    }


def test_the_answer_s_tool_has_a_name_of_its_own() -> None:
    wanted = AnswerFormat("json_object", name="the answer")
    result = encoded(answer_format=wanted, tools=(Tool("the_answer"),))
    assert result.answer_tool == "the_answer_"


def test_any_json_is_asked_for_by_a_tool_and_a_forced_one_stays() -> None:
    wanted = AnswerFormat("json_object")
    assert written(answer_format=wanted)["tools"][0]["input_schema"] == {"type": "object"}
    result = encoded(answer_format=wanted, tools=(F,), tool_choice=ToolChoice("named", "f"))
    assert result.answer_tool is None
    assert json.loads(result.body)["tool_choice"] == {"type": "tool", "name": "f"}


def test_a_request_of_this_dialect_without_a_cap_gets_one() -> None:
    request = ChatRequest("m", (USER,), dialect=NAME)
    assert json.loads(encode_request(request, Target(OLD)).body)["max_tokens"] == 8192
    assert json.loads(encode_request(request, Target("m", 99)).body)["max_tokens"] == 99
