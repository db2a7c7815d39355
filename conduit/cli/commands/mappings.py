"""`conduit mappings`: what a client calls a model, and who may serve it."""

from typing import Annotated, Any

import typer

from conduit.cli.allowances import GivenLimits, changed_limits, limits_text
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
from conduit.cli.routing.targets import GivenTargets, capabilities_text
from conduit.cli.selection import selected
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.client.errors import ApiError
from conduit.core import people

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
    *,
    targets: GivenTargets,
    cache_ttl: CacheTtl = None,
    cache_scope: CacheScope = None,
    routing: Routing,
    limits: GivenLimits,
) -> None:
    """Make an alias that clients may use as a model."""
    if not targets.to:
        raise Failure("--to PROVIDER/MODEL is needed, once for each target")
    body = {"alias": alias, "targets": targets.new(), **routing.body()}
    if policy := policy_of(cache_ttl, cache_scope):
        body["policy"] = {**body.get("policy", {}), **policy}
    body |= limits.body()
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
    *,
    targets: GivenTargets,
    cache_ttl: CacheTtl = None,
    cache_scope: CacheScope = None,
    routing: Routing,
    limits: GivenLimits,
) -> None:
    """Replace the targets of a mapping, or without --to change what is said of them and of it.

    conduit mappings update fast --caps vision,no-audio,context_tokens=128k
    conduit mappings update fast --strategy weighted --fallback rate_limit=other --sticky session
    """
    body = routing.body()
    if policy := policy_of(cache_ttl, cache_scope):
        body["policy"] = {**body.get("policy", {}), **policy}
    changes = limits.changes()
    if targets.is_empty() and not body and not changes:
        raise Failure("nothing to change: give --to, --weight, --strategy, --fallback or another")
    before = call.find("mappings", alias)
    if changes:
        body |= {"limits": changed_limits(before, changes), "version": before["version"]}
    if targets.to:
        body["targets"] = targets.new()
    elif not targets.is_empty():
        body |= {"targets": targets.changed(before["targets"]), "version": before["version"]}
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
