"""The flags of `up` and `serve`, each of which is a setting of the gateway."""

from typing import Annotated
from urllib.parse import urlsplit

import typer

from conduit.cli.call import Call

Host = Annotated[
    str | None,
    typer.Option("--host", metavar="ADDRESS", help="Listen here.  [default: 127.0.0.1]"),
]
Port = Annotated[
    int | None, typer.Option("--port", metavar="N", help="Listen here.  [default: 5000]")
]
CertificateFile = Annotated[
    str | None,
    typer.Option(
        "--tls-certificate-file", metavar="FILE", help="Speak HTTPS, with this certificate in PEM."
    ),
]
KeyFile = Annotated[
    str | None, typer.Option("--tls-key-file", metavar="FILE", help="Its key, in PEM.")
]
AdminHost = Annotated[
    str | None,
    typer.Option(
        "--admin-host",
        metavar="ADDRESS",
        help="Listen here for administration.  [default: 127.0.0.1]",
    ),
]
AdminPort = Annotated[
    int | None,
    typer.Option(
        "--admin-port",
        metavar="N",
        help="Serve the admin API, live events and metrics here alone.  [default: as the rest]",
    ),
]
AdminClientCaFile = Annotated[
    str | None,
    typer.Option(
        "--admin-client-ca-file",
        metavar="FILE",
        help="Who comes to --admin-port needs a certificate of this authority, in PEM.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", help="Processes; several need PostgreSQL.  [default: 1]"
    ),
]
Database = Annotated[
    str | None,
    typer.Option("--db", metavar="URL", help="Database: sqlite:///PATH or postgresql://…"),
]
Redis = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="Redis of shared rate limits: redis://…"),
]
Config = Annotated[str | None, typer.Option("--config", metavar="FILE", help="Settings, as TOML.")]
LogFormat = Annotated[
    str | None, typer.Option("--log-format", metavar="FORM", help="text or json.")
]
LogLevel = Annotated[
    str | None,
    typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error."),
]


def overrides(**given: object) -> dict[str, object]:
    """The settings that flags have set, under the gateway's names."""
    return {name: value for name, value in given.items() if value is not None}


def warn_of_password(call: Call, flag: str, url: str, instead: str) -> None:
    """Say that a password on the command line is no secret, where there is one in a URL."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return
    if password:
        call.console.say(
            f"{flag}: a password on the command line can be read by others (ps, history); "
            f"{instead} is better",
            "warn",
        )
