"""What the simulator says: readable, deterministic text derived from what was asked."""

import hashlib
import re
from collections.abc import Iterable

from conduit.gateway.conversation import (
    Audio,
    ChatRequest,
    File,
    Image,
    Message,
    Part,
    Text,
    ToolCall,
    ToolResult,
)

_TOKEN = re.compile(r"\s?\w{1,7}|\s?[^\w\s]|\s")
_EXCERPT = 160
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 85

_CLOSINGS = (
    "Streaming, limits, tools and usage work here as they do with a real provider.",
    "The counts and costs that you see for this answer are made by the same code as real ones.",
    "The same question always gives this same answer, so a test can rely on it.",
    "Everything between your client and this sentence is the real gateway.",
)
_DETAILS = (
    "A request passes authentication, the limits of its key and a hold on its budget before it is "
    "sent. What it really cost replaces the hold as soon as the answer ends.",
    "Each attempt is written to a journal before it leaves, so that a crash loses no money. On the "
    "next start the journal is replayed from where the database stopped.",
    "Answers are relayed piece by piece as they arrive. When a client hangs up, the provider's "
    "connection is closed too, and what had been written until then is settled.",
)


def fingerprint(*parts: object) -> str:
    """A stable hexadecimal name of the values given."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def tokens_of(text: str) -> list[str]:
    """The text in pieces of about the size of a token; joined, they are the text again."""
    return _TOKEN.findall(text)


def input_tokens(request: ChatRequest) -> int:
    """How many tokens the simulator counts in a request."""
    total = 3
    for message in request.messages:
        total += _TOKENS_PER_MESSAGE + _part_tokens(message.parts)
    for tool in request.tools:
        total += len(tokens_of(f"{tool.name} {tool.description or ''} {tool.parameters or ''}"))
    return total


def reply(request: ChatRequest, choice: int) -> str:
    """The answer to a request in plain sentences."""
    asked = _last_text(request.messages, "user")
    sentences = [
        f"This is a simulated answer: {request.model} is built into the gateway, and no real model "
        "was asked."
    ]
    if request.sampling.choices > 1:
        sentences.append(f"It is choice {choice + 1} of {request.sampling.choices}.")
    results = _results(request.messages)
    if results:
        sentences.append(f"Your tool returned: {excerpt(results)}")
    sentences.append(f'You asked: "{excerpt(asked)}"' if asked else "You sent no text.")
    sentences.append(_counted(request))
    number = int(fingerprint(asked, request.sampling.seed, choice)[:8], 16)
    sentences.append(_CLOSINGS[number % len(_CLOSINGS)])
    text = " ".join(sentences)
    if request.model.endswith("large"):
        details = [_DETAILS[(number + at) % len(_DETAILS)] for at in range(len(_DETAILS))]
        text = "\n\n".join([text, *details])
    return text


def excerpt(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1].rstrip() + "…"


def asked_of(request: ChatRequest) -> str:
    """The last thing that the user said."""
    return _last_text(request.messages, "user")


def _counted(request: ChatRequest) -> str:
    count = len(request.messages)
    parts = [part for message in request.messages for part in message.parts]
    found = [f"{count} message{'s' if count != 1 else ''}"]
    for kind, name in ((Image, "image"), (Audio, "audio clip"), (File, "file")):
        number = sum(isinstance(part, kind) for part in parts)
        if number:
            found.append(f"{number} {name}{'s' if number != 1 else ''}")
    return f"It received {' and '.join(found)}, about {input_tokens(request)} tokens in all."


def _last_text(messages: Iterable[Message], role: str) -> str:
    text = ""
    for message in messages:
        if message.role == role:
            text = " ".join(part.text for part in message.parts if isinstance(part, Text))
    return text


def _results(messages: tuple[Message, ...]) -> str:
    """What the tools returned that were called last."""
    texts: list[str] = []
    for message in reversed(messages):
        if message.role != "tool":
            break
        for result in message.parts:
            if isinstance(result, ToolResult):
                texts += [part.text for part in result.parts if isinstance(part, Text)]
    return "; ".join(reversed(texts))


def _part_tokens(parts: Iterable[Part]) -> int:
    total = 0
    for part in parts:
        match part:
            case Text():
                total += len(tokens_of(part.text))
            case ToolCall():
                total += len(tokens_of(part.name)) + len(tokens_of(part.arguments))
            case ToolResult():
                total += _part_tokens(part.parts)
            case Image() | Audio() | File():
                total += _TOKENS_PER_IMAGE
            case _:
                pass
    return total
