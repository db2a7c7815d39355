"""What the books hold of a key's present day, for limits a day."""

from conduit.gateway.ledger.local import LocalLedger
from conduit.gateway.ledger.shared import SharedLedger
from conduit.gateway.limits.limiter import Counted, CountSince
from conduit.gateway.storage import attempts
from conduit.gateway.storage.engine import Database, outages_reported, reading


def day_counts(database: Database, ledger: LocalLedger | SharedLedger) -> CountSince:
    """Counts requests that were sent to a provider, once the database has all of them."""

    async def count_since(key_id: str, since_ms: int) -> Counted:
        await ledger.caught_up()
        with outages_reported():
            async with reading(database) as connection:
                return Counted(*await attempts.used_since(connection, key_id, since_ms))

    return count_since
