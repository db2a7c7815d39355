"""What is the same request, and what is not."""

import msgspec
import pytest

from conduit.gateway.cache.digests import canonical, digest_of
from conduit.gateway.dialects.strict_json import read_object

BODY = b'{"model":"m","messages":[{"role":"user","content":"a b"}],"temperature":1}'


def digest(body: bytes) -> bytes:
    return digest_of(canonical(read_object(body).raw))


@pytest.mark.parametrize(
    "body",
    [
        b'{"temperature":1,"model":"m","messages":[{"role":"user","content":"a b"}]}',
        b'{ "model": "m",\n "messages": [ {"role": "user", "content": "a b"} ], "temperature": 1 }',
    ],
)
def test_the_order_of_fields_and_space_between_tokens_mean_nothing(body: bytes) -> None:
    assert digest(body) == digest(BODY)


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace(b"a b", b"a  b"),
        BODY.replace(b":1}", b":1.0}"),
        BODY.replace(b'"role":"user","content":"a b"', b'"content":"a b","role":"user"'),
        BODY.replace(b'"m"', b'"n"'),
        BODY.replace(b":1}", b':1,"user":"u"}'),
        BODY.replace(b"a b", b"\\ud800"),
    ],
)
def test_all_else_does(body: bytes) -> None:
    assert digest(body) != digest(BODY)


def test_a_lone_surrogate_has_a_digest_of_its_own() -> None:
    one, other = (BODY.replace(b"a b", each) for each in (b"\\ud800", b"\\ud801"))
    assert digest(one) == digest(one)
    assert digest(one) != digest(other)


def test_where_a_part_ends_counts() -> None:
    assert digest_of([b"ab", b"c"]) != digest_of([b"a", b"bc"]) != digest_of([b"abc"])


def test_names_and_values_are_not_mistaken_for_one_another() -> None:
    raw = msgspec.Raw
    assert digest_of(canonical({"a": raw(b"1"), "b": raw(b"2")})) != digest_of(
        canonical({"a": raw(b"2"), "b": raw(b"1")})
    )
