import pytest

from conduit.core.errors import (
    ConduitError,
    InvalidRequestError,
    UpstreamAuthError,
    UpstreamFailure,
    UpstreamRateLimitedError,
    UpstreamRejectedError,
)
from conduit.gateway.exchange import Assumed, Attempt, Candidate, Decision, Exchange
from conduit.gateway.ledger.entries import AttemptOutcome
from conduit.gateway.stages.resolve import Attempts
from tests.gateway.exchanges import RATES, exchange, snapshot, upstream


def three_candidates() -> Exchange:
    made = exchange(snapshot([]))
    candidates = tuple(Candidate(upstream(), model, {}, RATES) for model in "abc")
    made.decision = Decision("fast", candidates, ())
    return made


def refuse(attempt: Attempt, error: ConduitError) -> None:
    attempt.failed(error, AttemptOutcome.REFUSED, Assumed.NOTHING)


def run(made: Exchange, *errors: ConduitError | None, most: int = 3) -> list[str]:
    """Models in the order tried, each attempt failing with its error."""
    waiting = list(errors)
    tried = []
    for attempt in Attempts(most)(made):
        made.attempts.append(attempt)
        tried.append(attempt.candidate.model)
        error = waiting.pop(0)
        if error is not None:
            refuse(attempt, error)
    return tried


@pytest.mark.parametrize("kind", [UpstreamFailure, UpstreamAuthError, UpstreamRateLimitedError])
def test_a_failure_of_the_provider_moves_on(kind: type[UpstreamFailure]) -> None:
    assert run(three_candidates(), kind("no"), None) == ["a", "b"]


@pytest.mark.parametrize("kind", [UpstreamRejectedError, InvalidRequestError])
def test_a_request_that_is_wrong_is_final(kind: type[ConduitError]) -> None:
    with pytest.raises(kind):
        run(three_candidates(), kind("no"), None)


def test_the_last_error_is_raised_and_says_that_a_retry_is_no_use() -> None:
    with pytest.raises(UpstreamFailure, match="third") as caught:
        run(three_candidates(), *map(UpstreamFailure, ("first", "second", "third")))
    assert caught.value.should_retry is False


def test_a_rate_limit_may_be_tried_again_by_the_client() -> None:
    errors = map(UpstreamRateLimitedError, ("first", "second", "third"))
    with pytest.raises(UpstreamRateLimitedError) as caught:
        run(three_candidates(), *errors)
    assert caught.value.should_retry is None


def test_no_more_is_tried_than_the_limit() -> None:
    made = three_candidates()
    with pytest.raises(UpstreamFailure, match="second"):
        run(made, UpstreamFailure("first"), UpstreamFailure("second"), None, most=2)
    assert len(made.attempts) == 2


def test_fallback_stops_once_a_byte_has_left() -> None:
    made = three_candidates()
    for attempt in Attempts(3)(made):
        made.attempts.append(attempt)
        attempt.answering = True
        attempt.failed(UpstreamFailure("cut"), AttemptOutcome.CUT, Assumed.COUNTED)
    assert len(made.attempts) == 1


def reset_each(made: Exchange) -> None:
    for attempt in Attempts(3)(made):
        made.attempts.append(attempt)
        attempt.failed(UpstreamFailure("reset"), AttemptOutcome.AMBIGUOUS, Assumed.HOLD)


def test_a_call_that_may_be_running_still_is_repeated_once_only() -> None:
    made = three_candidates()
    with pytest.raises(UpstreamFailure):
        reset_each(made)
    assert len(made.attempts) == 2


def test_a_field_that_we_added_is_left_out_at_the_same_target() -> None:
    made = three_candidates()
    tried = []
    for attempt in Attempts(3)(made):
        made.attempts.append(attempt)
        tried.append(attempt.candidate.model)
        if len(tried) == 1:
            attempt.ask_again = True
            refuse(attempt, UpstreamRejectedError("no stream_options"))
    assert tried == ["a", "a"]
