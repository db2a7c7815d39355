"""The transport of one-shot commands, through real sockets."""

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from conduit.client.blocking import Deadline, Gateway, Target, TimedOut, Timeouts
from conduit.client.errors import ApiError, AuthenticationFailed, Unreachable

QUICK = Timeouts(connect_s=1, total_s=1, retries=0)
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_DELETE = do_CONNECT = do_GET  # noqa: N815  # the names are the library's

        def log_message(self, format: str, *arguments: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_a_record_comes_back_as_a_plain_dictionary() -> None:
    paths = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        paths.append((handler.path, handler.headers["authorization"]))
        reply(handler, 200, b'{"role": "master"}')

    with serving(answer) as url:
        gateway = Gateway(Target(f"{url}/below", "mk"), QUICK)
        assert gateway.call("whoami") == {"role": "master"}
    assert paths == [("/below/admin/whoami", "Bearer mk")]


def test_an_answer_without_content_is_empty() -> None:
    with serving(lambda handler: reply(handler, 204, b"")) as url:
        assert Gateway(Target(url), QUICK).call("keys.delete", "ci") == {}


def test_the_pages_of_a_list_follow_their_cursors() -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        last = "cursor=2" in handler.path
        reply(handler, 200, b'{"data":[2]}' if last else b'{"data":[1],"next_cursor":"2"}')

    with serving(answer) as url:
        pages = Gateway(Target(url), QUICK).pages("keys.list")
        assert [page["data"] for page in pages] == [[1], [2]]


def test_a_refused_key_is_told_from_other_errors() -> None:
    body = b'{"error": {"code": "invalid_api_key", "message": "no"}}'
    with (
        serving(lambda handler: reply(handler, 401, body)) as url,
        pytest.raises(AuthenticationFailed),
    ):
        Gateway(Target(url, "wrong"), QUICK).call("whoami")


@pytest.mark.parametrize("body", [b"[1]", b"<html>", b'"text"'])
def test_an_answer_that_is_no_object_is_not_a_gateway(body: bytes) -> None:
    with serving(lambda handler: reply(handler, 200, body)) as url, pytest.raises(ApiError) as got:
        Gateway(Target(url), QUICK).call("whoami")
    assert got.value.code == "not_a_gateway"


def test_a_redirect_is_not_followed_so_that_the_key_goes_nowhere_else() -> None:
    seen = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        seen.append(handler.path)
        handler.send_response(302)
        handler.send_header("location", "/elsewhere")
        handler.send_header("content-length", "0")
        handler.end_headers()

    with serving(answer) as url, pytest.raises(ApiError):
        Gateway(Target(url, "mk"), QUICK).call("whoami")
    assert seen == ["/admin/whoami"]


def test_a_connection_that_breaks_is_tried_again_for_reads_alone() -> None:
    tries = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        tries.append(handler.command)
        if len(tries) == 1:
            handler.close_connection = True
            return
        reply(handler, 200, b"{}")

    with serving(answer) as url:
        gateway = Gateway(Target(url), Timeouts(total_s=5, retries=2))
        assert gateway.call("status.show") == {}
        assert tries == ["GET", "GET"]
        tries.clear()
        with pytest.raises(Unreachable):
            gateway.call("keys.create", body={"name": "x"})
    assert tries == ["POST"]


def test_a_refused_connection_is_unreachable_at_once() -> None:
    with pytest.raises(Unreachable, match="connection refused"):
        Gateway(Target("http://127.0.0.1:9"), Timeouts()).call("whoami")


def test_an_unknown_host_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="unknown host"):
        Gateway(Target("http://gateway.invalid"), QUICK).call("whoami")


def test_a_gateway_that_never_answers_is_given_up_in_time() -> None:
    done = threading.Event()
    with serving(lambda _: print(done.wait(20))) as url:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            Gateway(Target(url), Timeouts(total_s=0.3)).call("whoami")
        assert time.monotonic() - began < 5
        done.set()


def test_a_body_that_trickles_does_not_outlive_the_deadline() -> None:
    stop = threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "100000")
        handler.end_headers()
        while not stop.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    with serving(answer) as url, pytest.raises(TimedOut):
        Gateway(Target(url), Timeouts(total_s=0.4)).call("whoami")
    stop.set()


def test_what_is_not_http_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-hello\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(Unreachable):
            Gateway(Target(f"http://127.0.0.1:{server.getsockname()[1]}"), QUICK).call("whoami")
        thread.join()


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        reply(handler, 200, b"{}")

    with serving(answer) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        Gateway(Target("http://gateway.invalid/base"), QUICK).call("whoami")
        assert asked == ["http://gateway.invalid/base/admin/whoami"]
        with serving(lambda handler: reply(handler, 200, b"{}")) as direct:
            Gateway(Target(direct), QUICK).call("whoami")
        assert len(asked) == 1


def test_a_deadline_gives_what_is_left_and_never_nothing() -> None:
    deadline = Deadline(30)
    assert 29 < deadline.left_s() <= 30
    assert deadline.left_s(at_most=3) == 3
    with pytest.raises(TimeoutError):
        Deadline(0).left_s()


def test_a_key_does_not_show_in_the_repr_of_its_target() -> None:
    assert "mk-secret" not in repr(Target("http://h", "mk-secret"))
