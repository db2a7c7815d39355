"""What a new provider is to be: from the command line, and for the rest from a person."""

from collections.abc import Sequence
from dataclasses import dataclass

from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.client.api import Record


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says of the provider."""

    type: str | None
    name: str | None
    base_url: str | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """A provider to be: its type as the API describes it, its name, its address if it has one."""

    kind: Record
    name: str
    base_url: str | None


def wishes(call: Call, given: Given) -> Wishes:
    """All that is needed; a person who has not named the type is asked for each thing.

    Raises Failure where something is missing and nobody can be asked.
    """
    kinds = call.fetch("provider_types.list", query={"limit": 1000})["data"]
    if given.type is not None:
        kind = _kind_named(kinds, given.type)
        name = given.name or kind["name"]
    else:
        kind = _picked(call, kinds)
        name = given.name or _asked(call, "Name", kind["name"])
    base_url = given.base_url
    if base_url is None and kind["default_base_url"] is None and not kind["simulated"]:
        form = kind.get("base_url_form")
        if not call.may_ask:
            raise Failure(
                f"--base-url URL is needed for providers of type {kind['name']}",
                code="input_needed",
                hint=None if form is None else f"it looks like {form}",
            )
        base_url = _asked(call, f"Base URL, such as {form or 'http://127.0.0.1:8000/v1'}", None)
    return Wishes(kind, name, base_url)


def _picked(call: Call, kinds: Sequence[Record]) -> Record:
    """The type that a person chooses, by number or name. Raises Failure."""
    if not call.may_ask:
        names = ", ".join(kind["name"] for kind in kinds)
        raise Failure(f"a TYPE is needed: {names}", code="input_needed")
    width = max(len(kind["name"]) for kind in kinds)
    for number, kind in enumerate(kinds, 1):
        call.console.say(f"{number:>3}  {kind['name'].ljust(width)}  {kind['title']}")
    answer = _asked(call, "Type, by number or name", None)
    if answer.isdigit() and 1 <= int(answer) <= len(kinds):
        return kinds[int(answer) - 1]
    return _kind_named(kinds, answer)


def _kind_named(kinds: Sequence[Record], name: str) -> Record:
    for kind in kinds:
        if kind["name"] == name:
            return kind
    names = ", ".join(kind["name"] for kind in kinds)
    raise Failure(f"there is no provider type {name!r}", hint=f"types: {names}")


def _asked(call: Call, what: str, default: str | None) -> str:
    shown = f" [{default}]" if default is not None else ""
    answer = call.ask(f"{what}{shown}: ") or default
    if not answer:
        raise Failure("nothing was entered: nothing was changed", code="input_needed")
    return answer
