"""`conduit providers`: providers and their credentials."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.commands import provider_credentials
from conduit.cli.commands.provider_credentials import Asking, EnvReference, FileReference, entered
from conduit.cli.console import Tone
from conduit.cli.editor import edited, toml_lines
from conduit.cli.failures import Exit, Failure
from conduit.cli.options import KeyEnv, KeyFile, KeyStdin, Name, Operation, SomeNames
from conduit.cli.output import Column, View
from conduit.cli.routing import left_out
from conduit.cli.routing.new_provider import Given, wishes
from conduit.cli.routing.offers import chosen, map_all, offers_of
from conduit.cli.routing.policies import one_of
from conduit.cli.selection import selected
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

noun = Noun("Providers: who serves models, and the credentials that open them.")
noun.nest("credentials", provider_credentials.noun)


def _tone(provider: Record) -> Tone:
    if not provider["enabled"]:
        return "dim"
    usable = any(map(left_out.is_usable, provider["credentials"]))
    return "good" if usable or not provider["credentials"] else "warn"


def _state(provider: Record) -> str:
    state = "enabled" if provider["enabled"] else "disabled"
    return f"{state}, simulated" if provider["simulated"] else state


def _sources(provider: Record) -> str:
    return ", ".join(f"{c['source']} ({left_out.state_of(c)})" for c in provider["credentials"])


def _address(kind: Record) -> str:
    """Its address, or in brackets the form of one that has to be given."""
    if kind["default_base_url"] or kind["simulated"]:
        return str(kind["default_base_url"] or "")
    return f"({kind.get('base_url_form') or 'to be given'})"


def _credential(kind: Record) -> str:
    forms = kind.get("credential_forms") or (["API_KEY"] if kind["needs_credential"] else [])
    return " or ".join(forms)


VIEW = View(
    columns=(
        Column("name", "name"),
        Column("state", "enabled", _state, tone=_tone),
        Column("type", "type"),
        Column("base url", "base_url"),
        Column("credentials", "credentials.source", _sources),
        Column("id", "id", wide=True),
        Column("private", "allow_private", wide=True),
        Column("on hang-up", "on_hang_up", wide=True),
        Column("updated", "updated_at", lambda p: people.moment(p["updated_at"]), wide=True),
        Column("version", "version", wide=True, right=True),
    ),
    empty="no providers yet; add one with: conduit providers add TYPE --name NAME",
)
TYPES = View(
    columns=(
        Column("type", "name"),
        Column("title", "title"),
        Column("dialect", "dialect"),
        Column("operations", "operations"),
        Column("variables", "environment"),
        Column("base url", "default_base_url", _address),
        Column("credential", "credential_forms", _credential, wide=True),
        Column("needs key", "needs_credential", wide=True),
        Column("lists models", "lists_models", wide=True),
        Column("simulated", "simulated", wide=True),
        Column("form of the url", "base_url_form", wide=True),
    ),
    id_path="name",
)
MODELS = View(
    columns=(Column("model", "model"), Column("aliases", "aliases"), Column("by", "provider")),
    id_path="model",
    empty="the provider offers no models",
)
TESTED = View(
    columns=(
        Column("ok", "ok", tone=lambda test: "good" if test["ok"] else "bad"),
        Column("provider", "provider"),
        Column("latency", "latency_ms", lambda test: people.milliseconds(test["latency_ms"])),
        Column("models", "models", right=True),
        Column("error", "error"),
        Column("note", "note", wide=True),
    ),
    id_path="provider",
)
PROBED = View(
    columns=(
        Column("ok", "ok", tone=lambda probe: "good" if probe["ok"] else "bad"),
        Column("provider", "provider"),
        Column("model", "model"),
        Column("latency", "latency_ms", lambda probe: people.milliseconds(probe["latency_ms"])),
        Column("in", "input_tokens", right=True),
        Column("out", "output_tokens", right=True),
        Column("cost", "cost", lambda probe: people.money(probe["cost"]), right=True),
        Column("error", "error"),
    ),
    id_path="model",
)
CARD = View(
    columns=(
        Column("capability", "capability"),
        Column("ok", "ok", lambda check: _VERDICTS[check["ok"]], tone=lambda c: _TONES[c["ok"]]),
        Column("found", "detail"),
    ),
    id_path="capability",
)
_VERDICTS: Mapping[bool | None, str] = {True: "yes", False: "no", None: "unknown"}
_TONES: Mapping[bool | None, Tone] = {True: "good", False: "bad", None: "dim"}
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Instead of the type's own.")
]
AllowPrivate = Annotated[
    bool, typer.Option("--allow-private", help="Allow plain http and private addresses.")
]
ON_HANG_UP = ("cancel", "drain")
OnHangUp = Annotated[
    str | None,
    typer.Option(
        "--on-hang-up",
        metavar="WHAT",
        help="'drain' reads answers on whose client has gone, where they are billed all the same.",
    ),
]
Import = Annotated[
    bool, typer.Option("--import", help="Map each model that has no alias, under its own name.")
]


@verb(noun, "list", "listing")
def list_providers(call: Call) -> None:
    """List providers."""
    call.show_list(
        "providers.list",
        VIEW,
        then=lambda provider: left_out.undoing(provider["name"], provider["credentials"]),
    )


@verb(noun, "types", "listing")
def types(call: Call) -> None:
    """List the types of providers that can be added."""
    call.show_list("provider_types.list", TYPES)


@verb(noun, "show", "output")
def show(call: Call, name: Name) -> None:
    """Show a provider."""
    call.printer.record(call.find("providers", name), VIEW)


@verb(noun, "add", "change")
def add(
    call: Call,
    type: Annotated[
        str | None, typer.Argument(metavar="[TYPE]", help="See: conduit providers types.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The type's name when left out.")
    ] = None,
    base_url: BaseUrl = None,
    allow_private: AllowPrivate = False,
    on_hang_up: OnHangUp = None,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
    env: EnvReference = None,
    file: FileReference = None,
    no_test: Annotated[bool, typer.Option("--no-test", help="Do not try it.")] = False,
    map_offered: Import = False,
) -> None:
    """Add a provider and try it; one that fails is kept, disabled (exit 7).

    On a terminal it asks for what is missing, and which of the models to map.
    """
    wanted = wishes(call, Given(type, name, base_url))
    body: dict[str, Any] = {"name": wanted.name, "type": wanted.kind["name"]}
    if wanted.base_url is not None:
        body["base_url"] = wanted.base_url
    if allow_private:
        body["allow_private"] = True
    if on_hang_up is not None:
        body["on_hang_up"] = one_of(on_hang_up, ON_HANG_UP, "--on-hang-up")
    source = inputs.SecretSource(key_file, key_stdin, key_env)
    # Somebody who is asked for the type is asked for all the rest.
    offered = type is None and not wanted.kind["simulated"]
    needed = wanted.kind["needs_credential"]
    forms = wanted.kind.get("credential_forms", ())
    credential = entered(
        call, source, env, file, asking=Asking(needed=needed, offered=offered, forms=forms)
    )
    if credential is not None:
        body["credential"] = credential
    provider = call.change("providers.create", body=body)
    if provider is None:
        return
    if no_test:
        call.show_changed(provider, VIEW, f"added provider {provider['name']}, untested")
    else:
        _try_new(call, provider)
    listed = wanted.kind.get("lists_models", True)
    if listed and (map_offered or (call.may_ask and not no_test)):
        _offer(call, provider, ask=not map_offered)


def _try_new(call: Call, provider: Record) -> None:
    name = provider["name"]
    test = call.ask_providers("providers.test", provider["id"])
    if test["ok"]:
        offered = test["models"]
        if offered is None:
            said = f"added provider {name}: {test.get('note') or 'it answers'}"
            call.show_changed(
                provider, VIEW, said, then=f"conduit mappings add ALIAS --to {name}/MODEL"
            )
            return
        said = f"added provider {name}; it offers {people.counted(offered, 'model')}"
        call.show_changed(provider, VIEW, said, then=f"conduit mappings discover {name}")
        return
    provider = call.gateway.call("providers.update", provider["id"], body={"enabled": False})
    call.printer.record(provider, VIEW)
    credentials = provider["credentials"]
    mend = f"update {name} {credentials[0]['name']}" if credentials else f"add {name}"
    raise Failure(
        f"provider {name} was added and is disabled, for its test failed: {test['error']}",
        code="provider_test_failed",
        exit_code=Exit.UPSTREAM,
        hint=f"another key: conduit providers credentials {mend}; "
        f"then: conduit providers test {name} && conduit providers enable {name}",
    )


def _offer(call: Call, provider: Record, *, ask: bool) -> None:
    """Map models of the new provider: all of them, or those that are chosen."""
    offers = offers_of(call, provider)
    if not offers:
        return
    wanted = chosen(call, offers) if ask else offers
    if wanted:
        map_all(call, wanted)


@verb(noun, "edit", "change")
def edit(call: Call, name: Name) -> None:
    """Edit a provider as text, in $VISUAL or $EDITOR; refused if it has changed meanwhile."""
    from conduit.client.declared import PROVIDER_FIELDS  # noqa: PLC0415  # deferred: 7 ms

    before = call.find("providers", name)
    fields = {field: before[field] for field in PROVIDER_FIELDS}
    head = (
        f"# Provider {before['name']} of type {before['type']}, version {before['version']}.\n"
        "# Save and leave to change it; leave the text as it is to change nothing.\n\n"
    )
    instead = "conduit providers update NAME --base-url URL"
    with edited(call, head + toml_lines(fields), instead) as values:
        if values is None:
            call.narrate("nothing was changed")
            return
        if unknown := values.keys() - fields.keys():
            raise Failure(f"a provider has no field {sorted(unknown)[0]!r} to edit")
        body = {field: value for field, value in values.items() if value != fields[field]}
        if not body:
            call.narrate("nothing was changed")
            return
        body["version"] = before["version"]
        _show_update(call, call.change("providers.update", before["id"], body=body, before=before))


@verb(noun, "update", "change")
def update(
    call: Call,
    name: Name,
    base_url: BaseUrl = None,
    allow_private: Annotated[
        bool | None,
        typer.Option(
            "--allow-private/--no-allow-private", help="Allow plain http and private addresses."
        ),
    ] = None,
    on_hang_up: OnHangUp = None,
) -> None:
    """Change a provider's address; at a new host its credentials must be entered again."""
    body: dict[str, Any] = {}
    if base_url is not None:
        body["base_url"] = base_url
    if allow_private is not None:
        body["allow_private"] = allow_private
    if on_hang_up is not None:
        body["on_hang_up"] = one_of(on_hang_up, ON_HANG_UP, "--on-hang-up")
    if not body:
        raise Failure("nothing to change: give --base-url, --allow-private or --on-hang-up")
    before = call.find("providers", name)
    _show_update(call, call.change("providers.update", before["id"], body=body, before=before))


def _show_update(call: Call, provider: Record | None) -> None:
    if provider is not None:
        call.show_changed(
            provider,
            VIEW,
            f"updated provider {provider['name']}",
            then=f"conduit providers test {provider['name']}",
        )


@verb(noun, "enable", "change", bulk=True)
def enable(call: Call, names: SomeNames = None) -> None:
    """Let providers serve again."""
    call.each(names, lambda name: _switch(call, name, enabled=True), noun="providers")


@verb(noun, "disable", "change", bulk=True)
def disable(call: Call, names: SomeNames = None) -> None:
    """Send nothing more to providers."""
    call.each(names, lambda name: _switch(call, name, enabled=False), noun="providers")


def _switch(call: Call, name: str, *, enabled: bool) -> None:
    before = call.find("providers", name)
    body = {"enabled": enabled}
    provider = call.change("providers.update", before["id"], body=body, before=before)
    if provider is not None:
        done = "enabled" if enabled else "disabled"
        call.show_changed(provider, VIEW, f"{done} provider {provider['name']}")


@verb(noun, "drain", "change", unasked=True)
def drain_provider(
    call: Call,
    name: Name,
    wait: Annotated[
        str, typer.Option("--wait", metavar="TIME", help="How long to wait; then exit 124.")
    ] = "2m",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Wait for nothing.")] = False,
) -> None:
    """Disable a provider, and wait until what runs there has finished."""
    from conduit.cli.routing.draining import drain  # noqa: PLC0415  # deferred: only this verb

    wait_s = None if no_wait else inputs.duration_s(wait, "--wait")
    provider = drain(call, call.find("providers", name), wait_s)
    if provider is not None:
        done = "is disabled" if no_wait else "is drained: nothing runs there"
        said = f"provider {provider['name']} {done}"
        call.show_changed(provider, VIEW, said, then=f"conduit providers enable {name}")


@verb(noun, "health", "output")
def health(
    call: Call,
    name: Name,
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Changes since then, or how long ago.")
    ] = "1h",
) -> None:
    """Show the targets of a provider with their health, and what has changed."""
    from conduit.cli.routing.deployments import show_provider  # noqa: PLC0415  # deferred: only this verb

    start = inputs.moment(since, "--since", ahead=False)
    show_provider(call, call.find("providers", name)["name"], start)


@verb(noun, "remove", "danger", bulk=True)
def remove(call: Call, names: SomeNames = None) -> None:
    """Remove providers with their credentials."""
    call.drop_each("providers", names)


@verb(noun, "test", "output", bulk=True)
def try_providers(
    call: Call,
    names: SomeNames = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="M", help="Ask this model too; costs a few tokens."),
    ] = None,
    operation: Operation = "chat",
) -> None:
    """Try providers without spending tokens; a failure is exit 9.

    With --model a chat model is also asked to stream, to call a tool and to keep to a schema.
    """
    if len(found := call.names("providers", names)) > 1 or call.is_bulk(names):
        with call.printer.gathered():
            answered = [_test(call, name, model, operation, card=False) for name in found]
    else:
        answered = [_test(call, found[0], model, operation, card=operation == "chat")]
    if not all(answered):
        raise typer.Exit(Exit.NEGATIVE)


def _test(call: Call, name: str, model: str | None, operation: str, *, card: bool) -> bool:
    """Whether the provider, or the model of it, answers."""
    provider = call.find("providers", name)
    if model is None:
        result = call.ask_providers("providers.test", provider["id"])
        call.printer.record(result, TESTED)
        if note := result.get("note"):
            call.narrate(f"{result['provider']}: {note}")
        return bool(result["ok"])
    body: dict[str, Any] = {"model": model, "operation": operation}
    if card:  # a gateway of an earlier release does not know the field
        body["card"] = True
    result = call.ask_providers("providers.probe", provider["id"], body=body)
    _show_probe(call, result)
    return bool(result["ok"])


def _show_probe(call: Call, result: Record) -> None:
    """The answer, and for people its checks below it, a line each."""
    checks = result.get("checks")
    if not checks or call.printer.format not in ("table", "wide") or call.options.shape.is_chosen:
        call.printer.record(result, PROBED)
        return
    call.printer.record({name: result[name] for name in result if name != "checks"}, PROBED)
    call.console.data("")
    call.printer.rows(checks, CARD, next_cursor=lambda: None)


@verb(noun, "models", "listing or change")
def models(
    call: Call,
    name: Name,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask it anew, even if it was asked a minute ago.")
    ] = False,
    map_offered: Import = False,
) -> None:
    """List the models that a provider offers."""
    provider = call.find("providers", name)
    if not map_offered:
        query = {"refresh": refresh or None}
        call.show_list("providers.models", MODELS, provider["id"], query=query)
        return
    offers = offers_of(call, provider, refresh=refresh)
    if call.options.filter is not None:
        kept = {row["model"] for row in selected(call.options.filter, [o.as_row() for o in offers])}
        offers = [offer for offer in offers if offer.model in kept]
    if not offers:
        call.narrate(f"every model of {provider['name']} has an alias, or its name is taken")
        return
    map_all(call, offers)
