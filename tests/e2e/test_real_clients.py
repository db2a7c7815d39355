"""The official libraries of OpenAI, Anthropic and Google, each against providers of others."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google
from pydantic import BaseModel

from tests.e2e.fidelity.conversation import ARGUMENTS, FIRST, SECOND, TOOL_SCHEMA
from tests.e2e.fidelity.gateway import Matrix, alias, open_matrix
from tests.e2e.fidelity.made import Made
from tests.e2e.fidelity.providers import PROVIDERS, Provider
from tests.fakes.scripted import End

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # Google's library makes its own class of aiohttp's, which aiohttp does not like to see.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]

TEXT = Made(thinking="An easy one.", text="Paris, l’été 🙂.")
CALLS = Made(text="I will look.", calls=(FIRST, SECOND), finish="tool_calls")
JSON_TEXT = Made(text='{"name":"Lyon","inhabitants":520774}')
ASKED = "What of Lyon?"


class City(BaseModel):
    """What a structured answer is read into."""

    name: str
    inhabitants: int


LYON = City(name="Lyon", inhabitants=520_774)


def foreign(*own: str) -> pytest.MarkDecorator:
    others = [provider for provider in PROVIDERS if provider.dialect not in own]
    return pytest.mark.parametrize("provider", others, ids=lambda each: each.type)


streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with open_matrix(tmp_path_factory.mktemp("clients")) as opened:
        yield opened
        await opened.running.ledger_holds()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_openai(matrix: Matrix) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"{matrix.running.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=matrix.key, max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_anthropic(matrix: Matrix) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = matrix.running.url
    async with anthropic.AsyncAnthropic(base_url=url, api_key=matrix.key, max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_google(matrix: Matrix) -> AsyncIterator[Any]:
    options = google.HttpOptions(base_url=matrix.running.url)
    client = genai.Client(api_key=matrix.key, http_options=options, vertexai=False).aio
    yield client
    await client.aclose()


def answer_with(matrix: Matrix, provider: Provider, made: Made, *, stream: bool) -> str:
    """Set the provider's next answer; returns the model to ask for."""
    matrix.upstream.reply = provider.reply(made, stream=stream)
    return alias(provider)


def fail_with(matrix: Matrix, provider: Provider, case: str) -> str:
    found = provider.fixture(case)
    assert found is not None
    matrix.upstream.reply = found[1]
    return alias(provider)


CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "parameters": dict(TOOL_SCHEMA)}}
]
CHAT: Any = [{"role": "user", "content": ASKED}]


@foreign("openai_chat")
async def test_openai_s_chat_streams(
    matrix: Matrix, by_openai: openai.AsyncOpenAI, provider: Provider
) -> None:
    model = answer_with(matrix, provider, TEXT, stream=True)
    options: Any = {"include_usage": True}
    async with by_openai.chat.completions.stream(
        model=model, messages=CHAT, stream_options=options
    ) as stream:
        found = await stream.get_final_completion()
    assert found.choices[0].message.content == TEXT.text
    assert found.usage is not None
    assert found.usage.total_tokens == 125


@foreign("openai_chat")
@streamed_or_not
async def test_openai_s_chat_calls_tools(
    matrix: Matrix, by_openai: openai.AsyncOpenAI, provider: Provider, stream: bool
) -> None:
    model = answer_with(matrix, provider, CALLS, stream=stream)
    if stream:
        async with by_openai.chat.completions.stream(
            model=model, messages=CHAT, tools=CHAT_TOOLS
        ) as events:
            choice: Any = (await events.get_final_completion()).choices[0]
    else:
        whole = await by_openai.chat.completions.create(
            model=model, messages=CHAT, tools=CHAT_TOOLS
        )
        choice = whole.choices[0]
    assert choice.finish_reason == "tool_calls"
    found = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert [(name, json.loads(text)) for name, text in found] == [FIRST.values, SECOND.values]
    if stream and provider.exact:
        assert found[0][1] == ARGUMENTS


@foreign("openai_chat")
async def test_openai_s_chat_parses_an_answer(
    matrix: Matrix, by_openai: openai.AsyncOpenAI, provider: Provider
) -> None:
    model = answer_with(matrix, provider, JSON_TEXT, stream=False)
    found = await by_openai.chat.completions.parse(model=model, messages=CHAT, response_format=City)
    assert found.choices[0].message.parsed == LYON


@foreign("openai_responses")
async def test_openai_s_responses_stream(
    matrix: Matrix, by_openai: openai.AsyncOpenAI, provider: Provider
) -> None:
    model = answer_with(matrix, provider, TEXT, stream=True)
    async with by_openai.responses.stream(model=model, input=ASKED) as stream:
        found = await stream.get_final_response()
    assert found.output_text == TEXT.text
    assert found.usage is not None
    assert found.usage.total_tokens == 125
    assert [item.type for item in found.output][:2] == ["reasoning", "message"]


@foreign("openai_responses")
@streamed_or_not
async def test_openai_s_responses_call_tools(
    matrix: Matrix, by_openai: openai.AsyncOpenAI, provider: Provider, stream: bool
) -> None:
    model = answer_with(matrix, provider, CALLS, stream=stream)
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": dict(TOOL_SCHEMA)}]
    if stream:
        async with by_openai.responses.stream(model=model, input=ASKED, tools=tools) as events:
            output: Any = (await events.get_final_response()).output
    else:
        output = (await by_openai.responses.create(model=model, input=ASKED, tools=tools)).output
    calls = [item for item in output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        FIRST.values,
        SECOND.values,
    ]


@foreign("openai_responses")
async def test_openai_s_responses_parse_an_answer(
    matrix: Matrix, by_openai: openai.AsyncOpenAI, provider: Provider
) -> None:
    model = answer_with(matrix, provider, JSON_TEXT, stream=False)
    found = await by_openai.responses.parse(model=model, input=ASKED, text_format=City)
    assert found.output_parsed == LYON


@foreign("anthropic_messages")
async def test_anthropic_s_messages_stream(
    matrix: Matrix, by_anthropic: anthropic.AsyncAnthropic, provider: Provider
) -> None:
    model = answer_with(matrix, provider, TEXT, stream=True)
    async with by_anthropic.messages.stream(model=model, max_tokens=100, messages=CHAT) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        found = await stream.get_final_message()
    assert text == TEXT.text
    assert [block.type for block in found.content][:2] == ["thinking", "text"]
    assert found.stop_reason == "end_turn"
    cached = found.usage.cache_read_input_tokens or 0
    assert (found.usage.input_tokens + cached, found.usage.output_tokens) == (100, 25)


@foreign("anthropic_messages")
@streamed_or_not
async def test_anthropic_s_messages_call_tools(
    matrix: Matrix, by_anthropic: anthropic.AsyncAnthropic, provider: Provider, stream: bool
) -> None:
    model = answer_with(matrix, provider, CALLS, stream=stream)
    tools: Any = [{"name": "get_weather", "input_schema": dict(TOOL_SCHEMA)}]
    if stream:
        async with by_anthropic.messages.stream(
            model=model, max_tokens=100, messages=CHAT, tools=tools
        ) as events:
            found: Any = await events.get_final_message()
    else:
        found = await by_anthropic.messages.create(
            model=model, max_tokens=100, messages=CHAT, tools=tools
        )
    assert found.stop_reason == "tool_use"
    calls = [block for block in found.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [FIRST.values, SECOND.values]


@foreign("anthropic_messages")
async def test_anthropic_s_messages_parse_an_answer(
    matrix: Matrix, by_anthropic: anthropic.AsyncAnthropic, provider: Provider
) -> None:
    model = answer_with(matrix, provider, JSON_TEXT, stream=False)
    found = await by_anthropic.messages.parse(
        model=model, max_tokens=100, messages=CHAT, output_format=City
    )
    assert found.parsed_output == LYON


@foreign("gemini")
async def test_google_s_library_streams(matrix: Matrix, by_google: Any, provider: Provider) -> None:
    model = answer_with(matrix, provider, TEXT, stream=True)
    stream = await by_google.models.generate_content_stream(model=model, contents=ASKED)
    chunks = [chunk async for chunk in stream]
    parts = [
        part
        for chunk in chunks
        for candidate in chunk.candidates or ()
        for part in (candidate.content and candidate.content.parts) or ()
    ]
    assert "".join(part.text or "" for part in parts if not part.thought) == TEXT.text
    assert "".join(part.text or "" for part in parts if part.thought) == TEXT.thinking
    usage = chunks[-1].usage_metadata
    assert (usage.prompt_token_count, usage.total_token_count) == (100, 125)
    assert chunks[-1].candidates[0].finish_reason == "STOP"


@foreign("gemini")
@streamed_or_not
async def test_google_s_library_calls_tools(
    matrix: Matrix, by_google: Any, provider: Provider, stream: bool
) -> None:
    model = answer_with(matrix, provider, CALLS, stream=stream)
    declared = google.FunctionDeclaration(
        name="get_weather", parameters_json_schema=dict(TOOL_SCHEMA)
    )
    config = google.GenerateContentConfig(tools=[google.Tool(function_declarations=[declared])])
    asked = {"model": model, "contents": ASKED, "config": config}
    if stream:
        chunks = [chunk async for chunk in await by_google.models.generate_content_stream(**asked)]
    else:
        chunks = [await by_google.models.generate_content(**asked)]
    calls = [call for chunk in chunks for call in chunk.function_calls or ()]
    assert [(call.name, call.args) for call in calls] == [FIRST.values, SECOND.values]


@foreign("gemini")
async def test_google_s_library_parses_an_answer(
    matrix: Matrix, by_google: Any, provider: Provider
) -> None:
    model = answer_with(matrix, provider, JSON_TEXT, stream=False)
    config = google.GenerateContentConfig(
        response_mime_type="application/json", response_schema=City
    )
    found = await by_google.models.generate_content(model=model, contents=ASKED, config=config)
    assert found.parsed == LYON


CASES = [("error_400", 400), ("error_401", 502), ("error_429", 429)]


@foreign()
@pytest.mark.parametrize(("case", "status"), CASES)
async def test_each_library_raises_its_class_of_an_error(
    matrix: Matrix,
    by_openai: openai.AsyncOpenAI,
    by_anthropic: anthropic.AsyncAnthropic,
    by_google: Any,
    provider: Provider,
    case: str,
    status: int,
) -> None:
    model = fail_with(matrix, provider, case)
    of_openai = {
        400: openai.BadRequestError,
        429: openai.RateLimitError,
        502: openai.InternalServerError,
    }[status]
    of_anthropic = {
        400: anthropic.BadRequestError,
        429: anthropic.RateLimitError,
        502: anthropic.InternalServerError,
    }[status]
    of_google = google_errors.ClientError if status < 500 else google_errors.ServerError
    with pytest.raises(of_openai):
        await by_openai.chat.completions.create(model=model, messages=CHAT)
    with pytest.raises(of_openai):
        await by_openai.responses.create(model=model, input=ASKED)
    with pytest.raises(of_anthropic):
        await by_anthropic.messages.create(model=model, max_tokens=100, messages=CHAT)
    with pytest.raises(of_google) as caught:
        await by_google.models.generate_content(model=model, contents=ASKED)
    assert caught.value.code == status


@foreign()
async def test_each_library_raises_when_a_stream_breaks_off(
    matrix: Matrix,
    by_openai: openai.AsyncOpenAI,
    by_anthropic: anthropic.AsyncAnthropic,
    by_google: Any,
    provider: Provider,
) -> None:
    found = provider.fixture("stream_cut")
    assert found is not None
    model = alias(provider)
    matrix.upstream.reply = replace(found[1], end=End.KEEP)
    with pytest.raises(openai.APIError, match="broke off"):
        async for _ in await by_openai.chat.completions.create(
            model=model, messages=CHAT, stream=True
        ):
            pass
    with pytest.raises(openai.APIError, match="broke off"):
        async with by_openai.responses.stream(model=model, input=ASKED) as stream:
            await stream.get_final_response()
    with pytest.raises(anthropic.APIError, match="broke off"):
        async with by_anthropic.messages.stream(
            model=model, max_tokens=100, messages=CHAT
        ) as events:
            await events.get_final_message()
    with pytest.raises(google_errors.APIError, match="broke off"):
        async for _ in await by_google.models.generate_content_stream(model=model, contents=ASKED):
            pass
