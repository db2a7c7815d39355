"""What a client of Gemini's API may ask that only a provider of the very same format can do."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from conduit.gateway.conversation import ChatRequest
from conduit.gateway.dialects.gemini.words import NAME
from conduit.gateway.dialects.target import InexpressibleError

_TOOLS: Final = "tools."
_HOSTED: Final = "this tool runs at Google alone; only functions can be offered to this model"
_ANSWER: Final = "generationConfig.response"


def _anything(value: Any) -> bool:
    return bool(value)


def _not_text(value: Any) -> bool:
    return isinstance(value, list) and any(str(kind).upper() != "TEXT" for kind in value)


_REFUSED: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "cachedContent": ("what begins this conversation is kept at Google alone", _anything),
    f"{_ANSWER}Modalities": ("this model's provider answers in text alone here", _not_text),
    f"{_ANSWER}MimeType": ("answers of this kind are known to Google alone", _anything),
    "toolConfig.functionCallingConfig.allowedFunctionNames": (
        "a choice among several functions cannot be limited here; offer only those",
        _anything,
    ),
}


def refuse_native(request: ChatRequest) -> None:
    """Raise InexpressibleError where a request of this dialect needs Google itself.

    To be called before such a request is written for a provider of another dialect. A tool of
    Google's own is often an empty object, which says as much as a full one.
    """
    if request.dialect != NAME:
        return
    for name, value in request.extras.items():
        if name.startswith(_TOOLS) and value is not None:
            raise InexpressibleError(name, f'"{name}": {_HOSTED}')
        reason, says = _REFUSED.get(name, ("", None))
        if says is not None and says(value):
            raise InexpressibleError(name, f'"{name}": {reason}')
