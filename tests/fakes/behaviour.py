"""What the fake upstream does with one request, written in a model name or given by a test.

A model name is `fake` and any of the words below, joined by `-`: `fake-n20-gap10-cut_rst-at3`. It
is the one thing that every gateway passes on. Numbers follow their word without a space.

    n20              chunks of text in a stream            gap10     ms between chunks
    delay50          ms before the head                    at3       chunk at which a fault strikes
    in12 out34       tokens in the usage                   size1000  bytes of text
    status429        error with that status                retry2    its Retry-After in seconds
    usage_none usage_groq usage_zero usage_negative        tools     the answer is a tool call
    echo             the answer is the last message        close     the connection ends with it
    refuse_stream_options ignore_stream_options            html unparsable huge
    reset_before_head fin_before_head reset_after_head silent stall
    cut_fin cut_rst cut_in_event error_event first_error
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Fault(StrEnum):
    """How an answer goes wrong; those in a body strike at chunk `at`."""

    RESET_BEFORE_HEAD = "reset_before_head"
    FIN_BEFORE_HEAD = "fin_before_head"
    RESET_AFTER_HEAD = "reset_after_head"
    SILENT = "silent"
    STALL = "stall"
    CUT_FIN = "cut_fin"
    CUT_RST = "cut_rst"
    CUT_IN_EVENT = "cut_in_event"
    ERROR_EVENT = "error_event"
    FIRST_ERROR = "first_error"


class Usage(StrEnum):
    """Where the answer tells its usage."""

    OPENAI = "usage_openai"
    GROQ = "usage_groq"
    ZERO = "usage_zero"
    NEGATIVE = "usage_negative"
    NONE = "usage_none"


class StreamOptions(StrEnum):
    """What becomes of the request's `stream_options`."""

    HONOUR = "honour_stream_options"
    IGNORE = "ignore_stream_options"
    REFUSE = "refuse_stream_options"


class Body(StrEnum):
    """What the body is, where it is not the answer that was asked for."""

    HTML = "html"
    UNPARSABLE = "unparsable"
    HUGE = "huge"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One request's fate.

    `gate`, when given, is waited for before every chunk after the first, and before a whole answer.
    """

    chunks: int = 5
    gap_s: float = 0.0
    gate: asyncio.Event | None = None
    delay_s: float = 0.0
    at: int = 2
    input_tokens: int = 12
    output_tokens: int = 34
    size: int = 0
    text: str | None = None
    status: int = 200
    retry_after_s: int | None = None
    raw_body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: Usage = Usage.OPENAI
    stream_options: StreamOptions = StreamOptions.HONOUR
    body: Body | None = None
    fault: Fault | None = None
    tools: bool = False
    echo: bool = False
    close: bool = False


_NUMBERED = re.compile(r"([a-z]+)(\d+)")


def _numbered(behaviour: Behaviour, word: str, number: int) -> Behaviour:
    match word:
        case "n":
            return replace(behaviour, chunks=number)
        case "gap":
            return replace(behaviour, gap_s=number / 1000)
        case "delay":
            return replace(behaviour, delay_s=number / 1000)
        case "at":
            return replace(behaviour, at=number)
        case "in":
            return replace(behaviour, input_tokens=number)
        case "out":
            return replace(behaviour, output_tokens=number)
        case "size":
            return replace(behaviour, size=number)
        case "status":
            return replace(behaviour, status=number)
        case "retry":
            return replace(behaviour, retry_after_s=number)
        case _:
            raise ValueError(word)


def _named(behaviour: Behaviour, word: str) -> Behaviour:
    if word in set(Fault):
        return replace(behaviour, fault=Fault(word))
    if word in set(Usage):
        return replace(behaviour, usage=Usage(word))
    if word in set(StreamOptions):
        return replace(behaviour, stream_options=StreamOptions(word))
    if word in set(Body):
        return replace(behaviour, body=Body(word))
    match word:
        case "tools":
            return replace(behaviour, tools=True)
        case "echo":
            return replace(behaviour, echo=True)
        case "close":
            return replace(behaviour, close=True)
        case _:
            raise ValueError(word)


def behaviour_of(model: str) -> Behaviour | None:
    """The behaviour that a model name asks for; None for a model that the fake does not have."""
    name, *words = model.split("-")
    if name != "fake":
        return None
    behaviour = Behaviour()
    try:
        for word in words:
            match = _NUMBERED.fullmatch(word)
            if match:
                behaviour = _numbered(behaviour, match[1], int(match[2]))
            else:
                behaviour = _named(behaviour, word)
    except ValueError:
        return None
    return behaviour
