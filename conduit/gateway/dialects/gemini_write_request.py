"""Requests to providers that speak Gemini's format: the Gemini API and Vertex AI."""

from typing import Any, Final

from conduit.gateway.conversation import AnswerFormat, ChatRequest, Tool, ToolChoice
from conduit.gateway.dialects.gemini_config import write_format, write_reasoning, write_sampling
from conduit.gateway.dialects.gemini_schema import cleaned_parameters
from conduit.gateway.dialects.gemini_words import (
    ANSWER_TOOL,
    NAME,
    is_third_generation,
)
from conduit.gateway.dialects.gemini_write_contents import Contents
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}


def encode_request(request: ChatRequest, target: Target) -> EncodedRequest:
    """The provider's body; the model and the streaming stand in the address.

    Left out and named: cache marks, the user, names of messages and files, `detail` of images,
    `strict` of tools, a ban on parallel calls (for which the format has no switch), thinking and
    extras of other dialects. In another way: instructions that come late stand before the
    contents, media in tool results beside them for models before Gemini 3, a schema beside tools,
    for the same models, as a call of one more tool. Signatures of calls are left out where another
    provider made them, with the documented substitute in their place for Gemini 3.
    """
    losses = Losses(NAME, request.dialect)
    fields = request_fields(request, target, losses)
    return EncodedRequest(
        body=write_json(fields),
        dropped=losses.dropped,
        emulated=losses.emulated,
        answer_tool=_answer_tool(request, target),
    )


def request_fields(request: ChatRequest, target: Target, losses: Losses) -> dict[str, Any]:
    """The body as it stands before it is written; raises InexpressibleError."""
    contents = Contents(request, target.model, losses)
    contents.add_all()
    if not contents.written:
        raise InexpressibleError("messages", "Gemini wants at least one message that is not empty")
    fields: dict[str, Any] = {"contents": contents.written}
    if contents.system:
        fields["systemInstruction"] = {"parts": contents.system, **_system_extras(request)}
    answer_tool = _answer_tool(request, target)
    choice = request.tool_choice
    tools = [_write_tool(tool, request, losses) for tool in request.tools]
    if answer_tool is not None:
        losses.emulate("answer_format")
        tools.append(_write_answer_tool(answer_tool, request.answer_format))
        only_answer = not request.tools or (choice is not None and choice.mode == "none")
        choice = ToolChoice("named", answer_tool) if only_answer else ToolChoice("required")
    if tools:
        fields["tools"] = [{"functionDeclarations": tools}]
    if choice is not None and (tools or request.dialect == NAME):
        fields["toolConfig"] = {"functionCallingConfig": _write_choice(choice)}
    config = write_sampling(request.sampling, target)
    if answer_tool is None and (request.dialect == NAME or not _must_call(request)):
        config |= write_format(request.answer_format)
    thinking = write_reasoning(request.reasoning, target.model, losses)
    if thinking:
        config["thinkingConfig"] = thinking
    if config:
        fields["generationConfig"] = config
    _report(request, losses)
    return _with_extras(fields, request) if request.dialect == NAME else fields


def _report(request: ChatRequest, losses: Losses) -> None:
    losses.drop_if(user=request.user, parallel_tool_calls=request.parallel_tool_calls is False)
    losses.own(request.extras)


def _must_call(request: ChatRequest) -> bool:
    """Whether the answer will be a call, so that the format of its text says nothing."""
    choice = request.tool_choice
    return bool(request.tools) and choice is not None and choice.mode in ("required", "named")


def _answer_tool(request: ChatRequest, target: Target) -> str | None:
    """The tool that stands for the format of the answer, where that cannot be asked for.

    Models before Gemini 3 refuse a JSON answer beside functions; a client of this format who asks
    for both is to hear that itself.
    """
    wanted = request.answer_format
    if wanted.kind == "text" or _must_call(request):
        return None
    takes_schema = target.schema or wanted.kind != "json_schema"
    together = not request.tools or request.dialect == NAME or is_third_generation(target.model)
    if takes_schema and together:
        return None
    name = ANSWER_TOOL
    while any(tool.name == name for tool in request.tools):
        name += "_"
    return name


def _write_answer_tool(name: str, wanted: AnswerFormat) -> dict[str, Any]:
    schema = cleaned_parameters(wanted.schema or {})
    if schema.get("type", "object") != "object":
        raise InexpressibleError("answer_format", "the schema of the answer must be of an object")
    description = "Gives the answer. Call it once, with the whole answer as its arguments."
    return {"name": name, "description": description, "parametersJsonSchema": schema}


def _write_tool(tool: Tool, request: ChatRequest, losses: Losses) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        fields["description"] = tool.description
    if tool.parameters is not None:
        fields["parametersJsonSchema"] = cleaned_parameters(tool.parameters)
    losses.drop_if(cache_mark=tool.cache_mark, strict=tool.strict)
    return fields | losses.own(tool.extras)


def _write_choice(choice: ToolChoice) -> dict[str, Any]:
    fields: dict[str, Any] = {"mode": _MODES[choice.mode]}
    if choice.mode == "named":
        fields["allowedFunctionNames"] = [choice.name]
    return fields


def _system_extras(request: ChatRequest) -> dict[str, Any]:
    if request.dialect != NAME:
        return {}
    return {
        name: value
        for message in request.messages
        if message.role == "system"
        for name, value in message.extras.items()
    }


def _with_extras(fields: dict[str, Any], request: ChatRequest) -> dict[str, Any]:
    """The fields that had no place, each under the path that its name says."""
    for path, value in request.extras.items():
        head, _, rest = path.partition(".")
        if head == "tools" and rest:
            fields.setdefault("tools", []).append({rest: value})
            continue
        *parents, name = path.split(".")
        place = fields
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return fields
