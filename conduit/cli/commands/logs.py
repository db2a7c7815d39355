"""`conduit logs`: request records, listed, shown and followed."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.console import Tone, plain
from conduit.cli.failures import Failure
from conduit.cli.options import Force, KeyEnv, KeyFile, KeyStdin, Out
from conduit.cli.output import Column, View, cell
from conduit.cli.records.attempt_filters import Until
from conduit.cli.records.record_filters import filter_of
from conduit.cli.records.tails import MaxOffline, refuse_an_end
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.blocking import TimedOut
from conduit.client.errors import ApiError, BrokenOff
from conduit.client.records import record_of
from conduit.core import people
from conduit.core.money import format_usd, parse_usd

noun = Noun("Request records, and bodies of requests and answers where they are kept.")
_FINISHED = "request.finished"
_PAGE_ROWS = 1000
_ROWS_A_PROGRESS = 100_000


def _tone(record: Mapping[str, Any]) -> Tone:
    status = int(record["status"])
    if not status:
        return "warn"
    return "good" if status < 400 else "warn" if status < 500 else "bad"


def _status(record: Mapping[str, Any]) -> str:
    """The status; `-` for a request that a crash left without one."""
    return str(record["status"] or "-")


def _tokens(record: Mapping[str, Any]) -> int:
    return int(record["input_tokens"]) + int(record["output_tokens"])


def _route(record: Mapping[str, Any]) -> str:
    alias = record["alias"] or "-"
    if not record["provider"]:
        return alias
    return f"{alias} -> {record['provider']}/{record['model']}"


def _dialects(record: Record) -> str:
    """The client's, and the provider's where it is another."""
    client, provider = record["client_dialect"], record["provider_dialect"]
    return cell(client) if provider in (client, None) else f"{cell(client)}, sent as {provider}"


VIEW = View(
    columns=(
        Column("time", "at", lambda record: people.moment(record["at"])[5:], firm=True),
        Column("st", "status", _status, tone=_tone),
        Column("alias", "alias"),
        Column("provider", "provider", spare=1),
        Column("model", "model", wide=True),
        Column(
            "took",
            "duration_ms",
            lambda record: people.milliseconds(record["duration_ms"]),
            right=True,
            spare=4,
        ),
        Column(
            "first",
            "ttft_ms",
            lambda record: people.milliseconds(record["ttft_ms"]),
            wide=True,
            right=True,
        ),
        Column(
            "in", "input_tokens", lambda r: people.count(r["input_tokens"]), right=True, spare=2
        ),
        Column(
            "out", "output_tokens", lambda r: people.count(r["output_tokens"]), right=True, spare=3
        ),
        Column("cost", "cost", lambda record: people.money(record["cost"]), right=True),
        Column("key", "key", spare=5),
        Column("group", "group", wide=True),
        Column("outcome", "outcome", wide=True),
        Column("error", "error_code", wide=True),
        Column("id", "id", firm=True),
    ),
    empty='no requests yet; make one with: conduit chat "hello"',
)


_REPLAY = "replay: given before under the same Idempotency-Key, and now for nothing"
DETAIL = View(
    columns=(
        Column("id", "id"),
        Column("time", "at", lambda record: people.moment(record["at"])),
        *(column for column in VIEW.columns if column.path not in ("id", "at")),
        Column("billed", "billed", lambda record: people.money(record["billed"])),
        Column("cached", "cached_tokens", lambda r: people.count(r["cached_tokens"])),
        Column("reasoning", "reasoning_tokens", lambda r: people.count(r["reasoning_tokens"])),
        Column(
            "cache write", "cache_write_tokens", lambda r: people.count(r["cache_write_tokens"])
        ),
        Column(
            "for 1 h",
            "cache_write_1h_tokens",
            lambda r: people.count(r["cache_write_1h_tokens"]),
        ),
        Column("audio", "audio_tokens", lambda r: people.count(r["audio_tokens"])),
        Column("spoken", "output_audio_tokens", lambda r: people.count(r["output_audio_tokens"])),
        Column("dialect", "client_dialect", _dialects),
        Column("credential", "credential"),
        Column("session", "session"),
        Column("user", "end_user"),
        Column("dropped", "dropped"),
        Column("cache", "cache", lambda r: _REPLAY if r["cache"] == "replay" else cell(r["cache"])),
        Column("avoided", "avoided", lambda record: people.money(record["avoided"])),
    )
)
ATTEMPTS = View(
    columns=(
        Column("provider", "provider"),
        Column("model", "model"),
        Column("st", "status", lambda attempt: str(attempt["status"] or "-")),
        Column("outcome", "outcome", lambda attempt: attempt["outcome"] or attempt["state"]),
        Column("error", "error_code", spare=1),
        Column("in", "input_tokens", lambda a: people.count(a["input_tokens"]), right=True),
        Column("out", "output_tokens", lambda a: people.count(a["output_tokens"]), right=True),
        Column("cost", "cost", lambda attempt: people.money(attempt["cost"]), right=True),
        Column("held at", "held_at", lambda a: people.moment(a["held_at"])[5:], spare=2),
        Column("hold", "hold", lambda a: people.money(a["hold"]), wide=True, right=True),
        Column("billed", "billed", lambda a: people.money(a["billed"]), wide=True, right=True),
        Column("usage", "usage_source", wide=True),
        Column("price", "price_version", wide=True),
        Column("id", "id", wide=True),
    ),
    empty="no attempts",
)
_UNITS = Column("units", "search_units", right=True)
Filter = Annotated[
    str | None,
    typer.Option("--filter", metavar="EXPR", help="Such as 'status:>=400 -key:ci alias:gpt*'."),
]
Key = Annotated[str | None, typer.Option("--key", metavar="NAME", help="Only of this key.")]
Model = Annotated[str | None, typer.Option("--model", metavar="ALIAS", help="Only this alias.")]
Provider = Annotated[
    str | None, typer.Option("--provider", metavar="NAME", help="Only by this provider.")
]
Status = Annotated[
    str | None, typer.Option("--status", metavar="N", help="Only this status; '>=400' too.")
]
MinLatency = Annotated[
    str | None, typer.Option("--min-latency", metavar="TIME", help="Only those that took: 2s.")
]
Error = Annotated[
    str | None, typer.Option("--error", metavar="CODE", help="Only with this error; '*' is any.")
]
Session = Annotated[
    str | None,
    typer.Option("--session", metavar="ID", help="Only of this session, as its client named it."),
]
User = Annotated[
    str | None,
    typer.Option("--user", metavar="ID", help="Only of this end user, as the client named them."),
]
Group = Annotated[
    str | None, typer.Option("--group", metavar="NAME", help="Only of keys in this group then.")
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="Time, or how long ago: 10m.")
]


RequestId = Annotated[
    str, typer.Argument(metavar="ID", help="Id, as in x-request-id, or its beginning.")
]


def _past(text: str | None, flag: str) -> str | None:
    return None if text is None else inputs.moment(text, flag, ahead=False)


@verb(noun, "list", "listing")
def list_logs(  # the words of `logs list`
    call: Call,
    filter: Filter = None,
    key: Key = None,
    model: Model = None,
    provider: Provider = None,
    status: Status = None,
    min_latency: MinLatency = None,
    error: Error = None,
    session: Session = None,
    user: User = None,
    group: Group = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """List requests, the newest first."""
    told = (status, min_latency, error, session, user, group)
    wanted = filter_of(filter, key, model, provider, *told)
    query = {
        "filter": wanted,
        "since": _past(since, "--since"),
        "until": _past(until, "--until"),
    }
    call.show_list("requests.list", VIEW, query=query)


@verb(noun, "show", "output")
def show(
    call: Call,
    request: RequestId,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="When what happened, instead of the record.")
    ] = False,
    curl: Annotated[
        bool, typer.Option("--curl", help="The request as a curl command, without its messages.")
    ] = False,
    client_request: Annotated[
        bool, typer.Option("--request", help="The body that the client sent.")
    ] = False,
    upstream: Annotated[
        bool, typer.Option("--upstream", help="The body that the provider was sent.")
    ] = False,
    response: Annotated[
        bool, typer.Option("--response", help="The body that the client was answered.")
    ] = False,
    headers: Annotated[
        bool, typer.Option("--headers", help="Headers: alone of all, or instead of that body.")
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", metavar="N", help="Of which attempt.  [default: the last]"),
    ] = None,
) -> None:
    """Show a request with its attempts.

    Bodies are shown where they are kept, see the setting log_bodies: as JSON that can be read on a
    terminal, to the byte in a pipe. -o json gives all that is kept as one object.
    """
    parts = {"--request": client_request, "--upstream": upstream, "--response": response}
    chosen = [flag for flag, given in parts.items() if given]
    exclusive = [*chosen, *(["--headers"] if headers and not chosen else [])]
    exclusive += ["--timeline"] * timeline + ["--curl"] * curl
    if len(exclusive) > 1:
        raise Failure(f"{' and '.join(exclusive)} exclude each other")
    if attempt is not None and not (upstream or response):
        raise Failure("--attempt goes with --upstream or --response")
    record = _find(call, request)
    if not exclusive:
        _show_record(call, record)
        return
    if chosen or headers:
        from conduit.cli.records.bodies import Wanted, show_bodies  # noqa: PLC0415  # deferred, as below

        part = chosen[0].removeprefix("--") if chosen else None
        show_bodies(call, record["id"], Wanted(part, attempt, headers=headers))
        return
    # Deferred: few calls want them.
    from conduit.cli.records.timeline import timeline_view  # noqa: PLC0415
    from conduit.client.timeline import curl_of, steps_of  # noqa: PLC0415

    if timeline:
        steps = steps_of(record)
        call.printer.rows(steps, timeline_view(steps, call.console.out), next_cursor=lambda: None)
        return
    call.allow_forms("a curl command")
    call.console.data(curl_of(record, call.where.url))
    call.narrate("messages are left out: put yours where it says ...")


def _show_record(call: Call, record: Record) -> None:
    """The record; for people its attempts and its route come after it, as tables of their own."""
    shape = call.options.shape
    for_people = call.printer.format in ("table", "wide")
    if not for_people or shape.fields or shape.query or shape.template:
        call.printer.record(record, DETAIL)
        return
    attempts = record.get("attempt_list") or ()
    apart = ("attempt_list", "route")
    call.printer.record({k: v for k, v in record.items() if k not in apart}, DETAIL)
    if attempts:
        call.console.data("")
        view = ATTEMPTS
        if any(each.get("search_units") is not None for each in attempts):
            view = replace(view, columns=(*view.columns[:7], _UNITS, *view.columns[7:]))
        call.printer.rows(attempts, view, next_cursor=lambda: None)
    if route := record.get("route"):
        from conduit.cli.records.routed import show_route  # noqa: PLC0415  # deferred: only for people

        show_route(call, route)


def _find(call: Call, given: str) -> Record:
    try:
        return call.fetch("requests.show", given)
    except ApiError as error:
        if error.status != 404 or len(given) < 8 or not given.replace("_", "").isalnum():
            raise
        page = call.fetch("requests.list", query={"filter": f"id:{given}*", "limit": 8})
        ids = [row["id"] for row in page["data"]]
        if not ids:
            raise
    if len(ids) > 1:
        raise Failure(f"{given!r} fits several requests: {', '.join(ids)}", code="ambiguous")
    return call.fetch("requests.show", ids[0])


@verb(noun, "tail", "output")
def tail(  # the words of `logs tail`
    call: Call,
    filter: Filter = None,
    key: Key = None,
    model: Model = None,
    provider: Provider = None,
    status: Status = None,
    min_latency: MinLatency = None,
    error: Error = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="Begin with those since then, such as 10m."),
    ] = None,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="End after what there is already.")
    ] = False,
    max_offline: MaxOffline = "5m",
) -> None:
    """Follow requests as they end; -o jsonl gives each record as a line of JSON."""
    refuse_an_end(call)
    wanted = filter_of(filter, key, model, provider, status, min_latency, error)
    max_offline_s = inputs.duration_s(max_offline, "--max-offline")
    lines = _Lines(call)
    newest: Record = {}
    if since is not None or no_follow:
        start = inputs.moment(since or "1h", "--since", ahead=False)
        query = {"kinds": _FINISHED, "filter": wanted, "limit": _PAGE_ROWS}
        newest = call.fetch("events.list", query=query)
        lines.show(_backfill(call, wanted, start, newest["data"]))
    if no_follow:
        return
    from conduit.cli.records.following import (  # noqa: PLC0415  # deferred: loads asyncio
        Wish,
        follow,
    )

    place = (newest.get("last_seq"), newest.get("boot"))
    wish = Wish((_FINISHED,), wanted, max_offline_s, *place)
    follow(call, wish, lines.show_events, lines.sum_up)


def _backfill(
    call: Call, wanted: str | None, start: str, events: Iterable[Mapping[str, Any]]
) -> list[Record]:
    """The records since a moment, the oldest first.

    A request that has just ended is in its event before it is among the records.
    """
    query = {"filter": wanted, "since": start, "limit": _PAGE_ROWS}
    pages = call.gateway.pages("requests.list", query=query)
    rows = {row["id"]: row for page in pages for row in page["data"]}
    since = datetime.fromisoformat(start)
    for event in events:
        row = record_of(event["data"])
        if datetime.fromisoformat(row["at"]) >= since:
            rows.setdefault(row["id"], row)
    return sorted(rows.values(), key=lambda row: (row["at"], row["id"]))


class _Lines:
    """Prints records as they come, each once, and knows their sums."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._shown: set[str] = set()  # by the backfill: the first events may repeat it
        self._count = 0
        self._failed = 0
        self._nanodollars = 0
        self._began = time.monotonic()

    def show(self, rows: Iterable[Record]) -> None:
        for row in rows:
            self._shown.add(row["id"])
            self._line(row)
        self._call.console.out.file.flush()

    def show_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            if event["data"]["id"] not in self._shown:
                self._line(record_of(event["data"]))

    def _line(self, row: Record) -> None:
        self._count += 1
        self._failed += int(row["status"]) >= 400
        self._nanodollars += parse_usd(row["cost"])
        console, printer = self._call.console, self._call.printer
        if self._call.options.shape.template is not None:
            printer.record(row, VIEW)
        elif printer.format in ("json", "jsonl"):
            printer.line(row)
        elif printer.format in ("id", "tsv") or self._call.options.shape.fields:
            printer.rows([row], VIEW, next_cursor=lambda: None)
        else:
            console.data(console.out.toned(line_of(row), _tone(row)))

    def sum_up(self) -> None:
        seconds = people.span(time.monotonic() - self._began)
        cost = people.money(format_usd(self._nanodollars))
        self._call.console.say(
            f"{people.counted(self._count, 'request')}, {self._failed} failed, {cost} in {seconds}",
            "dim",
        )


def line_of(record: Record) -> str:
    """`14:02:11  200  gpt-4o -> openai/gpt-4o  812ms  1,204 tok  $0.0041  ci  req_01JD…`."""
    at_ms = int(datetime.fromisoformat(record["at"]).timestamp() * 1000)
    parts = [
        people.clock(at_ms),
        _status(record),
        _route(record),
        people.milliseconds(record["duration_ms"]),
        f"{_tokens(record):,} tok",
        people.money(record["cost"]),
        record["key"] or "-",
        record["id"],
    ]
    if record["error_code"]:
        parts.append(f"[{record['error_code']}]")
    return plain("  ".join(parts))


@verb(noun, "export")
def export(  # the words of `logs export`
    call: Call,
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Time, or how long ago: 30d; or ever.")
    ],
    until: Until = None,
    format: Annotated[
        str, typer.Option("--format", "--output", "-o", metavar="FORMAT", help="jsonl or csv.")
    ] = "jsonl",
    out: Out = None,
    force: Force = False,
    filter: Filter = None,
    key: Key = None,
    model: Model = None,
    provider: Provider = None,
    status: Status = None,
    min_latency: MinLatency = None,
    error: Error = None,
    session: Session = None,
    user: User = None,
) -> None:
    """Write all records of a time, the newest first, as they come.

    An export that was broken off ends with exit code 1, and leaves no file of --out.
    """
    if format not in ("jsonl", "csv"):
        raise Failure(
            f"--format: jsonl or csv is expected, not {format!r}",
            hint="a file is named with --out",
        )
    query = {
        "filter": filter_of(
            filter, key, model, provider, status, min_latency, error, session, user
        ),
        "since": None if since == "ever" else _past(since, "--since"),
        "until": _past(until, "--until"),
        "format": format,
    }
    from conduit.cli.records.exporting import target, written  # noqa: PLC0415  # deferred: only here

    count = told = 0
    with target(out, force=force) as file:
        try:
            for count in written(file, format, call.gateway.stream("requests.export", query=query)):
                if count - told >= _ROWS_A_PROGRESS:
                    told = count
                    call.console.say(f"{count:,} records so far", "dim")
        except (BrokenOff, TimedOut) as error:
            so_far = people.counted(count, "record")
            error.message = f"the export is not whole, it ends after {so_far}: {error.message}"
            raise
    where = f" to {out}" if out is not None else ""
    call.narrate(f"exported {people.counted(count, 'record')}{where}")


@verb(noun, "replay", "change")
def replay(
    call: Call,
    request: RequestId,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="ALIAS", help="Ask this one instead.")
    ] = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Compare cost, time and text with the former answer.")
    ] = False,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
) -> None:
    """Send a request whose body is kept again; it is charged to the virtual key.

    Without --diff the answer is printed, in a pipe to the byte.
    """
    from conduit.cli.chat.client_keys import virtual_key  # noqa: PLC0415  # deferred: few calls want it
    from conduit.cli.records.replaying import replay as send_again  # noqa: PLC0415  # the same

    if not call.options.dry_run:
        call.require_writable()  # it costs money, and leaves a record
    record = _find(call, request)
    source = inputs.SecretSource(key_file, key_stdin, key_env)
    key = "" if call.options.dry_run else virtual_key(call, source)
    send_again(call, record, key=key, model=model, diff=diff)


PURGED_VIEW = View(
    columns=(
        Column("before", "before"),
        Column("deleted", "deleted", right=True),
        Column("bodies", "bodies", right=True),
    )
)


@verb(noun, "purge", "danger")
def purge(
    call: Call,
    before: Annotated[
        str, typer.Option("--before", metavar="WHEN", help="Time, or how long ago: 90d.")
    ],
    bodies_only: Annotated[
        bool, typer.Option("--bodies-only", help="Delete the kept bodies; the records stay.")
    ] = False,
) -> None:
    """Delete the records of requests that began before a time, and their kept bodies.

    What the ledger knows of their attempts stays: budgets and doctor ledger need it.
    """
    moment = inputs.moment(before, "--before", ahead=False)
    context = call.where.context
    place = context.name if context is not None else call.where.admin.partition("://")[2]
    what = "kept bodies" if bodies_only else "request records"
    question = f"Delete all {what} of {place} from before {people.moment(moment)}?"
    call.confirm(question, place, severe=True)
    deleted, bodies, more = 0, 0, True
    order = {"before": moment, **({"bodies_only": True} if bodies_only else {})}
    while more:
        purged = call.change("requests.purge", body=order)
        if purged is None:
            return
        deleted, bodies = deleted + purged["deleted"], bodies + purged["bodies"]
        more = purged["more"]
        if more:
            call.console.say(f"{deleted:,} records so far", "dim")
    row = {"before": moment, "deleted": deleted, "bodies": bodies}
    said = f"deleted {people.counted(deleted, 'record')}, and the bodies of {bodies:,}"
    call.show_changed(row, PURGED_VIEW, said)
