"""`conduit config`: the settings of a gateway, and all of its configuration as a document."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from conduit.cli.call import Call
from conduit.cli.declared import applying
from conduit.cli.declared.history import HISTORY, roll_back, show_revision
from conduit.cli.editor import edited, toml_lines
from conduit.cli.failures import Exit, Failure
from conduit.cli.options import File, Force, Out
from conduit.cli.output import Column, View, cell
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.contexts import config_file, credentials_file
from conduit.client.declared import SECTIONS
from conduit.client.errors import Unreachable
from conduit.client.setting_values import typed
from conduit.core import people
from conduit.core.paths import config_folder, data_folder, state_folder

noun = Noun("The gateway's settings and configuration; those of this client are under context.")
NAME = Column("setting", "name")
VALUE = Column("value", "value")
ORIGIN = Column("origin", "origin")
RELOADED = View(
    (Column("changed", "changed"), Column("restart needed", "restart_needed")), "changed"
)
DESCRIPTION = Column("meaning", "description", wide=True)
CHECKED = View(
    columns=(
        Column("ok", "ok", tone=lambda row: "good" if row["ok"] else "bad"),
        Column("file", "file"),
        Column("holds", "holds"),
        Column("problems", "problems", lambda row: "; ".join(row["problems"])),
    ),
    id_path="file",
)
Setting = Annotated[str, typer.Argument(metavar="SETTING", help="Its name, such as log_level.")]
_FROM_FILE = "file "
_INCLUDED = ("none", "encrypted")


@verb(noun, "show", "listing")
def show(
    call: Call,
    origin: Annotated[
        bool, typer.Option("--origin", help="Tell where each value came from.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="As a gateway started here would see them.")
    ] = False,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="Settings file to read, with --offline."),
    ] = None,
) -> None:
    """Show the settings in force of the running gateway, or of this machine."""
    columns = (NAME, VALUE, ORIGIN, DESCRIPTION) if origin else (NAME, VALUE, DESCRIPTION)
    view = View(columns, "name")
    if not offline and config is None:
        try:
            call.show_list("config.list", view, whole=True)
            return
        except (Unreachable, Failure) as error:
            chosen = call.options.choice
            elsewhere = chosen.url or chosen.context or call.where.url_origin != "default"
            if elsewhere and not _is_local(call):
                raise
            call.console.say(f"{error}; these are the settings of this machine", "dim")
    call.show_rows(_settings_here(call, config), view, whole=True)


def _is_local(call: Call) -> bool:
    """Whether the gateway that does not answer would be one that `up` starts here."""
    chosen = call.options.choice
    context = call.where.context
    return not chosen.url and not chosen.context and context is not None and context.name == "local"


def _settings_here(call: Call, config: str | None) -> list[Record]:
    from conduit.core.settings import SettingsError  # noqa: PLC0415  # deferred: 80 ms of pydantic
    from conduit.core.settings_sources import load, unknown_variables, views  # noqa: PLC0415  # the same

    for name in unknown_variables():
        call.console.say(f"{name} is no setting of Conduit: is it misspelt?", "warn")

    try:
        return [view.model_dump() for view in views(*load({}, config))]
    except SettingsError as error:
        raise Failure(str(error), code="local_config") from error


@verb(noun, "list", "listing")
def list_settings(call: Call) -> None:
    """List the settings of the running gateway with their origins."""
    call.show_list("config.list", View((NAME, VALUE, ORIGIN, DESCRIPTION), "name"), whole=True)


@verb(noun, "get", "output")
def get(call: Call, setting: Setting) -> None:
    """Print the value of a setting."""
    row = _setting(_settings(call), setting)
    shape = call.options.shape
    if shape.format is None and not (shape.fields or shape.query or shape.template):
        call.console.data(cell(row["value"]))
    else:
        call.printer.record(row, View((NAME, VALUE, ORIGIN, DESCRIPTION), "value"))


def _settings(call: Call) -> list[Record]:
    rows: list[Record] = call.fetch("config.list", query={"limit": 1000})["data"]
    return rows


def _setting(rows: Sequence[Record], name: str) -> Record:
    """The setting of a name. Raises Failure."""
    for row in rows:
        if row["name"] == name:
            return row
    from difflib import get_close_matches  # noqa: PLC0415  # deferred: only mistakes need it

    close = get_close_matches(name, [row["name"] for row in rows], n=3, cutoff=0.5)
    raise Failure(
        f"there is no setting {name!r}",
        code="not_found",
        exit_code=Exit.NOT_FOUND,
        hint=f"did you mean: {', '.join(close)}?" if close else "see: conduit config list",
    )


@verb(noun, "set", "change")
def set_setting(
    call: Call,
    setting: Setting,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its new value.")],
) -> None:
    """Set a setting in the gateway's settings file, and put it in force."""
    row = _setting(_settings(call), setting)
    _change(call, {setting: typed(value, row["value"])}, [row])


@verb(noun, "unset", "change")
def unset(
    call: Call,
    settings: Annotated[
        list[str], typer.Argument(metavar="SETTING...", help="Names, such as log_level.")
    ],
) -> None:
    """Take settings out of the gateway's settings file: their defaults count again."""
    known = _settings(call)
    rows = [_setting(known, name) for name in settings]
    _change(call, dict.fromkeys(settings), rows)


def _change(
    call: Call, values: Mapping[str, Any], rows: Sequence[Record], *, expected: bool = False
) -> None:
    """Change settings, provided that they are still as `expected` if so; say what that did.

    What counts only after a restart may differ in the file already, so it is not compared.
    """
    fixed = [row["name"] for row in rows if not row["settable"]]
    if fixed and call.options.dry_run:
        # Not even shown: the value may be a secret that belongs nowhere near a gateway's API.
        raise Failure(f"{fixed[0]} cannot be changed from here", code="not_settable")
    former = {row["name"]: row["value"] for row in rows}
    read = {row["name"]: row["value"] for row in rows if expected and not row["restart_needed"]}
    body = {"values": dict(values), **({"expected": read} if read else {})}
    before = {"values": former, "expected": read}
    reloaded = call.change("config.update", body=body, before=before)
    if reloaded is not None:
        _show_reloaded(call, reloaded)


def _show_reloaded(call: Call, row: Record) -> None:
    changed, later = row["changed"], row["restart_needed"]
    said = f"changed: {', '.join(changed)}" if changed else "nothing in force has changed"
    if (others := row.get("workers", 1) - 1) > 0:
        said += f"; {people.counted(others, 'other worker')} told to read them too"
    then = f"restart the gateway for {', '.join(later)}" if later else None
    call.show_changed(row, RELOADED, said, then=then)


@verb(noun, "edit", "change")
def edit(call: Call) -> None:
    """Edit the gateway's settings as text, in $VISUAL or $EDITOR."""
    everything = _settings(call)
    rows = [row for row in everything if row["settable"]]
    present = {r["name"]: r["value"] for r in rows if r["origin"].startswith(_FROM_FILE)}
    with edited(call, _as_text(rows), "conduit config set SETTING VALUE") as values:
        if values is None:
            call.narrate("nothing was changed")
            return
        for name in values:
            _setting(everything, name)
        gone = {name: None for name in present if name not in values}
        new = {name: value for name, value in values.items() if value != present.get(name)}
        if not (gone or new):
            call.narrate("nothing was changed")
            return
        changes = {**gone, **new}
        changed = [row for row in everything if row["name"] in changes]
        _change(call, changes, changed, expected=True)


def _as_text(rows: Sequence[Record]) -> str:
    """The settings as TOML; those that the file does not name are comments."""
    parts = [
        "# Settings of the gateway. Those that are not comments stand in its settings file.\n"
        "# Save and leave to change them; leave the text as it is to change nothing.\n"
    ]
    for row in rows:
        restart = " Counts after a restart." if row["restart_needed"] else ""
        parts.append(f"\n# {row['description']}{restart}\n")
        if row["value"] is None:
            parts.append(f"# {row['name']} is not set\n")
            continue
        line = toml_lines({row["name"]: row["value"]})
        parts.append(line if row["origin"].startswith(_FROM_FILE) else f"# {line}")
    return "".join(parts)


@verb(noun, "reload", "change")
def reload(call: Call) -> None:
    """Have the running gateway read its settings again, from file, `.env` and flags."""
    row = call.change("config.reload")
    if row is not None:
        _show_reloaded(call, row)


@verb(noun, "path", "output")
def path(call: Call) -> None:
    """Show where files are kept."""
    row = {
        "config": str(config_folder()),
        "client_config": str(config_file()),
        "credentials": str(credentials_file()),
        "state": str(state_folder()),
        "data": str(data_folder()),
    }
    call.printer.record(row, View(tuple(Column(name, name) for name in row), "config"))


@verb(noun, "schema", "output")
def schema(call: Call) -> None:
    """Print the JSON schema of a settings file, as this version reads it."""
    from conduit.core.settings import GatewaySettings  # noqa: PLC0415  # deferred: 80 ms of pydantic

    call.allow_forms("a schema", "json", "jsonl", chosen=True)
    made, shape = GatewaySettings.model_json_schema(), call.options.shape
    if shape.format is not None or shape.is_chosen:
        call.printer.record(made, View(()))
    else:
        call.console.data(json.dumps(made, indent=2))


@verb(noun, "validate", "output")
def validate(
    call: Call,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="Settings, or a document; the usual settings file else."
        ),
    ] = None,
) -> None:
    """Check a settings file, or a document for `config apply`, without a gateway. Wrong: exit 9."""
    from conduit.cli.declared.file_checks import checked_file  # noqa: PLC0415  # deferred: 80 ms of pydantic
    from conduit.core.settings_sources import settings_file  # noqa: PLC0415  # the same

    usual = settings_file()
    if file is None and not usual.exists():
        row = {
            "ok": True,
            "file": str(usual),
            "holds": "nothing: the defaults count",
            "problems": [],
        }
        call.show_done(row, f"there is no settings file {usual}: the defaults count")
        return
    row = checked_file(file or str(usual))
    call.printer.record(row, CHECKED)
    if not row["ok"]:
        raise typer.Exit(Exit.NEGATIVE)


@verb(noun, "export", "output")
def export(
    call: Call,
    out: Out = None,
    force: Force = False,
    include_secrets: Annotated[
        str,
        typer.Option(
            "--include-secrets",
            metavar="none|encrypted",
            help="encrypted: for gateways with the same sealing key.",
        ),
    ] = "none",
) -> None:
    """Write providers, mappings, prices, groups and keys as TOML; it holds no plain secrets."""
    if include_secrets not in _INCLUDED:
        choices = " or ".join(_INCLUDED)
        raise Failure(f"--include-secrets: {choices} is expected, not {include_secrets!r}")
    with_sealed = include_secrets == "encrypted"
    applying.export(call, SECTIONS, out, force=force, with_sealed=with_sealed)


@verb(noun, "diff", "output")
def diff(call: Call, file: File) -> None:
    """Compare the gateway with a document; a difference is exit 9."""
    applying.compare(call, file)


@verb(noun, "history", "listing")
def history(
    call: Call,
    revision: Annotated[
        str | None,
        typer.Argument(metavar="[REV]", help="Show what this one changed, in the place of a list."),
    ] = None,
) -> None:
    """List the changes of the configuration, newest first, or show one against the one before."""
    if revision is None:
        call.show_list("revisions.list", HISTORY)
    else:
        show_revision(call, revision)


@verb(noun, "rollback", "danger")
def rollback(
    call: Call,
    revision: Annotated[
        int, typer.Argument(metavar="REV", help="Its number, from config history.")
    ],
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Remove what was added since, or leave it.")
    ] = True,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Leave what cannot be brought back, such as lost secrets."),
    ] = False,
) -> None:
    """Make providers, mappings and prices what they were at a revision; groups and keys stay."""
    roll_back(call, revision, prune=prune, partial=partial)


@verb(noun, "import", "danger")
def import_file(call: Call, file: File) -> None:
    """Add and change what a document says; what it does not name stays as it is."""
    applying.apply(call, file)


@verb(noun, "apply", "danger")
def apply(
    call: Call,
    file: File,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Remove what its sections do not name; needs --confirm, or a person."
        ),
    ] = False,
) -> None:
    """Bring providers, mappings, prices, groups and keys to what a document says."""
    applying.apply(call, file, prune=prune)
