"""The history of a gateway's configuration, and going back in it."""

from collections.abc import Sequence

from conduit.cli.call import Call
from conduit.cli.declared.applying import show_steps
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, View
from conduit.client.api import Record
from conduit.client.declared import Step
from conduit.core import people


def _what(row: Record) -> str:
    """What a revision changed, as people say it."""
    if row["kind"] is None:
        return "the configuration as it was found"
    first = f"{row['kind']} {row['name']}"
    return f"{first} and {row['change_count'] - 1} more" if row["change_count"] > 1 else first


def _operation(row: Record) -> str:
    back = row["rolled_back_to"]
    return str(row["operation"]) if back is None else f"{row['operation']} {back}"


HISTORY = View(
    columns=(
        Column("revision", "revision", right=True, firm=True),
        Column("at", "at", lambda row: row["at"][:19].replace("T", " "), firm=True),
        Column("operation", "operation", _operation, firm=True),
        Column("changed", "name", _what),
        Column("by", "client", lambda row: row["client"] or row["actor"], spare=1),
        Column("actor", "actor", wide=True),
        Column("address", "address", wide=True),
        Column("kind", "kind", wide=True),
        Column("changes", "change_count", wide=True),
        Column("restorable", "restorable", wide=True),
        Column("rolled back to", "rolled_back_to", wide=True),
    ),
    id_path="revision",
)
ROLLBACK = View(
    columns=(
        Column("revision", "revision"),
        Column("rolled back to", "rolled_back_to"),
        Column("changes", "changes", lambda row: str(len(row["changes"]))),
        Column("left", "left", lambda row: str(len(row["left"]))),
    ),
    id_path="revision",
)


def show_revision(call: Call, revision: str) -> None:
    """What a revision changed against the one before it."""
    row = call.fetch("revisions.show", revision)
    if not call.printer.is_for_people or call.options.shape.is_chosen:
        call.printer.record(row, HISTORY)
        return
    facts = {name: value for name, value in row.items() if name != "changes"}
    call.printer.record(facts, HISTORY)
    call.console.data("")
    show_steps(call, _steps(row["changes"]))


def _steps(changes: Sequence[Record]) -> list[Step]:
    return [
        Step(
            each["action"],
            each["kind"],
            each["name"],
            changes={name: (old, new) for name, (old, new) in each["changes"].items()},
            note=each["note"],
        )
        for each in changes
    ]


def _left(left: Sequence[Record]) -> list[Step]:
    """What cannot be brought back, with what a person can do about it."""
    return [
        Step(
            "note",
            each["kind"],
            each["name"],
            note=each["reason"] + (f": {each['hint']}" if each["hint"] else ""),
        )
        for each in left
    ]


def roll_back(call: Call, revision: int, *, prune: bool, partial: bool) -> None:
    """Show the plan, have it confirmed, and have the gateway carry out that plan and no other."""
    body: Record = {"revision": revision, "prune": prune, "partial": partial}
    planned = call.consult("config.rollback", body={**body, "dry_run": True})
    left = _left(planned["left"])
    if call.printer.is_for_people and not call.options.shape.is_chosen:
        show_steps(call, [*_steps(planned["changes"]), *left])
        call.console.say(_said(planned), None)
    if call.options.dry_run:
        if not call.printer.is_for_people or call.options.shape.is_chosen:
            call.printer.record(planned, ROLLBACK)
        call.console.say("dry run: nothing was changed", "dim")
        return
    if left and not partial:
        raise Failure(
            f"revision {revision} cannot be brought back whole: {_briefly(planned['left'])}",
            code="conflict",
            exit_code=Exit.CONFLICT,
            hint="--partial brings back the rest",
        )
    done = {**planned, "dry_run": False}  # nothing is left to do, which is no trial either
    if planned["changes"]:
        _confirm(call, revision, planned["changes"])
        sent = {**body, "expected": planned["revision"]}
        answer = call.change("config.rollback", body=sent)
        done = planned if answer is None else answer
    if not call.printer.is_for_people or call.options.shape.is_chosen:
        call.printer.record(done, ROLLBACK)
    if planned["changes"]:
        call.narrate(f"the configuration is what it was at revision {revision}")
    if left:
        raise Failure(
            f"{people.counted(len(left), 'thing')} could not be brought back",
            code="partial_failure",
            exit_code=Exit.PARTIAL,
            hint="see the lines that begin with !",
        )


def _confirm(call: Call, revision: int, changes: Sequence[Record]) -> None:
    context = call.where.context
    place = context.name if context is not None else call.where.url.partition("://")[2]
    removed = sum(each["action"] == "remove" for each in changes)
    losing = f", of which {removed} remove something" if removed else ""
    count = people.counted(len(changes), "change")
    question = f"Roll {place} back to revision {revision}: {count}{losing}?"
    call.confirm(question, place, severe=True)


def _said(planned: Record) -> str:
    if not (planned["changes"] or planned["left"]):
        return f"the configuration is what it was at revision {planned['rolled_back_to']}"
    words = {"add": "to add", "change": "to change", "remove": "to remove"}
    actions = [each["action"] for each in planned["changes"]]
    counts = [f"{actions.count(action)} {word}" for action, word in words.items()]
    said = [count for count in counts if not count.startswith("0 ")]
    if planned["left"]:
        said.append(f"{len(planned['left'])} that cannot be brought back")
    return ", ".join(said)


def _briefly(left: Sequence[Record]) -> str:
    """Each by name and reason; the first of many."""
    said = [f"{each['kind']} {each['name']}: {each['reason']}" for each in left[:3]]
    return "; ".join(said) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
