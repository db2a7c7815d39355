"""Which models can chat, by their names."""

import re
from collections.abc import Sequence

_NO_CHAT = re.compile(
    r"embed|whisper|tts|dall-e|image|moderation|realtime|audio|transcribe|babbage|davinci|sora"
    r"|rerank|\*$"
)


def may_chat(model: str) -> bool:
    """Whether a model can chat, by its name."""
    return _NO_CHAT.search(model) is None


def chat_model(models: Sequence[str]) -> str | None:
    """The first model that, by its name, can chat."""
    return next(filter(may_chat, models), None)
