"""`conduit auth`: the master key, made, stored and checked."""

import os
import re
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated
from urllib.parse import urlsplit

import typer

from conduit.cli import inputs
from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.cli.options import SECRET_FLAGS, KeyEnv, KeyFile, KeyStdin
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.cli.writing import NewFile, refuse_taken
from conduit.client import contexts
from conduit.client.api import Record
from conduit.client.blocking import Target
from conduit.client.contexts import Context, ContextError, Resolved
from conduit.client.errors import AuthenticationFailed
from conduit.core.keys import is_virtual_key, make_master_key

noun = Noun("Master key: make one, store it for a gateway, see whether it opens.")
_HIDDEN = "***"
KEY = View((Column("master key", "master_key"),), "master_key")
ROTATED = View(
    (Column("master key", "secret"), Column("former ends", "former_expires_at")), "secret"
)
WHO = View((Column("role", "role"), Column("url", "url"), Column("key from", "origin")), "role")


Out = Annotated[
    str | None,
    typer.Option("--out", metavar="FILE", help="Write it to a file (0600), not stdout."),
]


@verb(noun, "init", "change")
def init(call: Call, out: Out = None) -> None:
    """Make a master key for a server; nothing is sent anywhere."""
    if call.options.dry_run:
        path = refuse_taken(out) if out is not None else None
        call.plan_here({}, {"file": None if path is None else str(path), "master_key": _HIDDEN})
        return
    key = make_master_key()
    if out is None:
        if call.options.quiet and call.printer.format == "id":
            call.console.data(key)
            return
        call.printer.record({"master_key": key}, KEY)
        call.narrate("keep it now: it is stored nowhere", then="conduit serve, given it as below")
        call.console.say("  CONDUIT_MASTER_KEY_FILE=FILE conduit serve", "dim")
        return
    with NewFile(out) as file:
        file.write(f"{key}\n")
        file.keep()
    call.show_done(
        {"file": out},
        f"made a master key; it is in {out}",
        then=f"CONDUIT_MASTER_KEY_FILE={out} conduit serve",
    )


@verb(noun, "login", "change")
def login(
    call: Call,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONTEXT]",
            help="Context to store it for.  [default: the one of --url, else the current]",
        ),
    ] = None,
    key_file: KeyFile = None,
    key_stdin: KeyStdin = False,
    key_env: KeyEnv = None,
) -> None:
    """Check a master key and store it for a context, bound to the context's URL.

    For a URL that no context has, a context is made and named after the host.
    """
    name = name or call.options.choice.context or _context_name(call)
    known = call.contexts.by_name.get(name)
    url = call.options.choice.url or (known.url if known is not None else call.where.url)
    url = contexts.normalized(url)
    tls = contexts.tls_files(known, os.environ, by_flag=call.options.choice.context is not None)
    key = inputs.read_secret(inputs.SecretSource(key_file, key_stdin, key_env))
    if key is None:
        key = call.ask_secret(f"Master key of {url}: ", instead=SECRET_FLAGS)
    key = contexts.sendable_key(key, "the master key")
    admin = known.admin if known is not None and known.url == url else url
    try:
        call.gateway_at(Target(admin, key, tls)).call("whoami")
    except AuthenticationFailed as error:
        known_kind = "that is a virtual key: " if is_virtual_key(key) else ""
        error.message = f"{admin} does not know this master key"
        error.hint = f"{known_kind}the master key of {admin} is needed; nothing was stored"
        raise
    if call.options.dry_run:
        _plan_login(call, name, url, key)
        return
    if known is None:
        contexts.save(Context(name, url))
    elif known.url != url:
        contexts.save(replace(known, url=url, admin_url=None))
    contexts.store_secrets(name, url, master_key=key, admin_url=admin)
    others = call.contexts.current not in (None, name)
    call.show_done(
        {"context": name, "url": url},
        f"stored the master key of {url} for context {name}",
        then=f"conduit -C {name} status, or conduit context use {name}"
        if others
        else "conduit status",
    )


def _plan_login(call: Call, name: str, url: str, key: str) -> None:
    known, secrets = call.contexts.by_name.get(name), call.contexts.credentials.get(name)
    former = secrets.master_key if secrets is not None else None
    before: Record = {
        "context": name if known is not None else None,
        "url": known.url if known is not None else None,
        "master_key": _HIDDEN if former is not None else None,
    }
    another = former is not None and former != key
    hidden = f"{_HIDDEN} (another one)" if another else _HIDDEN
    call.plan_here(before, {"context": name, "url": url, "master_key": hidden})


def _context_name(call: Call) -> str:
    """The context meant by a login that names none; never one with another URL than `--url`."""
    known = call.contexts
    usual = known.current or contexts.LOCAL
    if call.options.choice.url is None:
        return usual
    url = contexts.normalized(call.options.choice.url)
    with_url = [name for name, context in known.by_name.items() if context.url == url]
    if with_url:
        return usual if usual in with_url else with_url[0]
    derived = re.sub(r"[^A-Za-z0-9.-]+", "-", urlsplit(url).netloc).strip("-.")[:64] or "gateway"
    if derived in known.by_name:
        raise Failure(
            f"context {derived} belongs to {known.by_name[derived].url}: name another one",
            hint=f"conduit auth login NAME --url {url}",
        )
    return derived


@verb(noun, "whoami", "output")
def whoami(call: Call) -> None:
    """Show what the key in force may do, and where it came from."""
    answer = call.fetch("whoami")
    row = {**answer, "url": call.where.url, "origin": call.where.master_key_origin}
    call.printer.record(row, WHO)


@verb(noun, "logout", "change")
def logout(
    call: Call,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[CONTEXT]", help="Context to forget it for.  [default: as login]"),
    ] = None,
) -> None:
    """Forget the master key stored for a context; at the gateway it stays good."""
    name = name or call.options.choice.context or _context_name(call)
    if call.options.dry_run:
        contexts.require_known(name)
        stored = call.contexts.credentials.get(name)
        there = stored is not None and stored.master_key is not None
        call.plan_here({"master_key": _HIDDEN if there else None}, {"master_key": None})
        return
    forgotten = contexts.forget_master_key(name)
    said = (
        "forgot the master key of context" if forgotten else "no master key was stored for context"
    )
    call.show_done(
        {"context": name, "forgotten": forgotten},
        f"{said} {name}",
        then="conduit auth login" if forgotten else None,
    )


@verb(noun, "rotate-master", "danger")
def rotate_master(
    call: Call,
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="TIME", help="The present key stays good: 24h; 0 ends it at once."
        ),
    ] = "24h",
    out: Out = None,
) -> None:
    """Give the gateway a new master key; it is shown this once.

    It takes the place of the present one in every context that has that one for this gateway.
    """
    grace_s = 0 if grace.strip() == "0" else round(inputs.duration_s(grace, "--grace"))
    if not grace_s and grace.strip() != "0":
        raise Failure(f"--grace: 0 or at least 1s is expected, not {grace!r}")
    where = call.where
    label = where.context.name if where.context is not None else urlsplit(where.url).netloc
    call.confirm(f"Replace the master key of {where.url}?", label, severe=True)
    # Opened first: a path that cannot be written must not cost the only copy.
    with nullcontext() if out is None else NewFile(out) as file:
        rotated = call.change("auth.rotate_master", body={"grace_s": grace_s})
        if rotated is None:
            return
        kept = _hand_over(call, where, rotated, file)
    until = rotated["former_expires_at"]
    former = f"the former one is good until {until}" if until else "the former one has ended"
    call.narrate(f"the gateway has a new master key; {former}", then=_next_step(kept, where))


def _hand_over(call: Call, where: Resolved, rotated: Record, file: NewFile | None) -> list[str]:
    """Show the new key or write it, and keep it; the contexts that it is stored for."""
    key = rotated["secret"]
    if file is None:
        # Shown first: what goes wrong below must not lose the only copy.
        call.printer.record(rotated, ROTATED)
        return _keep(call, where, key)
    try:
        kept = _keep(call, where, key)
        file.write(f"{key}\n")
        file.keep()
    except (ContextError, Failure):
        call.console.data(key)
        raise
    return kept


def _keep(call: Call, where: Resolved, key: str) -> list[str]:
    """Store a new key wherever the one it replaces was stored for this gateway."""
    holding = [
        name
        for name, stored in call.contexts.credentials.items()
        if stored.admin == where.admin and stored.master_key == where.master_key
    ]
    for name in holding:
        stored = call.contexts.credentials[name]
        contexts.store_secrets(name, stored.url, master_key=key, admin_url=stored.admin)
    return holding


def _next_step(kept: list[str], where: Resolved) -> str:
    if where.master_key_origin.startswith("env "):
        return f"put it where the former one is, too: {where.master_key_origin}"
    names = ", ".join(kept)
    return f"nothing here: it is stored for context {names}. Give it to those who need it"
