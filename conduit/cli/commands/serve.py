"""`conduit serve`: a gateway in the foreground, for servers."""

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from conduit.cli.call import Call
from conduit.cli.failures import Failure
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
    Redis,
    Workers,
    overrides,
    warn_of_password,
)
from conduit.cli.verbs import Noun, verb

noun = Noun("Run a gateway in the foreground, for servers.")


@verb(noun)
def serve(
    call: Call,
    host: Host = None,
    port: Port = None,
    tls_certificate_file: CertificateFile = None,
    tls_key_file: KeyFile = None,
    admin_host: AdminHost = None,
    admin_port: AdminPort = None,
    admin_client_ca_file: AdminClientCaFile = None,
    workers: Workers = None,
    db: Database = None,
    redis: Redis = None,
    config: Config = None,
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Read settings again when their file or .env changes."),
    ] = False,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Run a gateway until SIGTERM; it needs a master key and never prints a secret.

    Settings come from flags, CONDUIT_* variables, .env and a TOML file: conduit config show.
    """
    gc.disable()  # until the gateway runs: what is imported stays
    from conduit.core.settings_sources import CommandDefault  # noqa: PLC0415  # deferred: pydantic
    from conduit.gateway.run import (  # noqa: PLC0415  # deferred: the whole gateway
        serve as run_gateway,
    )

    settings = overrides(
        host=host,
        port=port,
        tls_certificate_file=tls_certificate_file,
        tls_key_file=tls_key_file,
        admin_host=admin_host,
        admin_port=admin_port,
        admin_client_ca_file=admin_client_ca_file,
        workers=workers,
        database_url=db,
        redis_url=redis,
        log_format=log_format,
        log_level=log_level,
    )
    for flag, url, variable in (
        ("--db", db, "CONDUIT_DATABASE_URL"),
        ("--redis", redis, "CONDUIT_REDIS_URL"),
    ):
        if url is not None:
            warn_of_password(call, flag, url, variable)
    # What platforms set for the program that they run; other commands might meet somebody else's.
    if (url := os.environ.get("DATABASE_URL")) and "database_url" not in settings:
        settings["database_url"] = CommandDefault(url, "DATABASE_URL")
    if reload:
        _read_again_on_change(config)
    # Its log says where it listens.
    code = run_gateway(settings, config_file=config, mode="serve", announce=lambda _: None)
    raise typer.Exit(code)


def _read_again_on_change(config: str | None) -> None:
    if sys.platform == "win32":
        raise Failure("--reload: there is no SIGHUP here; use conduit config reload")
    from conduit.cli.local.file_watch import watch_settings  # noqa: PLC0415  # deferred: few want it
    from conduit.core.settings_sources import settings_file  # noqa: PLC0415  # the same

    watch_settings((settings_file(config), Path(".env").absolute()))
