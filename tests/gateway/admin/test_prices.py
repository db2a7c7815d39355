"""Admin operations on prices."""

from collections.abc import Callable

import pytest

from conduit.gateway.config.configuration import Configuration
from tests.gateway.admin.calls import SIMULATED, AdminApi


@pytest.fixture(autouse=True)
async def provider(api: AdminApi) -> None:
    """OpenAI with a mapped model whose price the book knows, and the simulator."""
    await api.made("/admin/providers", SIMULATED)
    await api.made("/admin/providers", {"name": "openai", "type": "openai"})
    targets = [{"provider": "openai", "model": "gpt-4o"}, {"provider": "openai", "model": "none"}]
    await api.made("/admin/mappings", {"alias": "fast", "targets": targets})


async def test_a_price_is_set_over_the_book_and_taken_back(
    api: AdminApi, configuration: Configuration, kinds: Callable[[], list[str]]
) -> None:
    book = (await api.get("/admin/prices/openai/gpt-4o")).body
    assert book["source"] == "book"

    body = {"input": "1.25", "output": "$10", "cache_read": "0.125", "request": "0.01"}
    set_price = await api.put("/admin/prices/openai/gpt-4o", body)
    assert set_price.status == 200
    price = set_price.body
    assert (price["input"], price["output"], price["cache_read"]) == ("1.25", "10.00", "0.125")
    assert (price["request"], price["reasoning"], price["source"]) == ("0.01", None, "override")
    assert (await api.get("/admin/prices/openai/gpt-4o")).body == price
    rates = configuration.snapshot.rates["openai", "gpt-4o"]
    assert (rates.input, rates.per_request) == (1_250_000_000, 10_000_000)
    assert rates.version == price["price_version"]

    assert (await api.delete("/admin/prices/openai/gpt-4o")).status == 204
    assert (await api.get("/admin/prices/openai/gpt-4o")).body == book
    assert (await api.delete("/admin/prices/openai/gpt-4o")).status == 404
    assert kinds()[-2:] == ["price.set", "price.removed"]


async def test_a_list_holds_what_is_mapped_and_what_was_set(api: AdminApi) -> None:
    await api.put("/admin/prices/sim/any/model:x", {"input": "0", "output": "0"})
    found = await api.listed("/admin/prices?limit=1")
    assert [(each["provider"], each["model"], each["source"]) for each in found] == [
        ("openai", "gpt-4o", "book"),
        ("sim", "any/model:x", "override"),
    ]
    assert len(await api.listed("/admin/prices?provider=sim")) == 1
    assert len(await api.listed("/admin/prices?model=gpt-4o")) == 1


async def test_the_whole_book_is_listed_on_demand(api: AdminApi) -> None:
    found = await api.listed("/admin/prices?all=true&limit=1000")
    assert len(found) > 100
    keys = [(each["provider"], each["model"]) for each in found]
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)


async def test_a_price_of_every_model_serves_those_without_one(api: AdminApi) -> None:
    await api.put("/admin/prices/openai/*", {"input": "7", "output": "8"})
    assert (await api.get("/admin/prices/openai/none")).body["input"] == "7.00"


@pytest.mark.parametrize("path", ["openai/none", "nobody/gpt-4o"])
async def test_a_price_that_nobody_knows_is_not_found(api: AdminApi, path: str) -> None:
    assert (await api.get(f"/admin/prices/{path}")).status == 404


@pytest.mark.parametrize("model", ["two%20words", "m" * 201, "%C3%A9"])
async def test_a_price_is_not_set_for_what_is_no_name_of_a_model(api: AdminApi, model: str) -> None:
    answer = await api.put(f"/admin/prices/openai/{model}", {"input": "1", "output": "1"})
    assert answer.status == 422
    assert answer.message.startswith("model: ")


@pytest.mark.parametrize(
    "body",
    [
        {"input": "1"},
        {"input": 1, "output": "1"},
        {"input": "-1", "output": "1"},
        {"input": "1e3", "output": "1"},
        {"input": "1", "output": "1", "max_output_tokens": 0},
        {"input": "1", "output": "1", "currency": "EUR"},
    ],
)
async def test_a_price_that_makes_no_sense_is_refused(
    api: AdminApi, body: dict[str, object]
) -> None:
    assert (await api.put("/admin/prices/openai/gpt-4o", body)).status == 422
