"""One connection of the fake upstream: reads requests byte by byte and answers as told."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from tests.fakes import openai_answers as answers
from tests.fakes.behaviour import Behaviour, Fault, StreamOptions

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests"}


class _Ended(Exception):
    """The connection is over: cut by a fault, or left by the client."""


@dataclass(eq=False)
class Received:
    """One request as its bytes came, and what became of it."""

    number: int
    connection: int
    method: str
    path: str
    head: bytes
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)
    aborted_at: float | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    chunks_sent: int = 0

    @property
    def json(self) -> dict[str, Any]:
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def model(self) -> str:
        return str(self.json.get("model", ""))

    @property
    def client_request_id(self) -> str | None:
        return self.headers.get("x-client-request-id")

    def line(self) -> bytes:
        """The request as one line of a log."""
        return (
            json.dumps(
                {
                    "number": self.number,
                    "at_ms": time.time_ns() // 1_000_000,
                    "path": self.path,
                    "model": self.model,
                    "stream": self.json.get("stream") is True,
                    "client_request_id": self.client_request_id,
                }
            ).encode()
            + b"\n"
        )


class Server(Protocol):
    """What a connection asks of the server that accepted it."""

    models: tuple[str, ...]
    connections: int
    open_connections: set["Connection"]
    requests: list[Received]

    def behaviour(self, received: Received) -> Behaviour | None: ...

    async def began(self, received: Received) -> None: ...

    async def ended(self) -> None: ...

    async def left(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """One client connection; its requests are answered one after the other by one task."""

    def __init__(self, fake: Server) -> None:
        self._fake = fake
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._current: Received | None = None
        fake.connections += 1
        self._number = fake.connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._fake.open_connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def eof_received(self) -> None:
        self._client_left()

    def connection_lost(self, error: Exception | None) -> None:
        self._client_left()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        self._transport.abort()
        self._client_left()

    def _client_left(self) -> None:
        self._gone.set()
        self._arrived.set()
        self._writable.set()
        if self._current is not None and self._current.aborted_at is None:
            self._current.aborted_at = time.monotonic()
            self._current.aborted.set()

    async def _serve(self) -> None:
        try:
            while True:
                received = await self._read_request()
                self._current = received
                await self._fake.began(received)
                try:
                    keep = await self._answer(received)
                finally:
                    self._current = None
                    await self._fake.ended()
                if not keep:
                    break
        except _Ended:
            pass
        finally:
            self._transport.close()
            await self._fake.left(self)

    async def _read_request(self) -> Received:
        head = await self._read_until(b"\r\n\r\n")
        request_line, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, path, _ = request_line.split(" ")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if "chunked" in headers.get("transfer-encoding", ""):
            body = await self._read_chunked()
        else:
            body = await self._read_exactly(int(headers.get("content-length", 0)))
        number = len(self._fake.requests) + 1
        return Received(number, self._number, method, path, head, headers, body)

    async def _read_until(self, mark: bytes) -> bytes:
        while (end := self._buffer.find(mark)) < 0:
            await self._more()
        return await self._read_exactly(end + len(mark))

    async def _read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._more()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _read_chunked(self) -> bytes:
        body = b""
        while size := int((await self._read_until(b"\r\n")).split(b";")[0], 16):
            body += (await self._read_exactly(size + 2))[:-2]
        await self._read_until(b"\r\n")
        return body

    async def _more(self) -> None:
        if self._gone.is_set():
            raise _Ended
        self._arrived.clear()
        await self._arrived.wait()

    async def _answer(self, received: Received) -> bool:
        behaviour = self._fake.behaviour(received) if received.method == "POST" else Behaviour()
        if behaviour is None:
            return await self._error(received, Behaviour(status=404), "no such model")
        await self._pause(behaviour.delay_s)
        await self._fault_before_head(behaviour)
        if behaviour.raw_body is not None or behaviour.body is not None:
            return await self._odd(received, behaviour)
        if behaviour.status != 200:
            return await self._error(received, behaviour, f"fake error {behaviour.status}")
        path = received.path.partition("?")[0]
        if received.method == "GET" and "/models" in path:
            return await self._whole(received, behaviour, answers.models_body(self._fake.models))
        if path.endswith("/embeddings"):
            return await self._whole(
                received, behaviour, answers.embedding_body(behaviour, received.json)
            )
        if path.endswith("/rerank"):
            return await self._whole(
                received, behaviour, answers.rerank_body(behaviour, received.json)
            )
        if path.endswith("/moderations"):
            return await self._whole(received, behaviour, answers.moderation_body(received.json))
        if path.endswith("/completions"):
            return await self._complete(received, behaviour, legacy="/chat/" not in path)
        return await self._error(received, Behaviour(status=404), "no such path")

    async def _complete(self, received: Received, behaviour: Behaviour, *, legacy: bool) -> bool:
        request = received.json
        refuses = behaviour.stream_options is StreamOptions.REFUSE
        if refuses and "stream_options" in request:
            body = answers.error_body(
                400,
                "Unrecognized request argument supplied: stream_options",
                param="stream_options",
            )
            return await self._whole(received, behaviour, body, status=400)
        if request.get("stream") is True:
            return await self._stream(received, behaviour, legacy=legacy)
        make = answers.completion_body if legacy else answers.chat_body
        return await self._whole(received, behaviour, make(behaviour, request, received.number))

    async def _error(self, received: Received, behaviour: Behaviour, message: str) -> bool:
        body = answers.error_body(behaviour.status, message)
        return await self._whole(received, behaviour, body, status=behaviour.status)

    async def _odd(self, received: Received, behaviour: Behaviour) -> bool:
        kind, body = "application/json", behaviour.raw_body or b""
        if behaviour.body is not None:
            kind, body = answers.odd_body(behaviour.body)
        return await self._whole(received, behaviour, body, status=behaviour.status, kind=kind)

    async def _whole(
        self,
        received: Received,
        behaviour: Behaviour,
        body: bytes,
        *,
        status: int = 200,
        kind: str = "application/json",
    ) -> bool:
        """An answer of one piece; faults that cut strike in the middle of its body."""
        head = _head(status, behaviour, received, kind, f"content-length: {len(body)}")
        if behaviour.fault in (Fault.CUT_FIN, Fault.CUT_RST, Fault.CUT_IN_EVENT, Fault.STALL):
            await self._write(head + body[: len(body) // 2])
            await self._strike(behaviour.fault)
        if behaviour.gate is not None:
            await self._between(behaviour)
        await self._write(head + body)
        return await self._finish(received, behaviour)

    async def _stream(self, received: Received, behaviour: Behaviour, *, legacy: bool) -> bool:
        await self._write(
            _head(200, behaviour, received, "text/event-stream", "transfer-encoding: chunked")
        )
        if behaviour.fault is Fault.RESET_AFTER_HEAD:
            await self._strike(Fault.CUT_RST)
        async for piece in self._events(received, behaviour, legacy=legacy):
            await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))
            received.chunks_sent += 1
        await self._write(b"0\r\n\r\n")
        return await self._finish(received, behaviour)

    async def _events(
        self, received: Received, behaviour: Behaviour, *, legacy: bool
    ) -> AsyncIterator[bytes]:
        """The events in time, up to where a fault strikes."""
        error = json.loads(answers.error_body(500, "fake error inside the stream"))
        if behaviour.fault is Fault.FIRST_ERROR:
            yield answers.event(error)
            return
        events = answers.stream_events(behaviour, received.json, received.number, legacy=legacy)
        for index, event in enumerate(events):
            if index:
                await self._between(behaviour)
            if index == behaviour.at and behaviour.fault is not None:
                if behaviour.fault is Fault.ERROR_EVENT:
                    yield answers.event(error)
                    return
                if behaviour.fault is Fault.CUT_IN_EVENT:
                    yield event[: len(event) // 2]
                await self._strike(behaviour.fault)
            yield event
        yield answers.DONE

    async def _between(self, behaviour: Behaviour) -> None:
        if behaviour.gate is not None:
            waits = [asyncio.ensure_future(e.wait()) for e in (behaviour.gate, self._gone)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        await self._pause(behaviour.gap_s)

    async def _fault_before_head(self, behaviour: Behaviour) -> None:
        if behaviour.fault is Fault.RESET_BEFORE_HEAD:
            await self._strike(Fault.CUT_RST)
        if behaviour.fault is Fault.FIN_BEFORE_HEAD:
            await self._strike(Fault.CUT_FIN)
        if behaviour.fault is Fault.SILENT:
            await self._strike(Fault.STALL)

    async def _strike(self, fault: Fault) -> None:
        """End the connection as the fault says; what was written before is sent first."""
        if fault is Fault.STALL:
            await self._gone.wait()
            raise _Ended
        self._current = None  # it is the server that leaves
        if fault is Fault.CUT_RST:
            await self._flushed()
            _reset(self._transport)
        raise _Ended

    async def _flushed(self) -> None:
        # The reset must not overtake what was written: the client has to see both.
        await self._writable.wait()
        await asyncio.sleep(0.03)

    async def _pause(self, seconds: float) -> None:
        if seconds:
            try:
                async with asyncio.timeout(seconds):
                    await self._gone.wait()
            except TimeoutError:
                return
        if self._gone.is_set():
            raise _Ended

    async def _write(self, data: bytes) -> None:
        if self._gone.is_set():
            raise _Ended
        self._transport.write(data)
        await asyncio.sleep(0)
        await self._writable.wait()

    async def _finish(self, received: Received, behaviour: Behaviour) -> bool:
        received.finished.set()
        return not behaviour.close


def _head(status: int, behaviour: Behaviour, received: Received, kind: str, framing: str) -> bytes:
    fields = {"content-type": kind, "x-request-id": f"upstream-{received.number}"}
    if behaviour.retry_after_s is not None:
        fields["retry-after"] = str(behaviour.retry_after_s)
    fields.update(behaviour.headers)
    lines = [f"{name}: {value}" for name, value in fields.items()]
    start = f"HTTP/1.1 {status} {REASONS.get(status, 'Fake')}"
    return "\r\n".join((start, *lines, framing, "", "")).encode("latin-1")


def _reset(transport: asyncio.Transport) -> None:
    """Close with a RST instead of a FIN."""
    raw = transport.get_extra_info("socket")
    # Zero linger: the kernel throws away what is unsent and resets.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
