"""The transport of one-shot commands: the admin API over the standard library's HTTP client."""

import http.client
import json
import math
import os
import random
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from conduit.client import tls
from conduit.client.api import Record, Request, build_request, error_of
from conduit.client.contexts import USUAL_TLS, TlsFiles
from conduit.client.errors import ApiError, BrokenOff, ClientError, Unreachable

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_READ_BYTES = 65_536
_SILENCE_S = 180.0
"""For how long a streamed answer may say nothing: a filter that little fits takes its time."""

_SHOW_CERTIFICATE = (
    "if it wants a client certificate: conduit context update NAME --client-certificate-file FILE"
)
_TRANSIENT = frozenset({502, 503, 504})


class TimedOut(Unreachable):
    """The gateway, or the way to it, took longer than it was given."""


def unreachable(
    url: str, reason: str, kind: type[Unreachable] = Unreachable, hint: str | None = None
) -> Unreachable:
    return kind(f"no answer from the gateway at {url}: {reason}", hint)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a gateway is, what opens it, and what TLS is spoken with there."""

    url: str
    master_key: str | None = field(default=None, repr=False)
    tls: TlsFiles = USUAL_TLS


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect_s: float = 3.0
    total_s: float = 15.0
    retries: int = 2


class Deadline:
    """A moment on the monotonic clock; every wait takes what is left until then."""

    def __init__(self, total_s: float) -> None:
        self._at = time.monotonic() + total_s
        self.total_s = total_s

    def is_over(self) -> bool:
        return time.monotonic() >= self._at

    def left_s(self, at_most: float | None = None) -> float:
        """Seconds left, never 0, which sockets take for "do not wait". Raises TimeoutError."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer within {self.total_s:g} s")
        return left if at_most is None else min(left, at_most)


class Gateway:
    """A running gateway, as one-shot commands use it."""

    def __init__(
        self,
        target: Target,
        timeouts: Timeouts = Timeouts(),
        deadline: Deadline | None = None,
    ) -> None:
        """`deadline` is one for all calls together; without it each has its own total time."""
        self.target = target
        self._timeouts = timeouts
        self._deadline = deadline

    def call(
        self,
        name: str,
        *names: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Record:
        """Run an operation; an answer without content is {}. Raises ApiError or Unreachable."""
        return self.send(build_request(name, *names, query=query, body=body))

    def pages(
        self, name: str, *names: str, query: Mapping[str, object] | None = None
    ) -> Iterator[Record]:
        """The pages of a list, each fetched when it is asked for."""
        parameters = dict(query or {})
        while True:
            page = self.call(name, *names, query=parameters)
            yield page
            if not page.get("next_cursor"):
                return
            parameters["cursor"] = page["next_cursor"]

    def send(self, request: Request) -> Record:
        """Send a built request; an idempotent one is tried again after a passing failure."""
        deadline = self._deadline or Deadline(self._timeouts.total_s)
        tries = 1 + (self._timeouts.retries if request.idempotent else 0)
        for left in range(tries - 1, -1, -1):
            try:
                return self._send_once(request, deadline)
            except ApiError as error:
                if not left or error.status not in _TRANSIENT or not error.retryable:
                    raise
            except _ConnectionLost as error:
                if not left:
                    raise self._lost(error) from error
            # Jitter keeps many clients of one restarted gateway from coming back at once.
            time.sleep(random.uniform(0.05, 0.2))
        raise AssertionError("unreachable: the last try returns or raises")

    def stream(
        self,
        name: str,
        *names: str,
        query: Mapping[str, object] | None = None,
        silence_s: float = _SILENCE_S,
    ) -> Iterator[bytes]:
        """The pieces of an answer as they come, which may take as long as they like.

        Raises ApiError or Unreachable before the first one, later BrokenOff where the answer ends
        early or nothing comes for `silence_s`; TimedOut where the time for all calls is over.
        """
        request, url = build_request(name, *names, query=query), self.target.url
        deadline = self._deadline or Deadline(math.inf)
        began = False
        try:
            made = connect(self.target, deadline.left_s(self._timeouts.connect_s))
            with closing(made.http) as connection:
                path = made.path_of(request.target)
                connection.request(request.method, path, headers=self._headers())
                connection.sock.settimeout(deadline.left_s(silence_s))
                sock = connection.sock  # http.client lets go of it once the head says "close"
                response = connection.getresponse()
                if response.status >= 300:
                    headers = {name.lower(): value for name, value in response.getheaders()}
                    raise error_of(response.status, headers, response.read())
                while piece := response.read1(_READ_BYTES):
                    began = True
                    yield piece
                    sock.settimeout(deadline.left_s(silence_s))
        except TimeoutError as error:
            if deadline.is_over():
                raise unreachable(url, str(error), TimedOut) from error
            raise _ended_early(url, f"nothing came for {silence_s:g} s", began=began) from error
        except (OSError, http.client.HTTPException) as error:
            raise _ended_early(url, describe(error), began=began) from error

    def models(self) -> list[Record]:
        """What the key in place of the master key may call. Raises ApiError or Unreachable."""
        answer = self.send(Request("GET", "/v1/models", None, True))
        return list(answer.get("data") or ())

    def probe(self, path: str) -> int:
        """The status of an open endpoint such as `/health/ready`. Raises Unreachable."""
        deadline = self._deadline or Deadline(self._timeouts.total_s)
        try:
            status, _, _ = self._exchange(Request("GET", path, None, True), deadline)
        except _ConnectionLost as error:
            raise self._lost(error) from error
        return status

    def _lost(self, error: Exception) -> Unreachable:
        url, shown = self.target.url, self.target.tls.certificate_file
        # Most servers end a handshake without a word where a certificate is missing.
        hint = _SHOW_CERTIFICATE if url.startswith("https:") and shown is None else None
        return unreachable(url, str(error), hint=hint)

    def _send_once(self, request: Request, deadline: Deadline) -> Record:
        status, headers, body = self._exchange(request, deadline)
        if status >= 300:
            raise error_of(status, headers, body)
        if not body:
            return {}
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise error_of(status, headers, b"")
        return answer

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json", "user-agent": "conduit-cli"}
        if self.target.master_key is not None:
            headers["authorization"] = f"Bearer {self.target.master_key}"
        return headers

    def _exchange(
        self, request: Request, deadline: Deadline
    ) -> tuple[int, Mapping[str, str], bytes]:
        url = self.target.url
        headers = self._headers()
        body = request.encoded_body()
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            connection = connect(self.target, deadline.left_s(self._timeouts.connect_s))
        except TimeoutError as error:
            raise unreachable(url, str(error), TimedOut) from error
        try:
            path = connection.path_of(request.target)
            connection.http.request(request.method, path, body=body, headers=headers)
            return _read(connection.http, deadline)
        except TimeoutError as error:
            reason = f"no answer within {deadline.total_s:g} s"
            raise unreachable(url, reason, TimedOut) from error
        except (OSError, http.client.HTTPException) as error:
            raise _ConnectionLost(describe(error)) from error
        finally:
            connection.http.close()


def _ended_early(url: str, reason: str, *, began: bool) -> ClientError:
    if not began:
        return unreachable(url, reason)
    return BrokenOff(f"the answer of the gateway at {url} broke off: {reason}")


class _ConnectionLost(Exception):
    """The connection broke after it had been made."""


def _read(
    connection: http.client.HTTPConnection, deadline: Deadline
) -> tuple[int, Mapping[str, str], bytes]:
    connection.sock.settimeout(deadline.left_s())
    sock = connection.sock  # http.client lets go of it once the head says "close"
    response = connection.getresponse()
    parts = []
    while True:
        sock.settimeout(deadline.left_s())
        part = response.read1(_READ_BYTES)
        if not part:
            break
        parts.append(part)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, headers, b"".join(parts)


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection and the way a path is written on it."""

    http: http.client.HTTPConnection
    prefix: str

    def path_of(self, target: str) -> str:
        return self.prefix + target


def connect(target: Target, timeout_s: float) -> Connection:
    """Connect to a gateway, through a proxy where the environment names one.

    Raises Unreachable, or TimeoutError when the time is up.
    """
    parts = urlsplit(target.url)
    host = parts.hostname or "127.0.0.1"
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    prefix = parts.path.rstrip("/")
    proxy = _proxy_for(parts.scheme, host)
    at = (proxy.hostname or host, proxy.port or 80) if proxy else (host, port)
    try:
        if secure:
            context = tls.context_of(target.tls)
            http_connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                *at, timeout=timeout_s, context=context
            )
            if proxy:
                http_connection.set_tunnel(host, port)
        else:
            http_connection = http.client.HTTPConnection(*at, timeout=timeout_s)
            if proxy:
                prefix = f"http://{parts.netloc}{prefix}"
        http_connection.connect()
    except TimeoutError:
        raise TimeoutError(f"no connection within {timeout_s:.3g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(target.url, describe(error), hint=_hint_of(error)) from error
    return Connection(http_connection, prefix)


def _proxy_for(scheme: str, host: str) -> Any:
    variables = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    if host in _LOOPBACK or not any(os.environ.get(name) for name in variables):
        return None
    from urllib.request import (  # noqa: PLC0415  # deferred: 10 ms that few need
        getproxies,
        proxy_bypass,
    )

    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _hint_of(error: Exception) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            return "name the authority to trust: conduit context add NAME --url URL --ca-file FILE"
        case ConnectionRefusedError():
            return "start one on this machine with: conduit up"
        case _:
            return "see which gateway is meant: conduit context show"


def describe(error: Exception) -> str:
    """A failure of the network in a few words."""
    match error:
        case ssl.SSLError() if "CERTIFICATE_REQUIRED" in (error.reason or ""):
            return "it wants a client certificate"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message})"
        case ssl.SSLError():
            return f"TLS failed ({error.reason})"
        case ConnectionRefusedError():
            return "connection refused"
        case socket.gaierror():
            return "unknown host"
        case http.client.RemoteDisconnected() | ConnectionResetError():
            return "it closed the connection"
        case http.client.IncompleteRead():
            return "the connection ended early"
        case http.client.HTTPException():
            return f"not an HTTP answer ({type(error).__name__})"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return str(error)
