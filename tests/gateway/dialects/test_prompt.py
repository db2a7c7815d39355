"""The length of prompts, and conversations without their oldest turns."""

import dataclasses
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from conduit.gateway.dialects.bridges.choice import bridge_between
from conduit.gateway.dialects.bridges.protocol import Sending
from conduit.gateway.dialects.chat_call import reader_in, reader_of
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.openai.units import READ, chat_texts
from conduit.gateway.dialects.openai.wire import decode_call
from conduit.gateway.dialects.openai_chat import dialect as openai_chat
from conduit.gateway.dialects.prompt import Prompt, Trimmed, most_tokens, upper_tokens
from conduit.gateway.dialects.registry import DIALECTS as REGISTERED
from conduit.gateway.dialects.request_units import texts_of
from conduit.gateway.dialects.strict_json import raw_items
from conduit.gateway.exchange import Candidate
from conduit.gateway.provider import Operation, Quirks
from conduit.gateway.stages.decode import input_tokens_of, most_input_tokens_of
from tests.gateway.dialects.conversations import (
    DIALECTS,
    FIELDS,
    Talk,
    again,
    call_in,
    calls_and_results,
    plain,
    spoken_by,
    talks,
)
from tests.gateway.exchanges import RATES, upstream

PROSE = "The quick brown fox jumps over the lazy dog. " * 20


def items_of(call: ClientCall) -> list[bytes]:
    return [bytes(item) for item in raw_items(call.fields[field_of(call)])]


def field_of(call: ClientCall) -> str:
    return FIELDS.get(call.dialect, "messages")


def values_of(call: ClientCall) -> list[Any]:
    return [json.loads(item) for item in items_of(call)]


def pairs_of(items: list[Any]) -> set[tuple[int, int]]:
    """Where each call that has a result stands, and where the result."""
    called: dict[str, list[int]] = {}
    pairs = set()
    for at, item in enumerate(items):
        calls, results = calls_and_results(item)
        pairs |= {(called[call].pop(0), at) for call in results}
        for call in calls:
            called.setdefault(call, []).append(at)
    return pairs


def last_turn(dialect: str, items: list[Any]) -> int:
    """Where the user begins to speak for the last time."""
    spoken = [spoken_by(dialect, item) for item in items]
    at = len(spoken) - 1 - spoken[::-1].index("user")
    while at and spoken[at - 1] in ("user", "instructions"):
        at -= 1
    return spoken.index("user", at)


def candidate(context_tokens: int | None, model: str = "m") -> Candidate:
    rates = dataclasses.replace(RATES, context_tokens=context_tokens)
    return Candidate(upstream(), model, {}, rates)


def plain_call(*contents: str) -> ClientCall:
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(contents)]
    body = json.dumps({"model": "m", "messages": messages}).encode()
    return decode_call(Operation.CHAT, body)


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(talk=talks(), share=st.integers(0, 100), output=st.integers(0, 50))
def test_what_is_left_of_a_call_is_a_whole_conversation(
    dialect: str, talk: Talk, share: int, output: int
) -> None:
    call = call_in(dialect, talk)
    room = Prompt(call).tokens * share // 100
    trimmed = Prompt(call).trimmed(room + output, output)
    if trimmed is None:
        return
    values = values_of(call)
    spoken = [spoken_by(dialect, item) for item in values]
    talked = [at for at, speaker in enumerate(spoken) if speaker != "instructions"]
    left_out = set(talked[: trimmed.dropped])
    kept = [at for at in range(len(values)) if at not in left_out]
    assert items_of(trimmed.call) == [items_of(call)[at] for at in kept]
    assert all((call in left_out) == (result in left_out) for call, result in pairs_of(values))
    assert not left_out & set(range(last_turn(dialect, values), len(values)))
    if left_out:
        first = kept[0] if dialect == "anthropic_messages" else talked[trimmed.dropped]
        assert spoken[first] == "user"


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(talk=talks(), share=st.integers(0, 100), output=st.integers(0, 50))
def test_what_is_left_of_a_call_fits_and_reads_as_it_says(
    dialect: str, talk: Talk, share: int, output: int
) -> None:
    call = call_in(dialect, talk)
    room = Prompt(call).tokens * share // 100
    trimmed = Prompt(call).trimmed(room + output, output)
    if trimmed is None:
        return
    short = trimmed.call
    assert Prompt(short).fits(room + output, output)
    field = field_of(call)
    assert list(short.fields) == list(call.fields)
    assert rest_of(short.fields, field) == rest_of(call.fields, field)
    read = again(short)
    assert (read.units, read.request) == (short.units, short.request)
    assert rest_of(read.fields, "") == rest_of(short.fields, "")
    same = {"fields", "body", "request", "units", "plain", "unmixed"}
    assert [getattr(read, name) for name in read.__struct_fields__ if name not in same] == [
        getattr(call, name) for name in call.__struct_fields__ if name not in same
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(talk=talks(), share=st.integers(0, 100))
def test_no_more_is_left_out_than_must_be(dialect: str, talk: Talk, share: int) -> None:
    call = call_in(dialect, talk := plain(talk))
    room = Prompt(call).tokens * share // 100
    trimmed = Prompt(call).trimmed(room)
    short = call_in(dialect, dataclasses.replace(talk, turns=talk.turns[-1:], greeting=""))
    if trimmed is None:
        assert Prompt(short).upper_tokens > room
    elif trimmed.dropped:
        assert not Prompt(call).fits(room)


def rest_of(fields: dict[str, msgspec.Raw], field: str) -> dict[str, bytes]:
    return {name: bytes(raw) for name, raw in fields.items() if name != field}


def test_a_prompt_is_measured_as_it_is_held_for() -> None:
    call = plain_call(PROSE, "no", "hm")
    unknown = candidate(None)
    assert upper_tokens(call.units, unknown.model) == input_tokens_of(call, unknown)
    dense = replace(call, units=replace(call.units, images=2, files=1))
    mini = candidate(None, "gpt-4o-mini")
    assert upper_tokens(dense.units, mini.model) == input_tokens_of(dense, mini)


@given(st.lists(st.text(), min_size=1, max_size=4), st.text())
def test_a_strict_estimate_is_never_below_the_bytes_that_are_sent(
    contents: list[str], description: str
) -> None:
    call = plain_call(*contents)
    sent = sum(len(text.encode()) for text in contents)
    assert most_tokens(call) >= sent + len(contents)
    assert most_input_tokens_of(call, candidate(1)) >= sent  # whatever a context is said to be
    fields = {
        "model": "m",
        "messages": [{"role": "user", "content": text} for text in contents],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": description}},
        ],
        "documents": [{"text": description}],  # what the gateway knows nothing of
    }
    more = decode_call(Operation.CHAT, json.dumps(fields).encode())
    assert most_tokens(more) >= sent + 2 * len(description.encode())


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(talk=talks())
def test_a_strict_estimate_is_never_below_the_texts_of_any_dialect(
    dialect: str, talk: Talk
) -> None:
    call = call_in(dialect, talk)
    texts = texts_of(call.request) if call.request else chat_texts(openai_fields(call))
    assert most_tokens(call) >= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    assert most_tokens(call) >= upper_tokens(call.units)


def openai_fields(call: ClientCall) -> dict[str, Any]:
    return {name: call.read(name) for name in READ}


def test_a_strict_estimate_counts_media_by_the_dearest_or_by_their_bytes() -> None:
    call = plain_call("")
    for units, tokens in (
        ({"images": 2}, 2 * 48_169),
        ({"audio_clips": 1, "audio_bytes": 19_199}, 19_200),
        ({"audio_clips": 1, "audio_bytes": 10**6}, 10**6),
        ({"files": 2, "file_bytes": 10}, 600_000),
        ({"files": 1, "file_bytes": 10**6}, 10**6),
    ):
        dense = replace(call, units=replace(call.units, **units))
        assert most_tokens(dense) - most_tokens(call) == tokens


def test_what_a_target_adds_to_a_call_is_held_strictly_too() -> None:
    call = plain_call("hello")
    bare = candidate(None)
    more = dataclasses.replace(bare, params={"documents": ["one", "two"]})
    assert most_input_tokens_of(call, more) >= most_input_tokens_of(call, bare) + len("onetwo")


def test_a_prompt_fits_by_the_density_of_its_own_text() -> None:
    prompt = Prompt(plain_call(PROSE))
    assert prompt.upper_tokens == 312
    assert prompt.likely_tokens == prompt.tokens == 210
    assert [prompt.fits(tokens) for tokens in (209, 210, 312)] == [False, True, True]
    assert prompt.fits(310, 100)
    assert not prompt.fits(309, 100)


def test_an_unknown_window_takes_everything() -> None:
    assert Prompt(plain_call(PROSE)).fits(None, 10**9)


def test_what_may_be_many_inputs_is_left_to_the_provider() -> None:
    call = decode_call(Operation.EMBEDDING, b'{"model":"m","input":["a b c","d e f"]}')
    assert Prompt(call).fits(1)
    assert Prompt(call).trimmed(1) == Trimmed(call, 0)


def test_a_document_is_not_taken_for_as_long_as_it_might_be() -> None:
    part = {"type": "file", "file": {"file_id": "file-1"}}
    message = {"role": "user", "content": [{"type": "text", "text": "sum it up"}, part]}
    body = json.dumps({"model": "m", "messages": [message]}).encode()
    prompt = Prompt(decode_call(Operation.CHAT, body))
    assert prompt.upper_tokens > 300_000
    assert prompt.fits(128_000, 4_096)


def test_the_oldest_turns_go_first() -> None:
    call = plain_call("one " * 99, "1 " * 99, "two " * 99, "2 " * 99, "three " * 9)
    trimmed = Prompt(call).trimmed(300)
    assert trimmed is not None
    assert [item["content"][:3] for item in values_of(trimmed.call)] == ["two", "2 2", "thr"]
    assert trimmed.headers == {"x-conduit-trimmed": "2"}


def test_another_dialect_is_told_the_same_conversation() -> None:
    call = plain_call("one " * 99, "1 " * 99, "two " * 99, "2 " * 99, "three")
    trimmed = Prompt(call).trimmed(300)
    assert trimmed is not None
    bridge = bridge_between("openai_chat", "anthropic_messages")
    encoded = bridge.encode(trimmed.call, Sending("claude", {}, Quirks()))
    sent = json.loads(encoded.body)["messages"]
    assert [turn["content"][:3] for turn in sent] == ["two", "2 2", "thr"]


def test_what_fits_is_left_alone() -> None:
    call = plain_call(PROSE, "no", "hm")
    trimmed = Prompt(call).trimmed(1000)
    assert trimmed is not None
    assert trimmed.call is call
    assert trimmed.headers == {}


def test_the_last_turn_and_the_instructions_are_never_cut() -> None:
    assert Prompt(plain_call("hi", "no", PROSE)).trimmed(100) is None
    body = {"model": "m", "messages": [{"role": "system", "content": PROSE}, USER, ANSWER, USER]}
    assert Prompt(decode_call(Operation.CHAT, json.dumps(body).encode())).trimmed(100) is None


def test_what_is_denser_than_what_was_left_out_is_measured_by_itself() -> None:
    light = " " * 8000
    call = plain_call(light, "ok", *([PROSE, "ok"] * 10), PROSE)
    dropped = []
    for room in range(300, 2600, 100):
        trimmed = Prompt(call).trimmed(room)
        assert trimmed is not None
        assert Prompt(trimmed.call).fits(room)
        dropped.append(trimmed.dropped)
    assert len(set(dropped)) > 5


def test_a_last_turn_that_is_lighter_than_the_rest_is_measured_by_itself() -> None:
    call = plain_call("1,2;3.4\n" * 1000, "ok", PROSE)
    trimmed = Prompt(call).trimmed(260)
    assert trimmed is not None
    assert trimmed.dropped == 2
    assert Prompt(trimmed.call).upper_tokens > 260


USER = {"role": "user", "content": "words " * 50}
ANSWER = {"role": "assistant", "content": "words " * 50}


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "words " * 200},
        {"input": [USER, ANSWER, USER], "previous_response_id": "resp_1"},
        {"input": [USER, ANSWER, USER], "conversation": "conv_1"},
        {"input": [USER, ANSWER, USER], "prompt": {"id": "pmpt_1"}},
        {"input": [USER, {"type": "item_reference", "id": "msg_1"}, USER]},
    ],
)
def test_a_conversation_that_is_kept_elsewhere_is_not_cut(fields: dict[str, Any]) -> None:
    call = reader_in("openai_responses")(json.dumps({"model": "m"} | fields).encode())
    assert Prompt(call).trimmed(100) is None


def test_contents_that_follow_a_cached_one_are_not_cut() -> None:
    contents = [{"role": "user", "parts": [{"text": "words " * 100}]}, {"role": "model"}]
    body = {"contents": [*contents, {"parts": {"text": "so?"}}]}
    assert gemini_dropped(body) == 2
    assert gemini_dropped(body | {"cachedContent": None}) == 2
    assert gemini_dropped(body | {"cached_content": "cachedContents/1"}) is None
    assert gemini_dropped({"contents": contents[0]}) is None


def gemini_dropped(body: dict[str, Any]) -> int | None:
    decode = REGISTERED["gemini"].decode_request
    read = reader_of(lambda body: decode(body, model="m", stream=True), "gemini_array")
    trimmed = Prompt(read(json.dumps(body).encode())).trimmed(60)
    return None if trimmed is None else trimmed.dropped


def test_a_chat_that_was_decoded_already_is_cut_in_both_forms() -> None:
    body = {"model": "m", "messages": [USER, ANSWER, USER, ANSWER, USER]}
    call = reader_of(openai_chat.decode_request)(json.dumps(body).encode())
    trimmed = Prompt(call).trimmed(250)
    assert trimmed is not None
    assert trimmed.dropped == 2
    assert trimmed.call.request == openai_chat.decode_request(trimmed.call.body)


def test_a_count_of_tokens_is_cut_without_an_output_cap() -> None:
    body = {"model": "m", "system": "be brief", "messages": [USER, ANSWER, USER]}
    call = reader_in("anthropic_messages", "decode_count_request")(json.dumps(body).encode())
    trimmed = Prompt(call).trimmed(150)
    assert trimmed is not None
    assert trimmed.call.request == again_counted(trimmed.call)


def again_counted(call: ClientCall) -> object:
    return reader_in("anthropic_messages", "decode_count_request")(call.body).request


def test_the_longest_conversation_is_cut() -> None:
    call = plain_call(*("The quick brown fox jumps over the lazy dog." for _ in range(4095)))
    prompt = Prompt(call)
    trimmed = prompt.trimmed(10_000, 1_000)
    assert trimmed is not None
    assert 2_000 < trimmed.dropped < 4_094
    assert prompt.trimmed(2_000, 1_000) != trimmed
