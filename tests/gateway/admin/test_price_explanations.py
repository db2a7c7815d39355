"""Admin operations that explain prices and work out what calls cost."""

import pytest

from tests.gateway.admin.calls import AdminApi

EXPLAINED = "/admin/price-explanations"
ESTIMATES = "/admin/price-estimates"


@pytest.fixture(autouse=True)
async def _provider(api: AdminApi) -> None:
    await api.made("/admin/providers", {"name": "o", "type": "openai"})


async def test_the_layers_stand_in_the_order_in_which_they_count(api: AdminApi) -> None:
    async def reason() -> str:
        answer = await api.get(f"{EXPLAINED}/o/gpt-4o-2024-08-06")
        return str(answer.body["reason"])

    assert (await reason()).startswith("the price book")
    await api.put("/admin/prices/o/*", {"input": "3", "output": "4"})
    assert "every model of the provider" in await reason()
    await api.put("/admin/prices/o/gpt-4o-2024-08-06", {"input": "5", "output": "6"})
    assert "set for this model" in await reason()
    body = (await api.get(f"{EXPLAINED}/o/gpt-4o-2024-08-06")).body
    *layers, default = body["layers"]
    assert [(each["layer"], each["price"]["source"], each["wins"]) for each in layers] == [
        ("model", "override", True),
        ("provider", "override", False),
        ("book", "book", False),
    ]
    assert layers[1]["reason"].startswith("does not count: a price was set for this model")
    assert (default["layer"], default["price"]) == ("default", None)
    assert default["reason"] == "the setting unknown_price is free: no price is made up"
    assert body["price"]["input"] == "5.00"


async def test_an_unknown_price_is_explained_too(api: AdminApi) -> None:
    body = (await api.get(f"{EXPLAINED}/o/nothing/such")).body
    assert (body["price"], body["model"]) == (None, "nothing/such")
    assert body["reason"].startswith("no price is known")
    assert (await api.get(f"{EXPLAINED}/nobody/m")).status == 404


async def test_an_estimate_prices_each_bucket(api: AdminApi) -> None:
    price = {"input": "2", "output": "10", "cache_read": "0.5", "request": "0.01"}
    await api.put("/admin/prices/o/m", price)
    body = {"provider": "o", "model": "m", "input_tokens": 1000, "output_tokens": 100}
    plain = await api.post(ESTIMATES, body)
    assert plain.body["cost"] == "0.013"  # 0.002 + 0.001 + 0.01
    cached = await api.post(ESTIMATES, {**body, "cache_read_tokens": 1000})
    assert cached.body["cost"] == "0.0115"
    assert cached.body["at_most"] == "0.013"  # a hold does not count on a cache


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"cache_read_tokens": 11}, 422),
        ({"input_tokens": -1}, 422),
        ({"provider": "nobody"}, 404),
        ({"model": "nothing"}, 404),
    ],
)
async def test_an_estimate_that_cannot_be_made_is_refused(
    api: AdminApi, changes: dict[str, object], status: int
) -> None:
    await api.put("/admin/prices/o/m", {"input": "2", "output": "10"})
    body = {"provider": "o", "model": "m", "input_tokens": 10, "output_tokens": 10, **changes}
    assert (await api.post(ESTIMATES, body)).status == status
