"""An OpenAI-compatible upstream that streams far more than anybody reads, and tells how much left.

`python -m tests.fakes.flood` prints its base URL. A model's name says how many bytes of answer it
gives: `flood-160000000` does, `flood` has no end. `GET /state` tells of the answers that run.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass

from tests.fakes.openai_answers import DONE, event

EVENT_BYTES = 4096
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nconnection: close\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


@dataclass
class Flood:
    """Counts of the server: answers begun and running, and bytes given to the system."""

    begun: int = 0
    running: int = 0
    sent_bytes: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if head.startswith(b"get /state"):
                body = json.dumps(vars(self)).encode()
                length = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
                writer.write(_HEAD % b"application/json" + length)
            else:
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                await self._answer(json.loads(await reader.readexactly(size)), reader, writer)
        writer.close()

    async def _answer(
        self, asked: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _, _, number = str(asked["model"]).partition("-")
        size = int(number) if number else None
        write = self._stream(writer, size) if asked.get("stream") else self._whole(writer, size)
        answering = asyncio.create_task(write)
        leaving = asyncio.create_task(reader.read(1))
        self.begun += 1
        self.running += 1
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.running -= 1
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
            if answering.cancelled():
                writer.transport.abort()

    async def _whole(self, writer: asyncio.StreamWriter, size: int | None) -> None:
        message = {"role": "assistant", "content": "x" * (size or 0)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "f", "object": "chat.completion", "created": 1, "model": "flood"}
        body = json.dumps({**answer, "choices": [choice]}).encode()
        writer.write(_HEAD % b"application/json" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        await writer.drain()
        self.sent_bytes += len(body)

    async def _stream(self, writer: asyncio.StreamWriter, size: int | None) -> None:
        delta = {"role": "assistant", "content": "x" * EVENT_BYTES}
        chunk = {"id": "f", "object": "chat.completion.chunk", "created": 1, "model": "flood"}
        piece = event({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        framed = b"%x\r\n%b\r\n" % (len(piece), piece)
        writer.write(_HEAD % b"text/event-stream")
        left = size
        while left is None or left > 0:
            writer.write(framed)
            await writer.drain()
            self.sent_bytes += len(piece)
            left = None if left is None else left - EVENT_BYTES
        last = event({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last + DONE), last + DONE))
        await writer.drain()


async def run() -> None:
    server = await asyncio.start_server(Flood().serve, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run())
