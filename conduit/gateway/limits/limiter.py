"""Decides over all limits of a call at once: a call that is refused takes nothing of any."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Literal, NamedTuple

import msgspec

from conduit.core.errors import RateLimitedError, TokensExceedLimitError
from conduit.core.limits import Limit
from conduit.gateway.limits.headers import headers_of, rate_limit_headers
from conduit.gateway.limits.meters import DayMeter, Meter, Now, Standing, meter_of

_MOST_IDLE: Final = 20_000
"""How many meters may be kept before those that stand at nothing are forgotten."""

_MOST_KNOWN: Final = 5_000

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

Taken = tuple[Meter, int, int]
"""What a call has taken of one limit, and what was left of it then."""

CountSince = Callable[[Scope, int, str | None], Awaitable[Counted]]
"""Asks the books: a scope, the moment in epoch milliseconds, and the model whose requests alone are
meant, None for all. Raises UnavailableError.
"""

Exceeded = Callable[[Limit, bool], None]
"""Told of every limit that had no room, and whether the call was refused for it."""


def present() -> Now:
    return Now(time.monotonic_ns(), time.time_ns() // 1_000_000)


class KnownScope(NamedTuple):
    """The meters of a scope, with the limits that they count for."""

    scope: Scope
    limits: Sequence[Limit]
    meters: list[Meter]


class Together:
    """The meters of all scopes of a call, each with whether it counts tokens; found once.

    `asked_first` can be asked before anything of a request is read: a shadow is counted once, and
    not asked before. `days` are to be read from the books first.
    """

    __slots__ = ("asked_first", "change", "days", "ids", "known", "meters")

    def __init__(self, known: Sequence[KnownScope]) -> None:
        self.known = known
        self.ids = [each.scope.id for each in known]
        self.change = -1  # the last change of limits that it has seen
        # By these limits: a meter may still count for the one that was before.
        each = [
            (one.scope, limit, meter)
            for one in known
            for limit, meter in zip(one.limits, one.meters, strict=True)
        ]
        self.meters = [(meter, limit.of_tokens) for _, limit, meter in each]
        self.asked_first = [m for _, limit, m in each if not (limit.of_tokens or limit.shadow)]
        self.days = [(scope, m) for scope, _, m in each if isinstance(m, DayMeter)]


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
        # Both by the identity of what they are of, which they keep alive, so that it stays theirs.
        self._known: dict[int, KnownScope] = {}
        self._together: dict[int, tuple[Sequence[Scope], Together]] = {}
        # By the id of their scopes: those whose limits the meters count for at this moment.
        self._in_force: dict[str, KnownScope] = {}
        self._changes = 0  # of what is in force
        # The ids of scopes that may have no room for one more request. All others have: only what
        # is taken makes it less, and a change of limits.
        self._full: set[str] = set()
        self._forget_at = _MOST_IDLE

    @property
    def may_be_full(self) -> bool:
        """Whether any scope may have no room for one more request, so that `check` is worth it."""
        return bool(self._full)

    def check(self, scopes: Sequence[Scope]) -> None:
        """Refuse what has no room for one more request, before anything is read of it.

        Raises RateLimitedError. It takes nothing; a day that has not been counted yet is let by.
        """
        together = self._of(scopes)
        if not self._full or self._full.isdisjoint(together.ids):
            return
        now = self._clock()
        for meter in together.asked_first:
            if meter.is_known and meter.wait_s(1, now):
                self._refuse_without_room(self._asked_first(scopes), now)
        self._full.difference_update(together.ids)

    async def take(self, scopes: Sequence[Scope], tokens: int, guessed: int = 0) -> "Permit":
        """Take one request and an upper estimate of its tokens of every limit of all scopes, or of
        none.

        `guessed` are further tokens, which nobody asked for: no call is too large because of them.
        Raises RateLimitedError; TokensExceedLimitError where the call is larger than a whole limit,
        so that waiting is in vain; UnavailableError while it cannot be known what a day has used.

        What is the same sequence of scopes, the same object, is found at once.
        """
        together = self._of(scopes)
        for _, day in together.days:
            if not day.is_known:
                together = await self._with_days(scopes)
                break
        now = self._clock()
        taken = self._taken_at_once(together, tokens, guessed, now)
        if taken is None:
            taken = self._take(self._wanted(scopes, tokens, guessed), now)
        return Permit(self._clock, taken, now)

    async def _with_days(self, scopes: Sequence[Scope]) -> Together:
        """The meters once all their days have been read from the books."""
        together = self._of(scopes)
        while unknown := [(scope, day) for scope, day in together.days if not day.is_known]:
            for scope, day in unknown:
                await self._load(scope, day)
            together = self._of(scopes)  # it may have been forgotten meanwhile
        return together

    def _taken_at_once(
        self, together: Together, tokens: int, guessed: int, now: Now
    ) -> list[Taken] | None:
        """What was taken, the common case: all have room. None where one has not, and nothing is
        taken; `_refuse_without_room` tells what becomes of that.
        """
        taken: list[Taken] = []
        for meter, of_tokens in together.meters:
            amount = 1
            if of_tokens:
                amount = tokens + guessed
                if amount > meter.limit.most_at_once:
                    amount = _amount_of(meter.limit, tokens, guessed)
            left = meter.took(amount, now)
            if left < 1:
                self._full.update(together.ids)
                if left < 0:
                    for earlier, less, _ in taken:
                        earlier.untake(less)
                    return None
            taken.append((meter, amount, left))
        return taken

    def headers(self, scopes: Sequence[Scope]) -> Mapping[str, str]:
        """How the limits stand, as far as it is known here, for an answer that took nothing.

        A day that has not been counted yet is left out.
        """
        known = [meter for _, meter in self._each(scopes) if meter.is_known]
        return rate_limit_headers(known, self._clock())

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
        known = self._learned(scope)
        self._put_in_force(known)
        return [
            (msgspec.structs.replace(meter.standing(now), limit=limit), meter.exceeded)
            for limit, meter in zip(scope.limits, known.meters, strict=True)
        ]

    def _wanted(self, scopes: Sequence[Scope], tokens: int, guessed: int) -> list[Wanted]:
        """What a call would take. Raises TokensExceedLimitError."""
        wanted = []
        for scope, meter in self._each(scopes):
            limit = meter.limit
            if limit.of_tokens and tokens > limit.most_at_once and not limit.shadow:
                raise _too_large(scope, limit, tokens)
            wanted.append((scope, meter, _amount_of(limit, tokens, guessed)))
        return wanted

    def _take(self, wanted: Sequence[Wanted], now: Now) -> list[Taken]:
        """Take all, or raise RateLimitedError and take nothing."""
        taken = []
        for meter, amount in self._refuse_without_room(wanted, now):
            meter.take(amount, now)
            taken.append((meter, amount, meter.standing(now).remaining))
        return taken

    def _each(self, scopes: Sequence[Scope]) -> list[tuple[Scope, Meter]]:
        known = self._of(scopes).known
        return [(each.scope, meter) for each in known for meter in each.meters]

    def _of(self, scopes: Sequence[Scope]) -> Together:
        """The meters of all scopes, with their limits in force."""
        if len(self._meters) >= self._forget_at:
            self._forget_idle()  # before any is looked up, or one of these might be among them
        found = self._together.get(id(scopes))
        if found is None:
            if len(self._together) >= _MOST_KNOWN:
                self._forget_known()
            together = Together([self._known_of(scope) for scope in scopes if scope.limits])
            self._together[id(scopes)] = scopes, together
        else:
            together = found[1]
        if together.change != self._changes:
            for known in together.known:
                if self._in_force.get(known.scope.id) is not known:
                    self._put_in_force(known)
            together.change = self._changes
        return together

    def _known_of(self, scope: Scope) -> KnownScope:
        """The meters of a scope, which is the same object until something of it changes."""
        known = self._known.get(id(scope))
        if known is None:
            known = self._known[id(scope)] = self._learned(scope)
        return known

    def _put_in_force(self, known: KnownScope) -> None:
        """Have the meters count for these limits, where others were asked for; what was taken
        stays taken.
        """
        for limit, meter in zip(known.limits, known.meters, strict=True):
            meter.limit = limit
        self._in_force[known.scope.id] = known
        self._full.add(known.scope.id)
        self._changes += 1

    def _forget_known(self) -> None:
        self._known.clear()
        self._together.clear()
        self._full.clear()  # what is put in force again is asked again
        self._forget_in_force()

    def _forget_in_force(self) -> None:
        """Have the next call of each scope put its limits in force."""
        self._in_force.clear()
        self._changes += 1

    def _learned(self, scope: Scope) -> KnownScope:
        limits = self._limits_of(scope)
        return KnownScope(scope, limits, [self._meter(scope, limit) for limit in limits])

    def _limits_of(self, scope: Scope) -> Sequence[Limit]:
        """What this process may give of the limits of a scope."""
        share = self._share
        return scope.limits if share is None else [share(limit) for limit in scope.limits]

    def _asked_first(self, scopes: Sequence[Scope]) -> list[Wanted]:
        asked_first = self._of(scopes).asked_first
        return [
            (scope, meter, 1)
            for scope, meter in self._each(scopes)
            if meter in asked_first and meter.is_known
        ]

    def _meter(self, scope: Scope, limit: Limit) -> Meter:
        key = (scope.id, limit.name)
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = meter_of(limit)
        return meter

    async def _load(self, scope: Scope, asked: DayMeter) -> None:
        limit, start_ms = asked.limit, asked.start_ms(self._clock())
        counted = await self._count_since(scope, start_ms, limit.model)
        meter = self._meter(scope, limit)  # it may have been forgotten meanwhile
        assert isinstance(meter, DayMeter), "a limit keeps its kind"
        self._full.add(scope.id)
        if not meter.is_known:  # somebody else may have asked at the same time
            meter.load(start_ms, counted.tokens if limit.of_tokens else counted.requests)

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
            error = _refusal(scope, meter.limit, wait_s)
            error.headers = rate_limit_headers([each for _, each, _ in wanted], now)
            raise error
        return roomy

    def _forget_idle(self) -> None:
        """Now and then, so that keys which come and go do not fill the memory."""
        now = self._clock()
        self._forget_known()
        self._meters = {key: each for key, each in self._meters.items() if not each.is_idle(now)}
        self._forget_at = max(_MOST_IDLE, 2 * len(self._meters))


class Permit:
    """What one call has taken of its limits, until it ends."""

    __slots__ = ("_at", "_clock", "_ended", "_taken")

    def __init__(self, clock: Callable[[], Now], taken: Sequence[Taken], at: Now) -> None:
        self._clock = clock
        self._taken = taken
        self._at = at
        self._ended = False

    def headers(self) -> dict[str, str]:
        """How those limits stand now that were the tightest after this call."""
        requests: Meter | None = None
        tokens: Meter | None = None
        fewest_requests = fewest_tokens = 0
        for meter, _, left in self._taken:
            limit = meter.limit
            if not limit.is_told:
                continue
            if limit.of_tokens:
                if tokens is None or left < fewest_tokens:
                    tokens, fewest_tokens = meter, left
            elif requests is None or left < fewest_requests:
                requests, fewest_requests = meter, left
        now = self._clock()
        return headers_of(
            None if requests is None else requests.standing(now),
            None if tokens is None else tokens.standing(now),
        )

    def end(self, tokens: int, fate: Fate = Fate.SENT) -> None:
        """The call has ended and used so many tokens; a second call changes nothing."""
        if self._ended:
            return
        self._ended = True
        now = self._clock()
        for meter, amount, _ in self._taken:
            limit = meter.limit
            more = 0
            if limit.of_tokens:
                more = tokens - amount
            elif fate is not Fate.SENT:
                more = used_beyond(limit, amount, tokens, fate)
            if more:
                meter.correct(more, now, self._at)
            if limit.kind == "concurrent":
                meter.end()


def _amount_of(limit: Limit, tokens: int, guessed: int) -> int:
    """What a call takes of a limit: of tokens, no guess makes it more than may come at once."""
    if not limit.of_tokens:
        return 1
    return max(tokens, min(tokens + guessed, limit.most_at_once))


def used_beyond(limit: Limit, taken: int, tokens: int, fate: Fate) -> int:
    """How much more of a limit a call has used than was taken, below 0 for less.

    A refusal has used nothing, and what was not sent is none of its day: the books do not have it.
    """
    if limit.of_tokens:
        return tokens - taken
    if fate is Fate.SENT or limit.kind == "concurrent":
        return 0
    return -taken if limit.of_a_day or fate is Fate.REFUSED else 0


def _too_large(scope: Scope, limit: Limit, tokens: int) -> TokensExceedLimitError:
    most = limit.most_at_once
    at_once = "" if most == limit.limit else f", {most:,} of them at once"
    return TokensExceedLimitError(
        f"{scope.label} may use {limit.text}{at_once}; this request may use {tokens:,}, "
        "so it could never be served",
        hint="ask for less with max_tokens, or send a shorter prompt",
    )


def _refusal(scope: Scope, limit: Limit, wait_s: float) -> RateLimitedError:
    again = "when one of them ends" if limit.kind == "concurrent" else f"in {wait_s:.3g} s"
    return RateLimitedError(
        f"{scope.label} may have {limit.text}; there is room for this request {again}",
        retry_after_s=wait_s,
    )
