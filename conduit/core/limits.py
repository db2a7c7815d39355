"""Rate limits: how many requests or tokens in a minute or a day, or requests at once."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

LimitKind = Literal["rpm", "tpm", "rpd", "tpd", "concurrent"]
KINDS: Final[tuple[LimitKind, ...]] = get_args(LimitKind)
LARGEST_LIMIT: Final = 10**12

StoreDown = Literal["degrade", "closed"]
"""What becomes of a limit that gateways share while they cannot reach what they share it in: each
keeps its part of it by itself, or nothing is served."""

STORE_DOWN: Final[tuple[StoreDown, ...]] = get_args(StoreDown)

WORDS: Final[dict[LimitKind, str]] = {
    "rpm": "requests a minute",
    "tpm": "tokens a minute",
    "rpd": "requests a day",
    "tpd": "tokens a day",
    "concurrent": "requests at once",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a scope.

    `burst` is how many may come at once where that is less than the limit; only a limit a minute
    has one. A `shadow` counts and refuses nothing. A day is one of `timezone`.
    """

    kind: LimitKind
    limit: int
    burst: int | None = None
    shadow: bool = False
    timezone: str = "UTC"
    on_store_down: StoreDown = "degrade"

    @property
    def text(self) -> str:
        """`60 requests a minute`, for messages."""
        return f"{self.limit:,} {WORDS[self.kind]}"

    @property
    def of_tokens(self) -> bool:
        return self.kind in ("tpm", "tpd")

    @property
    def of_a_day(self) -> bool:
        return self.kind in ("rpd", "tpd")
