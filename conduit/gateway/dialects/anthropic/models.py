"""What the generations of Claude take, told by a model's name.

Sources: platform.claude.com/docs "Extended thinking", "Adaptive thinking", "Effort", "What's new in
Claude Opus 5 / 5.5", "Migration guide", "Models overview". A name that is not Claude's is that of a
server which speaks the format of the first thinking models.
"""

import re
from dataclasses import dataclass
from typing import Final

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_NEWEST: Final = (99, 0)
_FIRST_THINKING: Final = (3, 7)


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its name; `generation` is (major, minor), `is_claude` False for other vendors."""

    name: str
    generation: tuple[int, int]
    is_claude: bool

    @classmethod
    def of(cls, name: str) -> "Model":
        version = _VERSION.search(name)
        if version:
            return cls(name, (int(version[1]), int(version[2] or 0)), is_claude=True)
        if "claude" in name:
            return cls(name, _NEWEST, is_claude=True)
        return cls(name, _FIRST_THINKING, is_claude=False)

    @property
    def thinks(self) -> bool:
        return self.generation >= _FIRST_THINKING

    @property
    def is_adaptive(self) -> bool:
        """Whether it decides itself how long it thinks, steered by an effort."""
        return self.generation >= (4, 6)

    @property
    def takes_budget(self) -> bool:
        return self.thinks and self.generation <= (4, 6)

    @property
    def thinks_unasked(self) -> bool:
        return self.generation >= (5, 0)

    @property
    def off(self) -> str | None:
        """The type of `thinking` that stops a model which thinks unasked; None where none does."""
        if re.search("fable|mythos", self.name):
            return None
        if self.generation < (5, 1) or "haiku" in self.name:
            return "disabled"
        return "between_tools" if "sonnet" in self.name else None

    @property
    def takes_sampling(self) -> bool:
        """Whether it takes temperature, top_p and top_k; later ones answer them with a 400."""
        return self.generation <= (4, 6)

    @property
    def takes_both_temperature_and_top_p(self) -> bool:
        return self.generation < (4, 1)

    @property
    def takes_forced_tools(self) -> bool:
        return self.generation < (5, 1)

    @property
    def takes_schema(self) -> bool:
        """Whether it holds answers and calls to a schema; of other vendors the target tells it."""
        return not self.is_claude or self.generation >= (4, 1)

    @property
    def efforts(self) -> tuple[str, ...]:
        """The words of `output_config.effort`, from least to most."""
        words = ("low", "medium", "high")
        return (*words, "xhigh", "max") if self.generation >= (4, 7) else (*words, "max")

    @property
    def default_max_tokens(self) -> int:
        """What is asked for where nobody says; every model of the generation can write as much."""
        if self.generation >= (4, 0):
            return 32_000
        return 8192 if self.generation >= (3, 5) and self.is_claude else 4096
