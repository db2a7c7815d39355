"""`conduit context`: the gateways that this machine knows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Annotated

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.console import Tone
from conduit.cli.failures import Exit, Failure, is_of_key
from conduit.cli.options import KeyEnv, KeyFile, KeyStdin
from conduit.cli.output import Column, View
from conduit.cli.refused_keys import tell_client_key, tell_master_key
from conduit.cli.verbs import Noun, verb
from conduit.client import contexts
from conduit.client.api import Record
from conduit.client.blocking import Target
from conduit.client.contexts import Context, ContextError, Resolved
from conduit.client.errors import ApiError
from conduit.core import people

noun = Noun("Gateways that this machine knows, each with its URL and keys.")
ACCENTS = ("red", "yellow", "green", "cyan", "magenta", "blue", "white")
_CONFIRMS = ("y", "typed")


def _tone(row: Record) -> Tone:
    return "good" if row["current"] else "dim"


VIEW = View(
    columns=(
        Column("name", "name"),
        Column("current", "current", lambda row: "yes" if row["current"] else "no", tone=_tone),
        Column("url", "url"),
        Column("master key", "master_key", lambda row: "stored" if row["master_key"] else "-"),
        Column("virtual key", "virtual_key", lambda row: "stored" if row["virtual_key"] else "-"),
        Column("read-only", "read_only", lambda row: "yes" if row["read_only"] else "no"),
        Column("confirm", "confirm", wide=True),
        Column("model", "default_model"),
        Column("admin url", "admin_url", wide=True),
        Column("color", "color", wide=True),
        Column("ca file", "ca_file", wide=True),
        Column("client certificate", "client_certificate_file", wide=True),
        Column("client key", "client_key_file", wide=True),
    ),
    id_path="name",
    empty="no contexts yet; conduit up makes one, or: conduit context add NAME --url URL",
)
TESTED = View(
    columns=(
        Column("context", "context"),
        Column("url", "url"),
        Column("state", "ready", lambda row: "ready" if row["ready"] else "not ready"),
        Column("latency", "latency_ms", lambda row: people.milliseconds(row["latency_ms"])),
        Column("master key", "master_key"),
        Column("virtual key", "virtual_key"),
        Column("models", "models", right=True),
    ),
    id_path="context",
)
ContextName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the context.")]


def _row(call: Call, context: Context) -> Record:
    stored = call.contexts.credentials.get(context.name)
    return {
        "name": context.name,
        "current": call.contexts.current == context.name,
        "url": context.url,
        "admin_url": context.admin_url,
        "master_key": stored is not None
        and stored.admin == context.admin
        and stored.master_key is not None,
        "virtual_key": stored is not None
        and stored.url == context.url
        and stored.virtual_key is not None,
        "read_only": context.read_only,
        "confirm": "typed" if context.confirm_typed else "y",
        "default_model": context.default_model,
        "color": context.color,
        "ca_file": context.ca_file,
        "client_certificate_file": context.client_certificate_file,
        "client_key_file": context.client_key_file,
    }


@verb(noun, "list", "listing")
def list_contexts(call: Call) -> None:
    """List contexts; secrets are never shown."""
    call.show_rows([_row(call, context) for context in call.contexts.by_name.values()], VIEW)


@verb(noun, "show", "output")
def show(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The one in force when left out.")
    ] = None,
) -> None:
    """Show a context, or which gateway this call would reach and why."""
    if name is not None:
        call.printer.record(_row(call, _known(call, name)), VIEW)
        return
    where = call.where
    row = {
        "context": where.context.name if where.context is not None else None,
        "url": where.url,
        "url_origin": where.url_origin,
        "admin_url": where.admin,
        "master_key": where.master_key_origin,
        "virtual_key": where.virtual_key_origin,
        "config_file": str(contexts.config_file()),
    }
    call.printer.record(row, View(tuple(Column(field, field) for field in row), "context"))


def _known(call: Call, name: str) -> Context:
    context = call.contexts.by_name.get(name)
    if context is None:
        known = ", ".join(sorted(call.contexts.by_name)) or "none yet"
        raise ContextError(f"there is no context {name!r} (known: {known})")
    return context


@verb(noun, "use", "change")
def use(call: Call, name: ContextName) -> None:
    """Make a context the current one."""
    context = _known(call, name)
    if call.options.dry_run:
        call.plan_here({"current": call.contexts.current}, {"current": name})
        return
    contexts.use(name)
    said = f"now using context {name} ({context.url})"
    call.show_done({"current": name, "url": context.url}, said, then="conduit status")


AdminUrl = Annotated[
    str | None,
    typer.Option("--admin-url", metavar="URL", help="Its admin API, where that is elsewhere."),
]
VirtualKeyFile = Annotated[
    str | None,
    typer.Option("--virtual-key-file", metavar="PATH", help="Virtual key that chat uses."),
]
VirtualKeyEnv = Annotated[
    str | None,
    typer.Option("--virtual-key-env", metavar="NAME", help="The same, from this variable."),
]
Confirm = Annotated[
    str | None,
    typer.Option("--confirm", metavar="HOW", help="typed: have names typed, not just a y."),
]
Accent = Annotated[
    str | None,
    typer.Option("--color", metavar="COLOR", help=f"Accent: {', '.join(ACCENTS)}."),
]
CaFile = Annotated[
    str | None, typer.Option("--ca-file", metavar="PATH", help="Authorities to trust.")
]
ClientCertificateFile = Annotated[
    str | None,
    typer.Option(
        "--client-certificate-file", metavar="PATH", help="Certificate to show where one is wanted."
    ),
]
ClientKeyFile = Annotated[
    str | None,
    typer.Option("--client-key-file", metavar="PATH", help="Its key, if that is in another file."),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="ALIAS", help="Model that chat uses.")
]


@verb(noun, "add", "change")
def add(
    call: Call,
    name: ContextName,
    admin_url: AdminUrl = None,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
    virtual_key_file: VirtualKeyFile = None,
    virtual_key_env: VirtualKeyEnv = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse every change made through it.")
    ] = False,
    confirm: Confirm = None,
    accent: Accent = None,
    ca_file: CaFile = None,
    client_certificate_file: ClientCertificateFile = None,
    client_key_file: ClientKeyFile = None,
    model: Model = None,
) -> None:
    """Add a context, with the master key if one is given.

    conduit context add prod --url https://gw.example --key-stdin < key.txt
    """
    url = call.options.choice.url
    if url is None:
        raise ContextError("--url URL is needed")
    if name in call.contexts.by_name:
        raise Failure(
            f"there is a context {name!r} already: {call.contexts.by_name[name].url}",
            code="conflict",
            exit_code=Exit.CONFLICT,
            hint=f"change it with: conduit context update {name} ...",
        )
    inputs.require_one_of(accent, ACCENTS, "--color")
    inputs.require_one_of(confirm, _CONFIRMS, "--confirm")
    master = inputs.read_secret(inputs.SecretSource(key_file, key_stdin, key_env))
    virtual = _virtual_key(virtual_key_file, virtual_key_env)
    context = Context(
        name=name,
        url=contexts.normalized(url),
        ca_file=ca_file,
        read_only=read_only,
        default_model=model,
        admin_url=contexts.normalized(admin_url) if admin_url is not None else None,
        color=accent,
        confirm_typed=confirm == "typed",
        client_certificate_file=client_certificate_file,
        client_key_file=client_key_file,
    )
    if call.options.dry_run:
        call.plan_here({}, asdict(context))
        return
    contexts.save(context)
    if master is not None or virtual is not None:
        _store(context, master, virtual)
    said = f"added context {name} for {context.url}"
    call.show_done(asdict(context), said, then=f"conduit context use {name}")


@verb(noun, "update", "change")
def update(
    call: Call,
    name: ContextName,
    admin_url: AdminUrl = None,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
    virtual_key_file: VirtualKeyFile = None,
    virtual_key_env: VirtualKeyEnv = None,
    read_only: Annotated[
        bool | None,
        typer.Option("--read-only/--no-read-only", help="Refuse every change made through it."),
    ] = None,
    confirm: Confirm = None,
    accent: Accent = None,
    ca_file: CaFile = None,
    client_certificate_file: ClientCertificateFile = None,
    client_key_file: ClientKeyFile = None,
    model: Model = None,
) -> None:
    """Change what is named of a context; at a new URL its keys must be entered again.

    An empty --admin-url, --color, --model or file of TLS takes that away.
    """
    known = _known(call, name)
    inputs.require_one_of(accent or None, ACCENTS, "--color")
    inputs.require_one_of(confirm, _CONFIRMS, "--confirm")
    master = inputs.read_secret(inputs.SecretSource(key_file, key_stdin, key_env))
    virtual = _virtual_key(virtual_key_file, virtual_key_env)
    url = call.options.choice.url
    named = {
        "url": contexts.normalized(url) if url is not None else None,
        "admin_url": contexts.normalized(admin_url) if admin_url else admin_url,
        "read_only": read_only,
        "confirm_typed": None if confirm is None else confirm == "typed",
        "color": accent,
        "ca_file": ca_file,
        "client_certificate_file": client_certificate_file,
        "client_key_file": client_key_file,
        "default_model": model,
    }
    changes: Record = {
        field: None if value == "" else value for field, value in named.items() if value is not None
    }
    if not changes and master is None and virtual is None:
        raise Failure("nothing to change: give a URL, a key or another option")
    context = replace(known, **changes)
    if call.options.dry_run:
        call.plan_here(asdict(known), asdict(context))
        return
    contexts.save(context)
    stored = call.contexts.credentials.get(name)
    if stored is not None or master is not None or virtual is not None:
        _store(context, master, virtual)
    call.show_done(asdict(context), f"updated context {name}", then=f"conduit context test {name}")


def _virtual_key(file: str | None, variable: str | None) -> str | None:
    return inputs.read_secret(inputs.SecretSource(file, variable=variable), flag="--virtual-key")


def _store(context: Context, master: str | None, virtual: str | None) -> None:
    contexts.store_secrets(
        context.name,
        context.url,
        master_key=master,
        virtual_key=virtual,
        admin_url=context.admin_url,
    )


@verb(noun, "rename", "change")
def rename(
    call: Call,
    name: ContextName,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
) -> None:
    """Give a context another name; its keys come along."""
    context = _known(call, name)
    if call.options.dry_run:
        call.plan_here(asdict(context), asdict(replace(context, name=new)))
        return
    contexts.rename(name, new)
    call.show_done(asdict(replace(context, name=new)), f"renamed context {name} to {new}")


@verb(noun, "remove", "danger")
def remove(call: Call, name: ContextName) -> None:
    """Forget a context with its stored keys."""
    context = _known(call, name)
    call.confirm(f"Forget context {name} and its keys?", name)
    if call.options.dry_run:
        call.plan_here(asdict(context), dict.fromkeys(asdict(context)))
        return
    contexts.remove(name)
    call.show_done({"name": name, "url": context.url, "deleted": True}, f"forgot context {name}")


@verb(noun, "test", "output")
def try_out(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The one in force when left out.")
    ] = None,
) -> None:
    """Reach a context's gateway and see what its keys open; unreachable is exit 3, refused 4."""
    where = call.where if name is None else _resolved(call, name)
    began = time.monotonic()
    gateway = call.gateway_at(Target(where.admin, where.master_key, where.tls))
    with call.console.waiting(f"waiting for {where.admin}"):
        ready = gateway.probe("/health/ready") == 200
        latency_ms = round((time.monotonic() - began) * 1000)
        if where.master_key is not None:
            with _refused(tell_master_key, where):
                gateway.call("whoami")
        models = None
        if where.virtual_key is not None:
            client = call.gateway_at(Target(where.url, where.virtual_key, where.tls))
            with _refused(tell_client_key, where):
                models = len(client.models())
    row = {
        "context": where.context.name if where.context is not None else None,
        "url": where.url,
        "ready": ready,
        "latency_ms": latency_ms,
        "master_key": "accepted" if where.master_key is not None else "none",
        "virtual_key": "accepted" if where.virtual_key is not None else "none",
        "models": models,
    }
    call.printer.record(row, TESTED)


@contextmanager
def _refused(tell: Callable[[ApiError, Resolved], None], where: Resolved) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if is_of_key(error):
            tell(error, where)
        raise


def _resolved(call: Call, name: str) -> Resolved:
    """A context as `-C NAME` would have it, whatever the environment says."""
    return contexts.resolve(call.contexts, contexts.Choice(context=_known(call, name).name), {})
