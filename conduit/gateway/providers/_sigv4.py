"""AWS's signature version 4 for a request whose body is at hand.

Written from the specification "Signature Version 4 signing process" of AWS's IAM user guide. Pure:
the time is given.
"""

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-_.~"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key; `session_token` belongs to a temporary one."""

    id: str
    secret: str
    session_token: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where and when a signature holds: `at` is in UTC."""

    region: str
    service: str
    at: datetime

    @property
    def moment(self) -> str:
        return self.at.strftime("%Y%m%dT%H%M%SZ")

    @property
    def path(self) -> str:
        return f"{self.moment[:8]}/{self.region}/{self.service}/aws4_request"


def signed_headers(
    method: str, url: str, body: bytes, key: AccessKey, scope: Scope
) -> dict[str, str]:
    """The headers to add to a request, which must be sent to `url` exactly as it is written."""
    added = {"x-amz-date": scope.moment}
    if key.session_token is not None:
        added["x-amz-security-token"] = key.session_token
    headers = [("host", host_of(url)), *added.items()]
    return {**added, "authorization": authorization((method, url, headers, body), key, scope)}


def authorization(request: tuple[str, str, Headers, bytes], key: AccessKey, scope: Scope) -> str:
    """The `authorization` header of (method, URL, every header to be signed, body)."""
    canonical, names = canonical_request(*request)
    digest = sha256(canonical.encode()).hexdigest()
    signing = f"AWS4{key.secret}".encode()
    for step in scope.path.split("/"):
        signing = _hmac(signing, step)
    signature = _hmac(signing, f"{_ALGORITHM}\n{scope.moment}\n{scope.path}\n{digest}").hex()
    credential = f"{key.id}/{scope.path}"
    return f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"


def canonical_request(method: str, url: str, headers: Headers, body: bytes) -> tuple[str, str]:
    """The text that is signed, and the names of the headers in it.

    The path is encoded once more than in the URL, as every service but S3 wants it.
    """
    _, _, path, query, _ = urlsplit(url)
    lines = _canonical_headers(headers)
    names = ";".join(lines)
    fields = "".join(f"{name}:{value}\n" for name, value in lines.items())
    parts = (method, _canonical_path(path), _canonical_query(query), fields, names)
    return "\n".join((*parts, sha256(body).hexdigest())), names


def host_of(url: str) -> str:
    """The `host` header of a URL, as HTTP clients write it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme):
        return host
    return f"{host}:{parts.port}"


def _canonical_path(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(quote(segment, safe=_UNRESERVED))
    end = "/" if kept and path.endswith(("/", "/.", "/..")) else ""
    return "/" + "/".join(kept) + end


def _canonical_query(query: str) -> str:
    pairs = (part.partition("=") for part in query.split("&") if part)
    encoded = ((_once(name), _once(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _once(text: str) -> str:
    """Encoded, whatever of it was encoded before."""
    return quote(text, safe=_UNRESERVED + "%")


def _canonical_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By name, sorted; the values of one name are joined in the order in which they came."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.strip().lower(), []).append(re.sub(r"\s+", " ", value.strip()))
    return {name: ",".join(values[name]) for name in sorted(values)}


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
