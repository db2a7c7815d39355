"""Requests that nobody means well, by name: heads, bodies, and how the two are framed."""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from tests.e2e.rawhttp import CHAT, chunked, get, post

GOOD = b'{"model": "fake", "messages": [{"role": "user", "content": "hello"}]}'
LARGEST_BODY = 2 << 20
"""What the gateways of these tests take; the attacks know it."""


@dataclass(frozen=True, slots=True)
class Attack:
    """Bytes on a connection of their own, and the statuses that answer them.

    A hang-up (0) counts where what was sent may not have been read to its end: the system then
    resets the connection, and the answer may be lost on its way.
    """

    data: bytes
    statuses: tuple[int, ...]


def _with(field: bytes) -> bytes:
    return GOOD[:-1] + b", " + field + b"}"


def _messages(count: int) -> bytes:
    one = b'{"role":"user","content":""}'
    return b'{"model":"fake","messages":[' + b",".join([one] * count) + b"]}"


def _tools(count: int) -> bytes:
    one = b'{"type":"function","function":{"name":"f"}}'
    return _with(b'"tools":[' + b",".join([one] * count) + b"]")


def _nested(depth: int, left: bytes = b"[", right: bytes = b"]") -> bytes:
    return _with(b'"metadata":' + left * depth + b"1" + right * depth)


BODIES: Mapping[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "spaces": (b" " * 1000, 400),
    "null": (b"null", 400),
    "an array": (b"[" + GOOD + b"]", 400),
    "a number": (b"1", 400),
    "a text": (b'"hello"', 400),
    "true": (b"true", 400),
    "two values": (GOOD + GOOD, 400),
    "cut off": (GOOD[:-5], 400),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, 400),
    "UTF-16": (GOOD.decode().encode("utf-16"), 400),
    "bad UTF-8": (GOOD.replace(b"hello", b"\xff\xfe"), 400),
    "overlong UTF-8": (GOOD.replace(b"hello", b"\xc0\xaf"), 400),
    "a control character": (GOOD.replace(b"hello", b"a\x00b"), 400),
    "NaN": (_with(b'"temperature": NaN'), 400),
    "NaN deep inside": (_with(b'"metadata": {"a": [{"b": NaN}]}'), 400),
    "Infinity": (_with(b'"temperature": -Infinity'), 400),
    "1e400": (_with(b'"temperature": 1e400'), 400),
    "1e400 deep inside": (_with(b'"metadata": [[1e400]]'), 400),
    "5,000 digits": (_with(b'"max_tokens": ' + b"9" * 5000), 400),
    "5,000 digits deep inside": (_with(b'"metadata": [' + b"9" * 5000 + b"]"), 400),
    "65 arrays deep": (_nested(65), 400),
    "100,000 arrays deep": (_nested(100_000), 400),
    "100,000 objects deep": (_nested(100_000, b'{"a":', b"}"), 400),
    "deep and not closed": (b"[" * 200_000, 400),
    "4,097 messages": (_messages(4097), 400),
    "513 tools": (_tools(513), 400),
    "a field twice": (_with(b'"model": "other"'), 400),
    "a field twice, once escaped": (_with(b'"mod\\u0065l": "other"'), 400),
    "no messages": (b'{"model": "fake"}', 400),
    "an endless model": (b'{"model": "%b", "messages": [{}]}' % (b"m" * 100_000), 400),
    "api_base": (_with(b'"api_base": "http://169.254.169.254/"'), 400),
    "base_url": (_with(b'"base_url": "http://169.254.169.254/"'), 400),
    "api_key": (_with(b'"api_key": "sk-mine"'), 400),
    "a price": (_with(b'"input_cost_per_token": 0'), 400),
    "callbacks": (_with(b'"success_callback": ["http://evil.example/"]'), 400),
    "extra headers": (_with(b'"extra_headers": {"host": "evil.example"}'), 400),
    "larger than may be": (b" " * (LARGEST_BODY + 1), 413),
}
"""Bodies of an authenticated request, each with its status."""

_BOMB = gzip.compress(b" " * (64 << 20), 1)
_ZLIB_BOMB = zlib.compress(b" " * (64 << 20), 1)

FRAMED: Mapping[str, tuple[bytes, tuple[bytes, ...], tuple[int, ...]]] = {
    "gzip": (gzip.compress(GOOD), (b"content-encoding: gzip",), (415,)),
    "a gzip bomb": (_BOMB, (b"content-encoding: gzip",), (415, 0)),
    "a gzip bomb in capitals": (_BOMB, (b"Content-Encoding: GZip",), (415, 0)),
    "a deflate bomb": (_ZLIB_BOMB, (b"content-encoding: deflate",), (415, 0)),
    "a bomb in a bomb": (gzip.compress(_BOMB), (b"content-encoding: gzip, gzip",), (415, 0)),
    "a bomb as a transfer coding": (
        chunked(_BOMB),
        (b"transfer-encoding: gzip, chunked",),
        (400, 501, 0),
    ),
    "brotli": (b"\x8b", (b"content-encoding: br",), (415,)),
    "zstd": (b"\x28", (b"content-encoding: zstd",), (415,)),
    "an unknown coding": (GOOD, (b"content-encoding: rot13",), (415,)),
    "a form": (b"model=fake", (b"content-type: application/x-www-form-urlencoded",), (415,)),
    "parts": (b"--x--", (b"content-type: multipart/form-data; boundary=x",), (415,)),
    "text": (GOOD, (b"content-type: text/plain",), (415,)),
    "a length beyond the limit": (b"", (b"content-length: 1099511627776",), (413,)),
    "a length of 24 digits": (b"", (b"content-length: " + b"9" * 24,), (400, 413)),
    "the same length twice": (GOOD, (b"content-length: 69", b"content-length: 69"), (400,)),
    "two lengths": (GOOD, (b"content-length: 69", b"content-length: 5"), (400,)),
    "a list of lengths": (GOOD, (b"content-length: 69, 69",), (400,)),
    "a signed length": (GOOD, (b"content-length: +69",), (400,)),
    "a negative length": (GOOD, (b"content-length: -1",), (400,)),
    "a hexadecimal length": (GOOD, (b"content-length: 0x45",), (400,)),
    "length and chunks": (
        chunked(GOOD),
        (b"content-length: 5", b"transfer-encoding: chunked"),
        (400,),
    ),
    "chunks and length": (
        chunked(GOOD),
        (b"transfer-encoding: chunked", b"content-length: 5"),
        (400,),
    ),
    "chunks twice": (
        chunked(GOOD),
        (b"transfer-encoding: chunked", b"transfer-encoding: chunked"),
        (400,),
    ),
    "chunks and then none": (
        chunked(GOOD),
        (b"transfer-encoding: chunked", b"transfer-encoding: identity"),
        (400,),
    ),
    "nearly chunks": (chunked(GOOD), (b"transfer-encoding: xchunked",), (400,)),
    "chunks with a tab": (chunked(GOOD), (b"transfer-encoding:\tchunked x",), (400,)),
    "a chunk of -1": (b"-1\r\n\r\n", (b"transfer-encoding: chunked",), (400,)),
    "a chunk of 2^72": (b"f" * 18 + b"\r\n", (b"transfer-encoding: chunked",), (400,)),
    "a chunk that goes on": (b"2\r\n{}}}\r\n0\r\n\r\n", (b"transfer-encoding: chunked",), (400,)),
    "chunks without end of line": (b"2\n{}\n0\n\n", (b"transfer-encoding: chunked",), (400,)),
    "200 trailers": (
        chunked(GOOD)[:-2] + b"x: y\r\n" * 200 + b"\r\n",
        (b"transfer-encoding: chunked",),
        (400, 431),
    ),
    "chunks beyond the limit": (
        chunked(*[b" " * 65536] * (LARGEST_BODY // 65536 + 1)),
        (b"transfer-encoding: chunked",),
        (413, 0),
    ),
    "another expectation": (b"", (b"expect: 200-ok", b"content-length: 4"), (417,)),
    "a header that sends elsewhere": (GOOD, (b"X-Base-URL: http://169.254.169.254/",), (400,)),
    "another such header": (GOOD, (b"api_base: http://169.254.169.254/",), (400,)),
}
"""Bodies of an authenticated request with headers of their own, and the statuses."""

_HOST = b"host: gateway\r\n"
HEADS: Mapping[str, Attack] = {
    "garbage": Attack(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", (400,)),
    "zeros": Attack(b"\x00" * 4096, (400,)),
    "HTTP/2": Attack(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400,)),
    "another version": Attack(b"GET /v1/models HTTP/9.9\r\n" + _HOST + b"\r\n", (400,)),
    "no version number": Attack(b"GET /v1/models HTTP/x\r\n" + _HOST + b"\r\n", (400,)),
    "no host": Attack(b"GET /v1/models HTTP/1.1\r\n\r\n", (400,)),
    "two hosts": Attack(get("/v1/models", b"host: other"), (400,)),
    "a folded header": Attack(get("/v1/models", b"x: y\r\n folded"), (400,)),
    "a folded length": Attack(b"POST " + CHAT.encode() + b" HTTP/1.1\r\n" + _HOST
                              + b"content-length:\r\n 5\r\n\r\nhello", (400,)),
    "a space before the colon": Attack(get("/v1/models", b"x : y"), (400,)),
    "a header without a name": Attack(get("/v1/models", b": y"), (400,)),
    "a header without a colon": Attack(get("/v1/models", b"x"), (400,)),
    "a zero in a header": Attack(get("/v1/models", b"x: a\x00b"), (400,)),
    "a lone carriage return": Attack(get("/v1/models", b"x: a\rb: c"), (400,)),
    "lines without a carriage return": Attack(b"GET /v1/models HTTP/1.1\nhost: x\n\n", (400,)),
    "a path of other bytes": Attack(b"GET /\xff\xfe HTTP/1.1\r\n" + _HOST + b"\r\n", (400,)),
    "a header of 9 KiB": Attack(get("/v1/models", b"x: " + b"y" * 9216), (431, 0)),
    "a header name of 9 KiB": Attack(get("/v1/models", b"x" * 9216 + b": y"), (431, 0)),
    "a header of 1 MiB": Attack(get("/v1/models", b"x: " + b"y" * (1 << 20)), (431, 0)),
    "a path of 9 KiB": Attack(get("/v1/" + "x" * 9216), (431, 0)),
    "65 headers": Attack(get("/v1/models", *[b"x: y"] * 65), (431, 0)),
    "20,000 headers": Attack(get("/v1/models", *[b"x: y"] * 20_000), (431, 0)),
    "33 KiB of headers": Attack(get("/v1/models", *[b"x: " + b"y" * 1100] * 32), (431, 0)),
    "33 KiB of headers and no end": Attack(
        get("/v1/models", *[b"x: " + b"y" * 1100] * 32)[:-2], (431, 0)
    ),
    "an endless header": Attack(b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000, (431, 0)),
    "a method of 100 KiB": Attack(b"G" * 100_000, (400, 0)),
    "the key of another scheme": Attack(get("/v1/models", b"authorization: Basic eDp5"), (401,)),
    "a key of other bytes": Attack(get("/v1/models", b"authorization: Bearer \xff\xfe"), (401,)),
    "a key of 8,000 letters": Attack(get("/v1/models", key="x" * 8000), (401,)),
    "no key and a body of 1 GiB": Attack(post(b"{", length=1 << 30), (401,)),
    "no key and a gzip bomb": Attack(post(_BOMB, b"content-encoding: gzip"), (401, 0)),
}  # fmt: skip
"""What is refused before anybody has shown a key."""
