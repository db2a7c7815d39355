"""A database of its own for each test: SQLite, and PostgreSQL too below storage and ledger."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conduit.gateway.storage.engine import Database
from tests import postgresql
from tests.conftest import SOAKING
from tests.migrated import migrated


# What lies above the statements asks no engine anything of its own: once in a while is enough.
@pytest.fixture(params=postgresql.ENGINES if SOAKING else ["sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    return str(request.param)


@pytest.fixture
async def location(kind: str, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database, which is not there yet or has no tables."""
    async with postgresql.database_url(kind, tmp_path / "conduit.db") as url:
        yield url


@pytest.fixture
async def database(location: str) -> AsyncIterator[Database]:
    """An empty database with the present schema."""
    engine = await migrated(location)
    yield engine
    await engine.dispose()
