"""The answers that one gateway keeps, what each request has to do with them, and the figures."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from conduit.core.ids import now_ms
from conduit.gateway.cache.flights import Brought, Flights, Lead
from conduit.gateway.cache.store import Answer, Entry, Limits, Place, Store


class Result(StrEnum):
    """How a request stands to the cache, as its client and its record are told."""

    HIT = "hit"
    MISS = "miss"
    BYPASS = "bypass"


@dataclass(slots=True)
class Counts:
    """What has happened since the start. Money in nano-dollars."""

    hits: int = 0
    misses: int = 0
    bypassed: int = 0
    avoided_nanodollars: int = 0

    def add(self, result: Result, avoided_nanodollars: int) -> None:
        match result:
            case Result.HIT:
                self.hits += 1
            case Result.MISS:
                self.misses += 1
            case Result.BYPASS:
                self.bypassed += 1
        self.avoided_nanodollars += avoided_nanodollars


@dataclass(slots=True)
class AliasFigures:
    """The counts of an alias, and what is kept of it now."""

    alias: str
    counts: Counts
    entries: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    limits: Limits
    since_ms: int
    entries: int
    bytes: int
    total: Counts
    aliases: tuple[AliasFigures, ...]


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Which answers to forget: those that all of these fit. `model` may name their mapping too."""

    model: str | None = None
    key_id: str | None = None
    older_than_s: float | None = None


class AnswerCache:
    """Keeps whole answers and lets identical requests wait for one another."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = Store(limits, clock)
        self.flights = Flights()
        self.cleared = 0
        """How often something was taken out: an answer that was asked for before is not kept."""
        self._since_ms = now_ms()
        self._total = Counts()
        self._by_alias: defaultdict[str, Counts] = defaultdict(Counts)

    def recall(self, alias: str) -> "Recall":
        """What a request to an alias begins with."""
        return Recall(self, alias)

    def count(self, recall: "Recall") -> None:
        self._total.add(recall.result, recall.avoided_nanodollars)
        self._by_alias[recall.alias].add(recall.result, recall.avoided_nanodollars)

    def clear(self, unwanted: Unwanted) -> int:
        """Forget answers; how many they were. What is being asked for now is not kept either,
        unless the age says that only earlier answers are meant.
        """
        store = self.store
        store.sweep()
        if unwanted.older_than_s is None:
            self.cleared += 1
            self.flights.part()
        before = store.clock() - (unwanted.older_than_s or 0)

        def fits(entry: Entry) -> bool:
            place = entry.place
            return (
                unwanted.model in (None, place.model, place.alias)
                and unwanted.key_id in (None, place.key_id)
                and entry.stored_at <= before
            )

        return store.remove(fits)

    def entries(self) -> list[Entry]:
        """All that is kept now, in the order of their digests."""
        self.store.sweep()
        return sorted(self.store, key=lambda entry: entry.place.digest)

    def entry(self, digest: bytes) -> Entry | None:
        """What is kept under a digest; that somebody looks does not count as use."""
        return next((each for each in self.store if each.place.digest == digest), None)

    def figures(self) -> Figures:
        self.store.sweep()
        aliases = {name: AliasFigures(name, counts) for name, counts in self._by_alias.items()}
        for entry in self.store:
            name = entry.place.alias  # which is counted only when its request has ended
            of_alias = aliases.setdefault(name, AliasFigures(name, Counts()))
            of_alias.entries += 1
            of_alias.bytes += entry.size_bytes
        return Figures(
            limits=self.store.limits,
            since_ms=self._since_ms,
            entries=len(self.store),
            bytes=self.store.size_bytes,
            total=self._total,
            aliases=tuple(sorted(aliases.values(), key=lambda each: each.alias)),
        )


@dataclass(slots=True, eq=False)
class Recall:
    """What one request has to do with the cache.

    Its answer is kept where it has a `place`. With a `lead` others wait for it; `end` must be
    called whatever has become of the request.
    """

    cache: AnswerCache
    alias: str
    result: Result = Result.MISS
    avoided_nanodollars: int = 0
    place: Place | None = None
    lead: Lead | None = None
    cleared: int = field(init=False)

    def __post_init__(self) -> None:
        self.cleared = self.cache.cleared

    def look(self, place: Place, *, youngest_s: float | None = None) -> Entry | None:
        """What is kept in a place, no older than that."""
        store = self.cache.store
        entry = store.find(place.digest)
        if entry is not None and youngest_s is not None:
            entry = entry if store.clock() - entry.stored_at <= youngest_s else None
        return self._hit(entry)

    async def share(self, place: Place, within_s: float) -> Entry | None:
        """What an identical request in flight brings; None where this one has to be sent."""
        brought: Brought = await self.cache.flights.join(place.digest, within_s)
        if isinstance(brought, Lead):
            self.lead = brought
            return None
        return self._hit(brought)

    def age_s(self, entry: Entry) -> int:
        return int(self.cache.store.clock() - entry.stored_at)

    @property
    def room_bytes(self) -> int:
        """How much may be kept of one answer."""
        return self.cache.store.limits.largest_bytes

    def keep(self, answer: Answer, *, lasting: bool = True) -> None:
        """The whole answer is here: keep it, and give it to those who wait for it.

        One that is not `lasting` is for them alone.
        """
        if self.place is None:
            return
        if answer.size_bytes > self.room_bytes:
            self.pass_by()
            return
        if not lasting:
            self.result = Result.BYPASS
        if lasting and self.cleared == self.cache.cleared:
            entry = self.cache.store.keep(self.place, answer)
        else:
            entry = Entry(self.place, answer, answer.size_bytes, self.cache.store.clock())
        if self.lead is not None:
            self.lead.land(entry)

    def pass_by(self) -> None:
        """The answer is neither kept nor shared."""
        self.result = Result.BYPASS
        self.place = None
        if self.lead is not None:
            self.lead.release()

    def end(self) -> None:
        """The request is over. If its answer never came whole, somebody else has to ask."""
        if self.lead is not None:
            self.lead.fail()
        self.cache.count(self)

    def _hit(self, entry: Entry | None) -> Entry | None:
        if entry is not None:
            self.result = Result.HIT
            self.avoided_nanodollars = entry.answer.cost_nanodollars
        return entry
