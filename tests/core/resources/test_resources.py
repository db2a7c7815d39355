"""The rules of each resource of the admin API."""

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from conduit.core import resources
from conduit.core.resources.budgets import BudgetPatch, BudgetScope, NewBudget
from conduit.core.resources.fields import Resource
from conduit.core.resources.keys import CreatedKey, KeyBudget, KeyPatch, NewKey
from conduit.core.resources.mappings import MappingPatch, NewMapping, TargetView
from conduit.core.resources.prices import PriceFields
from conduit.core.resources.providers import CredentialPatch, NewCredential, NewProvider

SECRET = "sk-abcdefghijklmnop"


def models() -> list[type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for module in pkgutil.iter_modules(resources.__path__, f"{resources.__name__}."):
        for name, value in inspect.getmembers(importlib.import_module(module.name)):
            is_ours = inspect.isclass(value) and value.__module__ == module.name
            if is_ours and issubclass(value, BaseModel):
                found[name] = value
    return list(found.values())


def target(**fields: str | int) -> dict[str, Any]:
    return {"provider": "work", "model": "gpt-4o", **fields}


@pytest.mark.parametrize("model", models())
def test_every_resource_refuses_unknown_fields_and_is_frozen(model: type[BaseModel]) -> None:
    assert issubclass(model, Resource)
    assert model.model_config.get("extra") == "forbid"
    assert model.model_config.get("frozen") is True


@pytest.mark.parametrize("model", models())
def test_every_resource_has_a_schema_for_the_published_document(model: type[BaseModel]) -> None:
    assert model.model_json_schema()["type"] == "object"


def test_a_key_may_use_every_model_unless_told_otherwise() -> None:
    key = NewKey(name="ci")
    assert key.allowed_models == ["*"]
    assert key.budget is None


def test_the_budget_of_a_new_key_is_hard_and_total() -> None:
    key = NewKey.model_validate({"name": "ci", "budget": {"limit": "5"}})
    assert key.budget == KeyBudget(limit="5.00", period="total", timezone="UTC", mode="hard")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "a b"},
        {"name": "ci", "budget": {}},
        {"name": "ci", "budget": {"limit": 5}},
        {"name": "ci", "budget": {"limit": "5", "period": "decade"}},
        {"name": "ci", "budget": {"limit": "5", "amount": "5"}},
        {"name": "ci", "expires_at": "tomorrow"},
        {"name": "ci", "allowed_models": ["a b"]},
        {"name": "ci", "allowed_models": ["a"] * 1001},
        {"name": "ci", "secret": "condt_x"},
    ],
)
def test_a_new_key_that_breaks_a_rule_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewKey.model_validate(fields)


def test_a_patch_tells_a_field_set_to_null_from_one_left_out() -> None:
    assert KeyPatch.model_validate({"expires_at": None}).model_fields_set == {"expires_at"}
    assert KeyPatch.model_validate({}).model_fields_set == set()
    assert BudgetPatch.model_validate({"limit": "3"}).limit == "3.00"


@pytest.mark.parametrize("alias", ["gpt-4o", "gpt-*", "*", "vendor/model:free"])
def test_an_alias_may_end_in_a_star(alias: str) -> None:
    mapping = NewMapping.model_validate({"alias": alias, "targets": [target()]})
    assert mapping.alias == alias


@pytest.mark.parametrize("alias", ["gpt-*-mini", "*gpt", "a**", "**"])
def test_an_alias_has_no_star_before_its_end(alias: str) -> None:
    with pytest.raises(ValidationError, match="only the last character"):
        NewMapping.model_validate({"alias": alias, "targets": [target()]})


@pytest.mark.parametrize(
    "fields",
    [
        {"targets": []},
        {"targets": [target()] * 65},
        {"targets": [target(order=-1)]},
        {"targets": [target(weight=-1)]},
        {"targets": [target(provider="a b")]},
        {"targets": [target(model="")]},
        {"targets": [target(priority=1)]},
        {"targets": [target()], "strategy": "luck"},
        {"targets": [target()], "fallbacks": [{"on": "boredom", "alias": "b"}]},
    ],
)
def test_a_mapping_that_breaks_a_rule_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NewMapping.model_validate({"alias": "a", **fields})


def test_a_patch_cannot_leave_a_mapping_without_targets() -> None:
    with pytest.raises(ValidationError):
        MappingPatch.model_validate({"targets": []})


def test_a_target_has_the_first_order_and_one_share_unless_told_otherwise() -> None:
    one = TargetView(provider="work", model="gpt-4o")
    assert (one.order, one.weight, one.params) == (0, 1, {})


def test_prices_are_canonical_and_a_missing_one_stays_missing() -> None:
    prices = PriceFields(input="2.5", output="$10", cache_read="1.25")
    assert (prices.input, prices.output, prices.cache_read) == ("2.50", "10.00", "1.25")
    assert prices.cache_write_5m is None
    assert prices.request == "0"


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "1"},
        {"input": "-1", "output": "1"},
        {"input": 1, "output": "1"},
        {"input": "1", "output": "1", "max_output_tokens": 0},
        {"input": "1", "output": "1", "images": "1"},
    ],
)
def test_prices_that_break_a_rule_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PriceFields.model_validate(fields)


def test_a_budget_belongs_to_a_scope_of_a_known_kind() -> None:
    budget = NewBudget(scope=BudgetScope(kind="key", id="ci"), limit="5")
    assert (budget.limit, budget.period, budget.mode) == ("5.00", "total", "hard")
    with pytest.raises(ValidationError):
        BudgetScope.model_validate({"kind": "planet", "id": "x"})


def test_a_provider_may_be_private_only_when_told_so() -> None:
    provider = NewProvider(name="local", type="openai_compatible", base_url="http://10.0.0.1/v1")
    assert provider.allow_private is False


def holders_of_a_secret() -> list[BaseModel]:
    credential = NewCredential.model_validate({"secret": SECRET})
    return [
        credential,
        CredentialPatch.model_validate({"secret": SECRET}),
        NewProvider(name="a", type="openai", credential=credential),
        CreatedKey(
            id="key_1",
            name="ci",
            start="condt_abcdef",
            enabled=True,
            state="active",
            allowed_models=["*"],
            budgets=[],
            expires_at=None,
            log_bodies=None,
            allow_direct=False,
            limits=[],
            allowed_ips=[],
            priority=False,
            group=None,
            group_id=None,
            tags={},
            metadata={},
            last_used_at=None,
            former_expires_at=None,
            created_at="2026-01-31T00:00:00Z",
            updated_at="2026-01-31T00:00:00Z",
            version=1,
            secret=SECRET,
        ),
    ]


@pytest.mark.parametrize("holder", holders_of_a_secret(), ids=lambda each: type(each).__name__)
def test_a_secret_is_in_no_repr_and_no_text(holder: BaseModel) -> None:
    assert SECRET not in repr(holder)
    assert SECRET not in str(holder)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (NewCredential, {"secret": SECRET, "name": "a b"}),
        (NewCredential, {"secret": [SECRET]}),
        (NewCredential, {"secret": SECRET, "env": SECRET}),
        (NewCredential, {"token": SECRET}),
        (NewProvider, {"name": "a", "credential": {"secret": SECRET}}),
        (NewProvider, {"name": "a", "type": "openai", "credential": SECRET}),
        (CredentialPatch, {"secret": {"value": SECRET}}),
        (NewKey, {"secret": SECRET}),
    ],
)
def test_a_secret_is_not_in_the_error_that_refuses_it(
    model: type[BaseModel], fields: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(fields)
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(refused.value)


def test_the_answer_that_creates_a_key_holds_it_once() -> None:
    created = holders_of_a_secret()[-1]
    assert created.model_dump_json().count(SECRET) == 1
