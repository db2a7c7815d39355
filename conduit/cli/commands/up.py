"""`conduit up`: a gateway on this machine, set up the first time."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from conduit.cli.call import Call
from conduit.cli.chat.models import chat_model
from conduit.cli.failures import Exit, Failure
from conduit.cli.local import process
from conduit.cli.local.settings_flags import (
    AdminClientCaFile,
    AdminHost,
    AdminPort,
    CertificateFile,
    Config,
    Database,
    Host,
    KeyFile,
    LogFormat,
    LogLevel,
    Port,
    overrides,
)
from conduit.cli.local.welcome import welcome
from conduit.cli.program import invocation
from conduit.cli.verbs import Noun, verb
from conduit.client import contexts
from conduit.client.contexts import LOCAL, Context
from conduit.core.aliases import taken_by
from conduit.core.announcement import AnnouncedProvider, Announcement
from conduit.core.redaction import redacted

noun = Noun("Start a gateway on this machine; the first time, set it up.")
_LOG_TAIL_BYTES = 4000
_FULL_LOG_BYTES = 10_000_000


@verb(noun)
def up(
    call: Call,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Run in the background; conduit down stops it.")
    ] = False,
    host: Host = None,
    port: Port = None,
    tls_certificate_file: CertificateFile = None,
    tls_key_file: KeyFile = None,
    admin_host: AdminHost = None,
    admin_port: AdminPort = None,
    admin_client_ca_file: AdminClientCaFile = None,
    db: Database = None,
    config: Config = None,
    simulator: Annotated[
        bool, typer.Option("--simulator", help="Offer the simulated provider too.")
    ] = False,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
    detached_child: Annotated[bool, typer.Option("--detached-child", hidden=True)] = False,
) -> None:
    """Start a gateway on this machine and stay with it until Ctrl-C.

    The first start makes the database, a master key and a virtual key, and takes up the providers
    whose keys it finds in the environment; without any, a simulated one.
    """
    contexts.load()  # what cannot be read is told before keys are made that it should keep
    found = process.running()
    if found is not None:
        call.console.say(f"already running at {found.url} (process {found.pid})")
        return
    if detach:
        _start_detached(call)
        return
    settings = overrides(
        host=host,
        port=port,
        tls_certificate_file=tls_certificate_file,
        tls_key_file=tls_key_file,
        admin_host=admin_host,
        admin_port=admin_port,
        admin_client_ca_file=admin_client_ca_file,
        database_url=db,
        log_format=log_format,
        log_level=log_level,
    )
    raise typer.Exit(_run(call, settings, config, simulator=simulator, detached=detached_child))


def _run(
    call: Call,
    settings: Mapping[str, object],
    config: str | None,
    *,
    simulator: bool,
    detached: bool,
) -> int:
    gc.disable()  # until the gateway runs: what is imported stays
    from conduit.core.settings_sources import CommandDefault  # noqa: PLC0415  # deferred: pydantic
    from conduit.gateway.run import serve  # noqa: PLC0415  # deferred: the whole gateway

    # There is no load balancer that has to notice.
    settings = {"drain_accept_s": CommandDefault(0.0, "conduit up"), **settings}

    def announce(announcement: Announcement) -> None:
        announcement = _kept(announcement)
        if detached:
            _hand_over(announcement)
        else:
            _print(call, announcement)
            call.console.say("Ctrl-C stops the gateway.")

    try:
        return serve(
            settings, config_file=config, mode="up", announce=announce, simulator=simulator
        )
    finally:
        process.forget()


def _kept(announcement: Announcement) -> Announcement:
    """What is announced, once it is kept; with a warning where it cannot be.

    The gateway runs all the same: its keys are shown this once and never again.
    """
    warnings = []
    try:
        _store(announcement)
    except (contexts.ContextError, OSError) as error:
        warnings.append(f"URL and keys are not kept for this machine, so keep them now: {error}")
    try:
        process.remember(announcement.url)
    except OSError as error:
        warnings.append(f"conduit down will not find this gateway: {error}")
    return replace(announcement, warnings=(*announcement.warnings, *warnings))


def _store(announcement: Announcement) -> None:
    """Keep URL and keys as the context "local"; what it says otherwise stays."""
    known = contexts.load().by_name.get(LOCAL)
    model = known.default_model if known is not None else None
    if model is None or taken_by(model, announcement.models) is None:
        model = chat_model((*announcement.models, *announcement.examples))
    base = known or Context(LOCAL, announcement.url)
    ca_file = base.ca_file
    if announcement.certificate_file is not None:
        # On this machine it is known by its certificate, whoever has signed that.
        ca_file = str(Path(announcement.certificate_file).resolve())
    context = replace(
        base,
        url=announcement.url,
        admin_url=announcement.admin_url,
        default_model=model,
        ca_file=ca_file,
    )
    contexts.save(context)
    contexts.store_secrets(
        LOCAL,
        announcement.url,
        master_key=announcement.master_key,
        virtual_key=announcement.virtual_key,
        moved=True,
        admin_url=context.admin_url,
    )


def _print(call: Call, announcement: Announcement) -> None:
    known = contexts.load()
    context = known.by_name.get(LOCAL)
    if context is None:  # it could not be kept
        model = chat_model((*announcement.models, *announcement.examples))
    else:
        model = context.default_model
    text = welcome(
        announcement,
        model,
        is_current=known.current == LOCAL,
        program=invocation(),
    )
    call.console.data(text)
    call.console.out.file.flush()


def _hand_over(announcement: Announcement) -> None:
    """Tell the waiting parent over the pipe that is our stdout, then let go of it.

    A pipe and not a file or an argument: the keys in it are never written anywhere else.
    """
    try:
        sys.stdout.write(json.dumps(asdict(announcement)) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # nobody waits any more, which does not stop a gateway
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _start_detached(call: Call) -> None:
    arguments = [word for word in sys.argv[1:] if word not in ("-d", "--detach")]
    log = process.log_file()
    try:
        contexts.make_private_folder(log.parent)
    except OSError as error:
        raise Failure(f"its log cannot be written: {error}", code="local_config") from error
    if log.exists() and log.stat().st_size > _FULL_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "ab") as log_stream:
        before = log_stream.tell()
        child = subprocess.Popen(
            [sys.executable, "-m", "conduit.cli", *arguments, "--detached-child"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log_stream,
            start_new_session=True,
        )
    assert child.stdout is not None
    with call.console.waiting("starting the gateway"), child.stdout:
        line = child.stdout.readline()
    if not line:
        code = child.wait()
        with log.open("rb") as log_text:
            log_text.seek(max(before, log.stat().st_size - _LOG_TAIL_BYTES))
            said = redacted(log_text.read().decode("utf-8", "replace")).strip()
        raise Failure(
            said.splitlines()[-1].removeprefix("error: ") if said else f"it ended with {code}",
            code="start_failed",
            exit_code=Exit.USAGE if code == Exit.USAGE else Exit.REFUSED,
            hint=f"its log: {log}",
        )
    _print(call, _announcement_of(json.loads(line)))
    call.console.say(f"running in the background (process {child.pid}); log: {log}")
    call.console.next_step(f"{invocation()} down stops it")


def _announcement_of(fields: dict[str, Any]) -> Announcement:
    providers = tuple(AnnouncedProvider(**provider) for provider in fields.pop("providers"))
    lists = {name: tuple(fields[name]) for name in ("models", "examples", "warnings")}
    return Announcement(providers=providers, **{**fields, **lists})
