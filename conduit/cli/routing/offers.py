"""Models that providers offer and that no alias leads to: chosen, and mapped under their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from conduit.cli.call import Call
from conduit.cli.console import plain
from conduit.cli.output import Column, View
from conduit.cli.routing.example_names import first_question
from conduit.cli.several import Outcomes
from conduit.client.api import Record
from conduit.core import people

_SHOWN = 20
_LARGEST_PAGE = 1000
MAPPED = View(
    columns=(
        Column("alias", "alias"),
        Column("provider", "targets.provider"),
        Column("model", "targets.model"),
        Column("id", "id", wide=True),
    ),
    id_path="alias",
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of a provider that could get an alias of its own name."""

    provider: str
    model: str

    def as_row(self) -> Record:
        return {"provider": self.provider, "model": self.model}


def offers_of(call: Call, provider: Record, *, refresh: bool = False) -> list[Offer]:
    """What a provider offers under names that no mapping has. Asks the provider."""
    query = {"limit": _LARGEST_PAGE, "refresh": refresh or None}
    with call.console.waiting(f"waiting for {provider['name']}"):
        pages = call.gateway.pages("providers.models", provider["id"], query=query)
        rows = [row for page in pages for row in page["data"]]
    taken = aliases(call)
    return [
        Offer(provider["name"], row["model"])
        for row in rows
        if not row["aliases"] and row["model"] not in taken
    ]


def aliases(call: Call) -> set[str]:
    """Every alias there is."""
    pages = call.gateway.pages("mappings.list", query={"limit": _LARGEST_PAGE})
    return {row["alias"] for page in pages for row in page["data"]}


def chosen(call: Call, offers: Sequence[Offer]) -> list[Offer]:
    """Those of the offers that the person at the terminal wants mapped."""
    for offer in offers[:_SHOWN]:
        call.console.say(f"  {offer.model}")
    if len(offers) > _SHOWN:
        call.console.say(f"  and {len(offers) - _SHOWN:,} more", "dim")
    count = people.counted(len(offers), "model")
    answer = call.ask(f"Map {count}? all, none, or patterns such as gpt-4*,o3* [all]: ")
    words = answer.replace(",", " ").split()
    if not words or words == ["all"]:
        return list(offers)
    return [each for each in offers if any(fnmatchcase(each.model, word) for word in words)]


def map_all(call: Call, offers: Sequence[Offer]) -> int:
    """Map each under its own name; one that fails keeps no other from its mapping. Raises Failure.

    How many were mapped.
    """
    outcomes = Outcomes(call.console)
    by_model = {offer.model: offer for offer in offers}
    mapped: list[Record] = []

    def make(model: str) -> None:
        target = {"provider": by_model[model].provider, "model": model}
        body = {"alias": model, "targets": [target]}
        made = call.change("mappings.create", body=body)
        if made is not None:
            mapped.append(made)
            call.printer.record(made, MAPPED)

    with call.printer.gathered():
        for offer in offers:
            outcomes.attempt(offer.model, make)
    if mapped:
        names = plain(", ".join(row["alias"] for row in mapped[:3]))
        more = f" and {len(mapped) - 3:,} more" if len(mapped) > 3 else ""
        call.narrate(
            f"mapped {people.counted(len(mapped), 'model')}: {names}{more}",
            then=first_question(call, mapped[0]),
        )
    outcomes.settle()
    return len(mapped)
