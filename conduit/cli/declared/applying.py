"""Bringing a gateway to what a document says: export, plan, confirmation, steps."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from conduit.cli.call import Call
from conduit.cli.console import Tone, plain
from conduit.cli.declared.documents import as_toml, read_document, short
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, Format, View
from conduit.cli.writing import NewFile
from conduit.client.api import Record
from conduit.client.declared import (
    SEALED,
    SECTIONS,
    Action,
    DeclarationError,
    Document,
    Section,
    Step,
    document_of,
    plan,
)
from conduit.client.declared_prices import as_csv
from conduit.client.errors import ApiError
from conduit.core import people
from conduit.core.redaction import redacted_fields

_PAGE = {"limit": 1000}
_SIGNS: Mapping[Action, tuple[str, Tone]] = {
    "add": ("+", "good"),
    "change": ("~", "warn"),
    "remove": ("-", "bad"),
    "note": ("!", "warn"),
}
PLAN = View(
    columns=(
        Column("action", "action"),
        Column("noun", "noun"),
        Column("name", "name"),
        Column("changes", "changes"),
        Column("note", "note"),
    ),
    id_path="name",
)


def present(call: Call, sections: Sequence[Section] = SECTIONS) -> dict[str, list[dict[str, Any]]]:
    """What the gateway holds of these sections, as a document."""
    rows: dict[Section, list[Record]] = {
        section: _all(call, f"{section}.list") for section in sections
    }
    if "prices" in rows:
        planned = _all(call, "prices.list", planned=True)
        rows["prices"] += [{**row, "planned": True} for row in planned]
    return document_of(rows)


def _all(call: Call, operation: str, **query: object) -> list[Record]:
    with call.console.waiting(f"waiting for {call.where.url}"):
        pages = call.gateway.pages(operation, query={**_PAGE, **query})
        return [row for page in pages for row in page["data"]]


def export(
    call: Call,
    sections: Sequence[Section],
    out: str | None,
    *,
    force: bool,
    with_sealed: bool = False,
) -> None:
    """Write these sections as TOML, or in the JSON form where that is asked for.

    `with_sealed` adds the secrets that were entered at the gateway, sealed.
    """
    forms: tuple[Format, ...] = ("json", "jsonl")
    if sections == ["prices"]:
        forms = (*forms, "csv")
    call.allow_forms("a document", *forms, chosen=out is None)
    shape = call.options.shape
    document = short(present(call, sections))
    for provider in document.get("providers", ()):
        provider["credentials"] = [
            _exported(call, provider["name"], each, with_sealed=with_sealed)
            for each in provider["credentials"]
        ]
    as_table = sections == ["prices"] and (
        shape.format == "csv" or (out is not None and out.endswith(".csv"))
    )
    if out is not None:
        is_json = shape.is_json or out.endswith(".json")
        text = json.dumps(document, indent=2) + "\n" if is_json else as_toml(document)
        if as_table:
            text = as_csv(document["prices"])
        with NewFile(out, force=force) as file:
            file.write(text)
            file.keep()
        count = sum(len(entries) for entries in document.values())
        call.narrate(f"wrote {people.counted(count, 'record')} to {out}")
    elif as_table and not shape.is_chosen:
        call.console.data(as_csv(document["prices"]).rstrip("\n"))
    elif shape.is_json or shape.is_chosen:
        call.printer.record(document, View(()))
    else:
        call.console.data(as_toml(document))


def _exported(
    call: Call, provider: str, credential: Record, *, with_sealed: bool
) -> dict[str, Any]:
    """A credential as a document has it. Its fingerprint says nothing without its secret."""
    if not with_sealed or credential["from"] != SEALED:
        return {name: value for name, value in credential.items() if name != "fingerprint"}
    given = call.fetch("credentials.sealed", provider, credential["name"])
    return {**credential, "from": f"{SEALED}:{given['sealed']}"}


def difference(call: Call, file: str, wanted: Document, *, prune: bool) -> list[Step]:
    """The steps from the gateway to the document of a file; those that remove with `prune`."""
    try:
        return plan(
            wanted, present(call, [each for each in SECTIONS if each in wanted]), prune=prune
        )
    except DeclarationError as error:
        raise Failure(f"{file}: {error}", code="bad_file") from error


def _read(file: str, sections: Sequence[Section]) -> Document:
    """These sections of a document. Raises Failure where it has none of them."""
    document = read_document(file)
    wanted = {name: entries for name, entries in document.items() if name in sections}
    if not wanted:
        raise Failure(f"{file} has none of the sections {', '.join(sections)}", code="bad_file")
    return wanted


def show_plan(call: Call, steps: Sequence[Step]) -> None:
    """The plan on stdout: `+ ~ -` for people, a list of changes for programs."""
    if call.printer.is_for_people and call.options.shape.query is None:
        show_steps(call, steps)
        call.console.say(_summary(steps), None)
    else:
        call.printer.rows(map(_row, steps), PLAN, next_cursor=lambda: None)


def _row(step: Step) -> Record:
    return {
        "action": step.action,
        "noun": step.noun,
        "name": step.name,
        "changes": {name: list(pair) for name, pair in step.changes.items()},
        "note": step.note,
    }


def show_steps(call: Call, steps: Sequence[Step]) -> None:
    """A line for each step, and one for each field that it changes."""
    for step in steps:
        _show_step(call, step)


def _show_step(call: Call, step: Step) -> None:
    sign, tone = _SIGNS[step.action]
    note = f": {step.note}" if step.note else ""
    call.console.data(call.console.out.toned(plain(f"{sign} {step.noun} {step.name}{note}"), tone))
    for name, (old, new) in step.changes.items():
        values = {"add": (new,), "remove": (old,)}.get(step.action, (old, new))
        told = " -> ".join(
            json.dumps(redacted_fields(value), ensure_ascii=False) for value in values
        )
        call.console.data(plain(f"    {name}: {told}"))


def _summary(steps: Sequence[Step]) -> str:
    if not steps:
        return "nothing to change"
    words = {"add": "to add", "change": "to change", "remove": "to remove", "note": "to do by hand"}
    counts = {action: sum(step.action == action for step in steps) for action in words}
    return ", ".join(f"{count} {words[action]}" for action, count in counts.items() if count)


def compare(call: Call, file: str, sections: Sequence[Section] = SECTIONS) -> None:
    """Show what differs; a difference is exit 9."""
    steps = difference(call, file, _read(file, sections), prune=True)
    show_plan(call, steps)
    if steps:
        raise typer.Exit(Exit.NEGATIVE)


def _refuse_malformed(file: str, document: Document) -> None:
    """Raise Failure for what the gateway would refuse halfway through."""
    from conduit.cli.declared.file_checks import document_problems  # noqa: PLC0415  # deferred: pydantic

    if found := list(document_problems(document)):
        more = f" (and {len(found) - 1} more: conduit config validate {file})"
        raise Failure(f"{file}: {found[0]}{more if found[1:] else ''}", code="bad_file")


def apply(
    call: Call, file: str, sections: Sequence[Section] = SECTIONS, *, prune: bool = False
) -> None:
    """Show the plan, have it confirmed, make the changes. What is left by hand: exit 8."""
    wanted = _read(file, sections)
    _refuse_malformed(file, wanted)
    steps = difference(call, file, wanted, prune=prune)
    show_plan(call, steps)
    changes = [step for step in steps if step.operation]
    if call.options.dry_run:
        call.console.say("dry run: nothing was sent", "dim")
        return
    if changes:
        _confirm(call, changes)
        _make(call, changes)
    if left := len(steps) - len(changes):
        raise Failure(
            f"{people.counted(left, 'thing')} of {file} cannot be brought about from here",
            code="partial_failure",
            exit_code=Exit.PARTIAL,
            hint="see the lines that begin with !",
        )


def _confirm(call: Call, changes: Sequence[Step]) -> None:
    context = call.where.context
    place = context.name if context is not None else call.where.url.partition("://")[2]
    removed = sum(step.action == "remove" for step in changes)
    count = people.counted(len(changes), "change")
    if removed:
        question = f"Make {count} to {place}, of which {removed} remove something?"
        call.confirm(question, place, severe=True)
    else:
        call.confirm(f"Make {count} to {place}?", place)


def _make(call: Call, changes: Sequence[Step]) -> None:
    """Change by change; after one that fails, those that follow would build on sand."""
    for done, step in enumerate(changes):
        try:
            call.change(step.operation, *step.names, body=step.body, query=step.query)
        except ApiError as error:
            if done:
                call.console.say(f"{done} of {len(changes)} changes were made", "warn")
            call.console.say(f"failed at: {step.action} {step.noun} {step.name}", "bad")
            raise error
    call.narrate(f"made {people.counted(len(changes), 'change')}")
