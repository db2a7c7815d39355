"""Rate limits: how many requests or tokens in a minute or a day, or requests at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Final, Literal, get_args

from conduit.core.aliases import fits
from conduit.core.counts import parse_count
from conduit.core.periods import known_zone

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


@dataclass(frozen=True)  # without slots, for what is worked out once
class Limit:
    """One limit of a scope.

    `burst` is how many may come at once where that is less than the limit; only a limit a minute
    has one. A `shadow` counts and refuses nothing. A day is one of `timezone`. Only requests for a
    `model` count, where one is named: an alias as clients name it, with `*` for any run of
    characters; all that fit count together.
    """

    kind: LimitKind
    limit: int
    burst: int | None = None
    shadow: bool = False
    timezone: str = "UTC"
    on_store_down: StoreDown = "degrade"
    model: str | None = None

    @property
    def text(self) -> str:
        """`60 requests a minute`, for messages."""
        of = "" if self.model is None else f" for the model {self.model}"
        return f"{self.limit:,} {WORDS[self.kind]}{of}"

    @cached_property
    def name(self) -> str:
        """What tells it from the other limits of its scope: `rpm`, or `rpm:gpt-4o` of one model."""
        return self.kind if self.model is None else f"{self.kind}:{self.model}"

    def counts(self, model: str) -> bool:
        """Whether requests for a model count in it."""
        return self.model is None or fits(self.model, model)

    @cached_property
    def of_tokens(self) -> bool:
        return self.kind in ("tpm", "tpd")

    @cached_property
    def of_a_day(self) -> bool:
        return self.kind in ("rpd", "tpd")

    @cached_property
    def is_told(self) -> bool:
        """Whether clients are told in headers how it stands."""
        return not self.shadow and self.kind != "concurrent"

    @cached_property
    def most_at_once(self) -> int:
        return self.limit if self.burst is None else self.burst


LIMIT_FIELDS: Final = tuple(each.name for each in fields(Limit))
"""What is said of a limit; a record of the admin API also tells how it stands."""


def limits_in(text: str | None) -> tuple[Limit, ...]:
    """The limits in a text like `rpm=600,burst=20 concurrent=50,shadow`, one of a kind and model.

    Raises ValueError.
    """
    found: dict[str, Limit] = {}
    for word in (text or "").split():
        kind, equals, told = word.partition("=")
        if kind not in KINDS or not equals:
            raise ValueError(f"{word!r} is no limit: rpm, tpm, rpd, tpd or concurrent, as rpm=600")
        limit = limit_in(kind, told)
        if limit.name in found:
            raise ValueError(f"there is one limit of a kind, and {limit.name} is there twice")
        found[limit.name] = limit
    return tuple(found.values())


def limit_in(kind: LimitKind, text: str) -> Limit:
    """The limit of a kind in a text like `600,burst=20,shadow,closed`. Raises ValueError.

    A limit a day may tell whose day, `5000,timezone=Europe/Berlin`, and any of which model:
    `60,model=gpt-4o`.
    """
    number, *words = text.split(",")
    limit = Limit(kind, _whole(number))
    for word in words:
        name, _, value = word.partition("=")
        if name == "burst" and value and kind in ("rpm", "tpm"):
            limit = replace(limit, burst=_whole(value))
        elif name == "timezone" and kind in ("rpd", "tpd"):
            limit = replace(limit, timezone=known_zone(value))
        elif name == "model" and value:
            limit = replace(limit, model=value)
        elif word == "shadow":
            limit = replace(limit, shadow=True)
        elif word in STORE_DOWN:
            limit = replace(limit, on_store_down=word)
        else:
            raise ValueError(f"{word!r} says nothing of a limit of {WORDS[kind]}")
    if limit.burst is not None and limit.burst > limit.limit:
        raise ValueError("a burst is at most the limit")
    return limit


def limits_text_of(limits: Iterable[Limit]) -> str:
    """The text that `limits_in` reads as these."""
    return " ".join(f"{limit.kind}={','.join(_words_of(limit))}" for limit in limits)


def _words_of(limit: Limit) -> Iterator[str]:
    yield str(limit.limit)
    if limit.burst is not None:
        yield f"burst={limit.burst}"
    if limit.model is not None:
        yield f"model={limit.model}"
    if limit.timezone != "UTC":
        yield f"timezone={limit.timezone}"
    if limit.shadow:
        yield "shadow"
    if limit.on_store_down != "degrade":
        yield limit.on_store_down


def _whole(text: str) -> int:
    number = parse_count(text)
    if not 0 < number <= LARGEST_LIMIT:
        raise ValueError(f"a number above 0 is expected, {LARGEST_LIMIT:,} at most, not {text!r}")
    return number
