"""Requests to providers that speak Gemini's format: the Gemini API and Vertex AI."""

from typing import Any, Final

from conduit.gateway.conversation import ChatRequest, Tool, ToolChoice
from conduit.gateway.dialects.answer_tool import ask_by_tool, must_call
from conduit.gateway.dialects.gemini.config import write_format, write_reasoning, write_sampling
from conduit.gateway.dialects.gemini.schema import cleaned_parameters
from conduit.gateway.dialects.gemini.words import NAME, is_third_generation
from conduit.gateway.dialects.gemini.write_contents import Contents
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.losses import Losses
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target

_LACKING: Final = ("user", "parallel_tool_calls")
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
    fields, answer_tool = request_fields(request, target, losses)
    return EncodedRequest(write_json(fields), losses.dropped, losses.emulated, answer_tool)


def request_fields(
    request: ChatRequest, target: Target, losses: Losses
) -> tuple[dict[str, Any], str | None]:
    """The body before it is written, and the answer's tool; raises InexpressibleError."""
    request, answer_tool = _answer_form(request, target, losses)
    contents = Contents(request, target.model, losses)
    contents.add_all()
    if not contents.written:
        raise InexpressibleError("messages", "Gemini wants at least one message that is not empty")
    fields: dict[str, Any] = {"contents": contents.written}
    if contents.system:
        fields["systemInstruction"] = {"parts": contents.system, **_system_extras(request)}
    choice = request.tool_choice
    tools = [_write_tool(tool, losses) for tool in request.tools]
    if tools:
        fields["tools"] = [{"functionDeclarations": tools}]
    if choice is not None and (tools or losses.is_own):
        fields["toolConfig"] = {"functionCallingConfig": _write_choice(choice)}
    config = write_sampling(request, target, losses) | write_format(request.answer_format)
    thinking = write_reasoning(request.reasoning, target.model, losses)
    if thinking:
        config["thinkingConfig"] = thinking
    if config:
        fields["generationConfig"] = config
    _report(request, losses)
    return (_with_extras(fields, request) if losses.is_own else fields), answer_tool


def _report(request: ChatRequest, losses: Losses) -> None:
    losses.lack_of(request, _LACKING)
    losses.own(request.extras)


def _answer_form(
    request: ChatRequest, target: Target, losses: Losses
) -> tuple[ChatRequest, str | None]:
    """The request, and the tool that stands for the format of the answer where one is needed.

    Models before Gemini 3 refuse a JSON answer beside functions; a client of this format who asks
    for both is to hear that itself.
    """
    wanted = request.answer_format
    if wanted.kind == "text":
        return request, None
    takes_schema = target.schema or wanted.kind != "json_schema"
    together = not request.tools or losses.is_own or is_third_generation(target.model)
    if takes_schema and together and (losses.is_own or not must_call(request)):
        return request, None
    return ask_by_tool(request, losses)


def _write_tool(tool: Tool, losses: Losses) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        fields["description"] = tool.description
    if tool.parameters is not None:
        fields["parametersJsonSchema"] = cleaned_parameters(tool.parameters)
    losses.lack_if(cache_mark=tool.cache_mark, strict=tool.strict)
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
