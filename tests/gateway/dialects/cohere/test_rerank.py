import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.core.errors import InvalidRequestError, UpstreamFailure
from conduit.gateway.conversation import Usage
from conduit.gateway.dialects.cohere import rerank
from conduit.gateway.dialects.cohere import rerank_v2 as cohere_rerank
from conduit.gateway.dialects.target import InexpressibleError, Target
from conduit.gateway.ranking import RankedDocument, RerankRequest, RerankResponse

MODEL = Target("ranker")
FULL = {
    "model": "ranker",
    "query": "capital?",
    "documents": ["Paris", {"text": "Rome"}],
    "top_n": 1,
    "return_documents": True,
    "max_tokens_per_doc": 512,
    "rank_fields": ["text"],
}
META = {"api_version": {"version": "2"}, "billed_units": {"search_units": 2}}
TOKENS = {"prompt_tokens": 9, "total_tokens": 9}


def decoded(**fields: Any) -> RerankRequest:
    body = {"model": "m", "query": "q", "documents": ["a", "b", "c"]} | fields
    return rerank.decode_request(json.dumps(body).encode())


def test_nothing_of_a_request_is_lost() -> None:
    request = rerank.decode_request(json.dumps(FULL).encode())
    assert request.documents == ("Paris", {"text": "Rome"})
    out = rerank.encode_request(request, MODEL)
    assert json.loads(out.body) == FULL
    assert out.dropped == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"query": None}, "query"),
        ({"query": {"text": "q"}}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"documents": ["a", 5]}, "documents[1]"),
        ({"documents": ["a", ""]}, "documents[1]"),
        ({"top_n": 0}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
        ({"max_tokens_per_doc": "x"}, "max_tokens_per_doc"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(**fields)
    assert caught.value.param == param


def test_cohere_s_own_form_has_texts_alone() -> None:
    out = cohere_rerank.encode_request(rerank.decode_request(json.dumps(FULL).encode()), MODEL)
    assert json.loads(out.body) == {
        "model": "ranker",
        "query": "capital?",
        "documents": ["Paris", "Rome"],
        "top_n": 1,
        "max_tokens_per_doc": 512,
    }
    assert out.dropped == ("rank_fields",)
    own = RerankRequest("m", "q", ("a",), extras={"priority": 1}, dialect=cohere_rerank.NAME)
    assert json.loads(cohere_rerank.encode_request(own, MODEL).body)["priority"] == 1


@pytest.mark.parametrize("document", [{"text": "a", "title": "t"}, {"title": "t"}, {"text": 5}])
def test_a_document_of_many_fields_is_refused_there(document: Any) -> None:
    with pytest.raises(InexpressibleError) as caught:
        cohere_rerank.encode_request(decoded(documents=[document]), MODEL)
    assert caught.value.feature == "documents"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (  # Cohere
            {"id": "r", "results": [{"index": 2, "relevance_score": 0.9}], "meta": META},
            RerankResponse(
                results=(RankedDocument(2, 0.9),),
                usage=Usage(requests=2, raw=META),
                search_units=2,
                id="r",
                dialect="rerank",
            ),
        ),
        (  # Jina, vLLM
            {
                "model": "j",
                "object": "list",
                "usage": {"total_tokens": 9},
                "results": [{"index": 0, "relevance_score": 1, "document": {"text": "a"}}],
                "more": 1,
            },
            RerankResponse(
                results=(RankedDocument(0, 1, {"text": "a"}),),
                model="j",
                usage=Usage(input_tokens=9, raw={"total_tokens": 9}),
                extras={"more": 1},
                dialect="rerank",
            ),
        ),
        (  # OpenRouter
            {"results": [], "usage": {"search_units": 2, "total_tokens": 150}},
            RerankResponse(
                results=(),
                usage=Usage(
                    input_tokens=150, requests=2, raw={"search_units": 2, "total_tokens": 150}
                ),
                search_units=2,
                dialect="rerank",
            ),
        ),
        (
            {"results": [], "usage": {"search_units": 3}},
            RerankResponse(
                results=(),
                usage=Usage(requests=3, raw={"search_units": 3}),
                search_units=3,
                dialect="rerank",
            ),
        ),
        (  # Voyage
            {"data": [{"index": 0, "score": 0.5, "document": "a"}], "usage": {}},
            RerankResponse(results=(RankedDocument(0, 0.5, "a"),), dialect="rerank"),
        ),
    ],
)
def test_answers_of_each_kind_are_read(body: Any, expected: RerankResponse) -> None:
    assert rerank.decode_response(json.dumps(body).encode()) == expected


NO_TOKENS = {"prompt_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize(
    ("told", "input_tokens", "units"),
    [
        # As Conduit answers itself.
        ({"usage": NO_TOKENS, "meta": {"billed_units": {"search_units": 5}}}, 0, 5),
        ({"usage": TOKENS, "meta": {"billed_units": {"search_units": 5}}}, 9, 5),
        ({"usage": NO_TOKENS, "meta": {"tokens": {"input_tokens": 70}}}, 70, None),
        ({"usage": {"search_units": 2}, "meta": {"billed_units": {"search_units": 5}}}, 0, 5),
        ({"usage": {"search_units": 5}, "meta": {"billed_units": {"search_units": 2}}}, 0, 5),
        ({"usage": {"billed_units": {"search_units": 3}}}, 0, 3),
        ({"meta": {"search_units": 4}}, 0, 4),
        ({"meta": {"billed_units": {"search_units": 2}, "tokens": {"input_tokens": 70}}}, 70, 2),
        ({"meta": {"billed_units": {"search_units": 2, "input_tokens": 60}}}, 60, 2),
        ({"usage": {"search_units": 2}, "meta": {"tokens": {"input_tokens": 70}}}, 70, 2),
        # A part of a unit is charged as one; zero is what it says.
        ({"meta": {"billed_units": {"search_units": 1.5}}}, 0, 2),
        ({"meta": {"billed_units": {"search_units": "3"}}}, 0, 3),
        ({"meta": {"billed_units": {"search_units": 0}}}, 0, 0),
        ({"usage": {"search_units": 0}, "meta": {"billed_units": {"search_units": None}}}, 0, 0),
        # What is no count has not been told.
        ({"usage": TOKENS | {"search_units": None}}, 9, None),
        ({"usage": TOKENS, "meta": {"billed_units": {"search_units": None}}}, 9, None),
        ({"usage": TOKENS, "meta": {"billed_units": {"search_units": -1}}}, 9, None),
        ({"usage": TOKENS, "meta": {"billed_units": {"search_units": "many"}}}, 9, None),
        ({"usage": TOKENS, "meta": {"billed_units": {"search_units": True}}}, 9, None),
    ],
)
def test_units_and_tokens_are_read_wherever_they_are_told(
    told: Any, input_tokens: int, units: int | None
) -> None:
    response = rerank.decode_response(json.dumps({"results": []} | told).encode())
    assert response.search_units == units
    assert response.usage is not None
    assert response.usage.total_input_tokens == input_tokens
    assert response.usage.requests == (1 if units is None else units)
    # The next one who reads it learns the same.
    again = rerank.decode_response(rerank.encode_response(response, decoded()))
    assert again.search_units == units
    assert again.usage is not None
    assert again.usage.total_input_tokens == input_tokens


@pytest.mark.parametrize(
    "told",
    [{}, {"meta": {"billed_units": {"search_units": None}}}, {"usage": {"search_units": None}}],
)
def test_an_answer_that_tells_no_count_tells_no_usage(told: Any) -> None:
    response = rerank.decode_response(json.dumps({"results": []} | told).encode())
    assert (response.usage, response.search_units) == (None, None)


def test_cohere_s_answers_are_its_own() -> None:
    body = {"id": "r", "results": [{"index": 0, "relevance_score": 0.9}], "meta": META, "x": 1}
    response = cohere_rerank.decode_response(json.dumps(body).encode())
    assert response.dialect == "cohere_rerank"
    assert response.usage == Usage(requests=2, raw=META)
    assert json.loads(rerank.encode_response(response, decoded())) == {
        "id": "r",
        "model": "",
        "results": [{"index": 0, "relevance_score": 0.9}],
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
        "meta": META,
    }


ANSWER = RerankResponse(
    results=(
        RankedDocument(2, 0.1, "c"),
        RankedDocument(0, 0.9),
        RankedDocument(1, 0.5, {"text": "b", "page": 1}),
        RankedDocument(9, 0.0),
    ),
    model="m",
    extras={"more": 1},
    dialect="rerank",
)


@pytest.mark.parametrize(
    ("wanted", "documents"),
    [
        (None, [{"text": "c"}, None, {"text": "b", "page": 1}, None]),
        (True, [{"text": "c"}, {"text": "a"}, {"text": "b", "page": 1}, None]),
        (False, [None, None, None, None]),
    ],
)
def test_documents_come_back_where_they_are_wanted(wanted: bool | None, documents: Any) -> None:
    value = json.loads(rerank.encode_response(ANSWER, decoded(return_documents=wanted)))
    assert [result.get("document") for result in value["results"]] == documents
    assert value["more"] == 1
    assert "usage" not in value


def test_no_more_results_are_given_than_were_asked_for() -> None:
    value = json.loads(rerank.encode_response(ANSWER, decoded(top_n=2)))
    assert [result["index"] for result in value["results"]] == [0, 1]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            Usage(input_tokens=9, raw=TOKENS | {"more": 1}),
            {"usage": TOKENS | {"more": 1}, "meta": {"billed_units": {"input_tokens": 9}}},
        ),
        (
            Usage(input_tokens=9),
            {"usage": TOKENS, "meta": {"billed_units": {"input_tokens": 9}}},
        ),
        (
            Usage(input_tokens=9, raw={"tokens": {"input_tokens": 9}}),
            {"usage": TOKENS, "meta": {"tokens": {"input_tokens": 9}}},
        ),
    ],
)
def test_usage_is_told_in_both_words(usage: Usage, expected: Any) -> None:
    response = RerankResponse(results=(RankedDocument(0, 1.0),), usage=usage)
    value = json.loads(rerank.encode_response(response, decoded()))
    assert {name: value[name] for name in ("usage", "meta")} == expected


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a ranking"),
        (b"[]", "not a ranking"),
        (b"{}", "not a ranking"),
        (b'{"message": "boom"}', "boom"),
        (b'{"detail": "boom"}', "boom"),
        (b'{"error": {"message": "boom"}}', "boom"),
        (b'{"results": [{"relevance_score": 1}]}', "without an index"),
        (b'{"results": [{"index": -1, "relevance_score": 1}]}', "without an index"),
        (b'{"results": [{"index": 1, "relevance_score": "x"}]}', "without an index"),
        (b'{"results": [5]}', "without an index"),
    ],
)
def test_what_is_no_answer_is_the_provider_s_failure(body: bytes, said: str) -> None:
    with pytest.raises(UpstreamFailure, match=said):
        rerank.decode_response(body)


RESULTS = st.lists(
    st.builds(
        RankedDocument,
        st.integers(0, 5),
        st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.text(min_size=1).map(lambda text: {"text": text}),
    ),
    max_size=4,
).map(tuple)


@given(RESULTS)
def test_any_ranking_goes_there_and_back(results: tuple[RankedDocument, ...]) -> None:
    response = RerankResponse(results=results, model="m", id="r", dialect="rerank")
    assert rerank.decode_response(rerank.encode_response(response, decoded())) == response


@given(st.binary(max_size=40))
def test_no_body_raises_anything_else(body: bytes) -> None:
    with suppress(UpstreamFailure):
        rerank.decode_response(body)
    with suppress(InvalidRequestError):
        rerank.decode_request(body)
