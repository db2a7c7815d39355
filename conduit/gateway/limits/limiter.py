"""Decides over all limits of a call at once: a call that is refused takes nothing of any."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Literal

import msgspec

from conduit.core.errors import RateLimitedError, TokensExceedLimitError
from conduit.core.ids import now_ms
from conduit.core.limits import Limit
from conduit.gateway.limits.headers import rate_limit_headers
from conduit.gateway.limits.meters import DayMeter, Meter, Now, Standing, meter_of

_MOST_IDLE: Final = 20_000
"""How many meters may be kept before those that stand at nothing are forgotten."""

MeterKey = tuple[str, str]
"""The id of a scope, and the name of one of its limits."""

ScopeKind = Literal["key", "group", "mapping", "gateway"]


class Scope(msgspec.Struct, frozen=True):
    """What limits belong to; `label` names it in messages: `the key "ci"`.

    `alias` is by what the books know a mapping, in the place of its id.
    """

    id: str
    label: str
    limits: tuple[Limit, ...]
    kind: ScopeKind = "key"
    alias: str = ""


class Fate(Enum):
    """What became of a call that had taken of its limits."""

    SENT = "sent"  # to a provider, whatever that made of it
    KEPT = "kept"  # answered out of what was answered before
    REFUSED = "refused"  # or left by its client, before anything was sent


class Counted(msgspec.Struct, frozen=True):
    """What the books hold of a scope since a moment: requests that were sent, and their tokens."""

    requests: int
    tokens: int


class LimiterState(msgspec.Struct, frozen=True):
    """Where limits are counted: in this process alone, or in Redis with `gateways` of them.

    `failures` is how often Redis did not answer since the start.
    """

    store: Literal["none", "up", "down"] = "none"
    gateways: int = 1
    failures: int = 0


Standings = Sequence[tuple[Standing, int]]
"""How each limit of a scope stands, and how often it has been exceeded since the start."""

Wanted = tuple[Scope, Meter, int]
"""What a call would take of one limit."""

CountSince = Callable[[Scope, int, str | None], Awaitable[Counted]]
"""Asks the books: a scope, the moment in epoch milliseconds, and the model whose requests alone are
meant, None for all. Raises UnavailableError.
"""

Exceeded = Callable[[Limit, bool], None]
"""Told of every limit that had no room, and whether the call was refused for it."""


def present() -> Now:
    return Now(time.monotonic_ns(), now_ms())


class Limiter:
    """The limits of one process, which is the only one, or gives its `share` of each limit.

    Belongs to one event loop.
    """

    def __init__(
        self,
        count_since: CountSince,
        *,
        clock: Callable[[], Now] = present,
        exceeded: Exceeded = lambda _limit, _refused: None,
        share: Callable[[Limit], Limit] | None = None,
    ) -> None:
        self._count_since = count_since
        self._clock = clock
        self._exceeded = exceeded
        self._share = share
        self._meters: dict[MeterKey, Meter] = {}
        self._forget_at = _MOST_IDLE

    def check(self, *scopes: Scope) -> None:
        """Refuse what has no room for one more request, before anything is read of it.

        Raises RateLimitedError. It takes nothing; a day that has not been counted yet is let by.
        """
        now = self._clock()
        wanted = [
            (scope, meter, 1)
            for scope, meter in self._of(scopes)
            if not meter.limit.of_tokens and not meter.limit.shadow  # which is counted once
            if not isinstance(meter, DayMeter) or meter.is_loaded()
        ]
        self._refuse_without_room(wanted, now)

    async def take(self, scopes: Sequence[Scope], tokens: int, guessed: int = 0) -> "Permit":
        """Take one request and an upper estimate of its tokens of every limit of all scopes, or of
        none.

        `guessed` are further tokens, which nobody asked for: no call is too large because of them.
        Raises RateLimitedError; TokensExceedLimitError where the call is larger than a whole limit,
        so that waiting is in vain; UnavailableError while it cannot be known what a day has used.
        """
        meters = self._of(scopes)
        unknown = [each for each in meters if _is_unknown(each[1])]
        for scope, meter in unknown:
            await self._load(scope, meter)
        # Again: some may have been forgotten while the books were asked.
        wanted = _wanted(self._of(scopes) if unknown else meters, tokens, guessed)
        now = self._clock()
        return Permit(self._clock, self._take(wanted, now), now)

    def headers(self, *scopes: Scope) -> Mapping[str, str]:
        """How the limits stand, as far as it is known here, for an answer that took nothing.

        A day that has not been counted yet is left out.
        """
        now = self._clock()
        meters = [meter for _, meter in self._of(scopes)]
        known = [each for each in meters if not isinstance(each, DayMeter) or each.is_loaded()]
        return rate_limit_headers([meter.standing(now) for meter in known])

    async def look(self, *scopes: Scope) -> Mapping[str, Standings]:
        """The standings of each scope, by its id."""
        return {scope.id: self.standings(scope) for scope in scopes}

    def state(self) -> LimiterState:
        return LimiterState()

    async def close(self) -> None:
        """Nothing is left to do, where nobody else counts."""

    def standings(self, scope: Scope) -> Standings:
        """How each limit stands, and how often it has been exceeded since the start.

        Where a share is given of it, it is told whole, with what remains of the share.
        """
        now = self._clock()
        meters = [meter for _, meter in self._of((scope,))]
        return [
            (msgspec.structs.replace(meter.standing(now), limit=limit), meter.exceeded)
            for limit, meter in zip(scope.limits, meters, strict=True)
        ]

    def _wanted(self, scopes: Sequence[Scope], tokens: int, guessed: int) -> list[Wanted]:
        """What a call would take. Raises TokensExceedLimitError."""
        return _wanted(self._of(scopes), tokens, guessed)

    def _take(self, wanted: Sequence[Wanted], now: Now) -> list[tuple[Meter, int]]:
        """Take all, or raise RateLimitedError and take nothing."""
        taken = self._refuse_without_room(wanted, now)
        for meter, amount in taken:
            meter.take(amount, now)
        return taken

    def _of(self, scopes: Sequence[Scope]) -> list[tuple[Scope, Meter]]:
        self._forget_idle()  # before any is looked up, or one of these might be among them
        share = self._share
        return [
            (scope, self._meter(scope, limit if share is None else share(limit)))
            for scope in scopes
            for limit in scope.limits
        ]

    def _meter(self, scope: Scope, limit: Limit) -> Meter:
        key = (scope.id, limit.name)
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = meter_of(limit)
        elif meter.limit is not limit:
            meter.limit = limit  # what was taken stays taken
        return meter

    async def _load(self, scope: Scope, meter: Meter) -> None:
        assert isinstance(meter, DayMeter), "no other is read from the books"
        start_ms = meter.start_ms(self._clock())
        counted = await self._count_since(scope, start_ms, meter.limit.model)
        if not meter.is_loaded():  # somebody else may have asked at the same time
            meter.load(start_ms, counted.tokens if meter.limit.of_tokens else counted.requests)

    def _refuse_without_room(self, wanted: Sequence[Wanted], now: Now) -> list[tuple[Meter, int]]:
        """Those with room: a shadow without any takes nothing, as if it had refused."""
        worst: tuple[float, Scope, Meter] | None = None
        roomy: list[tuple[Meter, int]] = []
        for scope, meter, amount in wanted:
            wait_s = meter.wait_s(amount, now)
            if not wait_s:
                roomy.append((meter, amount))
                continue
            meter.exceeded += 1
            self._exceeded(meter.limit, not meter.limit.shadow)
            if not meter.limit.shadow and (worst is None or wait_s > worst[0]):
                worst = (wait_s, scope, meter)
        if worst is not None:
            wait_s, scope, meter = worst
            standings = [each.standing(now) for _, each, _ in wanted]
            raise _refusal(scope, meter.limit, wait_s, standings)
        return roomy

    def _forget_idle(self) -> None:
        """Now and then, so that keys which come and go do not fill the memory."""
        if len(self._meters) < self._forget_at:
            return
        now = self._clock()
        self._meters = {key: each for key, each in self._meters.items() if not each.is_idle(now)}
        self._forget_at = max(_MOST_IDLE, 2 * len(self._meters))


class Permit:
    """What one call has taken of its limits, until it ends."""

    __slots__ = ("_at", "_clock", "_ended", "_taken")

    def __init__(
        self, clock: Callable[[], Now], taken: Sequence[tuple[Meter, int]], at: Now
    ) -> None:
        self._clock = clock
        self._taken = taken
        self._at = at
        self._ended = False

    def headers(self) -> dict[str, str]:
        """How the limits stand after this call."""
        now = self._clock()
        return dict(rate_limit_headers([meter.standing(now) for meter, _ in self._taken]))

    def end(self, tokens: int, fate: Fate = Fate.SENT) -> None:
        """The call has ended and used so many tokens; a second call changes nothing."""
        if self._ended:
            return
        self._ended = True
        now = self._clock()
        for meter, amount in self._taken:
            if (more := used_beyond(meter.limit, amount, tokens, fate)) is not None:
                meter.correct(more, now, self._at)
            meter.end()


def _is_unknown(meter: Meter) -> bool:
    """Whether it is to be read from the books first."""
    return isinstance(meter, DayMeter) and not meter.is_loaded()


def _wanted(meters: Sequence[tuple[Scope, Meter]], tokens: int, guessed: int) -> list[Wanted]:
    """What a call would take. Raises TokensExceedLimitError."""
    wanted = []
    for scope, meter in meters:
        limit = meter.limit
        if limit.of_tokens:
            _refuse_too_large(scope, limit, tokens)
            wanted.append((scope, meter, amount_of(limit, tokens, guessed)))
        else:
            wanted.append((scope, meter, 1))
    return wanted


def most_at_once(limit: Limit) -> int:
    return limit.limit if limit.burst is None else limit.burst


def amount_of(limit: Limit, tokens: int, guessed: int) -> int:
    if not limit.of_tokens:
        return 1
    return max(tokens, min(tokens + guessed, most_at_once(limit)))


def used_beyond(limit: Limit, taken: int, tokens: int, fate: Fate) -> int | None:
    """How much more of a limit a call has used than was taken, below 0 for less; None where what
    was taken is what it used.

    A refusal has used nothing, and what was not sent is none of its day: the books do not have it.
    """
    if limit.of_tokens:
        return tokens - taken
    if limit.kind == "concurrent" or fate is Fate.SENT:
        return None
    return -taken if limit.of_a_day or fate is Fate.REFUSED else None


def _refuse_too_large(scope: Scope, limit: Limit, tokens: int) -> None:
    most = most_at_once(limit)
    if not limit.of_tokens or limit.shadow or tokens <= most:
        return
    at_once = "" if most == limit.limit else f", {most:,} of them at once"
    raise TokensExceedLimitError(
        f"{scope.label} may use {limit.text}{at_once}; this request may use {tokens:,}, "
        "so it could never be served",
        hint="ask for less with max_tokens, or send a shorter prompt",
    )


def _refusal(
    scope: Scope, limit: Limit, wait_s: float, standings: Sequence[Standing]
) -> RateLimitedError:
    again = "when one of them ends" if limit.kind == "concurrent" else f"in {wait_s:.3g} s"
    error = RateLimitedError(
        f"{scope.label} may have {limit.text}; there is room for this request {again}",
        retry_after_s=wait_s,
    )
    error.headers = rate_limit_headers(standings)
    return error
