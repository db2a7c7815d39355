"""What was just done and can be undone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from conduit.tui.gateway import GatewayLink

UNDO_S = 5.0
"""How long undoing is offered."""


@dataclass(frozen=True, slots=True)
class Undo:
    """How it is undone, at the gateway at which it was done."""

    link: GatewayLink
    work: Callable[[], Awaitable[None]]

    def why_not(self) -> str | None:
        """Why it cannot be undone now, or None."""
        if not self.link.is_current:
            return NOTHING
        if self.link.store.is_unconfirmed:
            return "what was done last is not confirmed yet"
        return None


NOTHING = "there is nothing to undo"
