"""The bounds of what is kept, and that nothing is found that should not be."""

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from conduit.gateway.cache.store import Answer, Entry, Limits, Place, Store

KEYS = st.integers(0, 7)
SIZES = st.integers(0, 6_000)
LIMITS = Limits(total_bytes=20_000, entry_bytes=6_000, entries=5)


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def place(number: int, ttl_s: float = 60, **changes: str) -> Place:
    names = {"alias": "a*", "model": f"a{number}", "key_id": "key_1"} | changes
    return Place(b"%032d" % number, ttl_s=ttl_s, **names)


def answer(size: int = 10, cost: int = 1) -> Answer:
    return Answer({"content-type": "application/json"}, b"x" * size, cost)


class Bounds(RuleBasedStateMachine):
    """Keeps and finds in any order; `model` is what must be true of what is found."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = Store(LIMITS, self.clock)
        self.last: dict[int, Entry] = {}

    @rule(number=KEYS, size=SIZES, ttl_s=st.integers(1, 100))
    def keep(self, number: int, size: int, ttl_s: int) -> None:
        self.last[number] = self.store.keep(place(number, ttl_s), answer(size))

    @rule(number=KEYS)
    def find(self, number: int) -> None:
        found = self.store.find(place(number).digest)
        if found is not None:
            assert found is self.last[number], "the newest answer to the very same request"
            assert self.clock.now < found.expires_at
            assert found.size_bytes <= self.store.limits.largest_bytes

    @rule(seconds=st.integers(1, 70))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(number=KEYS)
    def remove(self, number: int) -> None:
        digest = place(number).digest
        there = sum(entry.place.digest == digest for entry in self.store)
        assert self.store.remove(lambda entry: entry.place.digest == digest) == there
        assert self.store.find(digest) is None

    @rule(total=st.integers(0, 20_000), most=st.integers(1, 6))
    def limit(self, total: int, most: int) -> None:
        self.store.limits = Limits(total, 6_000, most)

    @invariant()
    def bounded(self) -> None:
        limits = self.store.limits
        assert len(self.store) <= limits.entries
        assert self.store.size_bytes <= limits.total_bytes
        assert self.store.size_bytes == sum(entry.size_bytes for entry in self.store)


TestBounds = Bounds.TestCase


@dataclass
class Kept:
    clock: Clock = field(default_factory=Clock)
    limits: Limits = LIMITS

    def __post_init__(self) -> None:
        self.store = Store(self.limits, self.clock)

    def numbers(self, among: range) -> list[int]:
        return [number for number in among if self.store.find(place(number).digest)]


def test_the_least_used_goes_first() -> None:
    kept = Kept()
    for number in range(5):
        kept.store.keep(place(number), answer())
    kept.store.find(place(0).digest)
    kept.store.keep(place(5), answer())
    assert kept.numbers(range(6)) == [0, 2, 3, 4, 5]


def test_an_answer_ends_with_its_own_lifetime() -> None:
    kept = Kept()
    kept.store.keep(place(1, 10), answer())
    kept.store.keep(place(2, 20), answer())
    kept.clock.now += 9.5
    assert kept.numbers(range(3)) == [1, 2]
    kept.clock.now += 0.5
    assert kept.numbers(range(3)) == [2]


def test_what_is_over_is_swept_away_now_and_then() -> None:
    kept = Kept()
    kept.store.keep(place(1, 10), answer())
    kept.clock.now += 61
    kept.store.keep(place(2, 10), answer())
    assert len(kept.store) == 1


def test_too_large_an_answer_is_not_kept_and_takes_its_forerunner_s_place() -> None:
    kept = Kept()
    kept.store.keep(place(1), answer())
    kept.store.keep(place(1), answer(LIMITS.entry_bytes))
    assert kept.numbers(range(2)) == []
    assert kept.store.size_bytes == 0
