"""The streams of providers that do not speak OpenAI's chat, as HTTP chunks that are ready to send.

The shapes are those of the fixtures of Conduit's providers and of what the vendors document: what
stands around the text, what each event repeats, and what changes with every one of them (Gemini's
usage so far, OpenAI's numbers and obfuscation, Bedrock's padding, Ollama's time).
"""

import itertools
import json
import random
import string
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from zlib import crc32

MARK = " zq"  # opens the text of every streamed chunk: a reader counts chunks by counting marks
INPUT_TOKENS, OUTPUT_TOKENS = 12, 34


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def written(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


@lru_cache(maxsize=256)
def anthropic_chunks(model: str, count: int) -> tuple[bytes, ...]:
    """A stream of messages; its head leaves with the first text, its end with the last mark."""

    def event(kind: str, **fields: object) -> bytes:
        data = written({"type": kind, **fields})
        return framed(f"event: {kind}\ndata: {data}\n\n".encode())

    message = {
        "id": "msg_000000000000",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": 1},
    }
    head = event("message_start", message=message)
    head += event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    head += event("ping")
    texts = [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": f"{MARK}{i}"})
        for i in range(count)
    ]
    ending = event("content_block_stop", index=0)
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    ending += event("message_delta", delta=stop, usage={"output_tokens": OUTPUT_TOKENS})
    ending += event("message_stop")
    return head + texts[0], *texts[1:], ending + b"0\r\n\r\n"


@lru_cache(maxsize=256)
def gemini_chunks(model: str, count: int) -> tuple[bytes, ...]:
    """A stream of `GenerateContentResponse`; the last one has the reason to end."""

    def event(text: str, so_far: int, reason: str | None = None) -> bytes:
        candidate: dict = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        usage = {
            "promptTokenCount": INPUT_TOKENS,
            "candidatesTokenCount": so_far,
            "totalTokenCount": INPUT_TOKENS + so_far,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": INPUT_TOKENS}],
        }
        fields = {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": model,
            "responseId": "mock-000000000000",
        }
        return framed(f"data: {written(fields)}\r\n\r\n".encode())

    def all_events() -> Iterator[bytes]:
        for number in range(count):
            yield event(f"{MARK}{number}", number + 1)
        yield event("", OUTPUT_TOKENS, "STOP") + b"0\r\n\r\n"

    return tuple(all_events())


@lru_cache(maxsize=256)
def responses_chunks(model: str, count: int) -> tuple[bytes, ...]:
    """A stream of responses; every event has its number, and what came in pieces comes whole."""
    numbers = itertools.count()
    chance = random.Random(count)
    place = {"item_id": "msg_000000000000", "output_index": 0, "content_index": 0}
    text = "".join(f"{MARK}{number}" for number in range(count))

    def event(kind: str, **fields: object) -> bytes:
        kind = f"response.{kind}"
        data = written({"type": kind, "sequence_number": next(numbers), **fields})
        return framed(f"event: {kind}\ndata: {data}\n\n".encode())

    def part(said: str) -> dict:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": said}

    def item(status: str, *content: dict) -> dict:
        about = {"id": place["item_id"], "type": "message", "status": status}
        return {**about, "content": content, "role": "assistant"}

    def response(status: str, output: tuple, usage: dict | None = None) -> dict:
        about = {"id": "resp_000000000000", "object": "response", "created_at": 1_700_000_000}
        more = {"error": None, "incomplete_details": None, "model": model, "output": output}
        return {**about, "status": status, **more, "store": False, "usage": usage}

    def delta(number: int) -> bytes:
        said = f"{MARK}{number}"
        filler = "".join(chance.choices(string.ascii_letters, k=16 - len(said)))
        fields = {"delta": said, "logprobs": [], "obfuscation": filler}
        return event("output_text.delta", **place, **fields)

    begun = response("in_progress", ())
    head = event("created", response=begun) + event("in_progress", response=begun)
    head += event("output_item.added", output_index=0, item=item("in_progress"))
    head += event("content_part.added", **place, part=part(""))
    texts = [delta(number) for number in range(count)]
    whole = item("completed", part(text))
    ending = event("output_text.done", **place, text=text, logprobs=[])
    ending += event("content_part.done", **place, part=part(text))
    ending += event("output_item.done", output_index=0, item=whole)
    usage = {
        "input_tokens": INPUT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    ending += event("completed", response=response("completed", (whole,), usage))
    return head + texts[0], *texts[1:], ending + b"0\r\n\r\n"


@lru_cache(maxsize=256)
def cohere_chunks(model: str, count: int) -> tuple[bytes, ...]:
    """A stream of Cohere's chat, version 2, which does not name its model."""

    def event(kind: str, **fields: object) -> bytes:
        data = written({"type": kind, **fields})
        return framed(f"event: {kind}\ndata: {data}\n\n".encode())

    def content(**fields: str) -> dict:
        return {"message": {"content": fields}}

    message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
    message["citations"] = []
    head = event("message-start", id="mock-000000000000", delta={"message": message})
    head += event("content-start", index=0, delta=content(type="text", text=""))
    texts = [
        event("content-delta", index=0, delta=content(text=f"{MARK}{number}"))
        for number in range(count)
    ]
    tokens = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    usage = {"billed_units": tokens, "tokens": tokens}
    ending = event("content-end", index=0)
    ending += event("message-end", delta={"finish_reason": "COMPLETE", "usage": usage})
    return head + texts[0], *texts[1:], ending + b"0\r\n\r\n"


def aws_message(kind: str, payload: bytes) -> bytes:
    """One message of AWS's event stream, an event of this kind."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    block = b"".join(
        bytes([len(name)]) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    prelude += struct.pack(">I", crc32(prelude))
    body = prelude + block + payload
    return body + struct.pack(">I", crc32(body))


@lru_cache(maxsize=256)
def bedrock_chunks(model: str, count: int) -> tuple[bytes, ...]:
    """A stream of ConverseStream: text opens without a start, and `p` pads every event."""
    chance = random.Random(count)

    def event(kind: str, **fields: object) -> bytes:
        padding = string.ascii_letters[: chance.randint(1, 52)]
        return framed(aws_message(kind, written({**fields, "p": padding}).encode()))

    head = event("messageStart", role="assistant")
    texts = [
        event("contentBlockDelta", contentBlockIndex=0, delta={"text": f"{MARK}{number}"})
        for number in range(count)
    ]
    usage = {
        "inputTokens": INPUT_TOKENS,
        "outputTokens": OUTPUT_TOKENS,
        "totalTokens": INPUT_TOKENS + OUTPUT_TOKENS,
    }
    ending = event("contentBlockStop", contentBlockIndex=0)
    ending += event("messageStop", stopReason="end_turn")
    ending += event("metadata", metrics={"latencyMs": 941}, usage=usage)
    return head + texts[0], *texts[1:], ending + b"0\r\n\r\n"


@lru_cache(maxsize=256)
def ollama_chunks(model: str, count: int) -> tuple[bytes, ...]:
    """A stream of Ollama's own chat: JSON lines, each with the time at which it was made."""

    def line(number: int, text: str, **fields: object) -> bytes:
        time = f"2026-01-05T10:00:{number // 50:02}.{number % 50 * 20_000_000 + 123_457:09}Z"
        about = {"model": model, "created_at": time}
        value = about | {"message": {"role": "assistant", "content": text}} | fields
        return framed(f"{written(value)}\n".encode())

    texts = [line(number, f"{MARK}{number}", done=False) for number in range(count)]
    totals = {
        "total_duration": 1_200_000_000,
        "load_duration": 90_000_000,
        "prompt_eval_count": INPUT_TOKENS,
        "prompt_eval_duration": 110_000_000,
        "eval_count": OUTPUT_TOKENS,
        "eval_duration": 800_000_000,
    }
    return *texts, line(count, "", done=True, done_reason="stop", **totals) + b"0\r\n\r\n"


ChunksOf = Callable[[str, int], tuple[bytes, ...]]
SSE = "text/event-stream"
# The end of the path of each stream, what it consists of, and what it is called in its head.
STREAMS: dict[bytes, tuple[ChunksOf, str]] = {
    b"/messages": (anthropic_chunks, SSE),
    b":streamGenerateContent": (gemini_chunks, SSE),
    b"/responses": (responses_chunks, SSE),
    b"/v2/chat": (cohere_chunks, SSE),
    b"/converse-stream": (bedrock_chunks, "application/vnd.amazon.eventstream"),
    b"/api/chat": (ollama_chunks, "application/x-ndjson"),
}
