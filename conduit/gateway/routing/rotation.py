"""Whose turn it is where the targets of an alias take turns."""

from conduit.gateway.exchange import Decision


class Rotation:
    """The turns that were taken since the start: one process, in memory."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def take(self, decision: Decision) -> int:
        """The turn of a request, counted from 0, which no other one gets."""
        alias = _counted_by(decision)
        turn = self._taken[alias] = self._taken.get(alias, -1) + 1
        return turn

    def upcoming(self, decision: Decision) -> int:
        """The turn that the next request will get."""
        return self._taken.get(_counted_by(decision), -1) + 1


def _counted_by(decision: Decision) -> str:
    """The mapping's alias: where it ends in `*`, clients choose the other one."""
    return decision.alias if decision.mapping is None else decision.mapping.alias
