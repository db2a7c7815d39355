"""Budgets and limits hold on whatever route a call comes: there is none beside them."""

from typing import Any

from conduit.gateway.routes.calls import ROUTES
from tests.e2e.conftest import Running
from tests.fakes.upstream import FakeUpstream

MESSAGES = [{"role": "user", "content": "hello " * 20}]
GEMINI = {"contents": [{"parts": [{"text": "hello " * 20}]}]}
RANKING = {"query": "hello " * 20, "documents": ["one", "two"]}
CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": "hello " * 20},
    "/v1/embeddings": {"input": "hello " * 20},
    "/v1/rerank": RANKING,
    "/v2/rerank": RANKING,
    "/rerank": RANKING,
    "/v1/moderations": {"input": "hello " * 20},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 50},
    "/v1/responses": {"input": "hello " * 20},
    "/v1beta/models/fake:generateContent": GEMINI,
    "/v1beta/models/fake:streamGenerateContent": GEMINI,
    "/v1/models/fake:generateContent": GEMINI,
    "/v1beta/models/fake:embedContent": {"content": GEMINI["contents"][0]},
}


async def refusals(running: Running, key: str) -> dict[str, tuple[int, str]]:
    """Status and text of each route's answer."""
    found = {}
    for path, body in CALLS.items():
        model = {} if "models/" in path else {"model": "fake"}
        async with running.http.post(
            running.url + path,
            json={**model, **body},
            headers={"authorization": f"Bearer {key}"},
        ) as response:
            found[path] = (response.status, await response.text())
    return found


def test_all_routes_that_spend_are_among_those_that_are_tried() -> None:
    assert {path for path, route in ROUTES.items() if not route.counts} <= CALLS.keys()


async def test_no_route_passes_a_budget_by(running: Running, fake: FakeUpstream) -> None:
    key = await running.key("poor", budget={"limit": "0.000000001"})
    for path, (status, text) in (await refusals(running, key)).items():
        assert status == 429, (path, text)
        assert "budget" in text, (path, text)
    assert not fake.requests
    await running.ledger_holds()


async def test_no_route_passes_a_limit_by(running: Running, fake: FakeUpstream) -> None:
    key = await running.key("slow", limits=[{"kind": "rpd", "limit": 1}])
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"model": "fake", "messages": MESSAGES},
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        assert response.status == 200
    for path, (status, text) in (await refusals(running, key)).items():
        assert status == 429, (path, text)
        assert "1 requests a day" in text, (path, text)
    assert len(fake.requests) == 1
