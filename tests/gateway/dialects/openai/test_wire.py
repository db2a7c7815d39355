import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import InvalidRequestError, RequestError, UnknownParameterError
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.openai.wire import decode_call, encode_call, output_cap
from conduit.gateway.dialects.whole_calls import MODERATION_MODEL, read_moderation
from conduit.gateway.provider import FieldRules, Operation, Quirks

CHAT = Operation.CHAT
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> ClientCall:
    return decode_call(CHAT, json.dumps({"model": "m", "messages": MESSAGES} | fields).encode())


def sent(
    call: ClientCall,
    *,
    model: str = "their-model",
    params: dict[str, Any] | None = None,
    ask: bool = True,
    cap: int | None = None,
    quirks: Quirks | None = None,
) -> bytes:
    return encode_call(
        call,
        model=model,
        params=params or {},
        ask_stream_usage=ask,
        output_cap=cap,
        quirks=quirks or Quirks(),
    ).body


def test_the_envelope_of_a_chat_call_is_read() -> None:
    call = chat(stream=True, stream_options={"include_usage": True}, max_tokens=9, n=3)
    assert (call.operation, call.model, call.stream, call.wants_stream_usage) == (
        CHAT,
        "m",
        True,
        True,
    )
    assert (call.max_output_tokens, call.choices) == (9, 3)
    assert list(call.fields) == ["model", "messages", "stream", "stream_options", "max_tokens", "n"]


def test_nulls_are_absent_fields() -> None:
    call = chat(stream=None, stream_options=None, max_tokens=None, n=None, tools=None)
    assert (call.stream, call.max_output_tokens, call.choices) == (False, None, 1)


def test_the_lower_of_two_caps_counts() -> None:
    assert chat(max_tokens=9, max_completion_tokens=5).max_output_tokens == 9


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"model": "a\ud83d"}, "model"),
        ({"model": "a" * 600}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user"}, {"content": "x"}]}, "messages[1].role"),
        ({"messages": MESSAGES * 4097}, "messages"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 1}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"max_tokens": 2**60}, "max_tokens"),
        ({"n": 129}, "n"),
        ({"n": -1}, "n"),
        ({"tools": {}}, "tools"),
        ({"tools": [1]}, "tools[0]"),
        ({"tools": [{}] * 513}, "tools"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        chat(**fields)
    assert caught.value.param == param
    assert param in caught.value.message


def test_a_client_cannot_choose_where_its_request_goes() -> None:
    with pytest.raises(UnknownParameterError) as caught:
        chat(api_base="http://169.254.169.254")
    assert caught.value.param == "api_base"
    tool = {"type": "function", "function": {"name": "f", "parameters": {"api_key": 1}}}
    assert chat(tools=[tool]).fields  # below the top level the name means something else


@pytest.mark.parametrize("value", [None, "", [], {}, 5, [""], [[]], ["a", 1], [1, "a"], [[1, "a"]]])
@pytest.mark.parametrize(
    ("operation", "name"), [(Operation.COMPLETION, "prompt"), (Operation.EMBEDDING, "input")]
)
def test_a_prompt_must_be_there(operation: Operation, name: str, value: Any) -> None:
    if value == [""]:
        return  # an array of strings may hold an empty one
    with pytest.raises(RequestError) as caught:
        decode_call(operation, json.dumps({"model": "m", name: value}).encode())
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("prompt", "inputs", "text", "tokens"),
    [("abc", 1, 3, 0), (["ab", "é"], 2, 4, 0), ([1, 2, 3], 1, 0, 3), ([[1, 2], [3]], 2, 0, 3)],
)
def test_prompts_of_every_form_are_counted(
    prompt: Any, inputs: int, text: int, tokens: int
) -> None:
    body = json.dumps({"model": "m", "prompt": prompt, "n": 2, "best_of": 3}).encode()
    call = decode_call(Operation.COMPLETION, body)
    assert call.choices == inputs * 3
    assert (call.units.text_bytes, call.units.tokens) == (text, tokens)


def test_an_embedding_never_streams() -> None:
    body = json.dumps({"model": "m", "input": "x", "stream": True}).encode()
    assert not decode_call(Operation.EMBEDDING, body).stream


def test_base64_data_is_no_text() -> None:
    parts = [
        {"type": "text", "text": "é" * 10},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}},
        {"type": "input_audio", "input_audio": {"data": "B" * 400, "format": "wav"}},
        {"type": "file", "file": {"file_data": "C" * 300, "filename": "a.pdf"}},
        {"type": "mystery", "x": 1},
        5,
    ]
    units = chat(messages=[{"role": "user", "content": parts}]).units
    assert units.text_bytes == 20 + len('{"type":"mystery","x":1}') + 1
    assert (units.images, units.audio_clips, units.audio_bytes) == (1, 1, 400)
    assert (units.files, units.file_bytes, units.messages) == (1, 300, 1)


def test_tools_calls_and_schemas_are_text() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    tool = {"type": "function", "function": {"name": "f"}}
    units = chat(messages=[*MESSAGES, message], tools=[tool]).units
    compact = [json.dumps(item, separators=(",", ":")) for item in ([call], [tool])]
    assert units.text_bytes == 2 + sum(map(len, compact))


@pytest.mark.parametrize(
    "content", [None, 5, {"a": 1}, [None], [{"type": "file", "file": 3}], [[]], "\ud83d"]
)
def test_odd_content_is_counted_without_a_crash(content: Any) -> None:
    call = chat(messages=[{"role": "user", "content": content, "x": {"y": "\ud83d"}}])
    assert call.units.text_bytes >= 0


def test_same_dialect_replaces_nothing_but_the_model() -> None:
    body = (
        b'{"temperature":1.0,"model":"alias","seed":1e1,"messages":[{"role":"user","content":'
        b'"\\u00e9\\/ caf\xc3\xa9", "x" : [ ]}],"top_p":0.10,"future_field":{"b":1,"a":2}}'
    )
    assert sent(decode_call(CHAT, body)) == body.replace(b'"alias"', b'"their-model"')


def test_the_model_is_written_as_json() -> None:
    assert json.loads(sent(chat(), model='a"b'))["model"] == 'a"b'


def test_half_a_surrogate_pair_passes_through() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"cut \\ud83d"}]}'
    assert sent(decode_call(CHAT, body)) == body.replace(b'"m"', b'"their-model"', 1)


@pytest.mark.parametrize(
    ("options", "ask", "quirks", "expected"),
    [
        (None, True, Quirks(), {"include_usage": True}),
        (None, False, Quirks(), None),
        (None, True, Quirks(asks_stream_usage=False), None),
        ({"include_usage": True}, True, Quirks(), {"include_usage": True}),
        ({"include_usage": False}, True, Quirks(), {"include_usage": True}),
        ({"include_usage": True}, False, Quirks(), None),
        ({"include_usage": True}, True, Quirks(asks_stream_usage=False), None),
        ({"x": 1}, True, Quirks(), {"x": 1, "include_usage": True}),
        ({"x": 1, "include_usage": True}, False, Quirks(), {"x": 1}),
    ],
)
def test_stream_usage_is_asked_for_where_it_may_be(
    options: Any, ask: bool, quirks: Quirks, expected: Any
) -> None:
    fields = {"stream": True} | ({"stream_options": options} if options is not None else {})
    out = json.loads(sent(chat(**fields), ask=ask, quirks=quirks))
    assert out.get("stream_options") == expected


def test_a_call_that_does_not_stream_keeps_its_options() -> None:
    assert "stream_options" not in json.loads(sent(chat()))


@pytest.mark.parametrize(
    ("fields", "changes", "same"),
    [
        ({}, {}, True),
        ({"stream": True, "stream_options": {"include_usage": True}}, {}, True),
        ({"stream": True, "stream_options": {"include_usage": True, "x": 1}}, {}, True),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"ask": False}, False),
        ({"stream": True, "stream_options": {"include_usage": False}}, {}, False),
        ({"stream": True}, {}, False),
        ({}, {"model": "other"}, False),
        ({}, {"cap": 7}, False),
        ({}, {"params": {"top_k": 4}}, False),
        ({"user": "u"}, {"quirks": Quirks(fields=FieldRules(dropped=frozenset({"user"})))}, False),
    ],
)
def test_a_body_that_needs_no_change_is_sent_as_it_is(
    fields: dict[str, Any], changes: dict[str, Any], same: bool
) -> None:
    call = chat(**fields)
    out = sent(call, **{"model": "m"} | changes)
    assert (out is call.body) is same
    assert (json.loads(out) == json.loads(call.body)) is same


@pytest.mark.parametrize("body", [b'{"input":"x"}', b'{"model":null,"input":"x"}'])
def test_a_moderation_that_names_no_model_is_sent_with_one(body: bytes) -> None:
    call = read_moderation(body)
    assert json.loads(sent(call, model=call.model)) == {"input": "x", "model": MODERATION_MODEL}


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.COMPLETION])
@given(
    st.fixed_dictionaries(
        {"stream": st.booleans()},
        optional={
            "stream_options": st.sampled_from(
                [None, {}, {"include_usage": True}, {"include_usage": False}, {"x": 1}]
            ),
            "max_tokens": st.sampled_from([None, 5]),
        },
    ),
    st.sampled_from([Quirks(), Quirks(asks_stream_usage=False)]),
    st.booleans(),
)
def test_a_body_sent_as_it_is_says_what_one_written_anew_says(
    operation: Operation, fields: dict[str, Any], quirks: Quirks, ask: bool
) -> None:
    body = json.dumps({"model": "m", "messages": MESSAGES, "prompt": "x"} | fields).encode()
    call = decode_call(operation, body)
    anew = json.loads(sent(call, model="other", ask=ask, quirks=quirks))
    assert json.loads(sent(call, model="m", ask=ask, quirks=quirks)) == anew | {"model": "m"}


@pytest.mark.parametrize(
    ("fields", "quirks", "expected"),
    [
        ({}, Quirks(), {"max_tokens": 7}),
        ({}, Quirks(output_cap_field="max_completion_tokens"), {"max_completion_tokens": 7}),
        ({"max_tokens": 90}, Quirks(output_cap_field="max_completion_tokens"), {"max_tokens": 7}),
        ({"max_tokens": None}, Quirks(), {"max_tokens": 7}),
        (
            {"max_tokens": 9, "max_completion_tokens": 8},
            Quirks(),
            {"max_tokens": 7, "max_completion_tokens": 7},
        ),
    ],
)
def test_a_cap_is_set_where_the_client_put_it(
    fields: dict[str, Any], quirks: Quirks, expected: dict[str, int]
) -> None:
    out = json.loads(sent(chat(**fields), cap=7, quirks=quirks))
    assert {name: value for name, value in out.items() if name.startswith("max_")} == expected


def test_a_completion_is_always_capped_by_max_tokens() -> None:
    call = decode_call(Operation.COMPLETION, b'{"model":"m","prompt":"x"}')
    quirks = Quirks(output_cap_field="max_completion_tokens")
    assert json.loads(sent(call, cap=7, quirks=quirks))["max_tokens"] == 7


def test_an_embedding_is_never_capped() -> None:
    call = decode_call(Operation.EMBEDDING, b'{"model":"m","input":"x"}')
    assert json.loads(sent(call, cap=7)) == {"model": "their-model", "input": "x"}


def test_a_target_s_own_parameters_win_but_not_over_what_the_gateway_owns() -> None:
    call = chat(temperature=1, seed=3, stream=True)
    params: dict[str, Any] = {
        "temperature": 0.5,
        "seed": None,
        "top_k": 4,
        "stream": False,
        "stream_options": {},
        "model": "x",
    }
    out = json.loads(sent(call, params=params))
    assert out["temperature"] == 0.5
    assert out["top_k"] == 4
    assert "seed" not in out
    assert out["stream"] is True
    assert out["stream_options"] == {"include_usage": True}
    assert out["model"] == "their-model"
    assert output_cap(call, {}) is None
    assert output_cap(chat(max_tokens=9), {"max_tokens": 4}) == 4


def test_the_same_call_gives_the_same_bytes() -> None:
    assert sent(chat(stream=True), cap=3) == sent(chat(stream=True), cap=3)
