"""A kept request of a client, sent to the gateway again over the blocking transport."""

import http.client
import json
import re
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from conduit.client.api import Record
from conduit.client.blocking import Deadline, Target, TimedOut, connect, describe, unreachable
from conduit.client.chat import Patience
from conduit.client.chat_answer import chat_error
from conduit.core.redaction import MARK

_CONNECT_S = 3.0
_READ_BYTES = 65_536
# Of the kept headers, those that change what is answered; the others are this client's own.
_SENT_AGAIN = ("anthropic-version", "anthropic-beta", "openai-beta")
_GEMINI_CALL = re.compile(r"(?P<before>/v1(?:beta)?/models/)(?P<model>.+)(?P<method>:\w+)")
_GEMINI_STREAM = ":streamGenerateContent"


class NotReplayableError(ValueError):
    """What is kept of a request is not all that was sent; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A request as it will be sent; `model` is what it asks for."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None

    @property
    def is_scrubbed(self) -> bool:
        """Whether something was taken out of the body before it was kept."""
        return MARK.encode() in self.body


@dataclass(frozen=True, slots=True)
class ReplayAnswer:
    status: int
    headers: Mapping[str, str]
    content: bytes
    duration_ms: int


def replay_of(bodies: Record, model: str | None) -> Replay:
    """The request that was kept, for another model if one is given. Raises NotReplayableError."""
    request = bodies["request"]
    if request["truncated"]:
        raise NotReplayableError(
            f"only the beginning of its body is kept, of {request['bytes']:,} bytes"
        )
    if not bodies["path"]:
        raise NotReplayableError("where it was sent is not kept")
    text = str(request["body"])
    body = b64decode(text) if request["encoding"] == "base64" else _utf8(text)
    kept = request["headers"]
    headers = {name: kept[name] for name in _SENT_AGAIN if name in kept}
    return _addressed(str(bodies["path"]), body, headers, model)


def _addressed(path: str, body: bytes, headers: Mapping[str, str], model: str | None) -> Replay:
    in_path = _GEMINI_CALL.fullmatch(path)
    if in_path is not None:
        named = model or in_path["model"]
        # A kept path is not quoted any more. A surrogate alone has no UTF-8, but may be asked for.
        quoted = quote(named, safe="", errors="surrogatepass")
        path = f"{in_path['before']}{quoted}{in_path['method']}"
        # The query is not kept; a stream of events can be read like any other.
        query = "?alt=sse" if in_path["method"] == _GEMINI_STREAM else ""
        return Replay(f"{path}{query}", body, headers, named)
    try:
        content = json.loads(body)
    except ValueError as error:
        raise NotReplayableError("its body is not JSON") from error
    if not isinstance(content, dict):
        raise NotReplayableError("its body is no JSON object")
    if model is not None and content.get("model") != model:
        # Else it stays as it is, to the byte.
        body = _utf8(json.dumps({**content, "model": model}, ensure_ascii=False))
    return Replay(path, body, headers, model or content.get("model"))


def _utf8(text: str) -> bytes:
    """JSON as it is sent; half a surrogate pair, which UTF-8 cannot say, as JSON's own escape."""
    return text.encode("utf-8", "backslashreplace")


def send(target: Target, replay: Replay, key: str, patience: Patience) -> ReplayAnswer:
    """Ask again, and read the answer to its end. Raises ApiError or Unreachable."""
    # What is asked for is another answer.
    headers = {**replay.headers, "cache-control": "no-store"}
    return post(target, replay.path, replay.body, key, patience, headers)


def post(
    target: Target,
    path: str,
    body: bytes,
    key: str,
    patience: Patience,
    more: Mapping[str, str] | None = None,
) -> ReplayAnswer:
    """Send a body of JSON as a client does, and read the answer to its end.

    Raises ApiError or Unreachable.
    """
    deadline = Deadline(patience.total_s) if patience.total_s is not None else None
    began = time.monotonic()
    headers = {
        **(more or {}),
        "content-type": "application/json",
        "user-agent": "conduit-cli",
        "authorization": f"Bearer {key}",
    }
    try:
        connect_s = _CONNECT_S if deadline is None else deadline.left_s(_CONNECT_S)
        connection = connect(target, connect_s)
    except TimeoutError as error:
        raise unreachable(target.url, str(error), TimedOut) from error
    try:
        place = connection.path_of(path)
        connection.http.request("POST", place, body=body, headers=headers)
        status, answered, content = _read(connection.http, patience, deadline)
    except TimeoutError as error:
        raise unreachable(target.url, "it took too long", TimedOut) from error
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(target.url, describe(error)) from error
    finally:
        connection.http.close()
    if status >= 300:
        raise chat_error(status, answered, content)
    return ReplayAnswer(status, answered, content, round((time.monotonic() - began) * 1000))


def _read(
    connection: http.client.HTTPConnection, patience: Patience, deadline: Deadline | None
) -> tuple[int, Mapping[str, str], bytes]:
    def left_s(at_most: float) -> float:
        return at_most if deadline is None else deadline.left_s(at_most)

    sock = connection.sock  # http.client lets go of it once the head says "close"
    sock.settimeout(left_s(patience.first_s))
    response = connection.getresponse()
    parts = []
    while True:
        sock.settimeout(left_s(patience.gap_s))
        part = response.read1(_READ_BYTES)
        if not part:
            break
        parts.append(part)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, headers, b"".join(parts)
