"""AWS's signature version 4, by the vectors that AWS publishes for it."""

from datetime import UTC, datetime

import pytest

from conduit.gateway.providers._sigv4 import (
    AccessKey,
    Scope,
    authorization,
    canonical_request,
    host_of,
    signed_headers,
)

# The example key of AWS's documentation and of its test suite.
KEY = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SCOPE = Scope("us-east-1", "service", datetime(2015, 8, 30, 12, 36, 0, tzinfo=UTC))
HOST = ("Host", "example.amazonaws.com")
DATE = ("X-Amz-Date", "20150830T123600Z")
LETTERS = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
EMPTY_GET = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
EMPTY_POST = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"

# (method, path and query, headers beside Host and X-Amz-Date, body, signature)
VECTORS = {
    "get-vanilla": ("GET", "/", [], b"", EMPTY_GET),
    "get-vanilla-query": ("GET", "/?", [], b"", EMPTY_GET),
    "get-header-key-duplicate": (
        "GET",
        "/",
        [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
        b"",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-header-value-order": (
        "GET",
        "/",
        [("My-Header1", f"value{number}") for number in (4, 1, 3, 2)],
        b"",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    "get-header-value-trim": (
        "GET",
        "/",
        [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')],
        b"",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "get-unreserved": (
        "GET",
        f"/{LETTERS}",
        [],
        b"",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    "get-utf8": (
        "GET",
        "/\u1234",
        [],
        b"",
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
    ),
    "get-vanilla-empty-query-key": (
        "GET",
        "/?Param1=value1",
        [],
        b"",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    "get-vanilla-query-order-encoded": (
        "GET",
        "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        [],
        b"",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    "get-vanilla-query-order-key-case": (
        "GET",
        "/?Param2=value2&Param1=value1",
        [],
        b"",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-order-key": (
        "GET",
        "/?Param1=value2&Param1=Value1",
        [],
        b"",
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
    ),
    "get-vanilla-query-order-value": (
        "GET",
        "/?Param1=value2&Param1=value1",
        [],
        b"",
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
    ),
    "get-vanilla-query-unreserved": (
        "GET",
        f"/?{LETTERS}={LETTERS}",
        [],
        b"",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": (
        "GET",
        "/?\u1234=bar",
        [],
        b"",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-relative": ("GET", "/example/..", [], b"", EMPTY_GET),
    "get-relative-relative": ("GET", "/example1/example2/../..", [], b"", EMPTY_GET),
    "get-slash": ("GET", "//", [], b"", EMPTY_GET),
    "get-slash-dot-slash": ("GET", "/./", [], b"", EMPTY_GET),
    "get-slash-pointless-dot": (
        "GET",
        "/./example",
        [],
        b"",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    "get-slashes": (
        "GET",
        "//example//",
        [],
        b"",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    "get-space": (
        "GET",
        "/example space/",
        [],
        b"",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    "get-special-character": (
        "GET",
        "/example/$delete",
        [],
        b"",
        "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27",
    ),
    "post-vanilla": ("POST", "/", [], b"", EMPTY_POST),
    "post-header-key-sort": (
        "POST",
        "/",
        [("My-Header1", "value1")],
        b"",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-header-value-case": (
        "POST",
        "/",
        [("My-Header1", "VALUE1")],
        b"",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-vanilla-query": (
        "POST",
        "/?Param1=value1",
        [],
        b"",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    "post-x-www-form-urlencoded": (
        "POST",
        "/",
        [("Content-Type", "application/x-www-form-urlencoded")],
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    "post-x-www-form-urlencoded-parameters": (
        "POST",
        "/",
        [("Content-Type", "application/x-www-form-urlencoded; charset=utf8")],
        b"Param1=value1",
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_published_vector_gets_its_signature(name: str) -> None:
    method, target, more, body, signature = VECTORS[name]
    url = f"https://example.amazonaws.com{target}"
    found = authorization((method, url, [*more, HOST, DATE], body), KEY, SCOPE)
    names = ";".join(sorted({"host", "x-amz-date", *(header.lower() for header, _ in more)}))
    assert found == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_the_headers_to_add_are_those_that_were_signed() -> None:
    assert signed_headers("POST", "https://example.amazonaws.com/", b"", KEY, SCOPE) == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 "
        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={EMPTY_POST}",
    }


def test_a_session_token_is_sent_and_signed() -> None:
    # The vector post-sts-header-before.
    token = (
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfp"
        "SPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQ"
        "DYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+s"
        "cqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
    )
    key = AccessKey(KEY.id, KEY.secret, token)
    found = signed_headers("POST", "https://example.amazonaws.com/", b"", key, SCOPE)
    assert found["x-amz-security-token"] == token
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token, " in found["authorization"]
    assert found["authorization"].endswith(
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_what_is_encoded_in_the_path_is_encoded_once_more() -> None:
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b-v1%3A0%2Fc/converse"
    canonical, names = canonical_request("POST", url, [HOST], b"{}")
    assert canonical.split("\n")[1] == "/model/a.b-v1%253A0%252Fc/converse"
    assert names == "host"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.com/x", "example.com"),
        ("https://example.com:443/x", "example.com"),
        ("https://example.com:8443/x", "example.com:8443"),
        ("http://127.0.0.1:80/x", "127.0.0.1"),
        ("http://[::1]:9000/x", "[::1]:9000"),
    ],
)
def test_the_host_is_signed_as_it_is_sent(url: str, host: str) -> None:
    assert host_of(url) == host
