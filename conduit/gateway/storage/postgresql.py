"""PostgreSQL: what its URL says, and how a connection to it is opened."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from conduit.gateway.storage.outages import DatabaseError, DatabaseUnreachableError, reason_of
from conduit.gateway.storage.schema import complete_for_postgresql

if TYPE_CHECKING:
    from asyncpg import Connection

SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
CONNECTIONS = 8
"""Most connections of a gateway; the one that writes its ledger is among them."""

_CONNECT_S = 10.0
_POOL_WAIT_S = 10
_INSTALL = (
    "PostgreSQL needs the driver asyncpg, which is not installed: "
    'install it beside Conduit with pip install "conduit-llm[postgres]", or pip install asyncpg'
)
_UNREADABLE = (
    "the database URL cannot be read: write postgresql://USER:PASSWORD@HOST:PORT/NAME, with "
    "special characters of the password percent-encoded (@ is %40, / is %2F, # is %23)"
)
_SECRET = frozenset({"password", "sslpassword"})
# What other drivers understand and asyncpg would send to the server, which refuses it.
_IGNORED = frozenset({"gssencmode", "keepalives", "keepalives_idle", "keepalives_interval"})
# No more than poolers let pass, which refuse a connection that begins with other settings.
_SETTINGS: Mapping[str, str] = {"application_name": "conduit"}


@dataclass(frozen=True, slots=True)
class Server:
    """Where a PostgreSQL database is. `dsn` is the URL for the driver, its password within."""

    host: str
    database: str
    user: str | None
    dsn: str
    connect_s: float = _CONNECT_S

    def __repr__(self) -> str:
        return f"Server({self.host}/{self.database})"


def is_postgresql(url: str) -> bool:
    """Whether a database URL is meant for PostgreSQL."""
    return url.partition(":")[0].startswith("postgres")


def open_postgresql(url: str) -> AsyncEngine:
    """An engine for a `postgresql://` URL; nothing is connected yet. Raises DatabaseError."""
    server = server_of(url)
    if importlib.util.find_spec("asyncpg") is None:
        raise DatabaseError(_INSTALL)
    complete_for_postgresql()

    async def connect() -> "Connection[Any]":
        return await connected(server)

    return create_async_engine(
        URL.create(
            "postgresql+asyncpg", username=server.user, host=server.host, database=server.database
        ),
        async_creator=connect,
        isolation_level="READ COMMITTED",  # whatever the server's default is
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=_POOL_WAIT_S,
        pool_pre_ping=True,  # after a restart of the server every connection of the pool is stale
        hide_parameters=True,  # an error would otherwise show digests and envelopes
    )


def server_of(url: str) -> Server:
    """What a database URL says. Raises DatabaseError, whose message has no part of a password."""
    try:
        parts = urlsplit(url)
        port = parts.port if "," not in parts.netloc else None
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        # Not the parser's own words: it may have taken a piece of the password for a port.
        raise DatabaseError(_UNREADABLE) from None
    _refuse_ambiguous(parts)
    if parts.scheme not in SCHEMES:
        raise DatabaseError("PostgreSQL is reached through asyncpg: write postgresql://…")
    host = parts.netloc.rpartition("@")[2] or query.get("host", "localhost")
    shown = host if port is not None or "," in host else f"{host}:{query.get('port', 5432)}"
    return Server(
        host=shown,
        database=unquote(parts.path.removeprefix("/")) or query.get("dbname", ""),
        user=unquote(parts.username) if parts.username else query.get("user"),
        connect_s=_connect_s(query),
        dsn=f"postgresql://{parts.netloc}{parts.path}?{urlencode(_understood(query))}",
    )


def _refuse_ambiguous(parts: SplitResult) -> None:
    """A password with an @, a / or a # in it ends up in the wrong part of the URL."""
    elsewhere = parts.path + ("" if "@" in parts.netloc else parts.query)
    if parts.fragment or "@" in elsewhere or parts.netloc.count("@") > 1:
        raise DatabaseError(_UNREADABLE)


def _understood(query: Mapping[str, str]) -> dict[str, str]:
    if _SECRET & query.keys():
        raise DatabaseError(
            "the password of the database belongs before its host: "
            "postgresql://USER:PASSWORD@HOST/NAME, or into the file that PGPASSFILE names"
        )
    if query.get("channel_binding") == "require":
        raise DatabaseError(
            "the database URL asks for channel_binding=require, which the driver asyncpg cannot "
            "do: leave it out, and have the server's certificate checked by sslmode=verify-full"
        )
    left_out = _IGNORED | {"channel_binding", "connect_timeout"}
    return {name: value for name, value in query.items() if name not in left_out}


def _connect_s(query: Mapping[str, str]) -> float:
    wanted = query.get("connect_timeout", "")
    return min(max(float(wanted), 1.0), 60.0) if wanted.isdigit() and int(wanted) else _CONNECT_S


async def connected(server: Server) -> "Connection[Any]":
    """A connection of the driver. Raises DatabaseUnreachableError."""
    import asyncpg  # noqa: PLC0415  # an extra: not there for everybody

    given = dict(parse_qsl(urlsplit(server.dsn).query))
    settings = {name: value for name, value in _SETTINGS.items() if name not in given}
    try:
        return await asyncpg.connect(server.dsn, timeout=server.connect_s, server_settings=settings)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnreachableError(
            f"PostgreSQL at {server.host} cannot be used: {reason_of(error)}"
        ) from error
