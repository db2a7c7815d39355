"""`conduit providers credentials`: what opens a provider, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.failures import Exit, Failure
from conduit.cli.options import SECRET_FLAGS, KeyEnv, KeyFile, KeyStdin
from conduit.cli.output import Column, View
from conduit.cli.routing import left_out
from conduit.cli.verbs import Noun, verb
from conduit.client.api import Record
from conduit.core import people

noun = Noun("Credentials of a provider: several share its calls by weight.", subject_first=True)


def _cap(credential: Record, name: str) -> str:
    return people.count(credential.get(name))


VIEW = View(
    columns=(
        Column("name", "name"),
        Column("state", "state", left_out.state_of, tone=left_out.tone_of, firm=True),
        Column("primary", "primary"),
        Column("source", "source"),
        Column("hint", "hint"),
        Column("host", "host", spare=1),
        Column("weight", "weight", right=True),
        Column("at once", "max_in_flight", lambda c: _cap(c, "max_in_flight"), right=True),
        Column("rpm", "requests_per_minute", lambda c: _cap(c, "requests_per_minute"), right=True),
        Column("id", "id", wide=True),
        Column("created", "created_at", lambda c: people.moment(c["created_at"]), wide=True),
        Column("left out", "left_out.state", wide=True, told=True),
        Column("for", "left_out.model", wide=True),
        Column("why", "left_out.reason", wide=True),
        Column("until", "left_out.until", wide=True),
    ),
    empty="no credentials; add one with: conduit providers credentials add PROVIDER",
)
TESTED = View(
    columns=(
        Column("ok", "ok", tone=lambda test: "good" if test["ok"] else "bad"),
        Column("credential", "credential"),
        Column("latency", "latency_ms", lambda test: people.milliseconds(test["latency_ms"])),
        Column("models", "models", right=True),
        Column("error", "error"),
    ),
    id_path="credential",
)
EnvReference = Annotated[
    str | None,
    typer.Option(
        "--env", metavar="NAME", help="Refer to this variable of the gateway; nothing is stored."
    ),
]
FileReference = Annotated[
    str | None,
    typer.Option("--file", metavar="PATH", help="Refer to this file of the gateway's machine."),
]
Weight = Annotated[
    int | None,
    typer.Option("--weight", metavar="N", help="Its share of calls; 0: where no other can be."),
]
MaxInFlight = Annotated[
    str | None,
    typer.Option("--max-in-flight", metavar="N", help="Most calls at once with it, or none."),
]
RequestsPerMinute = Annotated[
    str | None, typer.Option("--rpm", metavar="N", help="Most calls a minute with it, or none.")
]
Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="Name, id or prefix.")]
Credential = Annotated[str, typer.Argument(metavar="CREDENTIAL", help="Name or id.")]
Credentials = Annotated[
    list[str], typer.Argument(metavar="CREDENTIAL...", help="Names or ids; - reads stdin.")
]


@dataclass(frozen=True, slots=True)
class Asking:
    """Whether a person is asked for a credential, and what it may look like.

    `offered` asks for one that may be left out, too. `forms` are the provider type's own words.
    """

    needed: bool = True
    offered: bool = False
    forms: Sequence[str] = ()


def entered(
    call: Call,
    source: inputs.SecretSource,
    env: str | None,
    file: str | None,
    *,
    asking: Asking | None = None,
) -> dict[str, Any] | None:
    """What was given as a credential, else asked for where one is needed. Raises Failure."""
    asking = asking or Asking()
    if source.is_given() + (env is not None) + (file is not None) > 1:
        raise Failure("give the key once: as a secret, --env NAME or --file PATH")
    if env is not None:
        return {"env": env}
    if file is not None:
        return {"file": file}
    secret = inputs.read_secret(source)
    if secret is None and call.may_ask and (asking.needed or asking.offered) and asking.forms:
        call.console.say(f"The credential may be: {'; '.join(asking.forms)}")
        if any(form.startswith(("{", "the JSON")) for form in asking.forms):
            call.console.say("JSON of several lines: stop here, and give it with --key-file", "dim")
    if secret is None and asking.needed:
        flags = f"{SECRET_FLAGS}, or refer to it with --env NAME"
        secret = call.ask_secret("Provider's API key: ", instead=flags)
    elif secret is None and asking.offered and call.may_ask:
        secret = call.ask_secret("Provider's API key (empty for none): ", instead="", optional=True)
    return None if not secret else {"secret": secret}


def _limits(weight: int | None, max_in_flight: str | None, rpm: str | None) -> dict[str, Any]:
    """The share and the caps that were given; `none` takes a cap away. Raises Failure."""
    limits: dict[str, Any] = {} if weight is None else {"weight": weight}
    caps = (
        ("max_in_flight", "--max-in-flight", max_in_flight),
        ("requests_per_minute", "--rpm", rpm),
    )
    for name, flag, text in caps:
        if text is not None:
            limits[name] = None if text == "none" else inputs.count(text, flag)
    return limits


@verb(noun, "list", "listing")
def list_credentials(call: Call, provider: Provider) -> None:
    """List the credentials of a provider; secrets are never shown."""
    owner = call.find("providers", provider)
    call.show_list(
        "credentials.list",
        VIEW,
        owner["id"],
        then=lambda credential: left_out.undoing(owner["name"], [credential]),
    )


@verb(noun, "add", "change")
def add(
    call: Call,
    provider: Provider,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Its name.")] = "default",
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
    env: EnvReference = None,
    file: FileReference = None,
    weight: Weight = None,
    max_in_flight: MaxInFlight = None,
    rpm: RequestsPerMinute = None,
) -> None:
    """Add a credential to a provider."""
    owner = call.find("providers", provider)
    source = inputs.SecretSource(key_file, key_stdin, key_env)
    limits = _limits(weight, max_in_flight, rpm)
    body = {"name": name, **(entered(call, source, env, file) or {}), **limits}
    added = call.change("credentials.create", owner["id"], body=body)
    if added is not None:
        call.show_changed(
            added,
            VIEW,
            f"added credential {added['name']} to {owner['name']}",
            then=f"conduit providers credentials test {owner['name']} {added['name']}",
        )


@verb(noun, "update", "change")
def update(
    call: Call,
    provider: Provider,
    credential: Credential,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
    env: EnvReference = None,
    file: FileReference = None,
    weight: Weight = None,
    max_in_flight: MaxInFlight = None,
    rpm: RequestsPerMinute = None,
) -> None:
    """Put another key in the place of a credential's, or change its weight and caps.

    A key is bound to the provider's present host. With --weight, --max-in-flight or --rpm the key
    stays as it is unless one is given.

    conduit providers credentials update openai default --key-stdin < new.key
    """
    source = inputs.SecretSource(key_file, key_stdin, key_env)
    limits = _limits(weight, max_in_flight, rpm)
    key = entered(call, source, env, file, asking=Asking(needed=not limits)) or {}
    body = {**key, **limits}
    owner = call.find("providers", provider)
    before = call.fetch("credentials.show", owner["id"], credential)
    changed = call.change("credentials.update", owner["id"], before["id"], body=body, before=before)
    if changed is not None:
        name = f"{owner['name']} {changed['name']}"
        what = "has another key" if key else "has other limits"
        said = f"credential {changed['name']} of {owner['name']} {what}"
        call.show_changed(changed, VIEW, said, then=f"conduit providers credentials test {name}")


@verb(noun, "test", "output")
def try_credential(call: Call, provider: Provider, credential: Credential) -> None:
    """Try a credential without spending tokens; a failure is exit 9."""
    owner = call.find("providers", provider)
    result = call.ask_providers("credentials.test", owner["id"], credential)
    call.printer.record(result, TESTED)
    if not result["ok"]:
        raise typer.Exit(Exit.NEGATIVE)


@verb(noun, "primary", "change", unasked=True)
def primary(call: Call, provider: Provider, credential: Credential) -> None:
    """Put a credential before the others: it is used whenever it is ready."""
    _change(call, provider, credential, {"primary": True}, "is used first now")


@verb(noun, "enable", "change", unasked=True)
def enable(call: Call, provider: Provider, credentials: Credentials) -> None:
    """Use credentials again."""
    call.each(credentials, lambda name: _switch(call, provider, name, enabled=True))


@verb(noun, "disable", "change", unasked=True)
def disable(call: Call, provider: Provider, credentials: Credentials) -> None:
    """Stop using credentials."""
    call.each(credentials, lambda name: _switch(call, provider, name, enabled=False))


def _switch(call: Call, provider: str, credential: str, *, enabled: bool) -> None:
    done = "is enabled" if enabled else "is disabled"
    _change(call, provider, credential, {"enabled": enabled}, done)


def _change(call: Call, provider: str, credential: str, body: dict[str, Any], done: str) -> None:
    owner = call.find("providers", provider)
    before = call.fetch("credentials.show", owner["id"], credential)
    changed = call.change("credentials.update", owner["id"], before["id"], body=body, before=before)
    if changed is not None:
        said = f"credential {changed['name']} of {owner['name']} {done}"
        call.show_changed(changed, VIEW, said)


@verb(noun, "remove", "danger")
def remove(call: Call, provider: Provider, credentials: Credentials) -> None:
    """Remove credentials."""
    owner = call.find("providers", provider)
    call.each(
        credentials,
        lambda name: _remove(call, owner["id"], name),
        noun="credentials",
        question=f"Remove from {owner['name']} the credentials",
    )


def _remove(call: Call, provider_id: str, credential: str) -> None:
    before = call.fetch("credentials.show", provider_id, credential)
    if call.change("credentials.delete", provider_id, before["id"], before=before) is not None:
        call.show_deleted("credential", before)
