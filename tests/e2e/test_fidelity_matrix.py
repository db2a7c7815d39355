"""Any client speaks to any provider: what is asked arrives, and what is answered comes back."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.fidelity.clients import CLIENTS, Client
from tests.e2e.fidelity.conversation import (
    ANSWER_SCHEMA,
    FIRST,
    HELLO,
    SECOND,
    TOOL_SCHEMA,
    Answer,
    Ask,
    Turn,
)
from tests.e2e.fidelity.gateway import Matrix, connect, open_matrix
from tests.e2e.fidelity.made import SIGNATURE, Made
from tests.e2e.fidelity.providers import PROVIDERS, VENDORS, Provider

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAIN = Made(text="Paris, l’été 🙂.")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with open_matrix(tmp_path_factory.mktemp("matrix")) as opened:
        yield opened
        await opened.running.ledger_holds()


every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: f"{client.name}")
every_provider = pytest.mark.parametrize(
    "provider", [*PROVIDERS, *VENDORS], ids=lambda each: each.type
)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


ASKS = {
    "plain": HELLO,
    "system_and_turns": Ask(
        (
            Turn("user", "Bonjour 🙂"),
            Turn("assistant", "Salut."),
            Turn("user", 'Say "x\\y"\nand no more.'),
        ),
        system="Be brief; answer in French.",
    ),
    "tools": Ask((Turn("user", "The weather?"),), tools=("get_weather", "get_time")),
    "tool_result": Ask(
        (
            Turn("user", "The weather?"),
            Turn("assistant", "I will look.", calls=(FIRST,)),
            Turn("user", results=((FIRST, '{"temperature": 21.5}'),)),
        ),
        tools=("get_weather",),
    ),
    "parallel_tool_results": Ask(
        (
            Turn("user", "The weather?"),
            Turn("assistant", calls=(FIRST, SECOND)),
            Turn("user", results=((FIRST, "sunny"), (SECOND, "rain"))),
        ),
        tools=("get_weather",),
    ),
    "image": Ask((Turn("user", "What is this?", image=True),)),
}


def plain(said: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What was said, whatever a format wraps a tool's result in: Gemini's results are objects."""
    return [(*part[:2], _unwrapped(part[2])) if part[0] == "result" else part for part in said]


def _unwrapped(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict) and len(value) == 1 and value.keys() & {"result", "output"}:
        (inner,) = value.values()
        return _unwrapped(inner) if isinstance(inner, str) else inner
    return value


def plain_schema(schema: Any) -> Any:
    """A schema without what some formats add or leave out, which the tests do not look at."""
    return {name: schema[name] for name in ("type", "properties", "required")}


@every_client
@every_provider
@pytest.mark.parametrize("name", ASKS)
@streamed_or_not
async def test_what_is_asked_arrives(
    matrix: Matrix, client: Client, provider: Provider, name: str, stream: bool
) -> None:
    ask = replace(ASKS[name], stream=stream)
    await matrix.ask(client, provider, ask, provider.reply(PLAIN, stream=stream))
    asked = provider.asked(matrix.received.json)
    assert plain(asked.said) == plain(ask.said)
    assert asked.system == (ask.system or "")
    assert list(asked.tools) == list(ask.tools)
    assert all(plain_schema(schema) == TOOL_SCHEMA for schema in asked.tools.values())
    assert asked.cap == ask.cap
    if stream:
        path = f"/{provider.type}{provider.root}{provider.stream_path}"
        assert matrix.received.line == f"POST {path} HTTP/1.1"
    headers = matrix.received.headers
    assert any(provider.credential in value for value in headers.values())
    assert not any(matrix.key in value for value in headers.values())


@every_client
async def test_a_request_to_amazon_is_signed_where_an_access_key_is_given(
    matrix: Matrix, client: Client
) -> None:
    (bedrock,) = (provider for provider in PROVIDERS if provider.type == "bedrock")
    secret = {"access_key_id": "AKIDEXAMPLE000000000", "secret_access_key": "s" * 40}
    credential = json.dumps({**secret, "region": "eu-west-1"})
    name = f"signed-{client.name.replace('_', '-')}"
    signed = replace(bedrock, credential=credential)
    await connect(matrix.running, signed, f"{matrix.upstream.url}/bedrock", name=name)
    ask = replace(HELLO, stream=True)
    reply = signed.reply(PLAIN, stream=True)
    answer = await matrix.ask(client, signed, ask, reply, model=name)
    assert answer.text == PLAIN.text
    sent = matrix.received.headers
    day = sent["x-amz-date"].partition("T")[0]
    scope = f"Credential=AKIDEXAMPLE000000000/{day}/eu-west-1/bedrock/aws4_request"
    assert sent["authorization"].startswith(f"AWS4-HMAC-SHA256 {scope}, ")
    assert "s" * 40 not in str(sent)


def check(answer: Answer, made: Made, provider: Provider) -> None:
    assert answer.text == made.text
    assert answer.called == [call.values for call in made.calls]
    assert answer.finish == made.finish
    assert (answer.input_tokens, answer.output_tokens) == (made.input_tokens, made.output_tokens)
    assert answer.cached_tokens == (made.cached_tokens if provider.caches else 0)


ANSWERS = {
    "plain": PLAIN,
    "length": Made(text="Par", finish="length"),
    "call": Made(calls=(FIRST,), finish="tool_calls"),
    "text_and_call": Made(text="I will look.", calls=(FIRST,), finish="tool_calls"),
    "parallel_calls": Made(calls=(FIRST, SECOND), finish="tool_calls"),
}


@every_client
@every_provider
@pytest.mark.parametrize("name", ANSWERS)
@streamed_or_not
async def test_what_is_answered_comes_back(
    matrix: Matrix, client: Client, provider: Provider, name: str, stream: bool
) -> None:
    made = ANSWERS[name]
    ask = Ask((Turn("user", "The weather?"),), tools=("get_weather",), stream=stream)
    answer = await matrix.ask(client, provider, ask, provider.reply(made, stream=stream))
    check(answer, made, provider)
    if (
        provider.exact
        and client.name.startswith("openai")
        and (stream or client.name == provider.dialect)
    ):
        # Where both sides write arguments as text, not a blank of it is touched.
        assert [call.arguments for call in answer.calls] == [call.arguments for call in made.calls]
    ids = [call.id for call in answer.calls]
    assert len(set(ids)) == len(ids)
    record = await matrix.running.last_record()
    assert (record["input_tokens"], record["output_tokens"]) == (100, 25)
    assert record["usage_source"] == "provider"


@every_client
@every_provider
@streamed_or_not
async def test_an_answer_by_a_schema(
    matrix: Matrix, client: Client, provider: Provider, stream: bool
) -> None:
    made = Made(text='{"name":"Lyon","inhabitants":520774}')
    ask = replace(HELLO, schema=True, stream=stream)
    answer = await matrix.ask(client, provider, ask, provider.reply(made, stream=stream))
    assert json.loads(answer.text) == {"name": "Lyon", "inhabitants": 520774}
    asked = provider.asked(matrix.received.json)
    wanted = asked.schema or asked.tools[asked.forced_tool or ""]
    assert plain_schema(wanted) == plain_schema(ANSWER_SCHEMA)


@every_client
@every_provider
@streamed_or_not
async def test_thinking_and_its_signature_make_the_round_of_two_turns(
    matrix: Matrix, client: Client, provider: Provider, stream: bool
) -> None:
    made = Made(thinking="The tool knows.", calls=(FIRST,), finish="tool_calls")
    ask = Ask((Turn("user", "Weather?"),), tools=("get_weather",), think=True, stream=stream)
    answer = await matrix.ask(client, provider, ask, provider.reply(made, stream=stream))
    check(answer, made, provider)
    assert answer.thinking == made.thinking
    (call,) = answer.calls
    back = Turn("assistant", raw=answer.whole)
    again = replace(ask, turns=(*ask.turns, back, Turn("user", results=((call, "sunny"),))))
    await matrix.ask(client, provider, again, provider.reply(PLAIN, stream=stream))
    asked = provider.asked(matrix.received.json)
    said = plain([part for part in asked.said if part[0] != "text"])
    assert said == [("call", *FIRST.values), ("result", "get_weather", "sunny")]
    assert asked.signed == ([SIGNATURE] if provider.signs else [])


@every_client
@every_provider
@streamed_or_not
async def test_what_a_model_said_before_its_calls_goes_back_to_the_letter(
    matrix: Matrix, client: Client, provider: Provider, stream: bool
) -> None:
    made = ANSWERS["text_and_call"]
    ask = Ask((Turn("user", "Weather?"),), tools=("get_weather",), stream=stream)
    answer = await matrix.ask(client, provider, ask, provider.reply(made, stream=stream))
    results = Turn("user", results=((answer.calls[0], "sunny"),))
    again = replace(ask, turns=(*ask.turns, Turn("assistant", raw=answer.whole), results))
    await matrix.ask(client, provider, again, provider.reply(PLAIN, stream=stream))
    said = provider.asked(matrix.received.json).said
    assert "".join(part[2] for part in said if part[:2] == ("text", "assistant")) == made.text
    assert [part for part in said if part[0] == "call"] == [("call", *FIRST.values)]


@every_client
@streamed_or_not
async def test_thinking_that_nobody_signs_goes_back_to_ollama_as_text(
    matrix: Matrix, client: Client, stream: bool
) -> None:
    (ollama,) = (provider for provider in PROVIDERS if provider.type == "ollama_native")
    made = Made(thinking="The tool knows.", calls=(FIRST,), finish="tool_calls")
    ask = Ask((Turn("user", "Weather?"),), tools=("get_weather",), think=True, stream=stream)
    answer = await matrix.ask(client, ollama, ask, ollama.reply(made, stream=stream))
    back = Turn("assistant", raw=answer.whole)
    results = Turn("user", results=((answer.calls[0], "sunny"),))
    again = replace(ask, turns=(*ask.turns, back, results))
    await matrix.ask(client, ollama, again, ollama.reply(PLAIN, stream=stream))
    asked, said, _ = matrix.received.json["messages"]
    assert said["thinking"] == made.thinking
    assert asked.keys() == {"role", "content"}


@every_client
@pytest.mark.parametrize(
    ("provider", "then"),
    [
        pytest.param(provider, then, id=f"{provider.type}-then-{then.type}")
        for provider in PROVIDERS
        for then in PROVIDERS
        if then.dialect != provider.dialect  # what it signed it could read
    ],
)
async def test_a_conversation_goes_on_at_another_provider(
    matrix: Matrix, client: Client, provider: Provider, then: Provider
) -> None:
    made = Made(thinking="The tool knows.", calls=(FIRST, SECOND), finish="tool_calls")
    ask = Ask((Turn("user", "Weather?"),), tools=("get_weather",), think=True)
    answer = await matrix.ask(client, provider, ask, provider.reply(made, stream=False))
    results = tuple((call, "sunny") for call in answer.calls)
    turns = (*ask.turns, Turn("assistant", raw=answer.whole), Turn("user", results=results))
    again = replace(ask, turns=turns)
    found = await matrix.ask(client, then, again, then.reply(PLAIN, stream=False))
    check(found, PLAIN, then)
    asked = then.asked(matrix.received.json)
    said = plain([part for part in asked.said if part[0] != "text"])
    result = ("result", "get_weather", "sunny")
    assert said == [("call", *FIRST.values), ("call", *SECOND.values), result, result]
    assert asked.signed == []
    body = matrix.received.body
    for left in (SIGNATURE.encode(), b"conduit:", b"Y29uZHVpdD", b"reasoning_signature"):
        assert left not in body


@every_client
@every_provider
async def test_the_fixtures_of_a_provider_are_understood(
    matrix: Matrix, client: Client, provider: Provider
) -> None:
    for case in provider.cases():
        found = provider.fixture(case)
        assert found is not None
        exchange, reply = found
        expect = exchange["expect"]
        stream = bool(exchange["request"].get("stream"))
        ask = Ask(
            (Turn("user", "The weather?"),),
            tools=("get_weather",) if "tool" in case else (),
            stream=stream,
        )
        answered = await matrix.post(client, provider, ask, reply)
        if "error" in expect:
            assert answered.status == expect["status"], case
            message, _ = client.error(answered.json)
            assert message
            continue
        assert answered.status == 200, (case, answered.body)
        if "failure" in expect or not expect.get("complete", True):
            assert not client.ends_well(answered.body), case
            assert client.stream_error(answered.body), case
            continue
        answer = client.stream(answered.body) if stream else client.whole(answered.json)
        assert (answer.text or answer.refusal) == (expect["text"] or expect.get("refusal", "")), (
            case
        )
        assert answer.called == [
            (name, json.loads(arguments)) for _, name, arguments in expect.get("tool_calls", ())
        ]
        assert [answer.finish] == expect["finish_reasons"], case
        usage = expect["usage"]
        if usage is not None:
            assert answer.input_tokens == usage["total_input_tokens"], case
            assert answer.output_tokens == usage["total_output_tokens"], case


WORDS = {
    "openai_chat": {400: "invalid_request_error", 429: "rate_limit_error", 502: "upstream_error"},
    "openai_responses": {
        400: "invalid_request_error",
        429: "rate_limit_error",
        502: "upstream_error",
    },
    "anthropic_messages": {
        400: "invalid_request_error",
        429: "rate_limit_error",
        502: "api_error",
    },
    "gemini": {400: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 502: "UNAVAILABLE"},
}


@every_client
@every_provider
@pytest.mark.parametrize(("case", "status"), [("400", 400), ("401", 502), ("429", 429)])
@streamed_or_not
async def test_an_error_has_the_shape_of_the_client(
    matrix: Matrix, client: Client, provider: Provider, case: str, status: int, stream: bool
) -> None:
    found = provider.fixture(f"error_{case}")
    assert found is not None
    exchange, reply = found
    ask = replace(HELLO, stream=stream)
    answered = await matrix.post(client, provider, ask, reply)
    assert answered.status == status
    assert answered.headers["content-type"].startswith("application/json")
    message, word = client.error(answered.json)
    assert message
    if not (status == 400 and client.name.startswith("openai")):  # there the provider's own word
        assert word == WORDS[client.name][status]
    if "retry_after_s" in exchange["expect"]:
        assert float(answered.headers["retry-after"]) >= exchange["expect"]["retry_after_s"]
    assert provider.credential.encode() not in answered.body
