"""Embeddings between a client and a provider of Gemini's format, relayed as they stand."""

import json
from typing import Any

import pytest

from conduit.core.errors import UpstreamFailure
from conduit.gateway.dialects.bridges.choice import bridge_between
from conduit.gateway.dialects.bridges.protocol import Sending
from conduit.gateway.dialects.client_call import ClientCall
from conduit.gateway.dialects.target import EncodedRequest
from conduit.gateway.dialects.whole_calls import read_embedding
from conduit.gateway.provider import Operation, Quirks

BRIDGE = bridge_between("gemini", "gemini", Operation.EMBEDDING)
SINGLE = (
    b'{"content":{"parts":[{"text":"a"}],"role":"user"},"taskType":"RETRIEVAL_QUERY",'
    b'"later":{"number":1.0e2},"model":"models/alias"}'
)
BATCH = b'{"requests":[' + SINGLE + b',{"content":{"parts":[{"text":"b"}]}%s}]}'
MORE = b',"taskType":"RETRIEVAL_QUERY","later":{"number":1.0e2},"model":"models/alias"'


def call_of(body: bytes, *, batch: bool) -> ClientCall:
    return read_embedding(body, model="alias", batch=batch)


def sent(call: ClientCall, **params: Any) -> bytes:
    return BRIDGE.encode(call, Sending("their-model", params, Quirks())).body


def test_one_content_is_a_batch_of_what_the_client_wrote() -> None:
    body = sent(call_of(SINGLE, batch=False))
    assert body == b'{"requests":[' + SINGLE.replace(b"alias", b"their-model") + b"]}"


def test_a_batch_goes_out_as_it_stood_but_for_its_model() -> None:
    written = BATCH % MORE
    assert sent(call_of(written, batch=True)) == written.replace(b"alias", b"their-model")


def test_the_parts_of_one_content_go_out_as_they_stood_and_all_their_text_counts() -> None:
    written = SINGLE.replace(b'{"text":"a"}', b'{"text":"abc"},{"text":"de", "later":1.0e2}')
    call = call_of(written, batch=False)
    assert sent(call) == b'{"requests":[' + written.replace(b"alias", b"their-model") + b"]}"
    assert (call.units.text_bytes, call.units.messages) == (5, 1)


def test_the_target_s_own_fields_go_into_every_request() -> None:
    body = sent(call_of(BATCH % MORE, batch=True), outputDimensionality=8, later=None)
    for request in json.loads(body)["requests"]:
        assert request["outputDimensionality"] == 8
        assert "later" not in request


def test_the_answer_of_a_batch_is_relayed_to_the_byte() -> None:
    answer = b'{"embeddings": [{"values": [1.0e-1]}, {"values": [2], "x": 1}], "later": 1.50}'
    read = BRIDGE.whole(call_of(BATCH % MORE, batch=True), EncodedRequest(b""), answer, str)
    assert (read.body, read.usage) == (answer, None)


def test_the_answer_of_one_content_is_taken_out_of_its_list() -> None:
    answer = (
        b'{"embeddings":[{"values":[1.0e-1],"x":1}],"usageMetadata":{"promptTokenCount":3},'
        b'"later":1.50}'
    )
    read = BRIDGE.whole(call_of(SINGLE, batch=False), EncodedRequest(b""), answer, str)
    assert read.body == (
        b'{"embedding":{"values":[1.0e-1],"x":1},"usageMetadata":{"promptTokenCount":3},'
        b'"later":1.50}'
    )
    assert read.usage is not None
    assert read.usage.input_tokens == 3


def test_an_answer_that_lacks_one_is_a_failure() -> None:
    with pytest.raises(UpstreamFailure):
        BRIDGE.whole(
            call_of(BATCH % MORE, batch=True),
            EncodedRequest(b""),
            b'{"embeddings":[{"values":[1]}]}',
            str,
        )
