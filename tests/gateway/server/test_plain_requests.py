"""What is read of plain requests, and that a head found again is read as at first."""

from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.server import plain_requests
from conduit.gateway.server.handlers import DirectHandler
from conduit.gateway.server.plain_requests import PlainHead, Read, RequestReader

PATHS = ("/v1/chat/completions", "/v1/embeddings")


async def answer(_: web.Request) -> web.StreamResponse:
    raise NotImplementedError


def answer_error(_: web.BaseRequest, error: Exception) -> web.StreamResponse:
    raise error


def reader() -> RequestReader:
    return RequestReader(dict.fromkeys(PATHS, DirectHandler(answer, answer_error)))


def post(body: bytes, *lines: str, path: str = PATHS[0], length: int | None = None) -> bytes:
    told = len(body) if length is None else length
    head = [f"POST {path} HTTP/1.1", "host: gateway", f"content-length: {told}", *lines]
    return "\r\n".join((*head, "", "")).encode() + body


def shown(read: Read) -> object:
    """What can be compared of it."""
    head = read.head
    facts = None if head is None else (head.path, list(head.headers.items()))
    return facts, read.body, read.missing, read.is_plain


def head_of(read: Read) -> PlainHead:
    assert read.head is not None
    return read.head


def body_of(read: Read) -> bytes:
    assert read.head is not None
    return read.body


def test_a_head_that_is_found_again_is_shared_whatever_the_length_of_the_body() -> None:
    each = reader()
    first, second = each.read(post(b"{}", "x-a: 1")), each.read(post(b'{"a": 1}', "x-a: 1"))
    assert head_of(first) is head_of(second)
    assert (body_of(first), body_of(second)) == (b"{}", b'{"a": 1}')


def test_another_key_is_another_head() -> None:
    each = reader()
    ours, theirs = (
        head_of(each.read(post(b"{}", f"authorization: Bearer {key}"))) for key in ("one", "two")
    )
    assert ours.headers["authorization"] == "Bearer one"
    assert theirs.headers["authorization"] == "Bearer two"
    assert ours.noted is not theirs.noted


def test_what_a_known_head_lacks_of_its_body_is_missing_and_what_follows_it_is_not_its_own() -> (
    None
):
    each = reader()
    each.read(post(b"{}"))
    assert shown(each.read(post(b"{}", length=5))) == (None, b"", 3, True)
    assert shown(each.read(post(b"{}") + post(b"[]"))) == (None, b"", -1, False)
    assert body_of(each.read(post(b"[1]"))) == b"[1]"


def test_a_head_that_is_shared_has_no_length_and_says_whether_its_bodies_are_json() -> None:
    each = reader()
    for kind, is_json in [("text/plain", False), ("Application/JSON; charset=utf-8", True)]:
        for body in (b"{}", b"[1]"):
            head = head_of(each.read(post(body, f"content-type: {kind}")))
            assert "content-length" not in head.headers
            assert head.tells_json is is_json


def test_few_heads_are_kept_and_no_large_one() -> None:
    each = reader()
    for number in range(2 * plain_requests._MOST_KEPT_HEADS):
        each.read(post(b"{}", f"x-number: {number}"))
    assert len(each._heads) == plain_requests._MOST_KEPT_HEADS
    large = post(b"{}", "x-large: " + "x" * plain_requests._LARGEST_KEPT_HEAD)
    before = list(each._heads)
    assert body_of(each.read(large)) == b"{}"
    assert list(each._heads) == before


LINES = st.lists(
    st.sampled_from(
        [
            "authorization: Bearer one",
            "Content-Length: 2",
            "CONTENT-LENGTH:2",
            "content-length: 2 ",
            "content-length : 2",
            "x-note: content-length: 2",
            "transfer-encoding: chunked",
            "connection: close",
            "connection: Keep-Alive",
            "expect: 100-continue",
            "x-folded: a\r\n content-length: 2",
            "x-note: é",
            "api-base: elsewhere",
        ]
    ),
    max_size=3,
)
REQUEST = st.builds(
    post,
    st.sampled_from([b"", b"{}", b"[]", b'{"a": "\r\n\r\ncontent-length: 7\r\n"}']),
    path=st.sampled_from([*PATHS, "/v1/unknown"]),
    length=st.sampled_from([None, 0, 1, 2, 3, 12]),
)


@given(
    st.lists(st.tuples(REQUEST, LINES, st.integers(0, 400)), min_size=1, max_size=8),
)
def test_a_reader_that_knows_heads_reads_what_one_that_knows_none_does(
    requests: list[tuple[bytes, list[str], int]],
) -> None:
    knowing = reader()
    for data, lines, cut in requests:
        head, _, body = data.partition(b"\r\n\r\n")
        whole = b"\r\n".join((head, *(line.encode() for line in lines), b"", body))
        for piece in (whole, whole[: len(whole) - cut], whole + whole):
            assert shown(knowing.read(piece)) == shown(reader().read(piece))
