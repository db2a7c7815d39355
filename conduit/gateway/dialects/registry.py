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
    ANTHROPIC_MESSAGES: "conduit.gateway.dialects.anthropic_messages",
    "bedrock_converse": "conduit.gateway.dialects.bedrock_converse",
    "cohere_v2": "conduit.gateway.dialects.cohere_v2",
    GEMINI: "conduit.gateway.dialects.gemini",
    GEMINI_ARRAY: "conduit.gateway.dialects.gemini_array",
    "ollama_native": "conduit.gateway.dialects.ollama_native",
    OPENAI_CHAT: "conduit.gateway.dialects.openai_chat",
    OPENAI_RESPONSES: "conduit.gateway.dialects.openai_responses",
}


class _Dialects(Mapping[str, ModuleType]):
    def __getitem__(self, name: str) -> ModuleType:
        return import_module(_MODULES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


DIALECTS: Final[Mapping[str, ModuleType]] = _Dialects()
