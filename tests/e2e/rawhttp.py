"""A client that writes bytes and no HTTP of its own, for what a well-behaved one cannot send."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE_S = 60.0
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back; status 0 where the gateway hung up without a word."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closed(self) -> bool:
        return self.status == 0

    @property
    def code(self) -> object:
        return json.loads(self.body)["error"]["code"]

    def is_openai_refusal(self) -> bool:
        """Whether it is a 4xx in OpenAI's shape, with a sentence and nothing besides."""
        if not 400 <= self.status < 500:
            return False
        whole = json.loads(self.body)
        error = whole["error"]
        return (
            set(whole) == {"error"}
            and set(error) == {"message", "type", "param", "code"}
            and bool(error["message"])
            and "server" not in self.headers
            and self.headers["x-content-type-options"] == "nosniff"
        )


CLOSED = RawAnswer(0, {}, b"")


class RawConnection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> bool:
        """Write it all; False where the gateway takes no more."""
        try:
            self._writer.write(data)
            async with asyncio.timeout(PATIENCE_S):
                await self._writer.drain()
        except ConnectionError:
            return False
        return True

    async def answer(self) -> RawAnswer:
        """The next answer."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                head = await self._reader.readuntil(b"\r\n\r\n")
                start, *lines = head[:-4].decode("latin-1").split("\r\n")
                fields = [line.partition(":") for line in lines]
                headers = {name.lower(): value.strip() for name, _, value in fields}
                size = int(headers.get("content-length", "0"))
                body = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return CLOSED
        return RawAnswer(int(start.split(" ")[1]), headers, body)

    async def rest(self) -> bytes:
        """What still comes until the gateway hangs up."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read()
        except ConnectionError:
            return b""

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RawConnection]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def ask(url: str, data: bytes) -> RawAnswer:
    """What the gateway says to these bytes on a connection of their own."""
    async with connected(url) as connection:
        await connection.send(data)
        return await connection.answer()


def post(
    body: bytes = b"",
    *headers: bytes,
    key: str | None = None,
    path: str = CHAT,
    length: int | None = None,
) -> bytes:
    """A JSON request whose length is told unless a header frames it otherwise."""
    lines = [f"POST {path} HTTP/1.1".encode(), b"host: gateway", *headers]
    names = {line.partition(b":")[0].lower() for line in headers}
    if b"content-type" not in names:
        lines.append(b"content-type: application/json")
    if not names & {b"content-length", b"transfer-encoding"}:
        lines.append(b"content-length: %d" % (len(body) if length is None else length))
    if key is not None:
        lines.append(f"authorization: Bearer {key}".encode())
    return b"\r\n".join((*lines, b"", b"")) + body


def get(path: str, *headers: bytes, key: str | None = None) -> bytes:
    lines = [f"GET {path} HTTP/1.1".encode(), b"host: gateway", *headers]
    if key is not None:
        lines.append(f"authorization: Bearer {key}".encode())
    return b"\r\n".join((*lines, b"", b""))


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
