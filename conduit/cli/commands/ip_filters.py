"""`conduit ip-filters`: from which addresses the gateway is used and administered."""

from collections.abc import Sequence
from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Exit, Failure
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record

noun = Noun("IP filters: from where the gateway is used (--deny) and administered (--allow).")
_SETTINGS = {"allow": "admin_allowed_ips", "deny": "denied_ips"}
_CONCERNS = {"allow": "administration", "deny": "everything but health"}
VIEW = View(
    columns=(
        Column("network", "network", firm=True),
        Column("list", "list", tone=lambda row: _tone_of(row["list"] == "allow"), firm=True),
        Column("of", "of"),
        Column("setting", "setting", wide=True),
        Column("origin", "origin", wide=True),
    ),
    id_path="network",
    empty="no filters: every address may use and administer the gateway, with a key",
)
TESTED = View(
    columns=(
        Column("address", "address", firm=True),
        Column("clients", "may_call", tone=lambda row: _tone_of(row["may_call"])),
        Column("administration", "may_administer", tone=lambda r: _tone_of(r["may_administer"])),
        Column("because of", "by"),
        Column("is yours", "is_yours", wide=True),
    ),
    id_path="address",
)
Network = Annotated[
    str, typer.Argument(metavar="CIDR", help="Address or network, such as 203.0.113.0/24.")
]
Allow = Annotated[
    bool, typer.Option("--allow", help="Who may administer: only networks of this list.")
]
Deny = Annotated[bool, typer.Option("--deny", help="To whom nothing is served.")]


def _tone_of(allowed: bool) -> Tone:
    return "good" if allowed else "bad"


@verb(noun, "list", "listing")
def list_filters(call: Call) -> None:
    """List the networks of both lists; those of a key or group: conduit keys update --ips."""
    settings = _settings(call)
    rows = [
        {
            "network": network,
            "list": name,
            "of": _CONCERNS[name],
            "setting": setting,
            "origin": settings[setting]["origin"],
        }
        for name, setting in _SETTINGS.items()
        for network in _networks(settings[setting])
    ]
    call.show_rows(rows, VIEW, whole=True)


@verb(noun, "add", "danger")
def add(call: Call, network: Network, allow: Allow = False, deny: Deny = False) -> None:
    """Put a network on a list; the gateway refuses what would lock you out."""
    name = _chosen(allow, deny)
    wanted = _normal(network)
    settings = _settings(call)
    before = _networks(settings[_SETTINGS[name]])
    if wanted in before:
        call.narrate(f"{wanted} is on the list already")
        return
    first = name == "allow" and not before
    if first:
        call.confirm(f"Let nobody administer the gateway but {wanted}?", wanted)
    elif name == "deny":
        call.confirm(f"Serve nothing to {wanted} any more?", wanted)
    _change(call, settings, name, [*before, wanted], f"put {wanted} on the list: {name}")


@verb(noun, "remove", "danger")
def remove(call: Call, network: Network, allow: Allow = False, deny: Deny = False) -> None:
    """Take a network off the list that it is on."""
    wanted, settings = _normal(network), _settings(call)
    on = [name for name in _SETTINGS if wanted in _networks(settings[_SETTINGS[name]])]
    if allow or deny:
        on = [name for name in on if name == _chosen(allow, deny)]
    if not on:
        raise Failure(f"{wanted} is on no such list", code="not_found", exit_code=Exit.NOT_FOUND)
    if len(on) > 1:
        raise Failure(f"{wanted} is on both lists: say which, --allow or --deny", code="ambiguous")
    left = [each for each in _networks(settings[_SETTINGS[on[0]]]) if each != wanted]
    if on[0] == "allow" and not left:
        call.confirm("Let every address administer the gateway, with a key?", wanted)
    _change(call, settings, on[0], left, f"took {wanted} off the list: {on[0]}")


@verb(noun, "test", "output")
def what_is_served(
    call: Call,
    address: Annotated[
        str | None, typer.Argument(metavar="[IP]", help="Address; without one, your own.")
    ] = None,
) -> None:
    """Tell what is served to an address: yours, where none is given; exit 9 where nothing is."""
    mine = call.fetch("security.summary")["client_ip"]
    asked = mine if address is None else _address(address)
    from conduit.core.networks import is_within  # noqa: PLC0415  # deferred: loads ipaddress

    settings = _settings(call)
    allowed, denied = (
        [each for each in _networks(settings[setting]) if is_within(asked, (each,))]
        for setting in _SETTINGS.values()
    )
    lists_some = bool(_networks(settings[_SETTINGS["allow"]]))
    row = {
        "address": asked,
        "may_call": not denied,
        "may_administer": not denied and (bool(allowed) or not lists_some),
        "by": _reason(allowed, denied, lists_some=lists_some),
        "is_yours": asked == mine,
    }
    call.printer.record(row, TESTED)
    if not row["may_call"]:
        raise typer.Exit(Exit.NEGATIVE)


def _reason(allowed: Sequence[str], denied: Sequence[str], *, lists_some: bool) -> str:
    if denied:
        return f"{', '.join(denied)} of {_SETTINGS['deny']}"
    if allowed:
        return f"{', '.join(allowed)} of {_SETTINGS['allow']}"
    return f"not on {_SETTINGS['allow']}" if lists_some else "no list has it"


def _change(call: Call, settings: Record, name: str, networks: Sequence[str], said: str) -> None:
    setting = _SETTINGS[name]
    former = {setting: settings[setting]["value"]}
    body = {"values": {setting: ", ".join(networks) or None}, "expected": former}
    before = {"values": former, "expected": former}
    if call.change("config.update", body=body, before=before) is not None:
        call.show_done({"list": name, "setting": setting, "networks": list(networks)}, said)


def _chosen(allow: bool, deny: bool) -> str:
    if allow == deny:
        raise Failure("say which list: --allow or --deny")
    return "allow" if allow else "deny"


def _settings(call: Call) -> Record:
    """The two settings, by their names."""
    rows: list[Record] = call.fetch("config.list", query={"limit": 1000})["data"]
    return {row["name"]: row for row in rows if row["name"] in _SETTINGS.values()}


def _networks(setting: Record) -> list[str]:
    from conduit.core.networks import network_names  # noqa: PLC0415  # deferred: loads ipaddress

    return list(network_names(setting["value"]))


def _normal(network: str) -> str:
    from conduit.core.networks import normal_network  # noqa: PLC0415  # deferred: loads ipaddress

    try:
        return normal_network(network)
    except ValueError as error:
        raise Failure(f"CIDR: {error}") from error


def _address(text: str) -> str:
    from ipaddress import ip_address  # noqa: PLC0415  # deferred

    try:
        return str(ip_address(text))
    except ValueError as error:
        raise Failure(f"IP: {error}") from error
