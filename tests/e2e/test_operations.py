"""Embeddings, rankings and moderations across dialects, and the counting of tokens."""

import base64
import json
import struct
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Running
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream

COHERE_EMBEDDINGS = {
    "id": "e",
    "embeddings": {"float": [[0.5, -1.0], [0.25, 2.0]]},
    "texts": ["one", "two"],
    "meta": {"billed_units": {"input_tokens": 7}},
}
GEMINI_EMBEDDINGS = {"embeddings": [{"values": [0.5, -1.0]}, {"values": [0.25, 2.0]}]}
VECTORS = [[0.5, -1.0], [0.25, 2.0]]


async def connect(running: Running, fake: FakeUpstream, kind: str, **price: str) -> None:
    """A provider of a type, served by the fake, with an alias of the same name."""
    await running.admin(
        "POST",
        "/providers",
        {
            "name": kind,
            "type": kind,
            "base_url": f"http://127.0.0.1:{fake.port}",
            "credential": {"secret": "condt-test-secret"},
        },
    )
    target = {"provider": kind, "model": f"{kind}-model"}
    await running.admin("POST", "/mappings", {"alias": kind, "targets": [target]})
    body = {"input": "1", "output": "2"} | price
    await running.admin("PUT", f"/prices/{kind}/*", body)


def scripted(fake: FakeUpstream, answer: Any, status: int = 200) -> None:
    fake.script(Behaviour(raw_body=json.dumps(answer).encode(), status=status))


async def posted(
    running: Running, path: str, body: Any, key: str, **headers: str
) -> tuple[int, Any, Any]:
    async with running.http.post(
        running.url + path, json=body, headers={"authorization": f"Bearer {key}"} | headers
    ) as response:
        return response.status, response.headers, await response.json()


# Embeddings


@pytest.mark.parametrize(
    ("kind", "answer", "path"),
    [
        ("cohere", COHERE_EMBEDDINGS, "/v2/embed"),
        ("gemini", GEMINI_EMBEDDINGS, "/models/gemini-model:batchEmbedContents"),
    ],
)
async def test_openai_s_sdk_gets_embeddings_of_providers_of_other_dialects(
    running: Running, fake: FakeUpstream, kind: str, answer: Any, path: str
) -> None:
    await connect(running, fake, kind)
    client = running.openai(await running.key(budget={"limit": "1"}))
    scripted(fake, answer)
    found = await client.embeddings.create(
        model=kind, input=["one", "two"], encoding_format="float", dimensions=2
    )
    assert [item.embedding for item in found.data] == VECTORS
    assert fake.requests[0].path == path
    sent = fake.requests[0].json
    if kind == "cohere":
        assert sent["texts"] == ["one", "two"]
        assert sent["output_dimension"] == 2
        assert found.usage.prompt_tokens == 7
    else:
        assert [each["outputDimensionality"] for each in sent["requests"]] == [2, 2]
        assert sent["requests"][0]["model"] == "models/gemini-model"
    scripted(fake, answer)
    raw = await client.embeddings.with_raw_response.create(
        model=kind, input=["one", "two"], encoding_format="base64"
    )
    data = json.loads(raw.content)["data"]
    assert list(struct.unpack("<2f", base64.b64decode(data[1]["embedding"]))) == VECTORS[1]
    record = await running.last_record()
    assert (record["operation"], record["provider"]) == ("embedding", kind)
    assert record["usage_source"] == ("provider" if kind == "cohere" else "estimated")
    assert float(record["cost"]) > 0
    await running.ledger_holds()


@pytest.mark.parametrize("version", ["v1beta", "v1"])
async def test_gemini_s_clients_get_embeddings_of_openai_s_providers(
    running: Running, fake: FakeUpstream, version: str
) -> None:
    key = await running.key()
    one = {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 3}
    path = f"/{version}/models/fake-in5"
    status, headers, answer = await posted(running, f"{path}:embedContent", one, key)
    assert (status, answer["embedding"]["values"]) == (200, [0.25, -0.5, 0.125])
    assert answer["usageMetadata"] == {"promptTokenCount": 5}
    assert headers["x-conduit-cost"] == "0.000005"
    batch = {"requests": [{"model": "models/fake-in5", **one}] * 2}
    status, _, answer = await posted(running, f"{path}:batchEmbedContents", batch, key)
    assert (status, len(answer["embeddings"])) == (200, 2)
    assert fake.requests[-1].json == {
        "model": "fake-in5",
        "input": ["a", "a"],
        "dimensions": 3,
        "encoding_format": "float",
    }
    assert (await running.last_record())["operation"] == "embedding"
    await running.ledger_holds()


async def test_gemini_s_embeddings_pass_whole_between_client_and_provider(
    running: Running, fake: FakeUpstream
) -> None:
    await connect(running, fake, "gemini")
    target = {"provider": "gemini", "model": "m", "params": {"title": "t"}}
    await running.admin("POST", "/mappings", {"alias": "titled", "targets": [target]})
    key = await running.key()
    scripted(fake, {"embeddings": [{"values": [0.5]}], "usageMetadata": {"promptTokenCount": 2}})
    one = {"content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING", "more": 1}
    status, _, answer = await posted(running, "/v1beta/models/titled:embedContent", one, key)
    assert (status, answer) == (
        200,
        {"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 2}},
    )
    (sent,) = fake.requests[0].json["requests"]
    assert sent == {"model": "models/m", "title": "t"} | one


async def test_one_content_of_several_parts_is_one_embedding_of_gemini_s_alone(
    running: Running, fake: FakeUpstream
) -> None:
    await connect(running, fake, "gemini")
    key = await running.key()
    content = {"parts": [{"text": "a"}, {"text": "b"}]}
    scripted(fake, {"embeddings": [{"values": [0.5]}]})
    path = "/v1beta/models/gemini"
    status, _, answer = await posted(running, f"{path}:embedContent", {"content": content}, key)
    assert (status, answer) == (200, {"embedding": {"values": [0.5]}})
    assert [each["content"] for each in fake.requests[0].json["requests"]] == [content]
    scripted(fake, GEMINI_EMBEDDINGS)
    batch = {"requests": [{"content": content}, {"content": {"parts": [{"text": "c"}]}}]}
    status, _, answer = await posted(running, f"{path}:batchEmbedContents", batch, key)
    assert (status, len(answer["embeddings"])) == (200, 2)
    status, _, answer = await posted(
        running, "/v1beta/models/fake-in5:embedContent", {"content": content}, key
    )
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert "several parts" in answer["error"]["message"]
    assert len(fake.requests) == 2
    await running.ledger_holds()


@pytest.mark.parametrize("answer", [{"embeddings": {"float": [[1.0]]}}, {"odd": 1}])
async def test_an_answer_of_other_than_one_embedding_each_is_the_provider_s_failure(
    running: Running, fake: FakeUpstream, answer: Any
) -> None:
    await connect(running, fake, "cohere")
    client = running.openai(await running.key())
    for _ in range(3):  # as often as it is asked
        scripted(fake, answer)
    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model="cohere", input=["a", "b"])
    await running.ledger_holds()


async def test_token_numbers_are_refused_where_they_mean_nothing(
    running: Running, fake: FakeUpstream
) -> None:
    await connect(running, fake, "cohere")
    client = running.openai(await running.key())
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model="cohere", input=[[1, 2]])
    assert caught.value.param == "input"
    assert not fake.requests


# Rankings

RANKING = {"model": "fake-in8", "query": "q", "documents": ["a", "b", "c"], "top_n": 2}


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_a_ranking_in_the_common_form(
    running: Running, fake: FakeUpstream, path: str
) -> None:
    body = RANKING | {"return_documents": True, "truncate": "END"}
    status, headers, answer = await posted(running, path, body, await running.key())
    assert (status, headers["x-conduit-provider"]) == (200, "fake")
    assert answer["results"] == [
        {"index": 0, "relevance_score": 1.0, "document": {"text": "a"}},
        {"index": 1, "relevance_score": 0.5, "document": {"text": "b"}},
    ]
    assert answer["usage"]["total_tokens"] == 8
    assert fake.requests[0].path.endswith("/v1/rerank")
    assert fake.requests[0].json == body
    record = await running.last_record()
    assert (record["operation"], record["cost"]) == ("rerank", "0.000008")
    await running.ledger_holds()


async def test_search_units_of_cohere_s_are_held_and_priced(
    running: Running, fake: FakeUpstream
) -> None:
    await connect(running, fake, "cohere", input="0", output="0", request="0.002")
    key = await running.key(budget={"limit": "0.005"})
    scripted(
        fake,
        {
            "id": "r",
            "results": [{"index": 1, "relevance_score": 0.9}],
            "meta": {"billed_units": {"search_units": 2}},
        },
    )
    body = {"model": "cohere", "query": "q", "documents": ["a", {"text": "b"}] * 60, "top_n": 1}
    status, headers, answer = await posted(running, "/v2/rerank", body, key)
    assert (status, headers["x-conduit-cost"]) == (200, "0.004")
    assert answer["results"] == [{"index": 1, "relevance_score": 0.9}]
    assert answer["meta"] == {"billed_units": {"search_units": 2}}
    assert fake.requests[0].path == "/v2/rerank"
    assert fake.requests[0].json["documents"][1] == "b"
    # Two more do not fit into what is left, which is known before anything is sent.
    status, _, answer = await posted(running, "/v2/rerank", body, key)
    assert (status, answer["error"]["code"]) == (429, "insufficient_quota")
    assert len(fake.requests) == 1
    await running.ledger_holds()


@pytest.mark.parametrize(
    ("answer", "units", "cost", "source"),
    [
        ({"meta": {"billed_units": {"search_units": 1}}}, 1, "0.0025", "provider"),
        ({"usage": {"search_units": 2, "total_tokens": 99}}, 2, "0.005", "provider"),
        ({"meta": {"billed_units": {"search_units": 0}}}, 0, "0.00", "provider"),
        # Where the provider tells no units, they are counted from the documents.
        ({}, 2, "0.005", "estimated"),
        ({"meta": {"billed_units": {"search_units": None}}}, 2, "0.005", "estimated"),
        ({"meta": {"billed_units": {"input_tokens": 99}}}, 2, "0.005", "estimated"),
        ({"meta": {"tokens": {"input_tokens": 99}}}, 2, "0.005", "estimated"),
    ],
)
async def test_a_ranking_of_cohere_s_has_the_book_s_price_for_each_search_unit(
    running: Running, fake: FakeUpstream, answer: Any, units: int, cost: str, source: str
) -> None:
    await connect(running, fake, "cohere")
    await running.admin("DELETE", "/prices/cohere/*")
    target = {"provider": "cohere", "model": "rerank-v4.0-pro"}
    await running.admin("POST", "/mappings", {"alias": "ranker", "targets": [target]})
    key = await running.key(budget={"limit": "0.01"})
    scripted(fake, {"results": [{"index": 1, "relevance_score": 0.9}]} | answer)
    body = {"model": "ranker", "query": "q", "documents": ["a"] * 101}
    status, headers, _ = await posted(running, "/v2/rerank", body, key)
    assert (status, headers["x-conduit-cost"]) == (200, cost)
    record = await running.last_record()
    assert (record["cost"], record["usage_source"]) == (cost, source)
    (attempt,) = await running.attempts(record["id"])
    assert (attempt["hold"], attempt["search_units"]) == ("0.005", units)
    await running.ledger_holds()


@pytest.mark.parametrize(
    ("answer", "documents", "cost", "source"),
    [
        # Another Conduit in front of Cohere: its tokens are none, its units are in `meta`.
        (
            {
                "usage": {"prompt_tokens": 0, "total_tokens": 0},
                "meta": {"billed_units": {"search_units": 5}},
            },
            101,
            "0.01",
            "provider",
        ),
        # Tokens alone: the units are those that were held for, which nobody told.
        ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, 101, "0.004", "estimated"),
        # What cannot be more than one unit is one.
        ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, 100, "0.002", "provider"),
    ],
)
async def test_the_units_of_a_ranking_in_the_common_form_are_priced(
    running: Running, fake: FakeUpstream, answer: Any, documents: int, cost: str, source: str
) -> None:
    await running.admin("PUT", "/prices/fake/*", {"input": "0", "output": "0", "request": "0.002"})
    scripted(fake, {"results": [{"index": 1, "relevance_score": 0.9}]} | answer)
    body = {"model": "fake", "query": "q", "documents": ["a"] * documents}
    status, headers, told = await posted(running, "/v1/rerank", body, await running.key())
    assert (status, headers["x-conduit-cost"]) == (200, cost)
    assert told["meta"] == answer.get("meta", {"billed_units": {"input_tokens": 9}})
    record = await running.last_record()
    assert (record["usage_source"], record["input_tokens"]) == (
        source,
        answer["usage"]["prompt_tokens"],
    )
    (attempt,) = await running.attempts(record["id"])
    assert attempt["usage_source"] == source
    await running.ledger_holds()


async def test_a_document_that_cohere_cannot_rank_is_refused_by_name(
    running: Running, fake: FakeUpstream
) -> None:
    await connect(running, fake, "cohere")
    body = {"model": "cohere", "query": "q", "documents": [{"title": "a"}]}
    status, _, answer = await posted(running, "/v1/rerank", body, await running.key())
    assert (status, answer["error"]["param"]) == (400, "documents")


async def test_a_provider_that_does_not_rank_is_left_out(
    running: Running, fake: FakeUpstream
) -> None:
    await connect(running, fake, "gemini")
    body = RANKING | {"model": "gemini"}
    status, _, answer = await posted(running, "/v1/rerank", body, await running.key())
    assert status == 503
    assert "rerank" in answer["error"]["message"]


# Moderations


async def test_a_moderation_is_relayed(running: Running, fake: FakeUpstream) -> None:
    client = running.openai(await running.key())
    answer = await client.moderations.create(model="fake", input=["a", "b"])
    assert [each.flagged for each in answer.results] == [False, False]
    assert fake.requests[0].json == {"model": "fake", "input": ["a", "b"]}
    record = await running.last_record()
    assert (record["operation"], record["usage_source"]) == ("moderation", "estimated")
    target = [{"provider": "fake", "model": "fake"}]
    alias = {"alias": "omni-moderation-latest", "targets": target}
    await running.admin("POST", "/mappings", alias)
    assert (await client.moderations.create(input="a")).results
    assert fake.requests[1].json == {"input": "a", "model": "fake"}
    async with running.http.get(f"{running.url}/metrics") as response:
        assert 'operation="moderation"' in await response.text()
    await running.ledger_holds()


async def test_an_answer_without_results_is_the_provider_s_failure(
    running: Running, fake: FakeUpstream
) -> None:
    client = running.openai(await running.key())
    for _ in range(3):  # as often as it is asked
        scripted(fake, {"choices": []})
    with pytest.raises(openai.InternalServerError):
        await client.moderations.create(model="fake", input="a")


# Counting

COUNTED = {"messages": [{"role": "user", "content": "How many tokens may this be?"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "How many tokens may this be?"}]}]}


async def test_anthropic_counts_for_its_own_clients(running: Running, fake: FakeUpstream) -> None:
    await connect(running, fake, "anthropic")
    key = await running.key(budget={"limit": "1"})
    scripted(fake, {"input_tokens": 14})
    body = COUNTED | {"model": "anthropic", "system": "Be brief."}
    status, headers, answer = await posted(running, "/v1/messages/count_tokens", body, key)
    assert (status, answer) == (200, {"input_tokens": 14})
    assert headers["request-id"] == headers["x-request-id"]
    assert "x-conduit-estimated" not in headers
    assert fake.requests[0].path == "/messages/count_tokens"
    assert fake.requests[0].json["model"] == "anthropic-model"
    assert "max_tokens" not in fake.requests[0].json
    await running.gateway.ledger.caught_up()
    assert (await running.admin("GET", "/requests?limit=1"))["data"] == []
    scripted(fake, {"error": {"type": "invalid_request_error", "message": "no"}}, 400)
    status, _, answer = await posted(running, "/v1/messages/count_tokens", body, key)
    assert (status, answer["error"]["message"]) == (400, "no")
    for _ in range(3):  # as often as it is asked
        scripted(fake, {"odd": 1})
    status, _, answer = await posted(running, "/v1/messages/count_tokens", body, key)
    assert (status, answer["type"]) == (502, "error")


async def test_gemini_counts_for_its_own_clients(running: Running, fake: FakeUpstream) -> None:
    await connect(running, fake, "gemini")
    scripted(fake, {"totalTokens": 8, "promptTokensDetails": []})
    status, _, answer = await posted(
        running, "/v1beta/models/gemini:countTokens", CONTENTS, await running.key()
    )
    assert (status, answer) == (200, {"totalTokens": 8, "promptTokensDetails": []})
    assert fake.requests[0].path == "/models/gemini-model:countTokens"


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/v1/messages/count_tokens", COUNTED | {"model": "fake"}, "input_tokens"),
        ("/v1beta/models/fake:countTokens", CONTENTS, "totalTokens"),
    ],
)
async def test_what_no_provider_counts_is_estimated(
    running: Running, fake: FakeUpstream, path: str, body: Any, name: str
) -> None:
    key = await running.key()
    status, headers, answer = await posted(running, path, body, key)
    assert (status, headers["x-conduit-estimated"]) == (200, "true")
    assert 6 <= answer[name] <= 20
    assert not fake.requests
    unknown = path.replace("fake", "nobody")
    given = {**body, "model": "nobody"} if "model" in body else body
    assert (await posted(running, unknown, given, key))[0] == 404
    other = await running.key("other", allowed_models=["gpt"])
    assert (await posted(running, path, body, other))[0] == 403


async def test_counting_falls_to_the_next_target(running: Running, fake: FakeUpstream) -> None:
    await connect(running, fake, "anthropic")
    targets = [
        {"provider": "anthropic", "model": "m"},
        {"provider": "fake", "model": "fake", "order": 2},
    ]
    await running.admin("POST", "/mappings", {"alias": "both", "targets": targets})
    scripted(fake, {"error": "down"}, 503)
    status, headers, _ = await posted(
        running, "/v1/messages/count_tokens", COUNTED | {"model": "both"}, await running.key()
    )
    assert (status, headers["x-conduit-estimated"]) == (200, "true")


# Models, and ids of requests


async def test_models_have_the_shape_of_each_client(running: Running, fake: FakeUpstream) -> None:
    await connect(running, fake, "cohere")
    key = await running.key(allowed_models=["cohere"])

    async def got(path: str, **headers: str) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {key}"} | headers
        async with running.http.get(running.url + path, headers=sent) as response:
            return response.status, await response.json()

    version = {"anthropic-version": "2023-06-01"}
    _, answer = await got("/v1/models", **version)
    (model,) = answer["data"]
    assert (model["type"], model["id"], model["display_name"]) == ("model", "cohere", "cohere")
    assert model["created_at"].endswith("Z")
    assert (answer["first_id"], answer["last_id"], answer["has_more"]) == (
        "cohere",
        "cohere",
        False,
    )
    assert (await got("/v1/models/cohere", **version))[1] == model
    _, answer = await got("/v1beta/models")
    gemini = {
        "name": "models/cohere",
        "displayName": "cohere",
        "supportedGenerationMethods": [
            "generateContent",
            "streamGenerateContent",
            "countTokens",
            "embedContent",
            "batchEmbedContents",
        ],
    }
    assert answer == {"models": [gemini]}
    assert (await got("/v1beta/models/cohere"))[1] == gemini
    status, answer = await got("/v1beta/models/fake")
    assert (status, answer["error"]["status"]) == (404, "NOT_FOUND")
    key = "condt_wrong"
    status, answer = await got("/v1beta/models")
    assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")


async def test_anthropic_s_clients_find_the_id_of_a_request_where_they_look(
    running: Running,
) -> None:
    key = await running.key()
    body = {"model": "fake", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    for fields, status in (({}, 200), ({"stream": True}, 200), ({"max_tokens": "x"}, 400)):
        async with running.http.post(
            f"{running.url}/v1/messages", json=body | fields, headers={"x-api-key": key}
        ) as response:
            text = await response.text()
            assert response.status == status
            assert response.headers["request-id"] == response.headers["x-request-id"]
        if status == 400:
            assert json.loads(text)["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize(
    ("path", "body", "session", "user"),
    [
        ("/v1/chat/completions", {"user": "u-1", "prompt_cache_key": "s-1"}, "s-1", "u-1"),
        ("/v1/chat/completions", {"safety_identifier": "u-2", "user": "x"}, None, "u-2"),
        ("/v1/messages", {"max_tokens": 9, "metadata": {"user_id": "u-3"}}, None, "u-3"),
        ("/v1/chat/completions", {}, None, None),
    ],
)
async def test_records_tell_the_session_and_the_user_that_a_client_names(
    running: Running, path: str, body: dict[str, object], session: str | None, user: str | None
) -> None:
    key = await running.key()
    asked = {"model": "fake", "messages": [{"role": "user", "content": "x"}], **body}
    headers = {"authorization": f"Bearer {key}"}
    async with running.http.post(running.url + path, json=asked, headers=headers) as response:
        assert response.status == 200
    record = await running.last_record()
    assert (record["session"], record["end_user"]) == (session, user)
    if user is not None:
        found = await running.admin("GET", f"/requests?filter=user:{user}")
        assert [each["id"] for each in found["data"]] == [record["id"]]


async def test_a_record_names_what_a_provider_was_not_sent(running: Running) -> None:
    key = await running.key()
    await running.admin(
        "POST",
        "/providers",
        {
            "name": "claude",
            "type": "anthropic",
            "base_url": "http://127.0.0.1:9",
            "allow_private": True,
            "credential": {"secret": "sk-ant"},
        },
    )
    target = {"provider": "claude", "model": "claude-x"}
    await running.admin("POST", "/mappings", {"alias": "claude", "targets": [target]})
    asked = {
        "model": "claude",
        "messages": [{"role": "user", "content": "x"}],
        "seed": 7,
        "presence_penalty": 0.5,
    }
    headers = {"authorization": f"Bearer {key}", "x-conduit-session": "s-9"}
    url = f"{running.url}/v1/chat/completions"
    async with running.http.post(url, json=asked, headers=headers) as response:
        assert response.status == 502
    record = await running.last_record()
    assert record["session"] == "s-9"
    assert {"seed", "presence_penalty"} <= set(record["dropped"])
    found = await running.admin("GET", "/requests?filter=dropped:*seed*")
    assert [each["id"] for each in found["data"]] == [record["id"]]
