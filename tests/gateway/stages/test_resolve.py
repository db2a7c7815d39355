"""Candidates that surely cannot serve a request are left out before anything is held."""

from dataclasses import replace
from typing import Any

import pytest

from conduit.core.errors import ConduitError, ModelNotFoundError, UnsupportedParameterError
from conduit.core.limits import Limit
from conduit.gateway.config.snapshot import (
    AliasMapping,
    Fallback,
    KeyGrant,
    Policy,
    Snapshot,
    Target,
)
from conduit.gateway.exchange import Exchange
from conduit.gateway.pricing import Rates
from conduit.gateway.routing.resolve import PriceOf
from conduit.gateway.routing.trace import read_trace, trace_of
from conduit.gateway.stages.resolve import Resolve
from tests.gateway.exchanges import RATES, exchange, grant, mapping, snapshot, upstream

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


def test_the_limits_of_an_alias_and_the_gateway_are_those_of_the_model_and_found_once() -> None:
    of_alias = (Limit("rpm", 60), Limit("rpm", 5, model="slow"))
    known = snapshot([replace(mapping("fast", SEEING), limits=of_alias)])
    resolve = Resolve(price_of, lambda _: None)
    resolve.limits = (Limit("tpm", 100, model="fa*"), Limit("tpd", 9, model="slow"))
    first, again = exchange(known), exchange(known)
    resolve(first)
    resolve(again)
    assert [(each.kind, each.limits) for each in first.scopes] == [
        ("mapping", of_alias[:1]),
        ("gateway", resolve.limits[:1]),
    ]
    assert [a is b for a, b in zip(first.scopes, again.scopes, strict=True)] == [True, True]


def test_limits_of_other_models_alone_are_none() -> None:
    resolve = Resolve(price_of, lambda _: None)
    resolve.limits = (Limit("tpm", 100, model="slow"),)
    asked = exchange(snapshot([mapping("fast", SEEING)]))
    resolve(asked)
    assert asked.scopes == ()


def traced(
    snapshot_of: Snapshot,
    price: PriceOf = price_of,
    *,
    key: KeyGrant | None = None,
    **fields: Any,
) -> list[str]:
    """The targets of a refused request and why each was left out, as its record keeps them."""
    asked = exchange(snapshot_of, **fields)
    asked.grant(key or asked.granted_key)
    with pytest.raises(ConduitError):
        Resolve(price, lambda _: None)(asked)
    text = trace_of(asked)
    assert text is not None
    trace = read_trace(text)
    (leg,) = trace.legs
    assert (leg.alias, leg.candidates, trace.attempts) == ("fast", [], [])
    assert {each.state for each in leg.left_out} == {"left_out"}
    return [f"{each.provider}/{each.model}: {each.reason}" for each in leg.left_out]


def test_a_refused_request_keeps_why_each_target_was_left_out() -> None:
    one = snapshot([mapping("fast", BLIND)])
    disabled = snapshot([mapping("fast", BLIND, SEEING)], [upstream(enabled=False)])
    assert traced(disabled) == [
        "one/blind: the provider is disabled",
        "one/seeing: the provider is disabled",
    ]
    assert traced(one, messages=IMAGE) == ["one/blind: the model takes no images"]


def test_a_request_that_is_refused_for_its_price_keeps_why() -> None:
    paying = grant(has_hard_budget=True)
    one = snapshot([mapping("fast", BLIND)])

    def unpriced(overrides: object, provider: str, vendor: str | None, model: str) -> None:
        return None

    (why,) = traced(one, unpriced, key=paying)
    assert why == "one/blind: the model has no price, and a hard budget covers the call"
    (why,) = traced(one, key=paying, service_tier="priority")
    assert why == "one/blind: the price of service_tier 'priority' is not known"


def test_a_name_that_no_mapping_takes_has_no_trace() -> None:
    asked = exchange(snapshot([mapping("other", BLIND)]))
    with pytest.raises(ModelNotFoundError):
        Resolve(price_of, lambda _: None)(asked)
    assert trace_of(asked) is None


SMALL = Target("one", "small", capabilities={"context_tokens": 300})
LARGE = Target("one", "large", order=1, capabilities={"context_tokens": 100_000})
LONG = [
    {"role": "system", "content": "Be brief."},
    *[
        {"role": role, "content": f"turn {number} " + "words and more of them " * 10}
        for number in range(20)
        for role in ("user", "assistant")
    ],
    {"role": "user", "content": "And now?"},
]


def test_a_prompt_that_is_too_long_goes_where_there_is_room() -> None:
    asked, _ = resolved(SMALL, LARGE, messages=LONG)
    assert asked.decision is not None
    assert [each.model for each in asked.decision.candidates] == ["large"]
    assert "does not fit its 300" in asked.decision.why_nots[0].reason


def test_where_nobody_has_room_the_provider_has_the_word() -> None:
    asked, _ = resolved(SMALL, messages=LONG)
    assert asked.decision is not None
    assert [each.model for each in asked.decision.candidates] == ["small"]
    assert asked.trimmed == 0


def with_policy(*fallbacks: Fallback, **policy: Any) -> Exchange:
    own = AliasMapping("map_fast", "fast", "simple", (SMALL,), fallbacks, 0, Policy(**policy))
    asked = exchange(snapshot([own]), messages=LONG)
    Resolve(price_of, lambda _: None)(asked)
    return asked


def test_the_oldest_turns_are_left_out_where_the_mapping_says_so() -> None:
    asked = with_policy(long_context="drop_oldest")
    messages = asked.call.read("messages")
    assert (messages[0], messages[-1]) == (LONG[0], LONG[-1])
    assert len(messages) == len(LONG) - asked.trimmed
    assert asked.trimmed > 0
    assert asked.prompt is not None
    assert asked.prompt.fits(300)


def test_another_alias_comes_before_leaving_turns_out() -> None:
    asked = with_policy(Fallback("context_window", "other"), long_context="drop_oldest")
    assert asked.decision is not None
    assert (asked.decision.candidates, asked.decision.too_long) == ((), True)
    assert asked.trimmed == 0
