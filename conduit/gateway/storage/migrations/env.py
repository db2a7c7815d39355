"""Runs migrations on the connection that the application has open, or writes them as SQL."""

from alembic import context

from conduit.gateway.storage.migrate import VERSION_TABLE
from conduit.gateway.storage.schema import metadata

given = context.config.attributes
where = (
    {"dialect_name": given["dialect"], "literal_binds": True}
    if context.is_offline_mode()
    else {"connection": given["connection"]}
)
context.configure(
    **where,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite can roll back a schema change too, once the driver leaves transactions to us.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
