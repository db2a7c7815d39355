import json
from typing import Any

import pytest

from conduit.core.errors import InvalidRequestError, UpstreamFailure
from conduit.gateway.conversation import ChatRequest, Message, Sampling, Text, Tool, ToolChoice
from conduit.gateway.dialects.gemini.dialect import (
    decode_count,
    decode_count_request,
    encode_count,
    encode_count_request,
)
from conduit.gateway.dialects.target import Target

CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
TARGET = Target("gemini-2.5-flash")


def counted(fields: Any) -> ChatRequest:
    return decode_count_request(json.dumps(fields).encode(), model="m")


@pytest.mark.parametrize(
    "fields",
    [
        {"contents": CONTENTS, "systemInstruction": {"parts": [{"text": "s"}]}},
        {
            "generate_content_request": {
                "model": "models/x",
                "contents": CONTENTS,
                "system_instruction": {"parts": [{"text": "s"}]},
            }
        },
    ],
)
def test_what_is_to_be_counted_is_a_request(fields: Any) -> None:
    request = counted(fields)
    assert (request.model, request.stream) == ("m", False)
    assert request.messages == (Message("system", (Text("s"),)), Message("user", (Text("hi"),)))


def test_a_wrong_field_is_named() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        counted({"generateContentRequest": 5})
    assert caught.value.param == "generateContentRequest"


def test_contents_alone_are_counted_as_they_are() -> None:
    request = ChatRequest("m", (Message("user", (Text("hi"),)),), sampling=Sampling(temperature=1))
    assert json.loads(encode_count_request(request, TARGET).body) == {"contents": CONTENTS}


def test_more_than_contents_is_a_whole_request_but_for_vertex() -> None:
    request = ChatRequest(
        "m",
        (Message("system", (Text("s"),)), Message("user", (Text("hi"),))),
        tools=(Tool("f"),),
        tool_choice=ToolChoice("auto"),
        user="u",
        dialect="openai_chat",
    )
    result = encode_count_request(request, TARGET)
    assert result.dropped == ("user",)
    fields = {
        "contents": CONTENTS,
        "systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
    }
    calling = {"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}}
    assert json.loads(result.body) == {
        "generateContentRequest": {"model": "models/gemini-2.5-flash", **fields, **calling}
    }
    assert json.loads(encode_count_request(request, TARGET, wrapped=False).body) == fields


def test_a_count_is_written_and_read() -> None:
    assert encode_count(7) == b'{"totalTokens":7}'
    assert decode_count(encode_count(7)) == 7
    assert decode_count(b'[{"totalTokens": 8}]') == 8


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b"{}", b'{"totalTokens": -1}', b'{"totalTokens": true}']
)
def test_what_is_no_count_is_the_provider_s_failure(body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        decode_count(body)
