"""`conduit doctor`: checks of this machine, the gateway and its books."""

from typing import Annotated, Any

import typer

from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Exit, Failure
from conduit.cli.local.doctor_checks import findings
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client import contexts
from conduit.client.api import Record
from conduit.client.errors import Unreachable
from conduit.core.paths import data_folder

noun = Noun(
    "Check this machine and the gateway; `doctor ledger` checks the books.", default="machine"
)
_TONES: dict[str, Tone] = {"ok": "good", "warn": "warn", "fail": "bad"}
_UNAPPLIED = "journal_bytes_unapplied"


def _tone(row: Record) -> Tone:
    return _TONES[row["state"]]


CHECKS = View(
    columns=(
        Column("check", "check"),
        Column("state", "state", tone=_tone),
        Column("found", "detail"),
        Column("fix", "fix"),
    ),
    id_path="check",
)
FINDINGS = View(
    columns=(
        Column("invariant", "invariant"),
        Column(
            "state",
            "ok",
            lambda row: "ok" if row["ok"] else "fail",
            tone=lambda row: "good" if row["ok"] else "bad",
        ),
        Column("meaning", "title"),
        Column("found", "detail"),
        Column("violations", "violations", wide=True),
    ),
    id_path="invariant",
)


@verb(noun, "machine", "output")
def machine(
    call: Call,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle", metavar="FILE", help="Also collect all of it, redacted: .zip or .tar.gz."
        ),
    ] = None,
) -> None:
    """Check this machine and the gateway; a failed check is exit 9."""
    rows = findings(call)
    call.printer.rows(rows, CHECKS, next_cursor=lambda: None)
    if bundle is not None:
        from conduit.cli.local.bundle import write_bundle  # noqa: PLC0415  # deferred: archives

        names = write_bundle(call, bundle, rows)
        call.narrate(f"wrote {len(names)} files to {bundle}; look through it before passing it on")
    if any(row["state"] == "fail" for row in rows):
        raise typer.Exit(Exit.NEGATIVE)


@verb(noun, "ledger", "output")
def ledger(
    call: Call,
    offline: Annotated[
        bool, typer.Option("--offline", help="Read the database of this machine directly.")
    ] = False,
    db: Annotated[
        str | None, typer.Option("--db", metavar="URL", help="Database to read, offline.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="FILE", help="Settings file, offline.")
    ] = None,
) -> None:
    """Check the books: every invariant of the ledger; a violation is exit 9."""
    report = _report(call, db, config, offline=offline or db is not None or config is not None)
    if call.options.shape.is_json or call.options.shape.query is not None:
        call.printer.record(report, FINDINGS)
    else:
        call.printer.rows(report["findings"], FINDINGS, next_cursor=lambda: None)
        if not call.options.quiet:
            counts = (f"{name} {number}" for name, number in report["counts"].items())
            call.console.say(", ".join(counts), "dim")
        for finding in report["findings"]:
            for violation in finding["violations"][:10]:
                call.console.say(f"  {finding['invariant']}: {violation}", "bad")
    if not report["ok"]:
        raise typer.Exit(Exit.NEGATIVE)


def _report(call: Call, db: str | None, config: str | None, *, offline: bool) -> Record:
    if not offline:
        try:
            return _with_unapplied(call, call.fetch("ledger.check"))
        except (Unreachable, Failure):
            if not _may_be_here(call):
                raise
            call.console.say("no gateway answers; reading the database of this machine", "dim")
    return _check_here(db, config)


def _with_unapplied(call: Call, report: Record) -> Record:
    """The report with what its gateway has not applied yet, which only the status tells."""
    counts = report["counts"]
    if _UNAPPLIED not in counts:
        counts[_UNAPPLIED] = call.fetch("status.show")["ledger"][_UNAPPLIED]
    return report


def _may_be_here(call: Call) -> bool:
    """Whether the gateway that does not answer is the one of this machine's data folder."""
    chosen, where = call.options.choice, call.where
    if chosen.url is not None or where.url_origin.startswith("env"):
        return False
    return where.context is None or where.context.name == contexts.LOCAL


def _check_here(db: str | None, config: str | None) -> dict[str, Any]:
    """The ledger's checks over the database of this machine, while no gateway writes to it."""
    from conduit.core.settings import SettingsError  # noqa: PLC0415  # deferred: offline
    from conduit.core.settings_sources import load  # noqa: PLC0415  # the same
    from conduit.gateway.maintenance import work  # noqa: PLC0415  # deferred: offline

    try:
        settings, _ = load({"database_url": db} if db is not None else {}, config)
        location = settings.database_location()
        findings, counts = work.run(work.check_ledger(location, data_folder()))
    except (SettingsError, work.WorkFailedError) as error:
        raise Failure(str(error), code="local_config") from error
    rows = [
        {
            "invariant": finding.invariant,
            "title": finding.title,
            "ok": finding.ok,
            "detail": finding.detail,
            "violations": list(finding.violations),
        }
        for finding in findings
    ]
    return {"ok": all(row["ok"] for row in rows), "findings": rows, "counts": counts}
