"""Several processes that count for themselves give a limit once, all of them together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import RateLimitedError
from conduit.core.limits import Limit
from conduit.gateway.limits.limiter import Counted, Limiter, Scope
from conduit.gateway.limits.shares import counted_among, share_of, shares_among


@given(st.integers(1, 10**12), st.integers(1, 64))
def test_the_shares_are_never_more_than_the_limit_together(number: int, workers: int) -> None:
    share = share_of(Limit("rpm", number, burst=number), workers)
    assert share.limit == share.burst
    assert share.limit >= 1
    assert share.limit * workers <= max(number, workers)
    assert (share.limit + 1) * workers > number


def test_what_is_no_number_stays_as_it_is() -> None:
    limit = Limit("tpd", 100, shadow=True, timezone="Europe/Berlin")
    assert share_of(limit, 4) == Limit("tpd", 25, shadow=True, timezone="Europe/Berlin")
    assert share_of(Limit("concurrent", 0), 4).limit == 0
    assert shares_among(1) is None


async def test_a_worker_gives_its_share_and_counts_its_part_of_the_day() -> None:
    async def books(_scope: Scope, _since_ms: int, _model: str | None) -> Counted:
        return Counted(5, 0)  # of all workers: three are this one's

    limiter = Limiter(counted_among(2, books), share=shares_among(2))
    own = Scope("key_1", "the key", (Limit("rpd", 10),))
    for _ in range(2):
        await limiter.take([own], 0)
    with pytest.raises(RateLimitedError, match="5 requests a day"):
        await limiter.take([own], 0)
