"""Every fault comes to what its row says: for the client, the providers and the ledger."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.conftest import UPSTREAM_CLIENTS
from tests.e2e.faults.rows import GOOD, ROWS, Charged, Mode, Row, Seen, Text
from tests.e2e.faults.scene import Answered, Scene, open_scene
from tests.fakes.openai_answers import answer_text

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = answer_text(GOOD, {})
CASES = [
    pytest.param(row, mode, every, id=f"{row.name}-{mode}-{'every' if every else 'first'}")
    for row in ROWS
    for mode in row.modes
    for every in ((False, True) if row.every is not None else (False,))
]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=UPSTREAM_CLIENTS)
async def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path_factory.mktemp("faults"), request.param) as opened:
        yield opened


@pytest.mark.parametrize(("row", "mode", "every"), CASES)
async def test_a_fault_comes_to_what_its_row_says(
    scene: Scene, row: Row, mode: Mode, every: bool
) -> None:
    seen = row.every if every and row.every is not None else row.first
    await scene.spoil(row, every=every)
    for _ in range(row.flaps):
        saw(await scene.ask(mode), seen)
    attempts = await scene.attempts()
    places = [scene.place(attempt) for attempt in attempts]
    assert tuple(places.count(place) for place in range(3)) == seen.tried
    was_called(scene, row, seen, every=every)
    for attempt, place in zip(attempts, places, strict=True):
        good = attempt["outcome"] == "succeeded"
        if (every or not place) and not (good and row.flaps > 1):
            ended_as_said(attempt, row)
        else:
            assert good
    # Each call that a provider saw is an attempt with a row of its own.
    reached = {name for upstream in scene.upstreams for name in upstream.client_request_ids}
    assert reached <= {attempt["id"] for attempt in attempts}
    await scene.running.ledger_holds()


def saw(answered: Answered, seen: Seen) -> None:
    assert (answered.status, answered.code) == (seen.status, seen.code), answered.body
    expected = None if seen.retry_after_s is None else str(seen.retry_after_s)
    assert answered.retry_after == expected
    assert answered.is_done is (seen.text is Text.ALL)
    assert "[DONE]" not in answered.body or answered.is_done
    match seen.text:
        case Text.ALL:
            assert answered.text == ALL
        case Text.PART:
            assert answered.text
            assert ALL.startswith(answered.text)
            assert answered.text != ALL
        case Text.NONE:
            assert not answered.text
    for secret in ("secret-internal-host", "-credential"):
        assert secret not in answered.body


def was_called(scene: Scene, row: Row, seen: Seen, *, every: bool) -> None:
    calls = [len(upstream.requests) for upstream in scene.upstreams]
    for place, tried in enumerate(seen.tried):
        spoiled = every or not place
        assert calls[place] == (tried if row.reaches or not spoiled else 0)


def ended_as_said(attempt: dict[str, Any], row: Row) -> None:
    said = row.spoiled
    assert (attempt["outcome"], attempt["error_code"]) == (said.outcome, said.code)
    assert attempt["status"] == said.shown_status
    assert attempt["ambiguous"] is said.is_ambiguous
    assert attempt["billed"] == (attempt["cost"] if said.is_billed else "0.00")
    cost, hold = float(attempt["cost"]), float(attempt["hold"])
    tokens = (attempt["input_tokens"], attempt["output_tokens"])
    match said.charged:
        case Charged.NOTHING:
            assert (cost, *tokens) == (0, 0, 0)
        case Charged.INPUT:
            assert tokens[0] > 0 == tokens[1]
        case Charged.COUNTED:
            assert attempt["usage_source"] == "estimated"
            assert min(tokens) > 0
        case Charged.HOLD:
            assert cost == hold > 0
        case Charged.REPORTED:
            assert attempt["usage_source"] == "provider"
            assert tokens == (GOOD.input_tokens, GOOD.output_tokens)
    if said.charged is not Charged.HOLD:
        assert cost == pytest.approx((tokens[0] + 2 * tokens[1]) / 1e6)
