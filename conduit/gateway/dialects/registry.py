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

_NAMES: Final = (
    ANTHROPIC_MESSAGES,
    "bedrock_converse",
    "cohere_v2",
    GEMINI,
    GEMINI_ARRAY,
    "ollama_native",
    OPENAI_CHAT,
    OPENAI_RESPONSES,
)


class _Dialects(Mapping[str, ModuleType]):
    """The module of each dialect: `dialects/<name>.py`."""

    def __getitem__(self, name: str) -> ModuleType:
        if name not in _NAMES:
            raise KeyError(name)
        return import_module(f"{__package__}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


DIALECTS: Final[Mapping[str, ModuleType]] = _Dialects()
