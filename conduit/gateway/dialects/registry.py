"""The dialects that there are, by name: a line each, imported when first asked for.

A gateway that speaks to providers of one kind alone needs neither the time nor the memory of the
others.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Final

ANTHROPIC_MESSAGES: Final = "anthropic_messages"
GEMINI: Final = "gemini"
GEMINI_ARRAY: Final = "gemini_array"
OPENAI_CHAT: Final = "openai_chat"
OPENAI_RESPONSES: Final = "openai_responses"

_MODULES: Final[Mapping[str, str]] = {
    ANTHROPIC_MESSAGES: "conduit.gateway.dialects.anthropic.dialect",
    "bedrock_converse": "conduit.gateway.dialects.bedrock.dialect",
    "cohere_v2": "conduit.gateway.dialects.cohere.dialect",
    GEMINI: "conduit.gateway.dialects.gemini.dialect",
    GEMINI_ARRAY: "conduit.gateway.dialects.gemini.array",
    "ollama_native": "conduit.gateway.dialects.ollama.dialect",
    OPENAI_CHAT: "conduit.gateway.dialects.openai_chat.dialect",
    OPENAI_RESPONSES: "conduit.gateway.dialects.openai_responses.dialect",
}


class _Dialects(Mapping[str, ModuleType]):
    def __getitem__(self, name: str) -> ModuleType:
        return import_module(_MODULES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


DIALECTS: Final[Mapping[str, ModuleType]] = _Dialects()
