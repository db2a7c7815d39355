"""The official OpenAI package for Node against providers of other formats."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.fidelity.conversation import FIRST, SECOND
from tests.e2e.fidelity.gateway import Matrix, alias, open_matrix
from tests.e2e.fidelity.made import Made
from tests.e2e.fidelity.providers import PROVIDERS, Provider
from tests.e2e.test_node_sdk import play
from tests.e2e.test_node_sdk import pytestmark as needs_node

pytestmark = [*needs_node, pytest.mark.asyncio(loop_scope="module")]

TEXT = Made(thinking="An easy one.", text="Paris, l’été 🙂.")
CALLS = Made(text="I will look.", calls=(FIRST, SECOND), finish="tool_calls")
JSON_TEXT = Made(text='{"name":"Lyon","inhabitants":520774}')

every_provider = pytest.mark.parametrize(
    "provider",
    [each for each in PROVIDERS if not each.dialect.startswith("openai")],
    ids=lambda each: each.type,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with open_matrix(tmp_path_factory.mktemp("node")) as opened:
        yield opened
        await opened.running.ledger_holds()


@every_provider
async def test_a_stream_arrives_whole_with_its_usage(matrix: Matrix, provider: Provider) -> None:
    matrix.upstream.reply = provider.reply(TEXT, stream=True)
    seen = await play(matrix.running, "foreignStream", matrix.key, alias(provider))
    assert (seen["text"], seen["finishReason"]) == (TEXT.text, "stop")
    assert seen["usage"]["total_tokens"] == 125


@every_provider
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_calls_of_tools_arrive(matrix: Matrix, provider: Provider, stream: bool) -> None:
    matrix.upstream.reply = provider.reply(CALLS, stream=stream)
    scenario = "foreignStreamedTools" if stream else "foreignTools"
    seen = await play(matrix.running, scenario, matrix.key, alias(provider))
    assert (seen["text"], seen["finishReason"]) == (CALLS.text, "tool_calls")
    found = [(name, json.loads(arguments)) for name, arguments in seen["calls"]]
    assert found == [FIRST.values, SECOND.values]


@every_provider
async def test_an_answer_by_a_schema_is_parsed(matrix: Matrix, provider: Provider) -> None:
    matrix.upstream.reply = provider.reply(JSON_TEXT, stream=False)
    seen = await play(matrix.running, "foreignSchema", matrix.key, alias(provider))
    assert seen == {"name": "Lyon", "inhabitants": 520_774}


@every_provider
async def test_a_response_is_streamed(matrix: Matrix, provider: Provider) -> None:
    matrix.upstream.reply = provider.reply(TEXT, stream=True)
    seen = await play(matrix.running, "foreignResponse", matrix.key, alias(provider))
    assert seen["text"] == TEXT.text
    assert seen["usage"]["total_tokens"] == 125
