"""Chat requests in the format of Bedrock's Converse and ConverseStream.

Source: the Bedrock API reference (`Converse`, `ConverseStream` and their types), as in the service
model `bedrock-runtime` 2023-09-30. The model and whether to stream stand in the URL.
"""

from collections.abc import Mapping
from typing import Any, Final

from conduit.gateway.conversation import (
    AnswerFormat,
    ChatRequest,
    Reasoning,
    Sampling,
    Tool,
    ToolCall,
    ToolResult,
)
from conduit.gateway.dialects.answer_tool import ask_by_tool
from conduit.gateway.dialects.bedrock.models import Model, Thought, thought_of
from conduit.gateway.dialects.bedrock.parts import NAME, Block, MessageWriter
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.request_limits import output_cap, stops_of, within
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

_STUB_TEXT: Final = "No longer available: do not call."
_NO_SCHEMA: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}
_MOST_STOPS: Final = 2500
_LACKING: Final = (
    "choices",
    "logprobs",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
    "user",
)
_LEAST_TOP_P_WITH_THINKING: Final = 0.95


def encode_request(request: ChatRequest, target: Target) -> EncodedRequest:
    """The provider's body; raises InexpressibleError for what Converse cannot say."""
    losses = Losses(NAME, request.dialect)
    model = Model.of(target.model)
    writer = MessageWriter(model, losses)
    request, answer_tool = _answer_form(request, target, losses)
    losses.lack_of(request, _LACKING)
    cap = output_cap(request, target, losses)
    thought = thought_of(_reasoning(request, model, answer_tool, losses), model, cap, losses)
    system, messages = writer.write(request.messages)
    fields: Block = {
        "messages": messages,
        "system": system,
        "inferenceConfig": _inference(request.sampling, model, cap, thought, losses),
        "toolConfig": _tool_config(request, target, writer, losses),
        "outputConfig": _output_config(request, thought),
        "additionalModelRequestFields": _additional(request.sampling, model, thought, losses),
    }
    if request.sampling.stop and model.reports_stop_sequence:
        path = "/delta/stop_sequence" if request.stream else "/stop_sequence"
        fields["additionalModelResponseFieldPaths"] = [path]
    fields = {name: value for name, value in fields.items() if value or name == "messages"}
    return EncodedRequest(
        write_json(_joined(fields, losses.own(request.extras))),
        dropped=losses.dropped,
        emulated=losses.emulated,
        answer_tool=answer_tool,
    )


def _reasoning(
    request: ChatRequest, model: Model, answer_tool: str | None, losses: Losses
) -> Reasoning:
    wanted = request.reasoning
    asked = wanted.enabled or wanted.effort not in (None, "none") or wanted.budget_tokens
    if answer_tool is None or not asked or model.vendor not in ("anthropic", ""):
        return wanted
    losses.lack("reasoning")  # Claude does not think where it is forced to call a tool
    return Reasoning(enabled=False)


def _inference(
    sampling: Sampling, model: Model, cap: int | None, thought: Thought, losses: Losses
) -> dict[str, Any]:
    temperature = within("temperature", sampling.temperature, 0, 1, losses)
    top_p = sampling.top_p
    if thought.plain_sampling:
        if temperature not in (None, 1):
            temperature = None
            losses.lack("temperature")
        if top_p is not None and top_p < _LEAST_TOP_P_WITH_THINKING:
            top_p = None
            losses.lack("top_p")
    fields = {
        "maxTokens": cap,
        "temperature": temperature,
        "topP": top_p,
        "stopSequences": stops_of(sampling, most=_MOST_STOPS, blank=model.vendor != "anthropic"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _additional(
    sampling: Sampling, model: Model, thought: Thought, losses: Losses
) -> dict[str, Any]:
    fields = dict(thought.fields)
    if sampling.top_k is not None:
        if thought.plain_sampling:
            losses.lack("top_k")
        else:
            fields |= model.top_k(sampling.top_k, losses)
    return fields


def _answer_form(
    request: ChatRequest, target: Target, losses: Losses
) -> tuple[ChatRequest, str | None]:
    """The request, and the name of the tool that stands for a JSON answer where one is needed."""
    wanted = request.answer_format
    if wanted.kind == "text" or (_schema(wanted) is not None and target.schema):
        return request, None
    return ask_by_tool(request, losses)


def _schema(wanted: AnswerFormat) -> Mapping[str, Any] | None:
    return wanted.schema if wanted.kind == "json_schema" else None


def _output_config(request: ChatRequest, thought: Thought) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    wanted = request.answer_format
    schema = _schema(wanted)
    if schema is not None:
        definition = {"schema": write_json(schema).decode(), "name": wanted.name}
        structure = {key: value for key, value in definition.items() if value}
        fields["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": structure}}
    if thought.effort is not None:
        fields["effort"] = thought.effort
    return fields


def _tool_config(
    request: ChatRequest,
    target: Target,
    writer: MessageWriter,
    losses: Losses,
) -> dict[str, Any]:
    tools: list[Block] = []
    if not (none := _forbids_tools(request, losses)):
        for tool in request.tools:
            tools.append({"toolSpec": _tool(tool, target, writer, losses)})
            tools += writer.cache_point(tool.cache_mark, tools=True)
    if not request.tools:
        tools += _stubs(request, losses)
    if not tools:
        return {}
    choice = None if none or not request.tools else _choice(request)
    return {"tools": tools} | ({} if choice is None else {"toolChoice": choice})


def _forbids_tools(request: ChatRequest, losses: Losses) -> bool:
    """Whether the tools are left out so that none is called, for which Converse has no word."""
    if not request.tools or request.tool_choice is None or request.tool_choice.mode != "none":
        return False
    if _calls(request):
        raise InexpressibleError(
            "tool_choice",
            "Bedrock cannot be told to call no tool in a conversation that has calls in it",
        )
    losses.emulate("tool_choice")
    return True


def _calls(request: ChatRequest) -> list[str]:
    """A name for each call or result of a tool; empty where a result alone is left of it."""
    parts = (part for message in request.messages for part in message.parts)
    return [
        part.name if isinstance(part, ToolCall) else ""
        for part in parts
        if isinstance(part, ToolCall | ToolResult)
    ]


def _stubs(request: ChatRequest, losses: Losses) -> list[Block]:
    """The tools that the conversation has called, which Bedrock wants to see declared."""
    names = dict.fromkeys(_calls(request))
    if names:
        losses.emulate("tools")
    called = [name for name in names if name] or (["unknown"] if names else [])
    return [{"toolSpec": _spec(name, _STUB_TEXT, _NO_SCHEMA)} for name in called]


def _tool(tool: Tool, target: Target, writer: MessageWriter, losses: Losses) -> Block:
    fields = _spec(tool.name, tool.description, tool.parameters or _NO_SCHEMA)
    if tool.strict and target.schema:
        fields["strict"] = True
    elif tool.strict:
        losses.lack("strict")
    return fields | losses.own(tool.extras)


def _spec(name: str, description: str | None, schema: Mapping[str, Any]) -> Block:
    fields: Block = {"name": name}
    if description:
        fields["description"] = description
    return fields | {"inputSchema": {"json": schema}}


def _choice(request: ChatRequest) -> Block | None:
    choice = request.tool_choice
    if choice is None:
        return None
    match choice.mode:
        case "named":
            return {"tool": {"name": choice.name}}
        case "required":
            return {"any": {}}
        case _:
            return {"auto": {}}


def _joined(fields: Block, extras: Mapping[str, Any]) -> Block:
    """Extras come last and win; of objects, field by field."""
    joined = dict(fields)
    for name, value in extras.items():
        old = joined.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            joined[name] = _joined(old, value)
        else:
            joined[name] = value
    return joined
