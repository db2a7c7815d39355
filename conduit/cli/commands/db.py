"""`conduit db`: the database of this machine's gateway as a whole."""

import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from os import environ
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Exit, Failure
from conduit.cli.local.settings_flags import Config, Database, warn_of_password
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.cli.writing import refuse_taken
from conduit.client.api import Record
from conduit.core.paths import data_folder
from conduit.core.redaction import redacted

T = TypeVar("T")

noun = Noun("The gateway's database as a whole: state, backup, restore, another engine.")
_EXITS = {
    "local_config": Exit.USAGE,
    "database_unreachable": Exit.UNREACHABLE,
    "conflict": Exit.CONFLICT,
    "damaged": Exit.REFUSED,
    "failed": Exit.REFUSED,
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_SHOWN_AFTER_S = 1.0
_SHOWN_EVERY_S = 0.1


def _size(path: str) -> Any:
    def text(row: Record) -> str:
        value, unit = row[path], 0
        if value is None:
            return "-"
        while value >= 1024 and unit < len(_UNITS) - 1:
            value, unit = value / 1024, unit + 1
        return f"{value:.1f} {_UNITS[unit]}" if unit else f"{value} B"

    return text


def _tone(row: Record) -> Tone:
    return "good" if row["ok"] else "bad"


STATE = View(
    (
        Column("state", "state", tone=_tone),
        Column("engine", "engine"),
        Column("location", "location"),
        Column("schema", "schema"),
        Column("newest schema", "newest_schema"),
        Column("size", "size_bytes", _size("size_bytes")),
        Column("gateway", "gateway_runs", lambda row: "runs" if row["gateway_runs"] else "none"),
        Column("journal file", "journal_file"),
        Column("journal offset", "journal_offset"),
        Column("not applied", "journal_unapplied_bytes", _size("journal_unapplied_bytes")),
        Column("problems", "problems"),
    ),
    id_path="state",
)
MIGRATED = View((Column("before", "before"), Column("schema", "schema")), "schema")
BACKED_UP = View(
    (
        Column("file", "file"),
        Column("size", "bytes", _size("bytes")),
        Column("schema", "schema"),
        Column("engine", "engine"),
        Column("rows", "rows"),
        Column("journal records", "journal_records"),
        Column("sha256", "sha256"),
    ),
    id_path="file",
)
RESTORED = View(
    (
        Column("database", "location"),
        Column("rows", "rows"),
        Column("journal records", "journal_records"),
        Column("journal kept", "journal_kept"),
    ),
    id_path="location",
)
COPIED = View(
    (
        Column("table", "name"),
        Column("rows", "rows", right=True),
        Column("sum of money", "nanodollars", right=True),
    ),
    id_path="name",
)
VACUUMED = View(
    (
        Column("before", "bytes_before", _size("bytes_before")),
        Column("after", "bytes_after", _size("bytes_after")),
    ),
    id_path="bytes_after",
)
VACUUMABLE = View(
    (
        Column("database", "location"),
        Column("size", "bytes", _size("bytes")),
        Column("spare", "spare_bytes", _size("spare_bytes")),
    ),
    id_path="spare_bytes",
)
TABLES = View(
    (
        Column("table", "name"),
        Column("rows", "rows", right=True),
        Column("size", "bytes", _size("bytes"), right=True),
    ),
    id_path="name",
)


@verb(noun, "status", "output")
def status(
    call: Call,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 9 when it is damaged or the schema not current.")
    ] = False,
    db: Database = None,
    config: Config = None,
) -> None:
    """Show where the database is, its schema, its size, its journal and whether it is sound."""
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    location = _location(call, db, config)
    with call.console.waiting("looking at the database"):
        found = _done(work.status(location, data_folder()))
    row = {
        "ok": found.is_well,
        "state": "damaged" if found.problems else found.schema_state,
        **asdict(found),
        "problems": list(found.problems),
    }
    call.printer.record(row, STATE)
    if found.schema_state == "behind":
        call.narrate("the next start upgrades the schema", then="conduit db migrate --sql")
    if check and not found.is_well:
        raise typer.Exit(Exit.NEGATIVE)


@verb(noun, "migrate", "change")
def migrate(
    call: Call,
    to: Annotated[
        str | None, typer.Option("--to", metavar="SCHEMA", help="Go no further than this.")
    ] = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print what would be run; change nothing.")
    ] = False,
    db: Database = None,
    config: Config = None,
) -> None:
    """Make the tables, or bring them to the present schema, with the gateway stopped."""
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    location = _location(call, db, config)
    if sql or call.options.dry_run:
        call.allow_forms("a script of SQL")
        script = _done(work.upgrade_as_sql(location, to))
        if script:
            call.console.data(script)
        else:
            call.narrate("the schema is current: there is nothing to run")
        return
    with call.console.waiting("migrating"):
        done = _done(work.upgrade(location, data_folder(), to))
    said = f"{done.location} has schema {done.schema}"
    call.show_changed(
        asdict(done), MIGRATED, said if done.before != done.schema else f"{said} already"
    )


@verb(noun, "backup", "output")
def backup(
    call: Call,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to write it; - is standard output.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    db: Database = None,
    config: Config = None,
) -> None:
    """Write everything into one file, while the gateway runs or not.

    It holds all tables and the journal's records that they do not have yet, and can be restored on
    either engine. The sealing key is not in it.
    """
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    location = _location(call, db, config)
    path = _target_file(file, force=force)
    if path is None:
        call.allow_forms("a backup on standard output")
    with _progress(call, "backing up") as progress:
        done = _done(work.back_up(location, data_folder(), path, progress))
    row = {"file": file, **asdict(done), "rows": sum(done.tables.values())}
    if path is not None:
        call.printer.record(row, BACKED_UP)
    call.narrate(f"{row['rows']:,} rows and {done.journal_records:,} journal records backed up")
    if not call.options.quiet:
        call.console.say(
            "the sealing key is not in it, and sealed credentials need it: keep a copy of "
            f"{data_folder() / 'sealing.key'} elsewhere",
            "dim",
        )


@verb(noun, "restore", "danger")
def restore(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of conduit db backup.")],
    db: Database = None,
    config: Config = None,
) -> None:
    """Replace everything in the database by a backup, with the gateway stopped.

    The file is read to its end and checked before anything is changed. A database that has tables
    wants its name typed, or --confirm NAME.
    """
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    location = _location(call, db, config)
    with call.console.waiting("checking the backup"):
        archive = _told(lambda: work.checked_archive(Path(file)))
    database = _told(lambda: work.database_at(location))
    if _done(work.holds_rows(location)):
        call.confirm(f"Replace everything in {database.shown}?", database.name, severe=True)
    header = archive.header
    row: Record = {
        "location": database.shown,
        "schema": header.schema,
        "tables": header.tables,
        "rows": sum(header.tables.values()),
        "journal_records": header.journal_records,
        "journal_kept": None,
        "created_at": _moment(header.created_at_ms),
    }
    if call.options.dry_run:
        call.printer.record(row, RESTORED)
        call.console.say("dry run: nothing was changed", "dim")
        return
    with _progress(call, "restoring") as progress:
        done = _done(work.restore_from(location, data_folder(), archive, progress))
    row["journal_records"] = done.journal_records
    row["journal_kept"] = str(done.journal_kept) if done.journal_kept is not None else None
    call.show_changed(
        row, RESTORED, f"the state of {row['created_at']} is restored", then="conduit doctor ledger"
    )
    if done.journal_kept is not None and not call.options.quiet:
        call.console.say(f"the journal of what was replaced is in {done.journal_kept}", "dim")
    if not (data_folder() / "sealing.key").exists():
        call.console.say(
            f"there is no {data_folder() / 'sealing.key'}: put the one of the backup's gateway "
            "there if credentials were sealed",
            "warn",
        )
    call.console.say(
        "the master key is the one of the backup's time; where that is lost: conduit auth init "
        "--out F, then start with CONDUIT_MASTER_KEY_FILE=F",
        "warn",
    )


@verb(noun, "vacuum", "change")
def vacuum(call: Call, db: Database = None, config: Config = None) -> None:
    """Give back the space of deleted rows; a running gateway waits for it to end."""
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    location = _location(call, db, config)
    if call.options.dry_run:
        row: Record = {
            "dry_run": True,
            "location": _told(lambda: work.database_at(location)).shown,
            **asdict(_done(work.spare_space(location))),
        }
        call.printer.record(row, VACUUMABLE)
        call.console.say("dry run: nothing was changed", "dim")
        return
    with call.console.waiting("vacuuming"):
        done = _done(work.vacuum(location))
    call.show_changed(asdict(done), VACUUMED, "vacuumed")


@verb(noun, "stats", "output")
def stats(call: Call, db: Database = None, config: Config = None) -> None:
    """Show rows and bytes of each table, and the oldest and newest request."""
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    location = _location(call, db, config)
    with call.console.waiting("counting"):
        found = _done(work.statistics(location))
    row = asdict(found)
    for which in ("oldest", "newest"):
        row[f"{which}_request_at"] = _moment(row.pop(f"{which}_request_ms"))
    if call.options.shape.is_json or call.options.shape.query is not None:
        call.printer.record(row, TABLES)
        return
    call.printer.rows(row["tables"], TABLES, next_cursor=lambda: None)
    oldest, newest = row["oldest_request_at"], row["newest_request_at"]
    if oldest is not None and not call.options.quiet:
        call.console.say(f"requests from {oldest} to {newest}", "dim")


@verb(noun, "convert", "danger")
def convert(
    call: Call,
    to: Annotated[
        str | None, typer.Option("--to", metavar="URL", help="The database to copy everything to.")
    ] = None,
    to_env: Annotated[
        str | None, typer.Option("--to-env", metavar="NAME", help="Variable that holds that URL.")
    ] = None,
    to_file: Annotated[
        str | None, typer.Option("--to-file", metavar="PATH", help="File that holds that URL.")
    ] = None,
    db: Database = None,
    config: Config = None,
) -> None:
    """Copy everything to an empty database of the other engine, with the gateway stopped.

    The journal is applied first; then all rows are copied in one transaction, which is kept only if
    the counts and sums of both sides agree. The database that is copied stays as it is. The name
    of the new one has to be typed, or given with --confirm NAME.
    """
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    location = _location(call, db, config)
    target = _target_url(call, to, to_env, to_file)
    database = _told(lambda: work.database_at(target))
    if call.options.dry_run:
        source = _told(lambda: work.database_at(location))
        if call.wants_plan_as_record():
            row: Record = {"dry_run": True, "from": source.shown, "to": database.shown}
            call.show_done(row, "dry run: nothing was copied")
            return
        call.console.data(f"{source.shown} -> {database.shown}")
        call.console.say("dry run: nothing was copied", "dim")
        return
    call.confirm(f"Copy everything to {database.shown}?", database.name, severe=True)
    with _nothing_left(target), _progress(call, "copying") as progress:
        done = _done(work.convert_to(location, target, data_folder(), progress))
    rows = [
        {
            "name": name,
            "rows": totals.rows,
            "nanodollars": sum(v for n, v in totals.sums.items() if n.endswith("nanodollars")),
            "sums": dict(totals.sums),
        }
        for name, totals in done.tables.items()
    ]
    call.printer.rows(rows, COPIED, next_cursor=lambda: None)
    copied = sum(totals.rows for totals in done.tables.values())
    call.narrate(
        f"{copied:,} rows copied to {database.shown}; the counts and sums of both sides agree",
        then="set CONDUIT_DATABASE_URL (setting database_url) to its URL and start the gateway",
    )


@contextmanager
def _nothing_left(target: str) -> Iterator[None]:
    """Take a file away that opening it has made, where nothing was copied into it."""
    location = target.removeprefix("sqlite:///")
    path = Path(location).expanduser()
    was_there = "://" in location or path.exists()
    try:
        yield
    except Failure:
        if not was_there:
            for file in (
                path,
                path.with_name(f"{path.name}-wal"),
                path.with_name(f"{path.name}-shm"),
            ):
                file.unlink(missing_ok=True)
        raise


def _location(call: Call, db: str | None, config: str | None) -> str:
    """The database that a gateway of this machine would use."""
    from conduit.core.settings import SettingsError  # noqa: PLC0415  # deferred: pydantic
    from conduit.core.settings_sources import load  # noqa: PLC0415  # the same

    if db is not None:
        warn_of_password(call, "--db", db, "CONDUIT_DATABASE_URL")
    try:
        settings, _ = load({"database_url": db} if db is not None else {}, config)
    except SettingsError as error:
        raise Failure(str(error), code="local_config") from error
    return settings.database_location()


def _target_url(call: Call, to: str | None, to_env: str | None, to_file: str | None) -> str:
    if sum(given is not None for given in (to, to_env, to_file)) != 1:
        raise Failure("one of --to, --to-env and --to-file is needed")
    if to is not None:
        warn_of_password(call, "--to", to, "--to-env NAME or --to-file PATH")
        return to
    if to_env is not None:
        if not (value := environ.get(to_env, "")):
            raise Failure(f"--to-env: the variable {to_env} is not set")
        return value
    try:
        return Path(to_file or "").read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise Failure(f"--to-file: {to_file} cannot be read") from error


def _target_file(file: str, *, force: bool) -> Path | None:
    if file == "-":
        if sys.stdout.isatty():
            raise Failure("a backup is not for a terminal: name a file, or pipe it somewhere")
        return None
    path = refuse_taken(file, "FILE", force=force)
    if not path.absolute().parent.is_dir():
        raise Failure(f"there is no folder {path.absolute().parent}")
    return path


def _done(pending: Coroutine[Any, Any, T]) -> T:
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    return _told(lambda: work.run(pending))


def _told(step: Callable[[], T]) -> T:
    """What a step gives; where it fails, how a command tells of it."""
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: the whole storage

    try:
        return step()
    except work.WorkFailedError as error:
        raise Failure(
            redacted(str(error)), code=error.kind, exit_code=_EXITS[error.kind]
        ) from error


def _moment(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _progress(call: Call, doing: str) -> Iterator[Any]:
    """Tell on stderr how far it has got, once that takes longer than a moment."""
    console = call.console
    began = shown = time.monotonic()
    tenth = 0

    def tell(done: int, total: int) -> None:
        nonlocal shown, tenth
        now = time.monotonic()
        if call.options.quiet or now - began < _SHOWN_AFTER_S or not total:
            return
        if console.err.is_terminal:
            if now - shown >= _SHOWN_EVERY_S:
                shown = now
                console.err.file.write(f"\r{doing}: {done:,} of {total:,} rows\x1b[K")
                console.err.file.flush()
        elif done * 10 // total > tenth:
            tenth = done * 10 // total
            console.say(f"{doing}: {tenth * 10} %", "dim")

    try:
        yield tell
    finally:
        if console.err.is_terminal and shown != began:
            console.err.file.write("\r\x1b[K")
            console.err.file.flush()
