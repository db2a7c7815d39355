"""The simulator's text completions and embeddings."""

import base64
import hashlib
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from conduit.gateway.dialects.fields import read_flag, read_integer, read_object_field, wrong
from conduit.gateway.dialects.frames.sse import event_of
from conduit.gateway.dialects.lenient_json import write_json
from conduit.gateway.dialects.openai.relayed_stream import DONE
from conduit.gateway.providers._simulated_text import excerpt, fingerprint, tokens_of

_DEFAULT_TOKENS: Final = 16
_DEFAULT_DIMENSIONS: Final = 256
_MAX_DIMENSIONS: Final = 4096
_MAX_WORDS: Final = 4096

_Fields = Mapping[str, Any]
_Input = str | list[int]


@dataclass(frozen=True, slots=True)
class CompletionText:
    """One choice of a completion."""

    index: int
    tokens: list[str]
    finish_reason: str


def completion_texts(fields: _Fields) -> list[CompletionText]:
    """The choices of a completion: `n` for every prompt, in order."""
    cap = read_integer(fields, "max_tokens") or _DEFAULT_TOKENS
    choices = read_integer(fields, "n", largest=128) or 1
    texts: list[CompletionText] = []
    for prompt in _inputs(fields["prompt"]):
        for _ in range(choices):
            text = (
                f" (a simulated continuation: {fields['model']} is built into the gateway, and no "
                f'real model was asked) after "{excerpt(_readable(prompt))}".'
            )
            tokens = tokens_of(_stopped(text, fields.get("stop")))
            reason = "length" if len(tokens) > cap else "stop"
            tokens = tokens[:cap]
            if read_flag(fields, "echo"):
                tokens.insert(0, _readable(prompt))
            texts.append(CompletionText(len(texts), tokens, reason))
    return texts


def completion_body(fields: _Fields, texts: list[CompletionText], created_s: int) -> bytes:
    """A whole completion."""
    choices = [_choice(text.index, "".join(text.tokens), text.finish_reason) for text in texts]
    usage = {"usage": _completion_usage(fields, texts)}
    return write_json(_head(fields, created_s) | {"choices": choices} | usage)


def completion_chunks(
    fields: _Fields, texts: list[CompletionText], created_s: int
) -> Iterator[bytes]:
    """A completion as a stream."""
    head = _head(fields, created_s)
    options = read_object_field(fields, "stream_options") or {}
    wants_usage = bool(read_flag(options, "include_usage"))
    rest = {"usage": None} if wants_usage else {}
    for text in texts:
        for token in text.tokens:
            chunk = head | {"choices": [_choice(text.index, token, None)]} | rest
            yield event_of(write_json(chunk))
        last = head | {"choices": [_choice(text.index, "", text.finish_reason)]} | rest
        yield event_of(write_json(last))
    if wants_usage:
        usage = {"choices": [], "usage": _completion_usage(fields, texts)}
        yield event_of(write_json(head | usage))
    yield DONE


def embeddings_body(fields: _Fields) -> bytes:
    """Unit vectors, the same for the same text, and near to one another for similar texts."""
    dimensions = read_integer(fields, "dimensions", largest=_MAX_DIMENSIONS) or _DEFAULT_DIMENSIONS
    encoding = fields.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise wrong("encoding_format", 'must be "float" or "base64"')
    inputs = _inputs(fields["input"])
    tokens = sum(_count(item) for item in inputs)
    data = []
    for index, item in enumerate(inputs):
        vector = _vector(_readable(item), dimensions)
        embedding: Any = vector
        if encoding == "base64":
            embedding = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": fields["model"], "usage": usage}
    return write_json(answer)


def _inputs(value: str | list[Any]) -> list[_Input]:
    """The inputs of a checked prompt: texts, or lists of token numbers."""
    return [value] if isinstance(value, str) or isinstance(value[0], int) else value


def _readable(item: _Input) -> str:
    return item if isinstance(item, str) else " ".join(map(str, item))


def _count(item: _Input) -> int:
    return len(tokens_of(item)) if isinstance(item, str) else len(item)


def _stopped(text: str, stop: object) -> str:
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(item, str) for item in stops):
        raise wrong("stop", "must be a string or an array of strings")
    ends = [at for item in stops if item and (at := text.find(item)) >= 0]
    return text[: min(ends)] if ends else text


def _head(fields: _Fields, created_s: int) -> dict[str, Any]:
    name = fingerprint(fields["model"], fields["prompt"], fields.get("seed"))
    return {
        "id": f"cmpl-simulated-{name[:24]}",
        "object": "text_completion",
        "created": created_s,
        "model": fields["model"],
        "system_fingerprint": "fp_simulated",
    }


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _completion_usage(fields: _Fields, texts: list[CompletionText]) -> dict[str, int]:
    prompt = sum(_count(item) for item in _inputs(fields["prompt"]))
    completion = sum(len(text.tokens) for text in texts)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _vector(text: str, dimensions: int) -> list[float]:
    """Every word adds a few fixed directions, so texts that share words point alike."""
    vector = [0.0] * dimensions
    for word in ["", *text.lower().split()[:_MAX_WORDS]]:
        digest = hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
        for at, sign in struct.iter_unpack("<HH", digest):
            vector[at % dimensions] += 1.0 if sign & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0.0:
        vector[0] = length = 1.0
    return [value / length for value in vector]
