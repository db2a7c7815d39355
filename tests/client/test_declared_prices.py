"""Prices of documents and tables: nothing is lost on the way out and back in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.cli.declared.documents import as_toml
from conduit.client.declared import DeclarationError, checked, document_of, plan
from conduit.client.declared_prices import (
    AMOUNTS,
    TOKEN_AMOUNTS,
    PriceError,
    as_csv,
    checked_price,
    from_csv,
    tier_of,
)
from conduit.core.money import format_multiplier, format_usd
from conduit.core.units import UNITS

amounts = st.integers(0, 10**15).map(format_usd)
counts = st.integers(1, 10**8)
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=8).filter(
    lambda text: text[0].isalnum()
)
model_names = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30
)
unit_names = st.builds(
    lambda base, parts: ":".join([base, *parts]),
    st.sampled_from(sorted(UNITS)),
    st.lists(words, max_size=2),
)
tiers = st.lists(
    st.fixed_dictionaries({"over_tokens": counts}, optional=dict.fromkeys(TOKEN_AMOUNTS, amounts)),
    max_size=3,
    unique_by=lambda tier: tier["over_tokens"],
)
moments = st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z")
prices = st.fixed_dictionaries(
    {"provider": words, "model": model_names, "input": amounts, "output": amounts},
    optional={
        **{name: amounts for name in AMOUNTS if name not in ("input", "output")},
        "max_output_tokens": counts,
        "context_tokens": counts,
        "tiers": tiers,
        "service_tiers": st.dictionaries(
            words, st.integers(0, 10**9).map(format_multiplier), max_size=3
        ),
        "units": st.dictionaries(unit_names, amounts, max_size=4),
        "effective_from": moments,
    },
).map(checked_price)
documents = st.lists(prices, max_size=4, unique_by=lambda each: (each["provider"], each["model"]))


@given(documents)
def test_a_table_of_prices_is_read_back_as_it_was(entries: list[dict[str, Any]]) -> None:
    assert checked({"prices": from_csv(as_csv(entries))}) == {"prices": entries}


@given(documents)
def test_a_json_document_of_prices_is_read_back_as_it_was(entries: list[dict[str, Any]]) -> None:
    assert checked(json.loads(json.dumps({"prices": entries}))) == {"prices": entries}


@given(documents)
def test_a_toml_document_of_prices_is_read_back_as_it_was(entries: list[dict[str, Any]]) -> None:
    import tomllib  # noqa: PLC0415

    assert checked(tomllib.loads(as_toml({"prices": entries}))).get("prices", []) == entries


@given(documents)
def test_what_was_written_changes_nothing(entries: list[dict[str, Any]]) -> None:
    wanted = checked({"prices": from_csv(as_csv(entries))})
    assert plan(wanted, {"prices": entries}, prune=True) == []


def test_a_row_of_the_gateway_becomes_an_entry_and_only_a_plan_says_since_when() -> None:
    row = {
        "provider": "p",
        "model": "m",
        "input": "1.00",
        "output": "2.00",
        "cache_read": None,
        "request": "0.00",
        "tiers": [{"over_tokens": 5, "input": "3.00", "output": None}],
        "service_tiers": {"flex": "0.5"},
        "units": {},
        "source": "override",
        "effective_from": "2030-01-31T00:00:00.000Z",
    }
    present = {**row, "source": "override"}
    found = document_of({"prices": [present, {**row, "planned": True}]})["prices"]
    assert "effective_from" not in found[0]
    assert found[1]["effective_from"] == row["effective_from"]
    assert found[0]["tiers"] == [{"over_tokens": 5, "input": "3.00"}]
    assert "units" not in found[0]


def test_a_planned_price_is_another_one_than_the_present() -> None:
    since = "2030-01-31T00:00:00.000Z"
    entry = {"provider": "p", "model": "m", "input": "1", "output": "2"}
    wanted = checked({"prices": [entry, {**entry, "effective_from": since}]})
    first, second = plan(wanted, {"prices": []})
    assert (first.name, second.name) == ("p/m", f"p/m from {since}")
    assert (first.body or {}).get("effective_from") is None
    assert (second.body or {})["effective_from"] == since
    [removal] = plan({"prices": []}, {"prices": [wanted["prices"][1]]}, prune=True)
    assert (removal.names, dict(removal.query)) == (("p", "m"), {"effective_from": since})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("provider,model,colour\n", "line 1: there is no column colour"),
        ("provider,model,input,output\np,m,1\n", "line 2: it has not as many cells"),
        ("provider,model,input,output\np,m,1,2,3\n", "line 2: it has not as many cells"),
        ("provider,model,input,output,units\np,m,1,2,x\n", "line 2: units: NAME=VALUE"),
        ("provider,model,input,output,tiers\np,m,1,2,many input=1\n", "line 2: tiers: a whole"),
        ("provider,model,input,output,max_output_tokens\np,m,1,2,1.5\n", "a whole number"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(PriceError, match=said):
        from_csv(text)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"units": ["x"]}, "units: a table"),
        ({"units": {"images": "-1"}}, r"units\.images"),
        ({"service_tiers": {"flex": "half"}}, r"service_tiers\.flex"),
        ({"service_tiers": {"flex": "0.1234567"}}, r"service_tiers\.flex"),
        ({"tiers": {"a": 1}}, "tiers: a list"),
        ({"tiers": [{"over_tokens": "5"}]}, "over_tokens"),
        ({"tiers": [{"over_tokens": 5, "colour": "1"}]}, "no field colour"),
        ({"effective_from": "2030-01-31"}, "offset"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(fields: dict[str, Any], said: str) -> None:
    entry = {"provider": "p", "model": "m", "input": "1", "output": "2", **fields}
    with pytest.raises(DeclarationError, match=said):
        checked({"prices": [entry]})


def test_a_tier_is_typed_in_a_line() -> None:
    assert tier_of("200000:input=6,output=22.5") == {
        "over_tokens": 200_000,
        "input": "6.00",
        "output": "22.50",
    }
    for wrong in ("200000", "x:input=1", "5:input", "5:colour=1", "5:input=x"):
        with pytest.raises(PriceError):
            tier_of(wrong)
