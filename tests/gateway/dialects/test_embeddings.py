import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from conduit.core.errors import InvalidRequestError, UpstreamFailure
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.cohere import embeddings as cohere_embeddings
from conduit.gateway.dialects.gemini import embeddings as gemini_embeddings
from conduit.gateway.dialects.ollama import embeddings as ollama_embeddings
from conduit.gateway.dialects.openai import embeddings as openai_embeddings
from conduit.gateway.dialects.target import EncodedRequest, InexpressibleError, Target
from conduit.gateway.dialects.vectors import to_base64
from conduit.gateway.embedding import EmbeddingRequest, EmbeddingResponse, TextParts

MODEL = Target("embedder")
REQUEST = EmbeddingRequest("alias", ("a", "b"))
USAGE = Usage(input_tokens=8, raw={"prompt_tokens": 8, "total_tokens": 8})
DIALECTS: Any = [openai_embeddings, gemini_embeddings, cohere_embeddings, ollama_embeddings]


def encoded(dialect: Any, **fields: Any) -> tuple[dict[str, Any], EncodedRequest]:
    request = EmbeddingRequest(**{"model": "alias", "inputs": ("a", "b")} | fields)
    out = dialect.encode_request(request, MODEL)
    assert dialect.encode_request(request, MODEL) == out
    return json.loads(out.body), out


def from_openai(**fields: Any) -> EmbeddingRequest:
    return openai_embeddings.decode_request(json.dumps({"model": "m"} | fields).encode())


# OpenAI: a client


@pytest.mark.parametrize(
    ("given", "inputs", "single"),
    [
        ("text", ("text",), True),
        (["a", "b"], ("a", "b"), False),
        (["a"], ("a",), False),
        ([1, 2, 3], ((1, 2, 3),), True),
        ([[1, 2], [3]], ((1, 2), (3,)), False),
    ],
)
def test_openai_s_four_forms_of_input_are_read_and_written(
    given: Any, inputs: Any, single: bool
) -> None:
    request = from_openai(input=given)
    assert (request.inputs, request.single) == (inputs, single)
    out = openai_embeddings.encode_request(request, MODEL)
    assert json.loads(out.body) == {"model": "embedder", "input": given, "encoding_format": "float"}


def test_nothing_of_a_request_is_lost() -> None:
    body = {
        "model": "embedder",
        "input": ["a"],
        "dimensions": 256,
        "encoding_format": "base64",
        "user": "u",
        "input_type": "passage",
        "truncate": "END",
    }
    request = from_openai(**body)
    assert request.input_type == "document"
    out = openai_embeddings.encode_request(request, MODEL)
    assert json.loads(out.body) == body
    assert out.dropped == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None, "input": "a"}, "model"),
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["a", 5]}, "input[0]"),
        ({"input": [5, "a"]}, "input[1]"),
        ({"input": [[1], "a"]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"input": [[1, -1]]}, "input[0][1]"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "encoding_format": ["float"]}, "encoding_format"),
        ({"input": "a", "user": 5}, "user"),
    ],
)
def test_a_wrong_field_of_openai_s_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        from_openai(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_the_sdk_reads_what_its_client_is_answered(encoding_format: Any) -> None:
    response = EmbeddingResponse(
        vectors=((0.5, -1.0), to_base64((2.0,))), model="m", usage=Usage(input_tokens=3)
    )
    body = openai_embeddings.encode_response(response, encoding_format=encoding_format)
    parsed = CreateEmbeddingResponse.model_validate_json(
        body
        if encoding_format == "float"
        else b'{"data":[],"object":"list","model":"m","usage":'
        + json.dumps(json.loads(body)["usage"]).encode()
        + b"}",
        strict=True,
    )
    assert (parsed.usage.prompt_tokens, parsed.usage.total_tokens) == (3, 3)
    vectors = [item["embedding"] for item in json.loads(body)["data"]]
    if encoding_format == "float":
        assert vectors == [[0.5, -1.0], [2.0]]
    else:
        assert vectors == [to_base64((0.5, -1.0)), to_base64((2.0,))]


def test_nothing_of_an_answer_is_lost() -> None:
    body = {
        "id": "e",
        "object": "list",
        "data": [
            {"object": "embedding", "index": 1, "embedding": [2.0]},
            {"object": "embedding", "index": 0, "embedding": [1.0]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
        "more": 1,
    }
    response = openai_embeddings.decode_response(json.dumps(body).encode())
    assert response == EmbeddingResponse(
        vectors=((1.0,), (2.0,)),
        model="m",
        usage=USAGE,
        id="e",
        extras={"more": 1},
        dialect="openai_embeddings",
    )
    back = json.loads(openai_embeddings.encode_response(response))
    assert [item["embedding"] for item in back["data"]] == [[1.0], [2.0]]
    assert (back["usage"], back["more"]) == (body["usage"], 1)


@pytest.mark.parametrize(
    "data",
    [
        [{"embedding": [1.0]}, {"embedding": [2.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [2.0]}],
        [{"index": 5, "embedding": [1.0]}, {"index": 1, "embedding": [2.0]}],
    ],
)
def test_vectors_without_an_order_stay_as_they_stand(data: Any) -> None:
    response = openai_embeddings.decode_response(json.dumps({"data": data}).encode())
    assert response.vectors == ((1.0,), (2.0,))
    assert (response.model, response.usage) == ("", None)
    usage = json.loads(openai_embeddings.encode_response(response))["usage"]
    assert usage == {"prompt_tokens": 0, "total_tokens": 0}


# Gemini: a client

CONTENT = {"parts": [{"text": "a"}]}


def test_one_content_of_gemini_s_is_read() -> None:
    body = {"content": CONTENT, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 64}
    request = gemini_embeddings.decode_request(json.dumps(body).encode(), model="m")
    assert request == EmbeddingRequest(
        "m",
        ("a",),
        single=True,
        dimensions=64,
        input_type="query",
        dialect="gemini_embeddings",
    )


def test_a_batch_of_gemini_s_is_read_and_written() -> None:
    settings = {"taskType": "CLUSTERING", "outputDimensionality": 64, "title": "t"}
    body = {
        "requests": [
            {"model": "models/embedder", "content": {"parts": [{"text": text}]}, **settings}
            for text in "ab"
        ]
    }
    request = gemini_embeddings.decode_request(json.dumps(body).encode(), model="alias")
    assert (request.inputs, request.single, request.input_type) == (("a", "b"), False, "clustering")
    out = gemini_embeddings.encode_request(request, MODEL)
    assert json.loads(out.body) == body
    assert out.dropped == ()
    snake = json.dumps(body).replace("taskType", "task_type")
    snake = snake.replace("outputDimensionality", "output_dimensionality")
    assert gemini_embeddings.decode_request(snake.encode(), model="alias") == request


def test_the_parts_of_one_content_of_gemini_s_are_one_input() -> None:
    contents = [{"parts": [{"text": "a"}, {"text": "b"}]}, CONTENT]
    body = {"requests": [{"model": "models/embedder", "content": each} for each in contents]}
    request = gemini_embeddings.decode_request(json.dumps(body).encode(), model="alias")
    assert request.inputs == (TextParts(("a", "b")), "a")
    assert json.loads(gemini_embeddings.encode_request(request, MODEL).body) == body


@pytest.mark.parametrize("dialect", [openai_embeddings, cohere_embeddings, ollama_embeddings])
def test_one_content_of_several_parts_is_refused_where_there_are_none(dialect: Any) -> None:
    with pytest.raises(InexpressibleError, match="several parts") as caught:
        encoded(dialect, inputs=("a", TextParts(("b", "c"))))
    assert caught.value.feature == "inputs"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "content.parts"),
        ({"content": "a"}, "content"),
        ({"content": {"parts": []}}, "content.parts"),
        ({"content": {"parts": [{"text": 5}]}}, "content.parts[0].text"),
        ({"content": {"parts": [{"inlineData": {}}]}}, "content.parts[0].text"),
        ({"content": {"parts": [{"text": "a"}, {"text": None}]}}, "content.parts[1].text"),
        ({"content": CONTENT, "taskType": "ODD"}, "taskType"),
        ({"content": CONTENT, "taskType": 5}, "taskType"),
        ({"content": CONTENT, "outputDimensionality": "x"}, "outputDimensionality"),
        ({"requests": []}, "requests"),
        ({"requests": [{"content": {}}]}, "requests[0].content.parts"),
        (
            {"requests": [{"content": CONTENT}, {"content": CONTENT, "taskType": "CLUSTERING"}]},
            "requests[1].taskType",
        ),
    ],
)
def test_a_wrong_field_of_gemini_s_is_named(body: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        gemini_embeddings.decode_request(json.dumps(body).encode(), model="m")
    assert caught.value.param == param


def test_an_unspecified_task_is_none() -> None:
    body = {"content": CONTENT, "taskType": "TASK_TYPE_UNSPECIFIED"}
    request = gemini_embeddings.decode_request(json.dumps(body).encode(), model="m")
    assert request.input_type is None


@pytest.mark.parametrize("single", [True, False])
def test_gemini_s_clients_are_answered_in_the_form_they_asked_for(single: bool) -> None:
    response = EmbeddingResponse(vectors=(to_base64((1.5,)),), usage=Usage(input_tokens=4))
    value = json.loads(gemini_embeddings.encode_response(response, single=single))
    embedding = {"values": [1.5]}
    expected = {"embedding": embedding} if single else {"embeddings": [embedding]}
    assert value == expected | {"usageMetadata": {"promptTokenCount": 4}}
    back = gemini_embeddings.decode_response(json.dumps(value | {"more": 1}).encode())
    assert back == EmbeddingResponse(
        vectors=((1.5,),),
        usage=Usage(input_tokens=4, raw={"promptTokenCount": 4}),
        extras={"more": 1},
        dialect="gemini_embeddings",
    )
    again = json.loads(gemini_embeddings.encode_response(back, single=single))
    assert again == value | {"more": 1}
    bare = EmbeddingResponse(vectors=((1.5,),))
    body = gemini_embeddings.encode_response(bare, single=single)
    assert "usageMetadata" not in json.loads(body)
    assert gemini_embeddings.decode_response(body).usage is None


# Providers


@pytest.mark.parametrize(
    ("dialect", "fields", "body", "dropped", "emulated"),
    [
        (
            openai_embeddings,
            {"input_type": "query", "dimensions": 5, "encoding_format": "base64"},
            {
                "model": "embedder",
                "input": ["a", "b"],
                "dimensions": 5,
                "encoding_format": "base64",
            },
            ("input_type",),
            (),
        ),
        (
            gemini_embeddings,
            {"input_type": "similarity", "dimensions": 5},
            {
                "requests": [
                    {
                        "model": "models/embedder",
                        "content": {"parts": [{"text": text}]},
                        "taskType": "SEMANTIC_SIMILARITY",
                        "outputDimensionality": 5,
                    }
                    for text in "ab"
                ]
            },
            (),
            (),
        ),
        (
            cohere_embeddings,
            {"input_type": "query", "dimensions": 256, "encoding_format": "base64"},
            {
                "model": "embedder",
                "texts": ["a", "b"],
                "input_type": "search_query",
                "embedding_types": ["float"],
                "output_dimension": 256,
            },
            (),
            (),
        ),
        (
            cohere_embeddings,
            {},
            {
                "model": "embedder",
                "texts": ["a", "b"],
                "input_type": "search_document",
                "embedding_types": ["float"],
            },
            (),
            ("input_type",),
        ),
        (
            ollama_embeddings,
            {"input_type": "query", "dimensions": 64},
            {"model": "embedder", "input": ["a", "b"], "dimensions": 64},
            ("input_type",),
            (),
        ),
    ],
)
def test_requests_take_each_provider_s_form(
    dialect: Any,
    fields: dict[str, Any],
    body: Any,
    dropped: tuple[str, ...],
    emulated: tuple[str, ...],
) -> None:
    found, out = encoded(dialect, **fields)
    assert found == body
    assert (out.dropped, out.emulated) == (dropped, emulated)


@pytest.mark.parametrize("kind", ["code_query", "similarity"])
def test_a_use_that_cohere_has_no_word_for_is_the_nearest_one(kind: Any) -> None:
    body, out = encoded(cohere_embeddings, input_type=kind)
    assert body["input_type"] == ("search_query" if kind == "code_query" else "search_document")
    assert out.emulated == ("input_type",)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_foreign_extras_are_left_out_and_own_ones_are_not(dialect: Any) -> None:
    request = from_openai(input=["a"], input_type="query", truncate="END", user="u")
    out = dialect.encode_request(request, MODEL)
    own = dialect is openai_embeddings
    assert ("truncate" in out.dropped) is not own
    assert ("user" in out.dropped) is not own
    assert ("input_type" in out.dropped) is (dialect is ollama_embeddings)
    same = EmbeddingRequest("m", ("a",), extras={"keep_alive": "5m"}, dialect=dialect.NAME)
    out = dialect.encode_request(same, MODEL)
    body = json.loads(out.body)
    sent = body["requests"][0] if dialect is gemini_embeddings else body
    assert sent["keep_alive"] == "5m"
    assert out.dropped == ()


def test_a_use_that_nobody_knows_is_left_out_and_named() -> None:
    for word in ("odd", 5):
        request = from_openai(input="a", input_type=word)
        assert request.input_type is None
        assert gemini_embeddings.encode_request(request, MODEL).dropped == ("input_type",)


@pytest.mark.parametrize("dialect", DIALECTS[1:])
def test_tokens_go_to_openai_s_kind_alone(dialect: Any) -> None:
    with pytest.raises(InexpressibleError) as caught:
        encoded(dialect, inputs=((1, 2),))
    assert caught.value.feature == "inputs"


COHERE_META = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3}}


@pytest.mark.parametrize(
    ("dialect", "body", "expected"),
    [
        (
            cohere_embeddings,
            {
                "id": "e",
                "embeddings": {"float": [[0.5], [1]], "int8": [[1], [2]]},
                "texts": ["a", "b"],
                "meta": COHERE_META,
            },
            EmbeddingResponse(
                vectors=((0.5,), (1,)),
                usage=Usage(input_tokens=3, raw=COHERE_META, output_untold=True),
                id="e",
                extras={"embeddings": {"int8": [[1], [2]]}},
                dialect="cohere_embeddings",
            ),
        ),
        (
            cohere_embeddings,
            {"embeddings": {"base64": ["zczMPQ=="]}},
            EmbeddingResponse(vectors=("zczMPQ==",), dialect="cohere_embeddings"),
        ),
        (
            cohere_embeddings,
            {"embeddings": [[0.5]]},
            EmbeddingResponse(vectors=((0.5,),), dialect="cohere_embeddings"),
        ),
        (
            ollama_embeddings,
            {
                "model": "m",
                "embeddings": [[0.5]],
                "total_duration": 7,
                "prompt_eval_count": 2,
                "more": 1,
            },
            EmbeddingResponse(
                vectors=((0.5,),),
                model="m",
                usage=Usage(
                    input_tokens=2,
                    raw={"total_duration": 7, "prompt_eval_count": 2},
                    output_untold=True,
                ),
                extras={"more": 1},
                dialect="ollama_embeddings",
            ),
        ),
    ],
)
def test_answers_of_each_provider_are_read(
    dialect: Any, body: Any, expected: EmbeddingResponse
) -> None:
    response = dialect.decode_response(json.dumps(body).encode())
    assert response == expected
    client = json.loads(openai_embeddings.encode_response(response))
    assert len(client["data"]) == len(expected.vectors)
    assert "more" not in client


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"<html>", b'{"data":5,"embeddings":5}', b'{"embeddings":{}}']
)
def test_what_is_no_answer_is_the_provider_s_failure(dialect: Any, body: bytes) -> None:
    with pytest.raises(UpstreamFailure):
        dialect.decode_response(body)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_inside_an_answer_is_a_failure_with_its_words(dialect: Any) -> None:
    name = "message" if dialect is cohere_embeddings else "error"
    with pytest.raises(UpstreamFailure, match="boom"):
        dialect.decode_response(json.dumps({name: "boom"}).encode())


def test_usage_of_another_kind_is_counted_for_openai_s_clients() -> None:
    response = EmbeddingResponse(vectors=((1.0,),), usage=Usage(input_tokens=3, raw=COHERE_META))
    usage = json.loads(openai_embeddings.encode_response(response))["usage"]
    assert usage == {"prompt_tokens": 3, "total_tokens": 3}


TEXTS = st.text(max_size=6)
PARTS = st.lists(TEXTS, min_size=2, max_size=3).map(lambda texts: TextParts(tuple(texts)))
REQUESTS = st.builds(
    EmbeddingRequest,
    model=st.just("embedder"),
    inputs=st.lists(TEXTS | PARTS, min_size=1, max_size=4).map(tuple),
    dimensions=st.none() | st.integers(1, 4096),
    input_type=st.sampled_from([None, "query", "document", "clustering", "similarity"]),
    dialect=st.just("gemini_embeddings"),
)


@given(REQUESTS)
def test_any_request_of_gemini_s_goes_there_and_back(request: EmbeddingRequest) -> None:
    out = gemini_embeddings.encode_request(request, MODEL)
    assert gemini_embeddings.decode_request(out.body, model="embedder") == request


@given(st.binary(max_size=40) | st.dictionaries(TEXTS, TEXTS).map(lambda v: json.dumps(v).encode()))
def test_no_body_raises_anything_else(body: bytes) -> None:
    for dialect in DIALECTS:
        with suppress(UpstreamFailure):
            dialect.decode_response(body)
    with suppress(InvalidRequestError):
        openai_embeddings.decode_request(body)
    with suppress(InvalidRequestError):
        gemini_embeddings.decode_request(body, model="m")
