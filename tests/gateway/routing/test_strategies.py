"""Each strategy by what it promises: in order, in turn, by weight, by load, by price, by speed."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from conduit.gateway.routing.strategies import STRATEGIES, Draw, Standing, ranking

DRAWS = 20_000


def first(strategy: str, standings: list[Standing], draw: Draw, session: str | None = None) -> str:
    return standings[ranking(strategy, standings, draw, session)[0][0]].name


def shares(strategy: str, *standings: Standing) -> dict[str, float]:
    """How often each is first."""
    random = Random(7).random
    counts = Counter(first(strategy, list(standings), Draw(random, turn)) for turn in range(DRAWS))
    return {each.name: counts[each.name] / DRAWS for each in standings}


A, B, C = Standing("a"), Standing("b"), Standing("c")


def test_simple_keeps_the_order_of_the_mapping() -> None:
    assert shares("simple", A, B, C) == {"a": 1.0, "b": 0.0, "c": 0.0}


def test_round_robin_takes_turns_exactly() -> None:
    turns = [first("round-robin", [A, B, C], Draw(lambda: 0.5, turn)) for turn in range(6)]
    assert turns == ["a", "b", "c", "a", "b", "c"]


def test_random_is_even_whatever_the_weights() -> None:
    found = shares("random", replace(A, weight=9), B, C)
    assert found == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, abs=0.02)


def test_weighted_is_in_proportion() -> None:
    found = shares("weighted", replace(A, weight=7), replace(B, weight=2), C)
    assert found == pytest.approx({"a": 0.7, "b": 0.2, "c": 0.1}, abs=0.02)


def test_weighted_ranks_the_rest_in_proportion_too() -> None:
    random = Random(7).random
    seconds: Counter[int] = Counter()
    standings = [replace(A, weight=1_000_000), replace(B, weight=3), C]
    for turn in range(DRAWS):
        seconds[ranking("weighted", standings, Draw(random, turn))[1][0]] += 1
    assert seconds[1] / DRAWS == pytest.approx(0.75, abs=0.02)


def test_least_used_counts_calls_for_the_weight() -> None:
    busy = [
        replace(A, in_flight=4, weight=4),
        replace(B, in_flight=3, weight=2),
        replace(C, in_flight=2),
    ]
    assert first("least-used", busy, Draw(lambda: 0.5, 0)) == "a"


def test_least_used_leaves_equals_to_chance() -> None:
    assert shares("least-used", A, B) == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.02)


def test_lowest_cost_takes_what_has_no_price_last() -> None:
    priced = [A, replace(B, cost=20), replace(C, cost=10)]
    order = [index for index, _ in ranking("lowest-cost", priced, Draw(lambda: 0.5, 0))]
    assert order == [2, 1, 0]


def test_lowest_latency_weighs_the_first_token_and_the_speed_after_it() -> None:
    quick_start = replace(A, ttft_ms=100.0, tokens_per_s=10.0)
    quick_end = replace(B, ttft_ms=900.0, tokens_per_s=200.0)
    assert first("lowest-latency", [quick_start, quick_end], Draw(lambda: 0.5, 0)) == "b"


def test_lowest_latency_tries_what_it_does_not_know_and_spares_what_is_loaded() -> None:
    known = replace(A, ttft_ms=100.0)
    assert first("lowest-latency", [known, B], Draw(lambda: 0.5, 0)) == "b"
    slower = replace(B, ttft_ms=150.0)
    assert first("lowest-latency", [known, slower], Draw(lambda: 0.5, 0)) == "a"
    loaded = replace(known, in_flight=3)
    assert first("lowest-latency", [loaded, slower], Draw(lambda: 0.5, 0)) == "b"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_lower_order_comes_first_and_weight_0_last_in_it(strategy: str) -> None:
    standings = [
        Standing("second", order=1, cost=1, ttft_ms=1.0),
        Standing("spare", order=0, weight=0, cost=1, ttft_ms=1.0),
        Standing("first", order=0, cost=9, ttft_ms=900.0, in_flight=9),
    ]
    for turn in range(5):
        draw = Draw(Random(turn).random, turn)
        names = [standings[index].name for index, _ in ranking(strategy, standings, draw)]
        assert names == ["first", "spare", "second"]


def test_a_session_stays_where_it_is_and_all_share_by_weight() -> None:
    standings = [replace(A, weight=3), B]
    draw = Draw(Random(1).random, 0)
    found = Counter(first("random", standings, draw, f"session {number}") for number in range(4000))
    assert found["a"] / 4000 == pytest.approx(0.75, abs=0.03)
    again = Counter(first("random", standings, draw, f"session {number}") for number in range(4000))
    assert again == found


@given(st.text(min_size=1), st.integers(0, 3))
def test_when_a_target_is_out_only_its_own_sessions_move(session: str, out: int) -> None:
    standings = [Standing(name) for name in "abcd"]
    draw = Draw(lambda: 0.5, 0)
    before = first("simple", standings, draw, session)
    left = [each for index, each in enumerate(standings) if index != out]
    after = first("simple", left, draw, session)
    assert after == before or before == standings[out].name


@given(
    st.sampled_from(sorted(STRATEGIES)),
    st.lists(
        st.builds(
            Standing,
            st.text("abc", min_size=1, max_size=3),
            st.integers(0, 3),
            st.integers(0, 5),
            st.integers(0, 9),
            st.none() | st.integers(0, 10**12),
            st.none() | st.floats(0, 1e6),
            st.none() | st.floats(0, 1e4),
        ),
        max_size=8,
    ),
    st.integers(0, 100),
    st.none() | st.text(min_size=1),
)
def test_every_strategy_gives_each_target_exactly_one_place(
    strategy: str, standings: list[Standing], turn: int, session: str | None
) -> None:
    ranked = ranking(strategy, standings, Draw(Random(turn).random, turn), session)
    assert sorted(index for index, _ in ranked) == list(range(len(standings)))
    orders = [standings[index].order for index, _ in ranked]
    assert orders == sorted(orders)
