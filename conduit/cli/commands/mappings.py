"""`conduit mappings`: what a client calls a model, and who may serve it."""

from typing import Annotated, Any

import typer

from conduit.cli.allowances import (
    Concurrent,
    Rpd,
    Rpm,
    Tpd,
    Tpm,
    changed_limits,
    limits_of,
    limits_text,
)
from conduit.cli.call import Call
from conduit.cli.commands.providers import PROBED
from conduit.cli.console import Tone
from conduit.cli.declared import applying
from conduit.cli.failures import Exit, Failure
from conduit.cli.options import File, Force, Operation, Out, SomeNames
from conduit.cli.output import Column, View
from conduit.cli.routing.caching import CacheScope, CacheTtl, caching_text, policy_of
from conduit.cli.routing.example_names import first_question
from conduit.cli.routing.offers import Offer, chosen, map_all, offers_of
from conduit.cli.routing.policies import Routing, fallbacks_text, policy_text
from conduit.cli.routing.targets import Wanted, capabilities_text, changed_targets, new_targets
from conduit.cli.selection import selected
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.errors import ApiError
from conduit.core import people
from conduit.core.policies import FALLBACK_CAUSES, STRATEGIES

noun = Noun("Mappings: what clients call a model, and who serves it.")


def _tone(mapping: Record) -> Tone:
    return "good" if mapping["enabled"] else "dim"


def _targets(mapping: Record) -> str:
    texts = []
    for target in sorted(mapping["targets"], key=lambda target: target["order"]):
        weight = f" x{target['weight']}" if target["weight"] != 1 else ""
        texts.append(f"{target['provider']}/{target['model']}{weight}")
    return ", ".join(texts)


def _capabilities(mapping: Record) -> str:
    """What is said of each target, in the order in which they are tried."""
    targets = sorted(mapping["targets"], key=lambda target: target["order"])
    said = [capabilities_text(target.get("capabilities") or {}) for target in targets]
    return "; ".join(text or "-" for text in said) if any(said) else ""


VIEW = View(
    columns=(
        Column("alias", "alias"),
        Column(
            "state",
            "enabled",
            lambda mapping: "enabled" if mapping["enabled"] else "disabled",
            tone=_tone,
        ),
        Column("targets", "targets", _targets),
        Column("strategy", "strategy"),
        Column("falls back", "fallbacks", fallbacks_text, wide=True),
        Column("policy", "policy", policy_text, wide=True),
        Column("capabilities", "targets.capabilities", _capabilities, wide=True),
        Column("cache", "policy.cache_ttl_s", caching_text, wide=True),
        Column("limits", "limits", limits_text, wide=True),
        Column("id", "id", wide=True),
        Column("updated", "updated_at", lambda m: people.moment(m["updated_at"]), wide=True),
        Column("version", "version", wide=True, right=True),
    ),
    empty="no mappings yet; make one with: conduit mappings add ALIAS --to PROVIDER/MODEL",
)
Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="What clients call the model.")]
To = Annotated[
    list[str] | None,
    typer.Option("--to", metavar="PROVIDER/MODEL", help="Target; several are tried in order."),
]
Weight = Annotated[
    list[int] | None,
    typer.Option(
        "--weight",
        metavar="N",
        help="Weight of the target at that place, for strategies that heed it.",
    ),
]


Order = Annotated[
    list[int] | None,
    typer.Option(
        "--order", metavar="N", help="Order of the target at that place, the lowest first; 0, 1, …"
    ),
]
Capabilities = Annotated[
    list[str] | None,
    typer.Option(
        "--caps",
        metavar="A,no-B",
        help="What the target at that place can do; also NAME=unknown, context_tokens=128k.",
    ),
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--params",
        metavar="NAME=VALUE,…",
        help="Fields that the target at that place is sent; an object in JSON as well.",
    ),
]
Strategy = Annotated[
    str | None, typer.Option("--strategy", metavar="NAME", help=f"{', '.join(STRATEGIES)}.")
]
Fallback = Annotated[
    list[str] | None,
    typer.Option(
        "--fallback",
        metavar="CAUSE=ALIAS",
        help=f"Where to go on for {', '.join(FALLBACK_CAUSES)}; none takes all away.",
    ),
]
Sticky = Annotated[
    str | None,
    typer.Option(
        "--sticky", metavar="off|session|user", help="Who stays with a target while it is well."
    ),
]
Breakers = Annotated[
    str | None,
    typer.Option("--breakers", metavar="on|off", help="Leave targets that fail out for a while."),
]
LongContext = Annotated[
    str | None,
    typer.Option(
        "--long-context",
        metavar="refuse|drop_oldest",
        help="What becomes of a prompt that no target has room for.",
    ),
]
StreamIdle = Annotated[
    str | None,
    typer.Option(
        "--stream-idle", metavar="TIME", help="Give a stream up after such a gap: 30s, or none."
    ),
]
StreamMinRate = Annotated[
    str | None,
    typer.Option(
        "--stream-min-rate", metavar="N", help="Give a slower stream up: tokens/s, or none."
    ),
]
UnknownPrice = Annotated[
    str | None,
    typer.Option(
        "--unknown-price",
        metavar="refuse|free|default|none",
        help="What becomes of calls to a target without a price; none: as the setting says.",
    ),
]
OFFERED = View(
    columns=(Column("provider", "provider"), Column("model", "model")),
    id_path="model",
    empty="every model that the providers offer has an alias",
)


@verb(noun, "list", "listing")
def list_mappings(call: Call) -> None:
    """List mappings."""
    call.show_list("mappings.list", VIEW)


@verb(noun, "show", "output")
def show(call: Call, alias: Alias) -> None:
    """Show a mapping."""
    call.printer.record(call.find("mappings", alias), VIEW)


@verb(noun, "add", "change")
def add(
    call: Call,
    alias: Alias,
    to: To = None,
    weight: Weight = None,
    order: Order = None,
    caps: Capabilities = None,
    params: Params = None,
    cache_ttl: CacheTtl = None,
    cache_scope: CacheScope = None,
    strategy: Strategy = None,
    fallback: Fallback = None,
    sticky: Sticky = None,
    breakers: Breakers = None,
    long_context: LongContext = None,
    stream_idle: StreamIdle = None,
    stream_min_rate: StreamMinRate = None,
    unknown_price: UnknownPrice = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    rpd: Rpd = None,
    tpd: Tpd = None,
    concurrent: Concurrent = None,
) -> None:
    """Make an alias that clients may use as a model."""
    if not to:
        raise Failure("--to PROVIDER/MODEL is needed, once for each target")
    wanted = Wanted(to, weight or [], order or [], caps or [], params or [])
    routing = Routing(
        strategy,
        fallback,
        sticky,
        breakers,
        long_context,
        stream_idle,
        stream_min_rate,
        unknown_price,
    )
    body = {"alias": alias, "targets": new_targets(wanted), **routing.body()}
    if policy := policy_of(cache_ttl, cache_scope):
        body["policy"] = {**body.get("policy", {}), **policy}
    limits = limits_of(rpm=rpm, tpm=tpm, rpd=rpd, tpd=tpd, concurrent=concurrent)
    if limits:
        body["limits"] = [each for each in limits.values() if each is not None]
    mapping = call.change("mappings.create", body=body)
    if mapping is not None:
        call.show_changed(
            mapping,
            VIEW,
            f"added mapping {mapping['alias']}",
            then=None if call.options.quiet else first_question(call, mapping),
        )


@verb(noun, "update", "change")
def update(
    call: Call,
    alias: Alias,
    to: To = None,
    weight: Weight = None,
    order: Order = None,
    caps: Capabilities = None,
    params: Params = None,
    cache_ttl: CacheTtl = None,
    cache_scope: CacheScope = None,
    strategy: Strategy = None,
    fallback: Fallback = None,
    sticky: Sticky = None,
    breakers: Breakers = None,
    long_context: LongContext = None,
    stream_idle: StreamIdle = None,
    stream_min_rate: StreamMinRate = None,
    unknown_price: UnknownPrice = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    rpd: Rpd = None,
    tpd: Tpd = None,
    concurrent: Concurrent = None,
) -> None:
    """Replace the targets of a mapping, or without --to change what is said of them and of it.

    conduit mappings update fast --caps vision,no-audio,context_tokens=128k
    conduit mappings update fast --strategy weighted --fallback rate_limit=other --sticky session
    """
    wanted = Wanted(to or [], weight or [], order or [], caps or [], params or [])
    routing = Routing(
        strategy,
        fallback,
        sticky,
        breakers,
        long_context,
        stream_idle,
        stream_min_rate,
        unknown_price,
    )
    body = routing.body()
    if policy := policy_of(cache_ttl, cache_scope):
        body["policy"] = {**body.get("policy", {}), **policy}
    limits = limits_of(rpm=rpm, tpm=tpm, rpd=rpd, tpd=tpd, concurrent=concurrent)
    if wanted.is_empty() and not body and not limits:
        raise Failure("nothing to change: give --to, --weight, --strategy, --fallback or another")
    before = call.find("mappings", alias)
    if limits:
        body |= {"limits": changed_limits(before, limits), "version": before["version"]}
    if to:
        body["targets"] = new_targets(wanted)
    elif not wanted.is_empty():
        targets = changed_targets(before["targets"], wanted)
        body |= {"targets": targets, "version": before["version"]}
    mapping = call.change("mappings.update", before["alias"], body=body, before=before)
    if mapping is not None:
        call.show_changed(mapping, VIEW, f"updated mapping {mapping['alias']}")


@verb(noun, "enable", "change", bulk=True)
def enable(call: Call, names: SomeNames = None) -> None:
    """Offer aliases again."""
    call.each(names, lambda name: _switch(call, name, enabled=True), noun="mappings")


@verb(noun, "disable", "change", bulk=True)
def disable(call: Call, names: SomeNames = None) -> None:
    """Stop offering aliases."""
    call.each(names, lambda name: _switch(call, name, enabled=False), noun="mappings")


def _switch(call: Call, name: str, *, enabled: bool) -> None:
    before = call.find("mappings", name)
    body = {"enabled": enabled}
    mapping = call.change("mappings.update", before["alias"], body=body, before=before)
    if mapping is not None:
        done = "enabled" if enabled else "disabled"
        call.show_changed(mapping, VIEW, f"{done} mapping {mapping['alias']}")


@verb(noun, "delete", "danger", bulk=True)
def delete(call: Call, names: SomeNames = None) -> None:
    """Delete mappings."""
    call.drop_each("mappings", names)


@verb(noun, "test", "output")
def try_mapping(
    call: Call,
    alias: Alias,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="M", help="What a client would ask for, of an alias*."),
    ] = None,
    operation: Operation = "chat",
) -> None:
    """Ask each target for a few words; costs a few tokens. None answers: exit 7; some: exit 9."""
    mapping = call.find("mappings", alias)
    body: dict[str, Any] = {"operation": operation}
    if model is not None:
        body["model"] = model
    result = call.ask_providers("mappings.test", mapping["alias"], body=body)
    targets, answered = result["targets"], result["answered"]
    if call.options.shape.format == "json":
        call.printer.record(result, PROBED)
    else:
        call.printer.rows(targets, PROBED, next_cursor=lambda: None)
    said = f"{answered} of {people.counted(len(targets), 'target')} answered"
    if answered < len(targets):
        call.console.say(said, "bad")
        raise typer.Exit(Exit.NEGATIVE if answered else Exit.UPSTREAM)
    call.narrate(said)


@verb(noun, "export", "output")
def export(call: Call, out: Out = None, force: Force = False) -> None:
    """Write all mappings as a TOML document, or as JSON with --json."""
    applying.export(call, ["mappings"], out, force=force)


@verb(noun, "import", "danger")
def import_file(call: Call, file: File) -> None:
    """Add and change mappings as a file says; those it does not name stay as they are."""
    applying.apply(call, file, ["mappings"])


@verb(noun, "discover", "listing or change")
def discover(
    call: Call,
    providers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROVIDER]...", help="Ask only these; all enabled ones else."),
    ] = None,
    map_offered: Annotated[
        bool, typer.Option("--import", help="Map what is found, each under its own name.")
    ] = False,
) -> None:
    """Ask providers for models that no mapping offers, and map those that are wanted."""
    offers = _offers(call, providers or [])
    if call.options.filter is not None:
        wanted = selected(call.options.filter, [each.as_row() for each in offers])
        offers = [each for each in offers if each.as_row() in wanted]
    if map_offered and not offers:
        call.narrate(OFFERED.empty)
    elif map_offered:
        map_all(call, offers)
    elif offers and call.may_ask:
        map_all(call, chosen(call, offers))
    else:
        _show_offers(call, offers)


def _show_offers(call: Call, offers: list[Offer]) -> None:
    listing = call.options.listing
    rows = [each.as_row() for each in offers]
    shown = rows if listing.everything else rows[: listing.limit or 50]
    call.printer.rows(shown, OFFERED, next_cursor=lambda: None)
    if len(shown) < len(rows):
        call.console.say(f"{len(shown)} of {len(rows):,} - use --all", "dim")
    if rows:
        call.narrate(
            f"{people.counted(len(rows), 'model')} without a mapping",
            then="conduit mappings discover --import, with --filter 'model:gpt-4*' for some",
        )


def _offers(call: Call, names: list[str]) -> list[Offer]:
    """What the providers offer, each name once; a provider that fails is told of."""
    if names:
        rows = [call.find("providers", name) for name in names]
    else:
        pages = call.gateway.pages("providers.list", query={"limit": 1000})
        rows = [row for page in pages for row in page["data"] if row["enabled"]]
    found: dict[str, Offer] = {}
    failures = []
    for row in rows:
        try:
            for offer in offers_of(call, row):
                found.setdefault(offer.model, offer)
        except ApiError as error:
            failures.append(error)
            call.console.say(f"error: {row['name']}: {error}", "bad")
    if failures and len(failures) == len(rows):
        raise failures[0]
    return list(found.values())
