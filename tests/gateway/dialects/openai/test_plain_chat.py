"""Plain chat calls: read in one go, to the same result as by the strict reading."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import RequestError
from conduit.gateway.dialects import strict_json
from conduit.gateway.dialects.call_limits import MAX_CHOICES, MAX_MESSAGES, MAX_TOOLS
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.long_text import find_long_text
from conduit.gateway.dialects.openai import plain_chat
from conduit.gateway.dialects.openai import wire as openai_wire
from conduit.gateway.dialects.openai.plain_chat import read_plain_chat
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.signatures import MADE_ID
from conduit.gateway.provider import Operation

TURN = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"é": "\\n"}'}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": None}}
PLAIN: dict[str, Any] = {"model": "m", "messages": [TURN]}


def is_plain(body: bytes) -> bool:
    return read_plain_chat(body) is not None


def strictly(body: bytes) -> ClientCall | str:
    """What the strict reading alone makes of a body."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_wire, "read_plain_chat", lambda _: None)
        return usually(body)


def usually(body: bytes) -> ClientCall | str:
    """What is made of a body, but for which reading it was."""
    try:
        call = decode_call(Operation.CHAT, body)
        return msgspec.structs.replace(call, plain=False, unmixed=False)
    except RequestError as error:
        return f"{type(error).__name__} {error.param} {error}"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"max_tokens": 5, "max_completion_tokens": 9, "n": 2, "stop": ["a"], "metadata": {"a": 1}},
        {"temperature": 0.1, "seed": 1, "user": "u", "stream": None, "n": None},
        {"messages": [TURN, {"role": "user", "content": "é", "name": "Ann"}]},
        {"messages": [TURN | {"content": "{[" * 1000}]},  # a prompt with code in it
        {"messages": [CALLING, TURN | {"role": "tool", "tool_call_id": "c1"}], "tools": [TOOL]},
        {"messages": [CALLING | {"content": None, "name": "é"}], "tool_choice": "auto"},
        {"messages": [{"role": "assistant", "content": None}], "tools": None},
        {"tools": [TOOL] * 2, "parallel_tool_calls": False, "stream": True},
        {"tools": []},
        {"messages": [TURN] * MAX_MESSAGES, "tools": [TOOL] * MAX_TOOLS, "n": MAX_CHOICES},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}, "stop": "a", "top_p": 1},
        {"logprobs": True, "top_logprobs": 2, "presence_penalty": -1, "frequency_penalty": 0.5},
        {"reasoning_effort": "low", "service_tier": "auto", "store": False, "user": None},
        {"metadata": {"a": "b", "c": 1, "d": 0.5, "e": False, "f": None}, "temperature": 0},
    ],
)
def test_text_turns_and_usual_settings_are_plain(more: dict[str, Any]) -> None:
    body = json.dumps(PLAIN | more).encode()
    assert is_plain(body)
    assert usually(body) == strictly(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"model":"m"}',
        b'{"model":"m","messages":[]}',
        b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}',
        json.dumps(PLAIN | {"messages": [TURN] * (MAX_MESSAGES + 1)}).encode(),
        json.dumps(PLAIN | {"n": MAX_CHOICES + 1}).encode(),
        json.dumps(PLAIN | {"n": 0}).encode(),
        json.dumps(PLAIN | {"max_tokens": 0}).encode(),
        json.dumps(PLAIN | {"max_completion_tokens": 2**60, "max_tokens": 1}).encode(),
        json.dumps(PLAIN | {"tools": [TOOL] * (MAX_TOOLS + 1)}).encode(),
        json.dumps(PLAIN | {"tools": [1]}).encode(),
        json.dumps(PLAIN | {"messages": [CALLING | {"tool_calls": None}]}).encode(),
        json.dumps(PLAIN | {"messages": [CALLING | {"tool_calls": [{"id": "c1"}]}]}).encode(),
        json.dumps(PLAIN | {"api_base": "http://elsewhere"}).encode(),
        json.dumps(PLAIN | {"stop": [[]] * 64}).encode(),
        json.dumps(PLAIN | {"user": "u" * 1_000_000}).encode(),
        json.dumps(PLAIN | {"messages": [TURN | {"content": [{"type": "text"}]}]}).encode(),
        json.dumps(PLAIN | {"messages": [TURN | {"tool_call_id": None}]}).encode(),
    ],
)
def test_anything_else_is_left_to_the_strict_reading(body: bytes) -> None:
    assert not is_plain(body)


@pytest.mark.parametrize("depth", [1, 31, 32, 62, 63, 64, 65, 500])
@pytest.mark.parametrize("field", ["metadata", "stop", "user", "tools"])
def test_what_is_nested_is_judged_as_by_the_strict_reading(field: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    if field == "tools" and depth > 2:
        nested = b'[{"a":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}]"
    elif field == "tools":
        nested = b"[{}]" if depth == 2 else b"[]"
    body = json.dumps(PLAIN).encode()[:-1] + b', "%b": %b}' % (field.encode(), nested)
    assert usually(body) == strictly(body)
    assert ("nested" in str(usually(body))) == (depth > 63)


@pytest.mark.parametrize(
    ("turn", "unmixed"),
    [
        (TURN | {"content": "conduit: a name"}, True),  # it is text
        (CALLING, True),
        (CALLING | {"tool_calls": [CALL | {"id": f"fc{MADE_ID}1"}]}, False),
        ({"role": "tool", "content": "1", "tool_call_id": f"fc{MADE_ID}1"}, False),
        (TURN | {"reasoning_details": [{"signature": "conduit:gemini:x"}]}, False),
    ],
)
def test_what_another_dialect_may_have_left_is_looked_for(
    turn: dict[str, Any], unmixed: bool
) -> None:
    body = json.dumps(PLAIN | {"messages": [TURN, turn]}).encode()
    assert decode_call(Operation.CHAT, body).unmixed is unmixed


@pytest.mark.parametrize("model", ["", "a\nb", "m" * 513])
def test_a_model_that_is_none_is_refused_as_ever(model: str) -> None:
    body = json.dumps(PLAIN | {"model": model}).encode()
    assert "model" in str(usually(body))
    assert usually(body) == strictly(body)


def test_a_field_that_comes_twice_is_refused() -> None:
    body = b'{"model":"m","model":"n","messages":[{"role":"user","content":"hi"}]}'
    assert 'The field "model" appears more than once' in str(usually(body))
    assert usually(body) == strictly(body)


VALUES = st.sampled_from(
    [None, True, 0, 1, -1, 7, 2**53, 2**70, 1.5, "", "text", "é", [], ["a"], [[1]], {}, TURN]
)
CALLS = st.lists(st.sampled_from([CALL, CALL | {"index": 0}, CALL | {"type": 1}, {}]), max_size=2)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": VALUES},
        optional={
            "content": VALUES,
            "name": VALUES,
            "tool_call_id": VALUES,
            "tool_calls": VALUES | CALLS,
        },
    )
    | st.just(CALLING),
    max_size=3,
)
TOOLS = st.lists(st.sampled_from([TOOL, {}, 1]), max_size=3)
NAMES = st.sampled_from(
    ("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n")
) | st.sampled_from(("stop", "user", "temperature", "tools", "tool_choice", "seed", "unknown"))


SETTINGS = st.sampled_from(
    ("temperature", "seed", "stop", "logprobs", "metadata", "tool_choice", "user", "store", "n")
)
TEXTS = st.sampled_from(
    (b"1e400", b"-1e-400", b"9" * 400, b"9" * 5000, b"1e2", b"-0", b"true", b'"\\ud83d"', b"NaN")
) | st.sampled_from((b'{"a":1e999}', b'["a",1]', b'{"a":1,"a":"b"}', b'"\xff"', b"[[],{}]"))


@given(st.dictionaries(SETTINGS, TEXTS, max_size=3))
def test_both_readings_agree_on_settings_of_every_kind(settings: dict[str, bytes]) -> None:
    fields = [b',"%b":%b' % (name.encode(), text) for name, text in settings.items()]
    body = b"%b%b}" % (json.dumps(PLAIN).encode()[:-1], b"".join(fields))
    assert usually(body) == strictly(body)


@given(st.dictionaries(NAMES, VALUES | TURNS | TOOLS))
def test_both_readings_agree_on_every_body(fields: dict[str, Any]) -> None:
    body = json.dumps(PLAIN | fields).encode()
    assert usually(body) == strictly(body)


PIECES = st.tuples(
    st.sampled_from(
        ['"messages"', '"mess\\u0061ges"', '"model"', '"metadata"', '"user"', '"stop"', '"tools"']
    ),
    st.sampled_from([":", " : ", ":\n"]),
    st.sampled_from(
        [
            *('"m"', "null", "[]", '["a"]', '["\\"}]"]', '"\\"}]"', '"]"', '"\\"messages\\":["'),
            *(json.dumps([TURN]), json.dumps([TURN, CALLING]), json.dumps([CALLING, TURN])),
            *('[{"role":"user","content":"\\"messages\\":[]"}]', '[{"role":"user","content":1}]'),
            *('{"messages":[]}', '{"messages":"x"}', json.dumps([TOOL]), '[{"messages":[]}]'),
            *('[{"role":"user","content":"\\ud800"}]', '[{"role":"user","content":"x"} ]', "[}]"),
        ]
    ),
)


@given(st.lists(PIECES, max_size=5), st.sampled_from([",", ", ", "\n,"]))
def test_a_long_body_is_read_as_any_other(
    pieces: list[tuple[str, str, str]], separator: str
) -> None:
    body = ("{" + separator.join(["".join(piece) for piece in pieces]) + "}").encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_chat, "LONG", len(body) + 1)
        shortly = read_or_error(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_chat, "LONG", 0)
        assert read_or_error(body) == shortly
        assert usually(body) == strictly(body)


LONG_TEXT = st.tuples(
    st.sampled_from(["x", "base64+/=", "é", "{[ ]}, : ", "a b", '","content":"']),
    st.integers(1000, 1500),
    st.sampled_from(["", "\n", "\x00", "\x1f", "\x7f", "\\n", "\\", '"', "é", "\udcff", "\u2028"]),
).map(lambda drawn: drawn[0] * drawn[1] + drawn[2] + drawn[0])


@pytest.mark.parametrize(
    "form",
    [
        '{"model":"m","messages":[{"role":"user","content":"%s"}]}',
        '{"messages" : [ {"content" :\n"%s" , "role":"user"}\n] ,"model": "m", "n": 2}',
        '{"messages":[{"role":"user","content":"a"},{"role":"user","content":"%s"},'
        '{"role":"tool","content":null,"tool_call_id":"c"}],"model":"m","stop":"z"}',
        '{"model":"m","messages":[{"role":"user","name":"%s"}]}',
        '{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"%s"}]}]}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"stop":["%s"]}',
        '{"model":"m","metadata":{"content":"%s"},"messages":[{"role":"user"}]}',
        '{"model":"m","content":"%s","messages":[]}',
        '{"model":"m","messages":[],"content":"%s"}',
        '{"model":"m","messages":[],"messages":[{"role":"user","content":"%s"}]}',
        '{"model":"m","seed":1,"seed":2,"messages":[{"role":"user","content":"%s"}]}',
        '{"model":"m","temperature":1e400,"messages":[{"role":"user","content":"%s"}]}',
        '{"model":"m","messages":[{"role":"user","content":"%s"}],"x":["messages"]}',
        '["messages",{"role":"user","content":"%s"}]',
        '{"model":"m","messages":[{"role":"user","content":"%s"}]',
        '{"model":"m","messages":[{"role":"user","content":"%s"}]}}',
        '{"model":"m","messages"%s:[{"role":"user","content":"a"}]}',
        "%s",
        '{"model":"m","messages":[{"role":"%s","content":"a"}]}',
        '{"model":"m","messages":[{"role":"user","content":"%s","content":"a"}]}',
        '{"model":"m","messages":[{"role":"user","content":"a","content":"%s"}]}',
        '{"model":"m","messages":[{"role":"(left out)","content":"%s"}]}',
        '{"model":"m","messages":[{"role":"%s","content":"(left out)"}]}',
        '{"model":"m","messages":[{"role":"user"  %s  "content":"(left out)"}]}',
        '{"model":"m","metadata":{"messages":1},"messages":[{"role":"user","content":"%s"},'
        '{"role":"assistant","content":"as long as what is before"}]}',
    ],
)
@given(LONG_TEXT)
def test_a_body_of_one_long_text_is_read_as_any_other(form: str, text: str) -> None:
    body = (form % text).encode("utf-8", "surrogateescape")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_chat, "LONG", len(body) + 1)
        patch.setattr(strict_json, "LONG", len(body) + 1)
        shortly, strict = read_or_error(body), strictly(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_chat, "LONG", 0)
        patch.setattr(strict_json, "LONG", 0)
        assert read_or_error(body) == shortly
        assert usually(body) == strict
        assert strictly(body) == strict


def test_a_long_text_is_left_out_where_it_is_a_turn_s_content() -> None:
    body = json.dumps(PLAIN | {"messages": [TURN, TURN | {"content": "x" * 30_000}]}).encode()
    call = read_plain_chat(body)
    assert call is not None
    assert plain_chat._read_around(body, *(find_long_text(body) or (0, 0))) is not None
    assert call.units.text_bytes == 30_002
    assert bytes(call.fields["messages"]) == json.dumps(json.loads(body)["messages"]).encode()


def read_or_error(body: bytes) -> ClientCall | str | None:
    try:
        return read_plain_chat(body)
    except RequestError as error:
        return str(error)


@pytest.mark.parametrize("trailing", [{}, {"stream": True}, {"tools": [TOOL]}, {"stop": ["a"]}])
def test_the_messages_of_a_long_body_are_gone_over_once(trailing: dict[str, Any]) -> None:
    turns = [TURN | {"content": "a long text\n" * 3000}]
    body = json.dumps({"model": "m", "messages": turns, **trailing}).encode()
    assert plain_chat._read_long(body) is not None
    at_once = read_plain_chat(body)
    assert usually(body) == strictly(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_chat, "LONG", len(body) + 1)
        assert read_plain_chat(body) == at_once
