"""Who is served while only the slots that are kept are free: keys with priority."""

from collections.abc import Callable

from conduit.core.errors import ConduitError
from conduit.gateway.exchange import Exchange


class Shed:
    """Refuses what is not of a priority key; `refuse` counts it and gives what it is told."""

    def __init__(self, refuse: Callable[[], ConduitError]) -> None:
        self._refuse = refuse

    def __call__(self, exchange: Exchange) -> None:
        if not exchange.granted_key.priority:
            raise self._refuse()
