"""Brings the schema of a database to the one that this program knows."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from conduit.core.ids import now_ms
from conduit.gateway.storage import installation, revisions
from conduit.gateway.storage.engine import (
    PATIENT_S,
    Database,
    DatabaseError,
    failures_told,
    reading,
    take_over,
    writing,
)

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0023"
VERSION_TABLE = "conduit_schema_version"
MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(database: Database, to: str = HEAD) -> None:
    """Create or upgrade the tables in one transaction; nothing to do is found out in one read.

    Raises DatabaseError for a database that is not ours, that a newer release has changed, or that
    cannot be used at all.
    """
    with failures_told(database):
        async with reading(database) as connection:
            revision = await revision_of(connection)
        await take_over(database)
        if revision != to:
            await _bring_to(database, to)


async def _bring_to(database: Database, to: str) -> None:
    async with writing(database, PATIENT_S) as connection:
        # Another process may have migrated since; the write lock settles who does it.
        if (revision := await revision_of(connection)) == to:
            return
        await connection.run_sync(upgrade, revision, to)
        if await installation.establish(connection, now_ms()) and to == HEAD:
            await revisions.begin(connection, now_ms())


async def revision_of(connection: AsyncConnection) -> str | None:
    """The schema's revision, None for an empty database.

    Raises DatabaseError for tables of another program.
    """
    present = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    if not present:
        return None
    if VERSION_TABLE not in present:
        raise DatabaseError(
            "the database holds tables of another program: give Conduit a database of its own"
        )
    stored = table(VERSION_TABLE, column("version_num"))
    revision = (await connection.execute(select(stored.c.version_num))).scalar_one_or_none()
    return None if revision is None else str(revision)


def upgrade(connection: Connection, revision: str | None, to: str = HEAD) -> None:
    """Run the migrations from a revision to a later one. Raises DatabaseError."""
    from alembic import command  # noqa: PLC0415  # deferred: a start without migration is common

    config = _config(revision, to)
    config.attributes["connection"] = connection
    command.upgrade(config, to)


async def sql_of_upgrade(database: Database, to: str = HEAD) -> str:
    """What `migrate` would run, as SQL for a person to read. Raises DatabaseError."""
    from alembic import command  # noqa: PLC0415

    async with reading(database) as connection:
        revision = await revision_of(connection)
    text = io.StringIO()
    if revision != to:
        config = _config(revision, to)
        config.output_buffer = text
        config.attributes["dialect"] = database.dialect.name
        command.upgrade(config, f"{revision or 'base'}:{to}", sql=True)
    return text.getvalue()


def is_newer(revision: str | None) -> bool:
    """Whether a release later than this one has made a schema."""
    return revision is not None and revision not in _known(_bare_config())


def _config(revision: str | None, to: str) -> "Config":
    """Refuses what no migration leads to."""
    config = _bare_config()
    known = _known(config)
    if revision is not None and revision not in known:
        raise DatabaseError(
            f"the database has schema {revision}, which is newer than this release of Conduit "
            f"({HEAD}): run the release that made it, or a later one"
        )
    if to not in known:
        raise DatabaseError(f"there is no schema {to}: the newest is {HEAD}")
    if revision is not None and known.index(revision) < known.index(to):
        raise DatabaseError(
            f"the database has schema {revision}, which is later than {to}: going back means "
            "restoring a backup"
        )
    return config


def _bare_config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _known(config: "Config") -> list[str]:
    """All revisions, the newest first."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory.from_config(config)
    return [script.revision for script in scripts.walk_revisions()]
