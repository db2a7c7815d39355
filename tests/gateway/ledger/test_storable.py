"""Ends of attempts as a database can store them, and the rows that are made of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.conversation import Usage
from conduit.gateway.ledger.budgets import OpenBudgets
from conduit.gateway.ledger.entries import AttemptOutcome, Hold, Settlement, UsageSource
from conduit.gateway.ledger.postings import post
from conduit.gateway.ledger.records import INT64_MAX, bounded
from conduit.gateway.ledger.storable import settle_record
from conduit.gateway.storage.schema import ledger
from tests.gateway.ledger.building import AT_MS, claim

amounts = st.integers(-3, 3) | st.integers(INT64_MAX - 2, INT64_MAX + 2) | st.integers()
costs = st.integers(0, INT64_MAX)
JOURNAL = 7


@given(st.lists(amounts, min_size=8, max_size=8), costs, amounts)
def test_numbers_beyond_64_bits_or_below_nothing_are_bounded_one_by_one(
    tokens: list[int], cost: int, billed: int
) -> None:
    uncached, read, short, hourly, output, reasoning, heard, spoken = tokens
    usage = Usage(
        input_tokens=uncached,
        cache_read_tokens=read,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=hourly,
        output_tokens=output,
        reasoning_tokens=reasoning,
        input_audio_tokens=heard,
        output_audio_tokens=spoken,
    )
    held = claim(4000)
    settlement = Settlement(
        AttemptOutcome.SUCCEEDED, usage, UsageSource.PROVIDER, cost, billed, AT_MS
    )
    record = settle_record(Hold(held, (), 4000), settlement, cost)
    assert record.cost_nanodollars == cost
    assert record.billed_nanodollars == bounded(min(billed, cost))
    assert (record.input_tokens, record.cache_read_tokens) == (bounded(uncached), bounded(read))
    assert record.cache_write_tokens == bounded(short + hourly)
    assert record.cache_write_1h_tokens == bounded(hourly)
    assert (record.output_tokens, record.reasoning_tokens) == (bounded(output), bounded(reasoning))
    assert record.audio_tokens == bounded(heard + spoken)
    assert record.output_audio_tokens == bounded(spoken)


@pytest.mark.parametrize("is_settled", [False, True])
def test_each_value_of_a_row_stands_in_its_column(is_settled: bool) -> None:
    held = claim(4000)
    usage = Usage(input_tokens=11, output_tokens=22, cache_write_1h_tokens=33)
    settlement = Settlement(
        AttemptOutcome.SUCCEEDED, usage, UsageSource.PROVIDER, 600, 500, AT_MS + 5, status=200
    )
    end = settle_record(Hold(held, (), 4000), settlement, 600)
    [values] = post([held, end] if is_settled else [held], {}, OpenBudgets(), JOURNAL).inserts
    row = dict(zip(ledger.c.keys(), values, strict=True))
    for name in ("attempt_id", "request_id", "key_id", "alias", "provider", "model", "operation"):
        assert row[name] == getattr(held, name)
    assert (row["held_at_ms"], row["price_version"]) == (held.at_ms, held.price_version)
    assert (row["journal"], row["adjusts"], row["group_id"]) == (JOURNAL, None, held.group_id)
    assert (row["hold_nanodollars"], row["progress_tokens"]) == (4000, 0)
    if is_settled:
        assert (row["state"], row["outcome"], row["status"]) == ("done", "succeeded", 200)
        assert (row["cost_nanodollars"], row["billed_nanodollars"]) == (600, 500)
        assert (row["input_tokens"], row["output_tokens"]) == (11, 22)
        assert (row["cache_write_tokens"], row["cache_write_1h_tokens"]) == (33, 33)
        assert row["settled_at_ms"] == AT_MS + 5
    else:
        assert (row["state"], row["outcome"], row["settled_at_ms"]) == ("open", None, None)
        assert row["input_tokens"] == held.input_tokens
        assert (row["cost_nanodollars"], row["cache_write_1h_tokens"]) == (0, 0)
