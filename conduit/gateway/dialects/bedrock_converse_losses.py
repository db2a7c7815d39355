"""What an encoder leaves out or says in another way, noted while it writes."""

from collections.abc import Iterable


class Losses:
    """Names as in `EncodedRequest`, each once and in the order in which they were met."""

    __slots__ = ("_dropped", "_emulated")

    def __init__(self) -> None:
        self._dropped: dict[str, None] = {}
        self._emulated: dict[str, None] = {}

    def drop(self, *names: str) -> None:
        self._dropped |= dict.fromkeys(names)

    def drop_if(self, wanted: Iterable[tuple[str, object]]) -> None:
        """Note each name whose value says something."""
        self.drop(*(name for name, value in wanted if value))

    def emulate(self, name: str) -> None:
        self._emulated[name] = None

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(self._dropped)

    @property
    def emulated(self) -> tuple[str, ...]:
        return tuple(self._emulated)
