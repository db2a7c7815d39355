"""A one-shot chat over the blocking transport: text as it arrives, usage at the end."""

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Self

from conduit.client.api import Record, error_of
from conduit.client.blocking import (
    Connection,
    Deadline,
    Gateway,
    Target,
    TimedOut,
    connect,
    describe,
    unreachable,
)
from conduit.client.chat_answer import (
    AnswerReader,
    Usage,
    chat_error,
    reasoning_of,
    usage_of,
)
from conduit.client.errors import ApiError
from conduit.client.tool_calls import ToolCall

_READ_BYTES = 65_536
_CONNECT_S = 3.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for the first byte, between two bytes, and in all (None: no end)."""

    first_s: float = 300.0
    gap_s: float = 120.0
    total_s: float | None = None


class ChatAnswer(AbstractContextManager["ChatAnswer"]):
    """The answer to one chat request; iterate it for text. Leaving it closes the connection.

    `usage`, `finish_reason`, `tool_calls` and `whole` (the object of an answer that was not
    streamed) are known once the text has ended.
    """

    def __init__(self, connection: Connection, url: str, deadline: Deadline | None) -> None:
        self._connection = connection
        self._url = url
        self._deadline = deadline
        # Kept, because http.client gives it up to the response when the server closes.
        self._socket = connection.http.sock
        self._response: http.client.HTTPResponse | None = None
        self._streamed = False
        self.headers: Mapping[str, str] = {}
        self.started_at = time.monotonic()
        self.whole: Record | None = None
        self._reader = AnswerReader(self.headers)

    def __exit__(self, *_: object) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Hang up; the gateway then closes the provider's stream too."""
        if self._response is not None:
            self._response.close()
        self._connection.http.close()

    @property
    def request_id(self) -> str | None:
        return self.headers.get("x-request-id")

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

    @property
    def tool_calls(self) -> list[ToolCall]:
        return self._reader.tool_calls.all

    @property
    def reasoning(self) -> str:
        """What the model has thought so far."""
        return "".join(self._reader.reasoning)

    @property
    def finish_reason(self) -> str | None:
        return self._reader.finish_reason

    def begin(self, request: "ChatRequest", patience: Patience) -> None:
        """Send the request and wait for the head of the answer. Raises ApiError, Unreachable."""
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if request.stream else "application/json",
            "user-agent": "conduit-cli",
        }
        if request.key is not None:
            headers["authorization"] = f"Bearer {request.key}"
        connection = self._connection
        try:
            self._socket.settimeout(self._left_s(patience.first_s))
            path = connection.path_of("/v1/chat/completions")
            connection.http.request("POST", path, body=request.encoded(), headers=headers)
            self._response = connection.http.getresponse()
            self.headers = {name.lower(): text for name, text in self._response.getheaders()}
            status = self._response.status
            body = self._response.read() if status >= 300 or not request.stream else None
        except TimeoutError as error:
            raise unreachable(self._url, "it took too long", TimedOut) from error
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self._url, describe(error)) from error
        if status >= 300:
            raise chat_error(status, self.headers, body or b"")
        self._reader = AnswerReader(self.headers)
        if body is None:
            self._streamed = True
            self._socket.settimeout(self._left_s(patience.gap_s))
        else:
            self._take_whole(status, body)

    def text(self, patience: Patience) -> Iterator[str]:
        """The text as it arrives. Raises ProviderFailed when it breaks off."""
        if not self._streamed:
            yield _text_of_whole(self.whole or {})
            return
        while not self._reader.ended:
            block = self._read(patience)
            if not block:
                raise self._reader.broken("the answer broke off before its end")
            yield from self._reader.feed(block)

    def _take_whole(self, status: int, body: bytes) -> None:
        try:
            self.whole = json.loads(body)
        except ValueError:
            self.whole = None
        if not isinstance(self.whole, dict):
            raise error_of(status, self.headers, b"")
        self._reader.usage = usage_of(self.whole)
        self._reader.reasoning = [reasoning_of(self.whole)]
        for choice in self.whole.get("choices") or ():
            self._reader.tool_calls.take_whole(choice.get("message") or {})

    def _read(self, patience: Patience) -> bytes:
        assert self._response is not None
        try:
            self._socket.settimeout(self._left_s(patience.gap_s))
            return self._response.read1(_READ_BYTES)
        except TimeoutError as error:
            if self._deadline is not None and self._deadline.is_over():
                raise unreachable(self._url, "the time is up", TimedOut) from error
            raise self._reader.broken(f"the answer fell silent for {patience.gap_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise self._reader.broken(f"the answer broke off: {describe(error)}") from error

    def _left_s(self, at_most: float) -> float:
        return at_most if self._deadline is None else self._deadline.left_s(at_most)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked, of which model, with which virtual key; `parameters` go along as they are."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    key: str | None
    stream: bool
    parameters: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"ChatRequest(model={self.model!r}, stream={self.stream})"

    def fields(self) -> dict[str, Any]:
        """The body. Usage is asked for in a stream, which else would not tell it."""
        fields: dict[str, Any] = {**self.parameters, "model": self.model}
        fields["messages"] = list(self.messages)
        if self.stream:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        return fields

    def encoded(self) -> bytes:
        return json.dumps(self.fields()).encode("utf-8")


def ask(target: Target, request: ChatRequest, patience: Patience) -> ChatAnswer:
    """Send a chat request; the answer is an open connection, to be left with `with`.

    Raises ApiError (ProviderFailed among them) or Unreachable.
    """
    deadline = Deadline(patience.total_s) if patience.total_s is not None else None
    try:
        connect_s = _CONNECT_S if deadline is None else deadline.left_s(_CONNECT_S)
        connection = connect(target, connect_s)
    except TimeoutError as error:
        raise unreachable(target.url, str(error), TimedOut) from error
    answer = ChatAnswer(connection, target.url, deadline)
    try:
        answer.begin(request, patience)
    except BaseException:
        answer.close()
        raise
    return answer


def recorded_cost(gateway: Gateway, request_id: str, *, tries: int = 3) -> str | None:
    """The cost in the request's record, when it is there soon; the log is written in batches."""
    for left in range(tries - 1, -1, -1):
        try:
            cost = gateway.call("requests.show", request_id).get("cost")
            return None if cost is None else str(cost)
        except ApiError as error:
            if error.status != 404 or not left:
                return None
        time.sleep(0.1)
    return None


def _text_of_whole(answer: Record) -> str:
    texts = [(choice.get("message") or {}).get("content") for choice in answer.get("choices") or ()]
    return "".join(text for text in texts if isinstance(text, str))
