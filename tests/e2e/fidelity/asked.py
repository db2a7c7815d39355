"""What reached a provider, in no dialect's words."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Asked:
    """`said` has the parts of `Turn.said`; `signed` the signatures of thinking that came back."""

    system: str = ""
    said: list[tuple[Any, ...]] = field(default_factory=list)
    tools: dict[str, Any] = field(default_factory=dict)
    schema: Any = None
    cap: int | None = None
    signed: list[str] = field(default_factory=list)
    forced_tool: str | None = None
