"""What a field may say that holds without it anyway, so that leaving it out loses nothing."""

from collections.abc import Mapping
from typing import Any, Final

_AS_WITHOUT: Final[Mapping[str, tuple[Any, ...]]] = {
    "background": (False,),
    "frequency_penalty": (0,),
    "function_call": ("auto",),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "tool_choice": ("auto",),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}


def says_nothing(name: str, value: Any) -> bool:
    """Whether a field of a request asks for what any provider does unasked."""
    return value is None or value in _AS_WITHOUT.get(name, ())
