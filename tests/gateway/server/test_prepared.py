"""The bytes of prepared answers."""

from email.utils import parsedate_to_datetime

import pytest

from conduit.gateway.server.prepared import WholeAnswer, head_of


def lines_of(head: bytes) -> list[str]:
    assert head.endswith(b"\r\n\r\n")
    return head.decode().split("\r\n")[:-2]


def test_a_head_has_a_status_the_headers_given_and_those_that_every_answer_carries() -> None:
    first, *lines = lines_of(
        head_of(200, {"x-request-id": "req_1", "x-note": "é"}, "x-more: 7\r\n")
    )
    fields = dict(line.split(": ", 1) for line in lines)
    assert first == "HTTP/1.1 200 OK"
    assert parsedate_to_datetime(fields.pop("date")) is not None
    assert fields == {
        "x-request-id": "req_1",
        "x-note": "é",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "x-more": "7",
    }


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\0b"])
def test_a_value_that_would_begin_another_header_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        head_of(200, {"x-conduit-alias": value}, "")


@pytest.mark.parametrize("value", ["100% %s %d", "a\tb", "a\x85b\u2028c"])
def test_a_value_that_begins_no_header_is_told_as_it_is(value: str) -> None:
    head = head_of(200, {"x-%s": value}, "content-length: %d\r\n", 7).decode()
    assert f"\r\nx-%s: {value}\r\n" in head
    assert head.endswith("\r\ncontent-length: 7\r\n\r\n")


def test_a_name_that_would_begin_another_header_is_refused() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="line end"):
            head_of(200, {"x-a\r\nset-cookie": "b"}, "")


async def test_nothing_is_left_to_write_at_the_end() -> None:
    answer = WholeAnswer(200, {}, b"{}")
    await answer.write_eof()
    assert (answer.status, answer.keep_alive) == (200, True)
