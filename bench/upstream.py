"""Mock of providers on a raw uvloop protocol, so that it is never the bottleneck.

OpenAI's chat whole and streamed; of the other dialects (`provider_streams.py`) the streams alone.

Prints its origin once it listens. The model name picks the behaviour, because it is the one thing
every gateway forwards:
``mock``, then any of the knobs below as ``-<knob><number>``, e.g. ``mock-ttft50-gap20-n50``.
An ``x-mock`` request header in the same notation wins over the name.
"""

import argparse
import asyncio
import json
import re
import resource
import ssl
from collections import Counter
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import httptools
import uvloop
from provider_streams import (
    INPUT_TOKENS,
    MARK,
    OUTPUT_TOKENS,
    SSE,
    STREAMS,
    framed,
)

CREATED = 1_700_000_000
ID = b"chatcmpl-000000000000"  # replaced by a number of the same length in every answer


@dataclass(frozen=True, slots=True)
class Knobs:
    lat: int = 0  # ms before a non-streamed answer
    size: int = 1000  # bytes of text in a non-streamed answer
    ttft: int = 0  # ms before the first chunk
    n: int = 10  # chunks in a stream
    gap: int = 0  # ms between chunks; 0 writes one chunk per turn of the event loop
    err: int = 0  # answer with this status (429 carries Retry-After)
    reset: int = 0  # 1: reset the connection instead of answering
    stall: int = 0  # 1: never answer; with a stream, never send a chunk after the headers
    cut: int = 0  # drop the connection after this many chunks
    slowhdr: int = 0  # ms before the response headers of a stream


NAMES = {f.name for f in fields(Knobs)}


@lru_cache(maxsize=1024)
def knobs(text: str) -> Knobs:
    found = re.findall(r"-([a-z]+)(\d+)", text)
    return Knobs(**{name: int(value) for name, value in found if name in NAMES})


def head(status: int, *lines: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} Mock", *lines, "", "")).encode()


def json_answer(status: int, value: object, *lines: str) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    kind = ("content-type: application/json", f"content-length: {len(body)}")
    return head(status, *kind, *lines) + body


def error_answer(status: int) -> bytes:
    extra = ("retry-after: 2",) if status == 429 else ()
    error = {"message": f"mock error {status}", "type": "mock_error", "code": str(status)}
    return json_answer(status, {"error": error}, *extra)


USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


@lru_cache(maxsize=256)
def chat_answer(model: str, size: int) -> bytes:
    message = {"role": "assistant", "content": "x" * size}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json_answer(
        200,
        {
            "id": ID.decode(),
            "object": "chat.completion",
            "created": CREATED,
            "model": model,
            "choices": [choice],
            "usage": USAGE,
        },
    )


@lru_cache(maxsize=256)
def chat_chunks(model: str, count: int, usage: bool) -> tuple[bytes, ...]:
    """The whole stream as ready HTTP chunks; the last one ends it."""

    def event(choices: list, usage_part: object = None) -> bytes:
        data = json.dumps(
            {
                "id": ID.decode(),
                "object": "chat.completion.chunk",
                "created": CREATED,
                "model": model,
                "system_fingerprint": "fp_mock",
                "choices": choices,
                "usage": usage_part,
            },
            separators=(",", ":"),
        )
        return framed(f"data: {data}\n\n".encode())

    def choice(delta: dict, reason: str | None = None) -> list:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    chunks = [event(choice({"role": "assistant", "content": f"{MARK}0"}))]
    chunks += [event(choice({"content": f"{MARK}{i}"})) for i in range(1, count)]
    ending = event(choice({}, "stop"))
    if usage:
        ending += event([], USAGE)
    return *chunks, ending + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


@lru_cache
def stream_head(content_type: str) -> bytes:
    return head(200, f"content-type: {content_type}", "transfer-encoding: chunked")


MODELS = json_answer(
    200,
    {
        "object": "list",
        "data": [{"id": "mock", "object": "model", "created": CREATED, "owned_by": "mock"}],
    },
)
EMBEDDINGS = json_answer(
    200,
    {
        "object": "list",
        "model": "mock",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0125] * 1536}],
        "usage": {"prompt_tokens": 12, "total_tokens": 12},
    },
)


class Upstream(asyncio.Protocol):
    """One client connection; requests on it are answered one at a time."""

    counts: ClassVar[Counter] = Counter()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.timer: asyncio.Handle | None = None

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()
            self.counts["aborted"] += 1

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.body = b""
        self.mock = ""

    def on_url(self, url: bytes) -> None:
        self.path = url.partition(b"?")[0]

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-mock":
            self.mock = "-" + value.decode()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.counts[self.path.decode()] += 1
        if self.path.endswith(b"/chat/completions"):
            self.chat()
        elif self.path.endswith(b"/embeddings"):
            self.transport.write(EMBEDDINGS)
        elif self.path.endswith(b"/models"):
            self.transport.write(MODELS)
        elif self.path == b"/stats":
            self.transport.write(json_answer(200, dict(self.counts)))
        else:
            self.stream()

    def model(self) -> str:
        # A search is enough for a mock and does not cost more as the prompt grows.
        found = re.search(rb"/models?/([^:/]*)[:/]", self.path)
        found = found or re.search(rb'"model"\s*:\s*"([^"]*)"', self.body)
        return found[1].decode() if found else "mock"

    def stream(self) -> None:
        """A stream of another provider's; its ids stay as they are."""
        found = next((end for end in STREAMS if self.path.endswith(end)), None)
        if found is None:
            self.transport.write(error_answer(404))
            return
        chunks_of, content_type = STREAMS[found]
        self.ident = ID
        model = self.model()
        want = knobs(self.mock or model)
        self.start_stream(want, chunks_of(model, want.n), content_type)

    def chat(self) -> None:
        self.ident = b"chatcmpl-%012d" % self.counts.total()
        model = self.model()
        want = knobs(self.mock or model)
        if want.reset:
            self.transport.abort()
        elif want.err:
            self.transport.write(error_answer(want.err))
        elif re.search(rb'"stream"\s*:\s*true', self.body):
            usage = re.search(rb'"include_usage"\s*:\s*true', self.body) is not None
            chunks = chat_chunks(model, want.n, usage)
            self.later(want.slowhdr, self.start_stream, want, chunks)
        elif not want.stall:
            answer = chat_answer(model, want.size).replace(ID, self.ident)
            self.later(want.lat, self.transport.write, answer)

    def start_stream(self, want: Knobs, chunks: tuple[bytes, ...], content_type: str = SSE) -> None:
        self.timer = None
        self.transport.write(stream_head(content_type))
        if not want.stall:
            self.later(want.ttft, self.send_chunk, want, chunks, 0)

    def send_chunk(self, want: Knobs, chunks: tuple[bytes, ...], index: int) -> None:
        self.timer = None
        if want.cut and index >= want.cut:
            self.transport.abort()
            return
        self.transport.write(chunks[index].replace(ID, self.ident))
        if index + 1 < len(chunks):
            if want.gap:
                self.later(want.gap, self.send_chunk, want, chunks, index + 1)
            else:
                self.timer = self.loop.call_soon(self.send_chunk, want, chunks, index + 1)

    def later(self, ms: int, call, *args) -> None:
        if ms:
            self.timer = self.loop.call_later(ms / 1000, self.fire, call, args)
        else:
            call(*args)

    def fire(self, call, args: tuple) -> None:
        self.timer = None
        call(*args)


async def serve(host: str, port: int, certificate: Path | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, host, port, backlog=4096, ssl=context)
    scheme = "http" if context is None else "https"
    print("{}://{}:{}".format(scheme, *server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=27900, help="0: one that is free")
    options.add_argument("--certificate", type=Path, help="of TLS, with its key, in PEM")
    args = options.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(serve(args.host, args.port, args.certificate))


if __name__ == "__main__":
    main()
