"""What a client of OpenAI's formats may ask that only a provider of the very same format can do."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.target import InexpressibleError

# Tools that are no functions, with their positions: they have no place in the internal form.
CHAT_OTHER_TOOLS: Final = "openai_chat.other_tools"
RESPONSES_OTHER_TOOLS: Final = "openai_responses.other_tools"

_Says = Callable[[Any], bool]
_HOSTED = "only functions can be offered to this model: other tools run at their own provider"
_STATE = "the conversation is kept by another provider; send the whole of it as input instead"
_OLD = "was replaced by tools, and this model's provider knows nothing older"


def _anything(value: Any) -> bool:
    return value not in (None, False, (), [], {})


def _audio(value: Any) -> bool:
    return isinstance(value, list) and "audio" in value


def _odd_format(value: Any) -> bool:
    wanted = value.get("format") if isinstance(value, dict) else None
    return isinstance(wanted, dict) and wanted.get("type") != "json_schema"


_CHAT: Final[Mapping[str, tuple[str, str, _Says]]] = {
    CHAT_OTHER_TOOLS: ("tools", _HOSTED, _anything),
    "tool_choice": ("tool_choice", "this form of it is known to OpenAI alone", _anything),
    "response_format": ("answer_format", "this form of it is known to OpenAI alone", _anything),
    "functions": ("functions", _OLD, _anything),
    "function_call": ("function_call", _OLD, _anything),
    "modalities": ("modalities", "this model's provider cannot answer in sound here", _audio),
    "audio": ("audio", "this model's provider cannot answer in sound here", _anything),
    "web_search_options": ("web_search_options", _HOSTED, lambda value: value is not None),
}
_RESPONSES: Final[Mapping[str, tuple[str, str, _Says]]] = {
    RESPONSES_OTHER_TOOLS: ("tools", _HOSTED, _anything),
    "tool_choice": ("tool_choice", "this form of it is known to OpenAI alone", _anything),
    "previous_response_id": ("previous_response_id", _STATE, _anything),
    "conversation": ("conversation", _STATE, _anything),
    "background": (
        "background",
        "an answer cannot be made in the background by this model's provider",
        _anything,
    ),
    "text": ("answer_format", "this form of it is known to OpenAI alone", _odd_format),
    "prompt": ("prompt", "the template is kept by another provider", _anything),
}
_BY_DIALECT: Final = {"openai_chat": _CHAT, "openai_responses": _RESPONSES}


def refuse_native(request: ChatRequest) -> None:
    """Raise InexpressibleError where a request of OpenAI's formats needs OpenAI itself.

    To be called before such a request is written for a provider of another dialect.
    """
    for name, (feature, reason, says) in _BY_DIALECT.get(request.dialect, {}).items():
        if says(request.extras.get(name)):
            raise InexpressibleError(feature, f'"{name.rpartition(".")[2]}": {reason}')
