"""The official OpenAI SDK against the whole gateway."""

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.conftest import UPSTREAM_SECRET, Running
from tests.fakes.upstream import FakeUpstream

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]


async def test_a_whole_answer_is_counted_and_priced(running: Running, fake: FakeUpstream) -> None:
    client = running.openai(await running.key())
    answer = await client.chat.completions.with_raw_response.create(
        model="fake-in12-out34",
        messages=HELLO,
    )
    completion = answer.parse()
    assert completion.choices[0].message.content
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 12
    headers = answer.headers
    assert headers["x-conduit-alias"] == "fake-in12-out34"
    assert headers["x-conduit-provider"] == "fake"
    assert headers["x-conduit-attempts"] == "1"
    assert headers["x-conduit-cost"] == "0.00008"  # 12 * 1,000 + 34 * 2,000 nano-dollars
    record = await running.last_record()
    assert record["id"] == headers["x-request-id"]
    assert (record["input_tokens"], record["output_tokens"]) == (12, 34)
    assert record["cost"] == record["billed"] == "0.00008"
    assert record["usage_source"] == "provider"
    assert fake.requests[0].headers["authorization"] == f"Bearer {UPSTREAM_SECRET}"
    await running.ledger_holds()


async def test_a_stream_arrives_whole_and_is_counted(running: Running, fake: FakeUpstream) -> None:
    client = running.openai(await running.key())
    text = ""
    async with await client.chat.completions.create(
        model="fake-n7-in5-out9",
        messages=HELLO,
        stream=True,
    ) as stream:
        async for chunk in stream:
            assert chunk.choices, "the usage chunk was not asked for"
            text += chunk.choices[0].delta.content or ""
    assert text
    assert b'"include_usage":true' in fake.requests[0].body.replace(b" ", b"")
    record = await running.last_record()
    assert (record["stream"], record["status"], record["outcome"]) == (True, 200, "succeeded")
    assert (record["input_tokens"], record["output_tokens"]) == (5, 9)
    assert record["ttft_ms"] is not None
    await running.ledger_holds()


async def test_usage_is_streamed_to_a_client_that_asks(running: Running) -> None:
    client = running.openai(await running.key())
    stream = await client.chat.completions.create(
        model="fake-n3-in5-out9",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 9


async def test_a_server_that_refuses_stream_options_is_asked_again_without(
    running: Running, fake: FakeUpstream
) -> None:
    client = running.openai(await running.key())
    for _ in range(2):
        stream = await client.chat.completions.create(
            model="fake-n4-refuse_stream_options",
            messages=HELLO,
            stream=True,
        )
        assert [chunk async for chunk in stream]
    # Refused once, then remembered.
    assert len(fake.requests) == 3
    record = await running.last_record()
    assert record["usage_source"] == "estimated"
    await running.ledger_holds()


async def test_tools_pass_both_ways(running: Running) -> None:
    client = running.openai(await running.key())
    answer = await client.chat.completions.create(
        model="fake-tools",
        messages=HELLO,
        tools=[{"type": "function", "function": {"name": "look_up", "parameters": {}}}],
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_completions_and_embeddings(running: Running) -> None:
    client = running.openai(await running.key())
    completion = await client.completions.create(model="fake", prompt="Once")
    assert completion.choices[0].text
    embedding = await client.embeddings.create(model="fake", input=["one", "two"])
    assert len(embedding.data) == 2
    record = await running.last_record()
    assert record["operation"] == "embedding"
    await running.ledger_holds()


async def test_models_are_the_aliases_that_the_key_may_use(running: Running) -> None:
    target = [{"provider": "fake", "model": "fake"}]
    await running.admin("POST", "/mappings", {"alias": "other/model", "targets": target})
    everything = running.openai(await running.key("all"))
    some = running.openai(await running.key("some", allowed_models=["other/*"]))
    assert {model.id async for model in everything.models.list()} == {"fake*", "other/model"}
    assert [model.id async for model in some.models.list()] == ["other/model"]
    assert (await some.models.retrieve("other/model")).owned_by == "fake"
    with pytest.raises(openai.NotFoundError):
        await some.models.retrieve("fake")


@pytest.mark.parametrize(
    ("model", "expected", "code"),
    [
        ("fake-status400", openai.BadRequestError, None),
        ("fake-status404", openai.NotFoundError, None),
        ("fake-status422", openai.UnprocessableEntityError, None),
        ("fake-status429-retry2", openai.RateLimitError, "upstream_rate_limited"),
        ("fake-status401", openai.InternalServerError, "upstream_auth_error"),
        ("fake-status403", openai.InternalServerError, "upstream_auth_error"),
        ("fake-status500", openai.InternalServerError, "upstream_error"),
        ("fake-status503", openai.InternalServerError, "upstream_error"),
        ("fake-status529", openai.InternalServerError, "upstream_error"),
        ("fake-html", openai.InternalServerError, "upstream_error"),
        ("fake-unparsable", openai.InternalServerError, "upstream_error"),
        ("fake-reset_before_head", openai.InternalServerError, "upstream_error"),
        ("fake-fin_before_head", openai.InternalServerError, "upstream_error"),
        ("fake-cut_rst", openai.InternalServerError, "upstream_error"),
        ("unknown", openai.NotFoundError, "model_not_found"),
    ],
)
async def test_each_failure_raises_the_right_class(
    running: Running, model: str, expected: type[openai.APIStatusError], code: str | None
) -> None:
    client = running.openai(await running.key())
    with pytest.raises(expected) as caught:
        await client.chat.completions.create(
            model=model,
            messages=HELLO,
        )
    error = caught.value
    assert error.response.headers["x-request-id"].startswith("req_")
    if code is not None:
        assert error.code == code
    assert UPSTREAM_SECRET not in error.response.text
    record = await running.last_record()
    assert record["id"] == error.response.headers["x-request-id"]
    assert record["status"] == error.status_code
    assert record["outcome"] == "failed"
    await running.ledger_holds()


async def test_retry_after_passes_through(running: Running) -> None:
    client = running.openai(await running.key())
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(
            model="fake-status429-retry7",
            messages=HELLO,
        )
    assert caught.value.response.headers["retry-after"] == "7"


async def test_a_wrong_key_raises_authentication_error(running: Running) -> None:
    for wrong in ("nonsense", "condt_" + "0" * 49, running.master_key):
        with pytest.raises(openai.AuthenticationError) as caught:
            await running.openai(wrong).chat.completions.create(
                model="fake",
                messages=HELLO,
            )
        assert caught.value.code == "invalid_api_key"
        assert wrong not in caught.value.response.text


async def test_a_model_that_the_key_may_not_use_raises_permission_denied(
    running: Running,
) -> None:
    client = running.openai(await running.key(allowed_models=["other-*"]))
    with pytest.raises(openai.PermissionDeniedError):
        await client.chat.completions.create(
            model="fake",
            messages=HELLO,
        )


async def test_a_revoked_key_stops_at_once(running: Running) -> None:
    key = await running.key("brief")
    client = running.openai(key)
    await client.chat.completions.create(model="fake", messages=HELLO)
    await running.admin("PATCH", "/keys/brief", {"enabled": False})
    with pytest.raises(openai.AuthenticationError):
        await client.chat.completions.create(model="fake", messages=HELLO)
    await running.admin("PATCH", "/keys/brief", {"enabled": True})
    await client.chat.completions.create(model="fake", messages=HELLO)
    await running.admin("DELETE", "/keys/brief")
    with pytest.raises(openai.AuthenticationError):
        await client.chat.completions.create(model="fake", messages=HELLO)
