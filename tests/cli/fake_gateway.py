"""A small gateway for the command line's tests: real HTTP on 127.0.0.1, records in memory."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from conduit.core.keys import digest_of, make_master_key, make_virtual_key
from tests.cli import fake_answers, fake_rows
from tests.cli.fake_answers import AT as AT  # for the tests, with the rest
from tests.cli.fake_answers import Row

MASTER_KEY, NEW_MASTER_KEY = make_master_key(), make_master_key()
VIRTUAL_KEY = make_virtual_key()


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that reached the gateway."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


class Refusal(Exception):
    """An error envelope to answer with."""

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint


@dataclass(slots=True)
class FakeGateway:
    """What it holds, what it saw, and how it is told to misbehave."""

    url: str = ""
    tables: dict[str, list[Row]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    failing: list[Refusal] = field(default_factory=list)
    chat: Callable[["Handler"], None] | None = None
    hold: threading.Event | None = None
    ready: bool = True
    tested_ok: bool = True
    ledger_ok: bool = True
    purges: list[Row] = field(default_factory=list)
    gap: Row | None = None
    answers: dict[str, Row] = field(default_factory=dict)
    """What operations on routes and health answer, by the end of their path."""
    ending: list[Callable[[], None]] = field(default_factory=list)
    """What happens after each list of targets in turn: calls that end, say."""
    export_ends: bool = True
    """Whether an export comes to its end."""
    counter: int = 0
    delay_s: float = 0.0

    def add(self, noun: str, **fields: Any) -> Row:
        self.counter += 1
        prefix = {
            "keys": "key",
            "groups": "grp",
            "group_transactions": "gtx",
            "providers": "prov",
            "mappings": "map",
            "budgets": "bud",
        }
        row = {
            "id": f"{prefix.get(noun, noun)}_{self.counter:026d}",
            **fake_rows.DEFAULTS.get(noun, {}),
            "created_at": AT,
            "updated_at": AT,
            "version": 1,
            **fields,
        }
        self.tables.setdefault(noun, []).append(row)
        return row

    def requests(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]


class Handler(BaseHTTPRequestHandler):
    """Routes a request to the fake's records."""

    protocol_version = "HTTP/1.1"
    fake: FakeGateway

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the names are the library's

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(raw) if raw else None
        steps = [unquote(step) for step in parts.path.strip("/").split("/")]
        seen = Seen(self.command, parts.path, parse_qs(parts.query), headers, body)
        self.fake.seen.append(seen)
        if self.fake.hold is not None:
            self.fake.hold.wait(30)
        time.sleep(self.fake.delay_s)
        try:
            self._route(steps, seen)
        except Refusal as refusal:
            self._refuse(refusal)

    def _route(self, steps: list[str], seen: Seen) -> None:
        fake = self.fake
        if fake.failing:
            raise fake.failing.pop(0)
        if steps[0] == "health":
            ok = steps[1] == "live" or fake.ready
            self.answer(200 if ok else 503, {})
        elif steps[0] == "v1":
            self._v1(steps, seen)
        elif seen.headers.get("authorization") != f"Bearer {MASTER_KEY}":
            raise Refusal(401, "invalid_api_key", "that is not the master key")
        else:
            self._admin(steps[1:], seen)

    def _v1(self, steps: list[str], seen: Seen) -> None:
        if seen.headers.get("authorization") != f"Bearer {VIRTUAL_KEY}":
            raise Refusal(401, "invalid_api_key", "no such key")
        if steps[1] == "models":
            aliases = [row["alias"] for row in self.fake.tables.get("mappings", [])]
            self.answer(200, {"object": "list", "data": [{"id": alias} for alias in aliases]})
        elif self.fake.chat is not None:
            self.fake.chat(self)

    def _admin(self, steps: list[str], seen: Seen) -> None:
        fake = self.fake
        match (seen.method, steps):
            case (
                _,
                [
                    "whoami" | "status" | "usage" | "config" | "auth" | "ledger" | "provider-types",
                    *_,
                ],
            ):
                self._about(steps, seen)
            case (_, ["events"] | ["requests", "in-flight" | "purge" | "export"]) | (
                _,
                ["requests", _, "cancel" | "bodies"] | ["notifications", *_, "acknowledge"],
            ):
                self._live(steps, seen)
            case (_, ["cache"] | ["cache", "clear"]):
                self.answer(200, {"cleared": 12} if seen.method == "POST" else fake_rows.CACHE)
            case (_, ["keys", "check"] | ["keys", _, "rotate" | "usage"]):
                self._key_action(steps, seen)
            case ("POST", ["budgets", name, "reset-spend"]):
                row = self._find("budgets", name)
                row["spent"] = "0.00"
                self.answer(200, row)
            case ("POST", ["providers", name, "test"]):
                row = self._find("providers", name)
                self.answer(200, _tested(fake, str(row["name"])))
            case ("GET", ["providers", name, "models"]):
                row = self._find("providers", name)
                found = [{"provider": row["name"], "model": "m/1", "aliases": []}]
                self.answer(200, {"data": found, "next_cursor": None})
            case (_, ["providers", _, "credentials", *rest]):
                self._records("credentials", rest, seen)
            case (_, ["prices", *rest]):
                self._prices(rest, seen)
            case (_, ["routes" | "health" | "breakers", *rest]):
                self._routing(steps[0], rest, seen)
            case (_, [noun, *rest]):
                self._records(noun, rest, seen)
            case _:
                raise Refusal(404, "not_found", "no such path")

    def _about(self, steps: list[str], seen: Seen) -> None:
        fake = self.fake
        match (seen.method, steps):
            case ("GET", ["whoami"]):
                self.answer(200, {"role": "master"})
            case ("POST", ["auth", "rotate-master"]):
                until = AT if seen.body["grace_s"] else None
                self.answer(200, {"secret": NEW_MASTER_KEY, "former_expires_at": until})
            case ("GET", ["status"]):
                self.answer(200, fake_answers.status(ready=fake.ready))
            case ("GET", ["usage"]):
                self.answer(200, fake_answers.usage(seen.query))
            case ("GET", ["config"]):
                row = {"name": "port", "value": 5000, "origin": "default", "description": "Port"}
                self.answer(200, {"data": [row], "next_cursor": None})
            case ("GET", ["provider-types"]):
                self.answer(200, {"data": fake_rows.TYPES, "next_cursor": None})
            case ("GET", ["ledger", "check"]):
                self.answer(200, fake_answers.ledger_check(ok=fake.ledger_ok))
            case _:
                raise Refusal(404, "not_found", "no such path")

    def _live(self, steps: list[str], seen: Seen) -> None:
        fake = self.fake
        match steps:
            case ["events"]:
                events = fake.tables.get("events", [])
                place = {"boot": "01BOOT", "last_seq": len(events), "gap": fake.gap}
                self.answer(200, {**place, "data": events})
            case [_, "in-flight"]:
                self._page("running", seen)
            case [_, "export"]:
                self._export(seen)
            case [_, "purge"]:
                self.answer(200, fake.purges.pop(0))
            case ["notifications", *rest]:
                self._acknowledge(rest)
            case [_, request_id, "bodies"]:
                self.answer(200, self._find("bodies", request_id))
            case [_, request_id, _]:
                row = self._find("running", request_id)
                row["state"] = "stopping"
                self.answer(200, row)
            case _:
                raise Refusal(404, "not_found", "no such path")

    def _routing(self, noun: str, rest: list[str], seen: Seen) -> None:
        fake = self.fake
        match (noun, rest):
            case ("health", ["deployments" | "history" as table]):
                provider = seen.query.get("provider", [""])[0]
                rows = fake.tables.get(table, [])
                rows = [row for row in rows if provider in ("", row["provider"])]
                self.answer(200, {"data": rows, "next_cursor": None})
                if fake.ending:
                    fake.ending.pop(0)()
            case ("breakers", [_]):
                rows = [
                    row
                    for row in fake.tables.get("deployments", [])
                    if all(row[name] == seen.body[name] for name in seen.body if name != "for_s")
                ]
                if not rows:
                    raise Refusal(404, "not_found", f"nothing is routed to {seen.body['provider']}")
                for row in rows:
                    row["breaker"] = "open" if rest == ["open"] else "closed"
                self.answer(200, {"data": rows, "next_cursor": None})
            case _:
                self.answer(200, fake.answers[rest[-1] if rest else noun])

    def _acknowledge(self, rest: list[str]) -> None:
        rows = self.fake.tables.get("notifications", [])
        meant = rows if len(rest) == 1 else [self._find("notifications", rest[0])]
        opened = [row for row in meant if row["acknowledged_at"] is None]
        for row in opened:
            row |= {"acknowledged_at": AT, "acknowledged_by": "master key"}
        self.answer(200, {"acknowledged": len(opened)} if meant is rows else meant[0])

    def _key_action(self, steps: list[str], seen: Seen) -> None:
        match steps:
            case [_, "check"]:
                self.answer(200, _checked(self.fake, seen.body["digest"]))
            case [_, name, "rotate"]:
                row = self._find("keys", name)
                row["former_expires_at"] = AT if seen.body["grace_s"] else None
                self.answer(200, {**row, "secret": VIRTUAL_KEY})
            case [_, name, _]:
                self.answer(200, {**fake_rows.USAGE, "key": self._find("keys", name)["name"]})
            case _:
                raise Refusal(404, "not_found", "no such path")

    def _records(self, noun: str, rest: list[str], seen: Seen) -> None:
        match (seen.method, rest):
            case (_, [name, "transactions"]):
                self._find(noun, name)
                self._records("group_transactions", [], seen)
            case ("GET", []):
                self._page(noun, seen)
            case ("POST", []):
                row = self._create(noun, seen.body)
                self.answer(201, {**row, "secret": VIRTUAL_KEY} if noun == "keys" else row)
            case ("GET", [name]):
                self.answer(200, self._find(noun, name))
            case ("PATCH", [name]):
                row = self._find(noun, name)
                row |= {**seen.body, "version": row["version"] + 1}
                self.answer(200, row)
            case ("DELETE", [name]):
                self.fake.tables[noun].remove(self._find(noun, name))
                self.answer(204, None)
            case _:
                raise Refusal(404, "not_found", "no such path")

    def _page(self, noun: str, seen: Seen) -> None:
        rows = self.fake.tables.get(noun, [])
        since = seen.query.get("since", [""])[0]
        rows = [row for row in rows if not since or row["at"] >= since]
        limit = int(seen.query.get("limit", ["50"])[0])
        start = int(seen.query.get("cursor", ["0"])[0])
        more = str(start + limit) if start + limit < len(rows) else None
        self.answer(200, {"data": rows[start : start + limit], "next_cursor": more})

    def _export(self, seen: Seen) -> None:
        """A line for each record, and the end only where nothing is to break it off."""
        form, rows = seen.query["format"][0], self.fake.tables.get("requests", [])
        self.start_stream()
        pieces = fake_answers.exported(rows, form)
        for piece in pieces if self.fake.export_ends else pieces[:-1]:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if self.fake.export_ends:
            self.end_stream()
        else:
            self.cut()

    def _create(self, noun: str, body: Row) -> Row:
        rows = self.fake.tables.get(noun, [])
        if any(row.get("name") == body.get("name") for row in rows if body.get("name")):
            raise Refusal(409, "conflict", f"the name {body['name']!r} is taken")
        if body.get("name") == "bad name":
            raise Refusal(422, "validation_failed", "name: not a name", hint="use letters")
        fields = {name: value for name, value in body.items() if name != "credential"}
        if noun == "keys":
            budget = fields.pop("budget", None)
            fields["budgets"] = [_budget(budget)] if budget else []
        return self.fake.add(noun, **fields)

    def _prices(self, rest: list[str], seen: Seen) -> None:
        rows = self.fake.tables.setdefault("prices", [])
        if not rest:
            self._page("prices", seen)
        elif seen.method == "PUT":
            row = {
                "provider": rest[0],
                "model": rest[1],
                **seen.body,
                "source": "override",
                "price_version": "1",
            }
            rows.append(row)
            self.answer(200, row)
        else:
            found = [row for row in rows if [row["provider"], row["model"]] == rest]
            if not found:
                raise Refusal(404, "not_found", "no such price")
            if seen.method == "DELETE":
                rows.remove(found[0])
                self.answer(204, None)
            else:
                self.answer(200, found[0])

    def _find(self, noun: str, name: str) -> Row:
        for row in self.fake.tables.get(noun, []):
            if name in (row["id"], row.get("name"), row.get("alias")):
                return row
        raise Refusal(404, "not_found", f"there is no {noun.removesuffix('s')} {name!r}")

    def answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        for name, value in {"x-request-id": "req_TEST", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def _refuse(self, refusal: Refusal) -> None:
        error = {
            "code": refusal.code,
            "message": refusal.message,
            "param": "name",
            "hint": refusal.hint,
            "request_id": "req_TEST",
            "status": refusal.status,
            "retryable": refusal.status in (429, 503),
        }
        self.answer(refusal.status, {"error": error})

    def start_stream(self, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("x-request-id", "req_TEST")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def event(self, payload: Any) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        data = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        """Break the connection off without ending the body."""
        self.close_connection = True
        self.wfile.flush()


def delta(text: str) -> Row:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def usage_chunk() -> Row:
    return {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}


def stream_hello(handler: Handler) -> None:
    """A whole streamed answer, `Hello, world`."""
    handler.start_stream()
    for piece in ("Hello", ", ", "world"):
        handler.event(delta(piece))
    handler.event(usage_chunk())
    handler.event("[DONE]")
    handler.end_stream()


def _budget(given: Row) -> Row:
    return {
        "id": "bud_1",
        "scope": {"kind": "key", "id": "key_1"},
        **fake_rows.DEFAULTS["budgets"],
        **given,
        "created_at": AT,
        "version": 1,
    }


def _tested(fake: FakeGateway, name: str) -> Row:
    error = None if fake.tested_ok else "401 from the provider"
    models = 1 if fake.tested_ok else None
    return {
        "ok": fake.tested_ok,
        "provider": name,
        "latency_ms": 3,
        "models": models,
        "error": error,
    }


def _checked(fake: FakeGateway, digest: str) -> Row:
    rows = fake.tables.get("keys", [])
    if not rows or digest != digest_of(VIRTUAL_KEY).hex():
        raise Refusal(404, "not_found", "there is no key of this digest")
    usable = rows[0]["state"] == "active"
    return {**rows[0], "secret_state": "current", "usable": usable}


@contextmanager
def running() -> Iterator[FakeGateway]:
    """The fake, listening until the block ends."""
    fake = FakeGateway()
    handler = type("BoundHandler", (Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield fake
    finally:
        if fake.hold is not None:
            fake.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
