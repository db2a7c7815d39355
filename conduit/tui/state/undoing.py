"""What was done on each screen and can be undone, the last first."""

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from conduit.tui.state.gateway import GatewayLink

UNDO_S = 5.0
"""How long undoing is offered at once; later it asks first."""
STEPS = 20
"""So many are kept for each screen."""
NOTHING = "there is nothing to undo"
UNCONFIRMED = "what was done last is not confirmed yet"


@dataclass(frozen=True, slots=True)
class Undo:
    """How something is undone, at the gateway and on the screen (`place`) where it was done."""

    link: GatewayLink
    place: str
    work: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that can be undone, in the words in which it was told."""

    undo: Undo
    text: str
    at_ms: int


class Undoings:
    """The steps of every screen, and which records are as they were before one."""

    def __init__(self) -> None:
        self._steps: dict[str, deque[Step]] = defaultdict(lambda: deque(maxlen=STEPS))
        self._versions: dict[tuple[str, int], int] = {}

    def add(self, step: Step) -> None:
        self._steps[step.undo.place].append(step)

    def last(self, place: str) -> Step | None:
        """What would be undone next on a screen; what was done at another gateway is forgotten."""
        steps = self._steps[place]
        while steps and not steps[-1].undo.link.is_current:
            steps.pop()
        return steps[-1] if steps else None

    def take(self, step: Step) -> None:
        """It is undone now, and not again."""
        self._steps[step.undo.place].remove(step)

    # Undoing makes a new version too. What was done before it is undone by the record that is as
    # it was then, though its version is another one.

    def put_back(self, id: str, version: int, *, now: int) -> None:
        """At version `now` a record is again as it was at `version`."""
        if not any(self._steps.values()):
            self._versions.clear()  # nobody asks any more
        self._versions[id, version] = now

    def version_of(self, id: str, version: int) -> int:
        """The version at which a record is as it was at `version`, as far as it was put back."""
        while (id, version) in self._versions:
            version = self._versions[id, version]
        return version
