"""`conduit breakers`: the operator's hand in which targets are sent to."""

from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.commands.health import Provider
from conduit.cli.output import View
from conduit.cli.routing.deployments import BREAKERS, order_of
from conduit.cli.verbs import Noun, verb
from conduit.core import people

noun = Noun("Breakers: which targets are left out for a while, for failing or by hand.")
Target = Annotated[
    str,
    typer.Argument(metavar="PROVIDER[/MODEL]", help="All targets of a provider, or of one model."),
]
Credential = Annotated[
    str | None, typer.Option("--credential", metavar="NAME", help="Only with this credential.")
]


@verb(noun, "list", "listing")
def list_breakers(call: Call, provider: Provider = None) -> None:
    """List every breaker; conduit health breakers has those alone that are not closed."""
    call.show_list("health.deployments", BREAKERS, query={"provider": provider})


@verb(noun, "open", "danger")
def open_breakers(
    call: Call,
    target: Target,
    for_: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long nothing is sent there.")
    ] = "10m",
    credential: Credential = None,
) -> None:
    """Send nothing to some targets for a while; what runs there goes on."""
    body = {**order_of(target, credential), "for_s": inputs.duration_s(for_, "--for")}
    call.confirm(f"Send nothing to {_said(target, credential)} for {for_}?", target)
    again = f"conduit breakers close {target}"
    _order(call, "breakers.open", body, f"nothing is sent to {target} for {for_}", then=again)


@verb(noun, "close", "change", unasked=True)
def close(call: Call, target: Target, credential: Credential = None) -> None:
    """Send to some targets again."""
    body = order_of(target, credential)
    _order(call, "breakers.close", body, f"{target} is sent to again")


@verb(noun, "reset", "change", unasked=True)
def reset(call: Call, target: Target, credential: Credential = None) -> None:
    """Forget every trouble of some targets and of their credentials."""
    body = order_of(target, credential)
    _order(call, "breakers.reset", body, f"nothing is held against {target} any more")


def _said(target: str, credential: str | None) -> str:
    return target if credential is None else f"{target} with {credential}"


def _order(
    call: Call, name: str, body: dict[str, Any], said: str, *, then: str | None = None
) -> None:
    page = call.change(name, body=body)
    if page is None:
        return
    rows = page["data"]
    call.printer.rows(rows, _ORDERED, next_cursor=lambda: None)
    call.narrate(f"{said} ({people.counted(len(rows), 'target')})", then=then)


_ORDERED = View(BREAKERS.columns, BREAKERS.id_path)
