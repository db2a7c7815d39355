"""Answers in OpenAI's responses format, as its clients read them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from conduit.core.errors import UpstreamRateLimitedError
from conduit.gateway.conversation import (
    ArgumentsDelta,
    Audio,
    Citation,
    CitationDelta,
    Failed,
    Finished,
    FinishReason,
    Image,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    StreamEvent,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    Unplaced,
    WholePart,
)
from conduit.gateway.dialects.collect import collect
from conduit.gateway.dialects.openai_responses.dialect import (
    StreamEncoder,
    decode_request,
    encode_response,
)
from tests.gateway.dialects.foreign_answers import EVENTS, OTHER, PIXEL, client_of, dumped

ASK: Any = {"model": "m", "input": "x"}


def written(events: Iterable[StreamEvent]) -> bytes:
    encoder = StreamEncoder(include_usage=True)
    return b"".join(map(encoder.encode, events)) + encoder.finish()


def frames(body: bytes) -> list[Any]:
    found = []
    for frame in body.removesuffix(b"\n\n").split(b"\n\n"):
        event, data = frame.split(b"\n")
        value = json.loads(data.removeprefix(b"data: "))
        assert event == b"event: " + value["type"].encode()
        found.append(value)
    assert [value["sequence_number"] for value in found] == list(range(len(found)))
    return found


# --- what clients read


def test_openai_s_client_accumulates_an_answer_of_another_provider() -> None:
    with client_of(written(EVENTS), streamed=True).responses.stream(**ASK) as stream:
        streamed: Any = stream.get_final_response()
    whole: Any = client_of(encode_response(collect(EVENTS))).responses.create(**ASK)
    for response in (streamed, whole):
        assert response.id == "resp_msg_1"
        assert response.status == "completed"
        assert response.output_text == "Hello world, again"
        assert response.usage.input_tokens == 7
        assert response.usage.input_tokens_details.cached_tokens == 2
        assert response.usage.output_tokens_details.reasoning_tokens == 3
        kinds = " ".join(item.type for item in response.output)
        assert kinds == (
            "reasoning reasoning reasoning message reasoning function_call function_call "
            "image_generation_call"
        )
        message = response.output[3]
        assert [part.type for part in message.content] == ["output_text", "output_text"]
        first, second = (part.annotations[0] for part in message.content)
        assert (first.url, first.start_index, first.end_index) == ("https://x/1", 0, 11)
        assert (second.url, second.start_index, second.end_index) == ("https://x/2", 2, 7)
        call = response.output[5]
        assert (call.call_id, call.name, call.arguments) == ("toolu_1", "f", '{"a": 1}')
        assert response.output[6].call_id.startswith("call_")
        assert PIXEL.endswith(response.output[7].result)
        assert "their" not in response.to_json().replace("their-model", "")


@pytest.mark.parametrize("streamed", [True, False])
def test_signatures_of_another_provider_survive_a_turn(streamed: bool) -> None:
    if streamed:
        with client_of(written(EVENTS), streamed=True).responses.stream(**ASK) as stream:
            output = [dumped(item) for item in stream.get_final_response().output]
    else:
        response = client_of(encode_response(collect(EVENTS))).responses.create(**ASK)
        output = [dumped(item) for item in response.output]
    body = {"model": "m", "input": [*output[:7], {"role": "user", "content": "on"}]}
    message = decode_request(json.dumps(body).encode()).messages[0]
    assert message.parts[:4] == (
        Thinking("first thought", signature="SigOne=", signed_by=OTHER),
        Thinking(redacted="Hidden==", signed_by=OTHER),
        Thinking("second", signature="SigTwo=", signed_by=OTHER),
        Text("Hello world", citations=message.parts[3].citations),  # type: ignore[union-attr]  # it is a text
    )
    call = message.parts[5]
    assert isinstance(call, ToolCall)
    assert (call.id, call.signature, call.signed_by) == ("toolu_1", "CallSig=", "gemini")


def test_a_stream_has_the_whole_grammar() -> None:
    events = frames(written(EVENTS))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:2] == ["created", "in_progress"]
    assert events[0]["response"]["status"] == "in_progress"
    assert kinds[2:10] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
    ]
    at = kinds.index("content_part.added")
    assert kinds[at - 1 : at + 12] == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert kinds[-1] == "completed"
    added = [event["output_index"] for event in events if event["type"].endswith("item.added")]
    assert added == list(range(8))
    done = {event["output_index"]: event["item"] for event in events if "item" in event}
    assert [done[at] for at in sorted(done)] == events[-1]["response"]["output"]


def test_a_refusal_and_a_call_that_is_signed_late_are_written() -> None:
    body = written(
        [
            Started("c", "m", 5, dialect="gemini"),
            PartStarted(0, "refusal"),
            TextDelta(0, "I "),
            TextDelta(0, "cannot"),
            PartFinished(0),
            PartStarted(1, "tool_call", tool_call_id="c1", tool_name="f"),
            SignatureDelta(1, "S", signed_by="gemini"),
            ArgumentsDelta(1, "{}"),
        ]
    )
    events = frames(body)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[2:9] == [
        "output_item.added",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
    ]
    message, call = events[-1]["response"]["output"]
    assert message["content"] == [{"type": "refusal", "refusal": "I cannot"}]
    assert call["extra_content"] == {"google": {"thought_signature": "conduit:gemini:S"}}
    assert call["status"] == "completed"


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        (FinishReason.STOP, "completed", None),
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (FinishReason.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
        (FinishReason.REFUSAL, "incomplete", {"reason": "content_filter"}),
    ],
)
def test_reasons_to_end_become_a_status(
    reason: FinishReason, status: str, details: dict[str, str] | None
) -> None:
    events: Sequence[StreamEvent] = (
        Started("c", "m", 5, dialect=OTHER),
        PartStarted(0, "text"),
        TextDelta(0, "a"),
        Finished(reason, raw_reason="theirs"),
    )
    last = frames(written(events))[-1]
    assert last["type"] == f"response.{status}"
    response = last["response"]
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert response["output"][0]["status"] == status
    whole = json.loads(encode_response(collect(events)))
    assert whole == response


class Answer(BaseModel):
    a: int


def test_openai_s_client_parses_an_answer_by_a_schema() -> None:
    events: Sequence[StreamEvent] = (
        Started("c", "m", 5, dialect=OTHER),
        PartStarted(0, "text"),
        TextDelta(0, '{"a": '),
        TextDelta(0, "1}"),
        Finished(FinishReason.STOP),
    )
    whole = client_of(encode_response(collect(events))).responses.parse(**ASK, text_format=Answer)
    assert whole.output_parsed == Answer(a=1)
    client = client_of(written(events), streamed=True)
    with client.responses.stream(**ASK, text_format=Answer) as stream:
        assert stream.get_final_response().output_parsed == Answer(a=1)


def test_an_answer_without_anything_is_still_one() -> None:
    with client_of(written([]), streamed=True).responses.stream(**ASK) as stream:
        response = stream.get_final_response()
    assert response.id.startswith("resp_")
    assert (response.output, response.usage) == ([], None)


def test_what_has_no_place_is_left_out() -> None:
    events: Sequence[StreamEvent] = (
        Started("c", "m", 5, {"x": 1}, OTHER),
        PartStarted(0, "audio"),
        TextDelta(0, "AA"),
        WholePart(1, Image("https://x/y.png")),
        WholePart(2, Audio("AA", "wav")),
        PartStarted(0, "text", choice=1),
        TextDelta(0, "second", choice=1),
        Unplaced({"container": 1}),
        Finished(FinishReason.STOP),
        Finished(FinishReason.LENGTH, choice=1),
        Failed("x", "late"),
    )
    response = frames(written(events[:-1]))[-1]["response"]
    assert (response["output"], response["status"]) == ([], "completed")
    assert "container" not in response


def test_logprobs_are_written_as_tokens() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    events: Sequence[StreamEvent] = (
        Started("c", "m", 5, dialect=OTHER),
        PartStarted(0, "text"),
        TextDelta(0, "a", logprobs={"content": [token], "refusal": None}),
        TextDelta(0, "b", logprobs={"content": None}),
        Finished(FinishReason.STOP),
    )
    (delta, _) = [e for e in frames(written(events)) if e["type"].endswith("text.delta")]
    assert delta["logprobs"] == [token]
    (part,) = json.loads(encode_response(collect(events)))["output"][0]["content"]
    assert part["logprobs"] == [token]


def test_a_failure_in_the_middle_is_raised_by_openai_s_client() -> None:
    encoder = StreamEncoder()
    body = b"".join(map(encoder.encode, EVENTS[:16]))
    body += encoder.fail(UpstreamRateLimitedError("slow down")) + encoder.finish()
    failed, error = frames(body)[-2:]
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {
        "code": "rate_limit_exceeded",
        "message": "slow down",
    }
    assert (error["code"], error["error"]["type"]) == ("upstream_rate_limited", "rate_limit_error")
    with pytest.raises(openai.APIError, match="slow down"):
        list(client_of(body, streamed=True).responses.create(**ASK, stream=True))
    kinds = [e["type"] for e in frames(written([Failed("rate_limit_exceeded", "over")]))]
    assert kinds == ["response.created", "response.in_progress", "response.failed", "error"]


def test_a_citation_for_the_whole_text_spans_it() -> None:
    events: Sequence[StreamEvent] = (
        Started("c", "m", 5, dialect=OTHER),
        CitationDelta(9, Citation(OTHER, {}, url="nowhere")),
        PartStarted(0, "text"),
        CitationDelta(0, Citation(OTHER, {}, url="u")),
        TextDelta(0, "four"),
        Finished(FinishReason.STOP),
    )
    (annotation,) = frames(written(events))[-1]["response"]["output"][0]["content"][0][
        "annotations"
    ]
    assert (annotation["start_index"], annotation["end_index"]) == (0, 4)
    assert annotation["title"] == "u"
