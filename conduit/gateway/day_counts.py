"""What the books hold of the present day of a key or another scope, for limits a day."""

from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.shared import SharedLedger
from conduit.gateway.limits.limiter import Counted, CountSince, Scope
from conduit.gateway.storage import attempts
from conduit.gateway.storage.engine import Database, outages_reported, reading


def day_counts(database: Database, ledger: LocalLedger | SharedLedger) -> CountSince:
    """Counts requests that were sent to a provider, once the database has all of them."""

    async def count_since(scope: Scope, since_ms: int, model: str | None) -> Counted:
        await ledger.caught_up()
        with outages_reported():
            async with reading(database) as connection:
                name = scope.alias if scope.kind == "mapping" else scope.id
                used = await attempts.used_since(connection, scope.kind, name, since_ms, model)
                return Counted(*used)

    return count_since
