"""`conduit serve`: a gateway in the foreground, for servers."""

import gc
import os

import typer

from conduit.cli.call import Call
from conduit.cli.settings_flags import (
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
    Workers,
    overrides,
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
    config: Config = None,
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
        log_format=log_format,
        log_level=log_level,
    )
    # What platforms set for the program that they run; other commands might meet somebody else's.
    if (url := os.environ.get("DATABASE_URL")) and "database_url" not in settings:
        settings["database_url"] = CommandDefault(url, "DATABASE_URL")
    # Its log says where it listens.
    code = run_gateway(settings, config_file=config, mode="serve", announce=lambda _: None)
    raise typer.Exit(code)
