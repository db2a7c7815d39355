"""`prices update`: a newer price book, its effect shown before it is put in force."""

import json
from datetime import UTC, datetime

from conduit.cli.call import Call
from conduit.cli.declared.applying import show_steps
from conduit.cli.failures import Failure
from conduit.cli.files import text_of_input
from conduit.cli.output import Column, View
from conduit.client.api import Record
from conduit.client.declared import Action, Step
from conduit.core import people

UPDATED = View(
    columns=(
        Column("version", "version"),
        Column("before", "version_before"),
        Column("changes", "changes", lambda row: str(len(row["changes"]))),
        Column("models", "models", right=True),
    ),
    id_path="version",
)

_REMOVAL = "Remove the updated price book, which is damaged or older than the release's?"


def update_prices(call: Call, file: str | None, *, of_package: bool = False) -> None:
    """Show what a file's book, the package's, or the release's, changes; put it in force once
    confirmed.
    """
    body: Record = {} if file is None else {"book": _book(file)}
    if of_package:
        body = {"book": _package_book()}
    plan = call.consult("price_book.update", body={**body, "dry_run": True})
    before, after = plan["version_before"], plan["version"]
    for_people = call.printer.is_for_people and not call.options.shape.is_chosen
    if for_people:
        show_steps(call, [_step(each) for each in plan["changes"]])
    if before == after and not plan["removes_unused"]:
        if not for_people:
            call.printer.record(plan, UPDATED)
        call.narrate(f"the price book is {after} already: nothing to do")
        return
    call.console.say(_effect(plan))
    if call.options.dry_run:
        if not for_people:
            call.printer.record(plan, UPDATED)
        call.console.say("dry run: nothing was changed", "dim")
        return
    question = f"Put the price book {after} in force?"
    call.confirm(_REMOVAL if plan["removes_unused"] else question, after)
    done = call.change("price_book.update", body={**body, "expected": before})
    if done is not None:
        if not for_people:
            call.printer.record(done, UPDATED)
        call.narrate(f"the price book is {after}", then="conduit prices list")


def _effect(plan: Record) -> str:
    """What the plan would change, in a line."""
    if plan["removes_unused"]:
        return (
            f"the price book stays {plan['version']}; an updated one that does not count would go"
        )
    affected = people.counted(len(plan["changes"]), "price")
    change = f"price book {plan['version_before']} -> {plan['version']}"
    return f"{change}: {affected} in use would change"


def _package_book() -> Record:
    """The book made of genai-prices, as of today. Raises Failure where that is not installed."""
    from conduit.cli.prices.genai_book import make_book  # noqa: PLC0415  # deferred: it is rare

    try:
        return make_book(datetime.now(UTC).date())
    except ImportError as error:
        raise Failure(
            "the package genai-prices is not installed beside Conduit",
            code="not_installed",
            hint="pip install genai-prices, into the environment of this command",
        ) from error


def _book(file: str) -> Record:
    try:
        content = json.loads(text_of_input(file))
    except ValueError as error:
        raise Failure(f"{file} is not JSON: {error}", code="bad_file") from error
    if not isinstance(content, dict) or "vendors" not in content:
        raise Failure(
            f"{file} is no price book",
            code="bad_file",
            hint="a document of prices that were set: conduit prices import FILE",
        )
    return content


def _step(change: Record) -> Step:
    changes = {name: (old, new) for name, (old, new) in change["changes"].items()}
    action: Action = "change"
    if all(old is None for old, _ in changes.values()):
        action = "add"
    elif all(new is None for _, new in changes.values()):
        action = "remove"
    return Step(action, "price", f"{change['provider']}/{change['model']}", changes=changes)
