"""Writes docs/fidelity.md: what comes of each client's wishes at each provider, as it is encoded.

Where CONDUIT_RECORDED names a folder of recorded traffic, the counts of it are made anew too;
otherwise those that stand in the page are kept.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from conduit.core.errors import ConduitError, UnsupportedParameterError
from conduit.gateway.conversation import Failed
from conduit.gateway.dialects.bridges.choice import bridge_between
from conduit.gateway.dialects.bridges.protocol import Sending
from conduit.gateway.dialects.chat_call import reader_of
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.gemini import dialect as gemini
from conduit.gateway.dialects.loss_rules import RULES
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.registry import DIALECTS
from conduit.gateway.dialects.target import EncodedRequest
from conduit.gateway.provider import Operation, Quirks
from conduit.gateway.providers.registry import types
from scripts.fidelity_probes import PLAIN, PROBES

PAGE: Final = Path("docs/fidelity.md")
_ROOT: Final = Path(__file__).parents[1]
_RECORDED: Final = "CONDUIT_RECORDED"
_BEGIN, _END = "<!-- recorded: begin -->", "<!-- recorded: end -->"

_TITLES: Final = {
    "openai_chat": "OpenAI chat",
    "openai_responses": "OpenAI responses",
    "anthropic_messages": "Anthropic messages",
    "gemini": "Gemini",
    "cohere_v2": "Cohere v2",
    "bedrock_converse": "Bedrock Converse",
    "ollama_native": "Ollama",
}
_PATHS: Final = {
    "openai_chat": "`/v1/chat/completions`",
    "openai_responses": "`/v1/responses`",
    "anthropic_messages": "`/v1/messages`",
    "gemini": "`/v1beta/models/{model}:generateContent`",
}
_MODELS: Final = {
    "openai_chat": "gpt-4.1",
    "openai_responses": "gpt-5.1",
    "anthropic_messages": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "cohere_v2": "command-a-03-2025",
    "bedrock_converse": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "ollama_native": "qwen3",
}
_FOLDERS: Final = {
    "openai": "openai_chat",
    "openai-responses": "openai_responses",
    "anthropic": "anthropic_messages",
    "gemini": "gemini",
}


def served() -> list[str]:
    """The dialects that some type of provider speaks."""
    spoken = {type_.dialect for type_ in types()}
    return [name for name in _TITLES if name in spoken]


def outcome(client: str, provider: str, fields: dict[str, Any]) -> EncodedRequest | str:
    """What the bridge between the two makes of a request, or why it is refused."""
    quirks = Quirks()
    if provider == "openai_chat":
        quirks = Quirks(output_cap_field="max_completion_tokens")
    sending = Sending(_MODELS[provider], {}, quirks, ask_stream_usage=bool(fields.get("stream")))
    try:
        return bridge_between(client, provider).encode(_call(client, fields), sending)
    except UnsupportedParameterError as error:
        return f"{error.param}"


def _call(client: str, fields: dict[str, Any]) -> ClientCall:
    body = json.dumps({**PLAIN[client], **fields}).encode()
    if client == "openai_chat":
        return decode_call(Operation.CHAT, body)
    if client == "gemini":
        return reader_of(partial(gemini.decode_request, model="alias", stream=False))(body)
    return reader_of(DIALECTS[client].decode_request)(body)


def cell(client: str, provider: str, fields: dict[str, Any]) -> str:
    """What comes of one wish, with the client's names of what is not kept."""
    found = outcome(client, provider, fields)
    if isinstance(found, str):
        return f"**refused**: `{found}`"
    said = [f"left out: {_names(found.dropped)}"] if found.dropped else []
    said += [f"emulated: {_names(found.emulated)}"] if found.emulated else []
    return "; ".join(said) or "kept"


def _names(fields: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in fields)


def _table(client: str) -> Iterator[str]:
    providers = served()
    yield "| | " + " | ".join(_TITLES[name] for name in providers) + " |"
    yield "|---" * (len(providers) + 1) + "|"
    for wish, fields in PROBES[client].items():
        cells = [cell(client, provider, dict(fields)) for provider in providers]
        yield f"| {wish} | " + " | ".join(cells) + " |"


def counts() -> Counter[str]:
    """How often each outcome stands in the tables."""
    return Counter(
        cell(client, provider, dict(fields)).partition(":")[0].strip("*")
        for client, probes in PROBES.items()
        for fields in probes.values()
        for provider in served()
        if provider != client
    )


def _recorded_table(folder: Path) -> Iterator[str]:
    yield "| recorded from | whole answers | streams | errors | decoded |"
    yield "|---|---|---|---|---|"
    for name, dialect in _FOLDERS.items():
        files = sorted((folder / name).glob("*.json"))
        kinds = Counter(file.name.partition("-")[0] for file in files)
        decoded = sum(_decodes(DIALECTS[dialect], file) for file in files)
        row = [_TITLES[dialect], kinds["plain"], kinds["stream"], kinds["error"]]
        yield "| " + " | ".join(map(str, row)) + f" | {decoded} of {len(files)} |"


def _decodes(dialect: ModuleType, file: Path) -> bool:
    """Whether a recorded answer is understood: as an answer, to its end, or as an error."""
    exchange = json.loads(file.read_text(encoding="utf-8"))
    body = exchange["body"].encode()
    if file.name.startswith("error"):
        return isinstance(dialect.decode_error(exchange["status"], {}, body), ConduitError)
    if file.name.startswith("plain"):
        return bool(dialect.decode_response(body).choices)
    decoder = dialect.StreamDecoder()
    events = decoder.feed(body) + decoder.finish()
    return decoder.complete and not any(isinstance(event, Failed) for event in events)


def _recorded() -> str:
    folder = os.environ.get(_RECORDED)
    if folder:
        return "\n".join(_recorded_table(Path(folder)))
    page = _ROOT / PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    found = re.search(f"{_BEGIN}\n(.*?)\n{_END}", text, re.DOTALL)
    return found[1] if found else ""


def markdown() -> str:
    """The page."""
    tables = "\n".join(
        f"## Clients of {_TITLES[client]}\n\n{_PATHS[client]}\n\n"
        + "\n".join(_table(client))
        + "\n"
        for client in PROBES
    )
    models = "\n".join(f"- {_TITLES[name]}: `{_MODELS[name]}`" for name in served())
    return _PAGE.format(
        tables=tables, rules=_rules(), models=models, recorded=_recorded(), **_sums()
    )


def _rules() -> str:
    """The rules as a table, by what comes of a thing."""
    lines = ["| where a provider lacks it | what comes of it | why |", "|---|---|---|"]
    words = {"drop": "left out", "refuse": "**refused**"}
    for name, rule in sorted(RULES.items(), key=lambda item: (item[1].outcome, item[0])):
        lines.append(f"| {name.replace('_', ' ')} | {words[rule.outcome]} | {rule.reason} |")
    return "\n".join(lines) + "\n"


def _sums() -> dict[str, int]:
    found = counts()
    words = {"left_out": "left out"}
    names = ("kept", "left_out", "emulated", "refused")
    return {"total": sum(found.values())} | {name: found[words.get(name, name)] for name in names}


_PAGE: Final = """\
# What survives between two formats

A client may speak any of four formats and be served by a provider of any other. This page says what
comes of each thing that a client can ask for. It is made from the gateway's own encoders: each cell
is one request, encoded for one provider. `make completions` writes it anew, and a test fails when
it is stale.

- **kept**: it is said in the provider's words.
- **left out**: the provider has no word for it, and the answer means the same without. The answer's
  header `x-conduit-dropped` names the client's field.
- **emulated**: it is asked for in another way; the header `x-conduit-emulated` names the field. A
  schema, say, becomes the parameters of a tool that the model must call, and the client gets its
  arguments as the text of the answer: those of the first call (of a whole answer, of the first
  whose arguments are an object), and nothing of what the model writes beside it. Where it calls
  tools of the client's instead, or writes its answer without a call, that is what the client gets.
- **refused**: leaving it out would change what is asked. The client gets a 400 that names its
  field, and no provider is called.

Where something is not kept, the cell names the client's field, as the header or the error does; of
several fields that ask for one thing it may be a lesser one, such as the name of a file.

Where client and provider speak the same format, a request goes out as the client wrote it. Of the
other {total} cells, {kept} are kept, {left_out} leave something out, {emulated} are emulated and
{refused} refused.

What a provider takes may depend on the model. The columns are for these:

{models}

Vendors that speak OpenAI's chat with exceptions of their own have more to drop or refuse;
[Providers](providers.md) has them.

{tables}
## What is left out and what is refused

One rule for each thing, whichever provider lacks it. Where it would only be another drawing of the
same answer, or where it saves time or money alone, it is left out; where the client would miss a
part of what it asked for, or get what it forbade, the request is refused. Before either, it may be
asked for in another way: a number beyond the provider's range as the nearest that it takes, a cap
beyond what the model can write as that, instructions in mid-conversation before it, a refusal as
plain text, a schema by a tool. A field that no rule knows is left out and named; one
that says what holds anyway, such as `store: false`, is not named.

{rules}
## Held to real traffic

Answers that providers really gave, as recorded by others, and how many of them are decoded: whole
answers to choices, streams to their end, errors to ours.

<!-- recorded: begin -->
{recorded}
<!-- recorded: end -->

More was decoded once, by hand: all recordings of these vendors' chats that could be read in the
tests of pydantic-ai, ruby_llm, langchain-cohere, openllmetry, openinference, dd-trace-py and
OpenTelemetry's instrumentations for Python. They are not part of the project, and no test holds
the gateway to them. Each stream was cut at every byte, at every seventh and not at all. The text
and the calls of tools of good answers were compared with what a reader of each format, written
apart, finds in the same bytes, and so were the counts of tokens but for Gemini's and those of
Anthropic's streams; ten answers had what that reader does not know, such as several choices in
one stream. Streams that tell of an error are among the errors.

| recorded from | whole answers | streams | errors | decoded |
|---|---|---|---|---|
| Cohere v2 | 98 | 28 | 4 | 130 of 130 |
| Bedrock Converse | 319 | 53 | 21 | 393 of 393 |
| Ollama | 17 | 8 | 1 | 26 of 26 |
| Ollama, OpenAI's form | 37 | 9 | 2 | 48 of 48 |
| Vertex AI, Gemini | 212 | 17 | 7 | 234 of 236 |
| Azure, the v1 interface | 50 | 7 | 2 | 59 of 59 |
| Azure, deployments | 40 | 26 | 6 | 72 of 72 |
| Mistral | 125 | 24 | 1 | 150 of 150 |
| Groq | 107 | 10 | 6 | 123 of 123 |
| OpenRouter | 119 | 20 | 6 | 145 of 145 |
| DeepSeek | 37 | 17 | 2 | 56 of 56 |
| Perplexity | 14 | 3 | 2 | 19 of 19 |
| Hugging Face | 14 | 2 | 0 | 16 of 16 |
| Cerebras | 12 | 0 | 0 | 12 of 12 |
| Together | 9 | 2 | 0 | 11 of 11 |
| other servers of OpenAI's form | 100 | 24 | 1 | 125 of 125 |
| OpenAI chat | 664 | 189 | 25 | 878 of 878 |
| OpenAI responses | 421 | 88 | 15 | 524 of 524 |
| Anthropic messages | 454 | 85 | 6 | 545 of 545 |
| Gemini | 454 | 38 | 3 | 495 of 495 |

Two of Vertex AI's were asked for with the names of finish reasons as numbers, which the gateway
never asks for. What a server only promised to answer (`background` of the responses format) is
not counted. Of Cohere's other operations, 11 of 11 rankings were decoded and 17 of 21 answers
with embeddings; the four have `int8` alone, for which the gateway does not ask. No recording of
Claude on Vertex AI was found, nor one of its OpenAI form. Two faults came to light and are
mended: calls of tools whose type Bedrock names were lost, and errors of servers made of llama.cpp
were not seen. Different by intent are calls of a provider's own tools, which are none for the
client, and Cohere's plans before a call, which are text.

## What is not known

- Through real sockets, every client is held against OpenAI chat, OpenAI responses (by
  Perplexity's type), Anthropic, Gemini, Cohere, Bedrock, both forms of Ollama, both interfaces of
  Azure and all three of Vertex AI, with answers in the shapes of the fixtures. The servers of
  Azure and Vertex AI insist on the vendor's paths, on its ways to authenticate, tokens of Entra
  and of Google among them, and on the fields that a body must and must not have. The fixtures of
  Cohere, Bedrock and Ollama are made by hand, from their documentation and the shapes of the
  recordings above. No test calls a real provider.
- Arguments of a tool call are the model's exact text between OpenAI's formats, and in streams from
  Anthropic, Cohere and Bedrock. Gemini and Ollama give objects, and so do whole answers of
  Anthropic and Bedrock: there the values are the same, blanks and the writing of numbers may not
  be.
- A result of a tool that is a JSON object reaches Gemini as that object, any other text under
  `result`. A Gemini client's result reaches others as the text of its object.
- Signatures of thinking come back to the provider that made them, through any client that sends
  its messages back as it got them. A client that drops fields it does not know, as some of OpenAI's
  chat do with `reasoning_signature`, loses them, and the provider then sees no thinking.
- In a stream to a client of the responses format, an item is told to be complete before it is known
  that the answer was cut at its cap; the last event says so rightly.
- When a provider of the client's own format reports an error in the same read as other events,
  these are not passed on, the error is.
- Cohere bills tokens of which it does not say how many came from its cache, and Ollama counts
  neither those nor the tokens of its thinking apart: none are reported.
- Ollama signs no thinking. What its own models thought goes back to it as plain text, through any
  client that sends it. A call without an id, as its older servers give it, gets a made one.
"""
