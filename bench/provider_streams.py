"""The streams of providers that do not speak OpenAI's chat, as HTTP chunks that are ready to send.

The shapes are those of the fixtures of Conduit's providers: what stands around the text, what each
event repeats, and that Gemini counts the usage so far in every one of them.
"""

import json
from collections.abc import Iterator
from functools import lru_cache

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
