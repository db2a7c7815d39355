import json
from typing import Any

import msgspec
import pytest

from conduit.gateway.dialects.openai.rules import adapt, adapt_raw, with_envelope
from conduit.gateway.dialects.openai.wire import decode_call, encode_call
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError
from conduit.gateway.provider import FieldRules, Operation, Quirks

MESSAGES = [{"role": "user", "content": "hi"}]
IDS = FieldRules(tool_call_ids="[a-zA-Z0-9]{9}")


def raw(fields: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(json.dumps(fields), type=dict[str, msgspec.Raw])


def both(fields: dict[str, Any], rules: FieldRules) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What becomes of values, and of the same fields as they stood in a body: it must agree."""
    adapted, dropped = adapt(fields, rules)
    written, reported = adapt_raw(raw(fields), rules)
    assert {name: json.loads(bytes(value)) for name, value in written.items()} == adapted
    assert list(written) == list(adapted)
    assert reported == dropped
    return adapted, dropped


def test_without_a_rule_every_field_stays_as_it_stood() -> None:
    fields = {"model": "m", "messages": [{"role": "developer", "content": None}], "n": 2}
    assert both(fields, FieldRules()) == (fields, ())


def test_a_field_takes_the_vendors_name_in_its_place() -> None:
    adapted, dropped = both({"seed": 1, "model": "m"}, FieldRules(renamed={"seed": "random_seed"}))
    assert list(adapted.items()) == [("random_seed", 1), ("model", "m")]
    assert dropped == ()


@pytest.mark.parametrize("order", [("seed", "random_seed"), ("random_seed", "seed")])
def test_a_field_under_the_vendors_own_name_wins(order: tuple[str, str]) -> None:
    values = {"seed": 1, "random_seed": 2}
    fields = {name: values[name] for name in order}
    assert both(fields, FieldRules(renamed={"seed": "random_seed"}))[0] == {"random_seed": 2}


def test_what_is_dropped_is_reported_once_unless_it_says_nothing() -> None:
    rules = FieldRules(dropped=frozenset({"user", "presence_penalty", "store", "stream_options"}))
    fields = {
        "user": "u",
        "presence_penalty": 0,
        "store": None,
        "stream_options": {"include_usage": True},
    }
    assert both(fields, rules) == ({}, ("user",))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1),
        ("n", None),
        ("logprobs", False),
        ("tool_choice", "auto"),
        ("logit_bias", {}),
        ("parallel_tool_calls", True),
    ],
)
def test_a_refused_field_may_say_what_holds_anyway(name: str, value: Any) -> None:
    assert both({name: value}, FieldRules(refused=frozenset({name}))) == ({}, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 2), ("logprobs", True), ("tool_choice", "required"), ("tool_choice", {"type": "x"})],
)
def test_a_refused_field_is_named(name: str, value: Any) -> None:
    rules = FieldRules(refused=frozenset({name}))
    for work in (lambda: adapt({name: value}, rules), lambda: adapt_raw(raw({name: value}), rules)):
        with pytest.raises(InexpressibleError) as raised:
            work()
        assert raised.value.feature == name
        assert name in raised.value.reason


def test_messages_take_the_vendors_roles_and_names() -> None:
    rules = FieldRules(
        roles={"developer": "system"},
        message_renamed={"reasoning_content": "reasoning"},
        message_dropped=frozenset({"name"}),
    )
    messages: list[Any] = [
        {"role": "developer", "content": "x"},
        {"role": "user", "name": "ann", "content": "y"},
        {"role": "user", "name": None, "content": "y"},
        {"role": "assistant", "reasoning_content": "t", "content": "z"},
        {"role": "assistant", "reasoning_content": "t", "reasoning": "own", "content": "z"},
        {"role": 7},
        "no message",
    ]
    adapted, dropped = both({"messages": messages}, rules)
    assert adapted["messages"] == [
        {"role": "system", "content": "x"},
        {"role": "user", "content": "y"},
        {"role": "user", "content": "y"},
        {"role": "assistant", "reasoning": "t", "content": "z"},
        {"role": "assistant", "reasoning": "own", "content": "z"},
        {"role": 7},
        "no message",
    ]
    assert dropped == ("messages[].name",)


def test_ids_of_tool_calls_get_a_form_that_is_taken_and_still_agree() -> None:
    messages: list[Any] = [
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function"}, {"id": 1}, 2]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        {"role": "tool", "tool_call_id": "abcDEF123", "content": "x"},
        {"role": "tool", "tool_call_id": 9, "content": "x"},
        {"role": "assistant", "tool_calls": None, "content": "x"},
    ]
    adapted, _ = both({"messages": messages}, IDS)
    call, result, fitting, odd, none = adapted["messages"]
    made = result["tool_call_id"]
    assert len(made) == 9
    assert made.isalnum()
    assert call["tool_calls"] == [{"id": made, "type": "function"}, {"id": 1}, 2]
    assert fitting["tool_call_id"] == "abcDEF123"
    assert (odd, none) == (messages[3], messages[4])
    assert both({"messages": messages}, IDS)[0] == adapted


def test_content_that_may_not_be_null_is_empty() -> None:
    messages = [{"role": "assistant", "content": None}, {"role": "assistant"}]
    adapted, _ = both({"messages": messages}, FieldRules(null_content=False))
    assert adapted["messages"] == [{"role": "assistant", "content": ""}, {"role": "assistant"}]


def test_messages_that_no_rule_concerns_are_not_written_anew() -> None:
    text = b'[ {"role":"user", "content": 1.10} ]'
    written, _ = adapt_raw({"messages": msgspec.Raw(text)}, FieldRules(roles={"developer": "x"}))
    assert bytes(written["messages"]) == text


def test_messages_that_are_no_array_are_left_to_the_provider() -> None:
    rules = FieldRules(roles={"developer": "system"})
    assert both({"messages": {"role": "developer"}}, rules)[0] == {
        "messages": {"role": "developer"}
    }


def test_half_a_surrogate_pair_gets_through() -> None:
    text = b'[{"role":"developer","content":"\\ud83d"}]'
    rules = FieldRules(roles={"developer": "system"})
    written, _ = adapt_raw({"messages": msgspec.Raw(text)}, rules)
    assert bytes(written["messages"]) == text.replace(b"developer", b"system")


def test_the_rules_see_what_a_target_adds_and_takes_away() -> None:
    body = json.dumps({"model": "m", "messages": MESSAGES, "user": "u", "n": 2}).encode()
    call = decode_call(Operation.CHAT, body)
    rules = FieldRules(dropped=frozenset({"user"}), refused=frozenset({"n"}))

    def sent(params: dict[str, Any], rules: FieldRules | None) -> EncodedRequest:
        return encode_call(
            call,
            model="x",
            params=params,
            ask_stream_usage=False,
            output_cap=None,
            quirks=Quirks(fields=rules),
        )

    params = {"n": None, "seed": 1}
    adapted = sent(params, rules)
    assert json.loads(adapted.body) == {"model": "x", "messages": MESSAGES, "seed": 1}
    assert adapted.dropped == ("user",)
    assert sent(params, None).dropped == ()
    with pytest.raises(InexpressibleError):
        sent({}, rules)


def test_a_body_gets_the_envelope_of_its_vendor() -> None:
    body = b'{"model":"m","max_tokens":1}'
    assert with_envelope(body, Quirks()) == body
    quirks = Quirks(model_in_body=False, added={"anthropic_version": "v"})
    assert with_envelope(body, quirks) == b'{"max_tokens":1,"anthropic_version":"v"}'
    assert with_envelope(body, Quirks(added={"a": 1})) == b'{"model":"m","max_tokens":1,"a":1}'


@pytest.mark.parametrize(("asked", "told"), [({}, ()), ({"max_tokens": 500}, ("max_tokens",))])
def test_a_cap_that_the_gateway_adds_is_not_told_as_dropped(
    asked: dict[str, int], told: tuple[str, ...]
) -> None:
    call = decode_call(
        Operation.CHAT, json.dumps({"model": "m", "messages": MESSAGES, **asked}).encode()
    )
    encoded = encode_call(
        call,
        model="m",
        params={},
        ask_stream_usage=True,
        output_cap=300,
        quirks=Quirks(
            output_cap_field="max_tokens", fields=FieldRules(dropped=frozenset({"max_tokens"}))
        ),
    )
    assert encoded.dropped == told
