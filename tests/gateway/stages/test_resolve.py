"""Candidates that surely cannot serve a request are left out before anything is held."""

from typing import Any

import pytest

from conduit.core.errors import UnsupportedParameterError
from conduit.gateway.exchange import Exchange
from conduit.gateway.pricing import Rates
from conduit.gateway.snapshot import Target
from conduit.gateway.stages.resolve import Resolve
from tests.gateway.exchanges import RATES, exchange, mapping, snapshot

BLIND = Target("one", "blind", capabilities={"vision": False})
SEEING = Target("one", "seeing", order=1)
IMAGE = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.b/c"}}]}
]


def price_of(overrides: object, provider: str, vendor: str | None, model: str) -> Rates:
    return RATES


def resolved(*targets: Target, **fields: Any) -> tuple[Exchange, list[Exchange]]:
    started: list[Exchange] = []
    asked = exchange(snapshot([mapping("fast", *targets)]), **fields)
    Resolve(price_of, started.append)(asked)
    return asked, started


def test_another_candidate_serves_what_the_first_one_cannot() -> None:
    asked, started = resolved(BLIND, SEEING, messages=IMAGE)
    assert asked.decision is not None
    assert [each.model for each in asked.decision.candidates] == ["seeing"]
    assert [each.reason for each in asked.decision.why_nots] == ["the model takes no images"]
    assert started == [asked]


def test_what_the_request_does_not_need_keeps_nobody_out() -> None:
    asked, _ = resolved(BLIND, SEEING)
    assert asked.decision is not None
    assert [each.model for each in asked.decision.candidates] == ["blind", "seeing"]
    asked, _ = resolved(BLIND, SEEING, response_format={"type": "json_object"})
    assert asked.decision is not None
    assert len(asked.decision.candidates) == 2


def test_a_request_that_nobody_can_serve_is_refused_by_the_field() -> None:
    with pytest.raises(UnsupportedParameterError, match="'blind' of the provider 'one' takes") as e:
        resolved(BLIND, messages=IMAGE)
    assert (e.value.status, e.value.param) == (400, "messages[].content[].image_url")
