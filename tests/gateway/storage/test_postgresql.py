"""What a PostgreSQL URL says, and what is said when the server does not answer."""

import asyncio
import importlib.util
import socket
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from conduit.core.errors import UnavailableError
from conduit.gateway.storage import installation
from conduit.gateway.storage.engine import (
    Database,
    DatabaseError,
    DatabaseUnreachableError,
    create_engine,
    name_of,
    outages_reported,
    reading,
    take_over,
    writing,
)
from conduit.gateway.storage.postgresql import server_of
from tests import postgresql
from tests.fakes.relay import Relay


@pytest.fixture
def kind() -> str:
    return "postgresql"


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    """A way to the server that can be cut."""
    await postgresql.skip_without_server()
    async with Relay(postgresql.address()) as running:
        yield running


@pytest.mark.parametrize(
    ("url", "host", "database", "user"),
    [
        ("postgresql://h/d", "h:5432", "d", None),
        ("postgres://u@h/d", "h:5432", "d", "u"),
        ("postgresql+asyncpg://u:p@h:6543/d", "h:6543", "d", "u"),
        ("postgresql://u%40corp:p%40s%2Fs@h/d", "h:5432", "d", "u@corp"),
        ("postgresql://[::1]:5432/d", "[::1]:5432", "d", None),
        ("postgresql://u@h1:1,h2:2/d?target_session_attrs=read-write", "h1:1,h2:2", "d", "u"),
        ("postgresql:///d?host=/run/postgresql&user=u", "/run/postgresql:5432", "d", "u"),
    ],
)
def test_a_url_names_server_database_and_user(
    url: str, host: str, database: str, user: str | None
) -> None:
    server = server_of(url)
    assert (server.host, server.database, server.user) == (host, database, user)
    assert server.dsn.startswith("postgresql://")


@pytest.mark.parametrize("given", ["sslmode=verify-full&sslrootcert=/ca.pem", "search_path=a%2Cb"])
def test_what_the_driver_understands_is_passed_on(given: str) -> None:
    server = server_of(f"postgresql+asyncpg://u@h/d?connect_timeout=7&keepalives=1&{given}")
    assert server.dsn == f"postgresql://u@h/d?{given.replace('/', '%2F')}"
    assert server.connect_s == 7


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:se@cret@h/d", "percent-encoded"),
        ("postgresql://u:se/cret@h/d", "percent-encoded"),
        ("postgresql://u:12/cret@h/d", "percent-encoded"),
        ("postgresql://u:12#cret@h/d", "percent-encoded"),
        ("postgresql://u:12?cret@h/d", "percent-encoded"),
        ("postgresql://u:12?cret=x@h/d", "percent-encoded"),
        ("postgresql://u@h/d?password=cret", "before its host"),
        ("postgresql://u:cret@h/d?channel_binding=require", "channel_binding"),
        ("postgresql+psycopg://u:cret@h/d", "asyncpg"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said) as caught:
        create_engine(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_driver_is_told_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatabaseError, match=r"pip install .*postgres"):
        create_engine("postgresql://h/d")


async def test_a_password_is_in_no_name_no_repr_and_no_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"postgresql://u:cret@127.0.0.1:{taken.getsockname()[1]}/d"
        engine = create_engine(url)
        with pytest.raises(DatabaseUnreachableError, match="cannot be used") as caught:
            await take_over(engine)
    shown = (name_of(engine), repr(engine), repr(server_of(url)), str(caught.value))
    await engine.dispose()
    assert not [text for text in shown if "cret" in text]


async def test_a_database_that_is_not_there_is_told_by_its_server() -> None:
    await postgresql.skip_without_server()
    engine = create_engine(postgresql.SERVER.rpartition("/")[0] + "/conduit_nowhere")
    with pytest.raises(DatabaseUnreachableError, match='"conduit_nowhere" does not exist'):
        await take_over(engine)
    await engine.dispose()


async def test_nothing_can_be_written_while_reading(database: Database) -> None:
    async with reading(database) as connection:
        with pytest.raises(DBAPIError, match="read-only"):
            await installation.raise_revision(connection)


async def test_a_server_that_ends_a_session_is_reported_and_the_next_try_succeeds(
    database: Database,
) -> None:
    async def outlive_the_session() -> None:
        with outages_reported():
            async with reading(database) as connection:
                pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                await postgresql.execute(postgresql.SERVER, f"SELECT pg_terminate_backend({pid})")
                await installation.revision(connection)

    with pytest.raises(UnavailableError, match="the database cannot be used"):
        await outlive_the_session()
    async with writing(database) as connection:
        await installation.raise_revision(connection)


async def test_a_statement_that_is_wrong_is_no_outage(database: Database) -> None:
    async def ask_for_what_is_not_there() -> None:
        with outages_reported():
            async with reading(database) as connection:
                await connection.execute(text("select * from nowhere"))

    with pytest.raises(DBAPIError, match="does not exist"):
        await ask_for_what_is_not_there()


async def test_silence_of_the_network_is_an_outage_after_a_while(
    location: str, database: Database, relay: Relay
) -> None:
    distant = create_engine(relay.instead_of(location))
    async with reading(distant) as connection:
        before = await installation.revision(connection)
    relay.hush()

    async def ask() -> None:
        with outages_reported():
            async with reading(distant, within_s=0.3) as connection:
                await installation.revision(connection)

    with pytest.raises(UnavailableError, match="in time"):
        await ask()
    relay.speak()
    async with reading(distant) as connection:
        assert await installation.revision(connection) == before
    await distant.dispose()


async def test_connections_have_a_name(database: Database) -> None:
    async with reading(database) as connection:
        name = (await connection.execute(text("SHOW application_name"))).scalar_one()
    assert name == "conduit"


async def test_a_server_that_takes_no_more_connections_is_waited_for(database: Database) -> None:
    async def read() -> int:
        async with reading(database) as connection:
            return await installation.revision(connection)

    assert await asyncio.gather(*(read() for _ in range(40))) == [0] * 40
