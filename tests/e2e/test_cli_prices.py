"""Prices from the command line, against a real gateway."""

from pathlib import Path

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import Running


@pytest.fixture
def cli(running: Running, tmp_path: Path) -> Cli:
    return Cli(tmp_path, running.url, running.master_key)


async def test_the_price_in_force_is_explained(cli: Cli, running: Running) -> None:
    await running.admin("POST", "/providers", {"name": "main", "type": "openai"})
    of_book = (await cli("prices", "explain", "main/gpt-4o-2024-08-06", "--json")).ok().json
    assert of_book["price"]["source"] == "book"
    assert of_book["vendor"] == "openai"
    assert of_book["units"] == "USD per million tokens"
    assert of_book["reason"].startswith(
        f"the price book {of_book['book_version']} has it as openai/"
    )
    (await cli("prices", "set", "main/*", "--input", "7", "--output", "8")).ok()
    of_all = (await cli("prices", "explain", "main/gpt-4o-2024-08-06", "--json")).ok().json
    assert (of_all["price"]["input"], of_all["layers"][1]["entry"]) == ("7.00", "main/*")
    assert of_all["layers"][2]["price"]["source"] == "book"
    unknown = (await cli("prices", "explain", "fake/x")).ok()
    assert "every model of the provider, as fake/*" in unknown.out


async def test_a_name_of_clients_is_explained_by_who_serves_it(cli: Cli) -> None:
    explained = (await cli("prices", "explain", "fake-n1", "--json")).ok().json
    assert (explained["provider"], explained["model"]) == ("fake", "fake-n1")


async def test_an_estimate_is_what_the_call_would_be_charged(cli: Cli) -> None:
    estimate = ("prices", "estimate", "fake/m", "--in", "1000", "--out", "500")
    found = (await cli(*estimate, "--json")).ok().json
    assert (found["cost"], found["at_most"]) == ("0.002", "0.002")
    assert (await cli(*estimate, "--cached", "2000")).code == 6
    unpriced = await cli("prices", "estimate", "fake*", "--in", "1", "--out", "1")
    assert unpriced.code == 0
    assert (await cli("prices", "estimate", "nope/x", "--in", "1", "--out", "1")).code == 5


async def test_prices_are_compared_with_a_file_and_set_by_it(
    cli: Cli, running: Running, tmp_path: Path
) -> None:
    file = tmp_path / "prices.toml"
    file.write_text((await cli("prices", "export")).ok().out)
    assert (await cli("prices", "diff", str(file))).code == 0
    file.write_text(
        '[[prices]]\nprovider = "fake"\nmodel = "m"\ninput = 0.25\noutput = "1.5"\n'
        "max_output_tokens = 100\n"
    )
    differing = await cli("prices", "diff", str(file), "--json")
    assert differing.code == 9
    assert [(row["action"], row["name"]) for row in differing.json["data"]] == [
        ("add", "fake/m"),
        ("remove", "fake/*"),
    ]
    (await cli("prices", "import", str(file), "--yes")).ok()
    price = await running.admin("GET", "/prices/fake/m")
    assert (price["input"], price["output"], price["max_output_tokens"]) == ("0.25", "1.50", 100)
    assert (await running.admin("GET", "/prices/fake/other"))["input"] == "1.00"


async def test_a_dry_run_shows_the_old_price_and_the_new(cli: Cli, running: Running) -> None:
    planned = await cli("prices", "set", "fake/m", "--input", "9", "--output", "2", "--dry-run")
    assert '- input: "1.00"\n+ input: "9.00"' in planned.ok().out
    assert "PUT /admin/prices/fake/m" in planned.out
    assert (await running.admin("GET", "/prices/fake/m"))["input"] == "1.00"


async def test_several_prices_are_taken_back_at_once(cli: Cli, running: Running) -> None:
    for model in ("a", "b"):
        await running.admin("PUT", f"/prices/fake/{model}", {"input": "1", "output": "1"})
    unconfirmed = await cli("prices", "remove", "fake/a", "fake/b")
    assert unconfirmed.code == 2
    (await cli("prices", "remove", "-", "--yes", stdin="fake/a\nfake/b\n")).ok()
    exported = (await cli("prices", "export", "--json")).ok().json
    assert [row["model"] for row in exported["prices"]] == ["*"]


async def test_what_a_new_price_drops_is_shown_and_warned_of(cli: Cli, running: Running) -> None:
    body = {"input": "1", "output": "1", "cache_read": "0.1", "request": "0.5"}
    await running.admin("PUT", "/prices/fake/m", body)
    flags = ("prices", "set", "fake/m", "--input", "1", "--output", "1")
    planned = (await cli(*flags, "--dry-run", "--json")).ok()
    assert planned.json["changes"] == {"cache_read": ["0.10", None], "request": ["0.50", None]}
    assert "cache-read, request" in planned.err
    assert "lacks: cache-read, request" in (await cli(*flags)).ok().err
    assert "lacks" not in (await cli(*flags)).ok().err


async def test_an_estimate_takes_counts_as_they_are_written(cli: Cli) -> None:
    flags = ("prices", "estimate", "fake/m", "--in", "1k", "--out", "0.5k", "--json")
    assert (await cli(*flags)).ok().json["cost"] == "0.002"


async def test_the_price_of_a_search_unit_is_shown_explained_and_estimated(
    cli: Cli, running: Running
) -> None:
    flags = ("--input", "0", "--output", "0", "--request", "0.002")
    (await cli("prices", "set", "fake/ranker", *flags)).ok()
    listed = await cli.converse("prices", "list", "--provider", "fake", COLUMNS="120")
    assert "a call" in listed.ok().out.lower()
    assert "$0.0020" in listed.out
    explained = await cli.converse("prices", "explain", "fake/ranker", COLUMNS="120")
    assert "$0.0020 a call or search unit" in explained.ok().out
    tokens = ("--in", "0", "--out", "0", "--json")
    estimated = await cli("prices", "estimate", "fake/ranker", *tokens, "--requests", "3")
    assert (estimated.ok().json["cost"], estimated.json["at_most"]) == ("0.006", "0.006")


async def test_what_becomes_of_a_model_without_a_price_is_told_as_its_mapping_says(
    cli: Cli, running: Running
) -> None:
    await running.admin("DELETE", "/prices/fake/*")
    for alias, policy in (("plain", {}), ("strict", {"unknown_price": "refuse"})):
        target = {"provider": "fake", "model": "nameless"}
        wanted = {"alias": alias, "targets": [target], "policy": policy}
        await running.admin("POST", "/mappings", wanted)
    told = {
        name: (await cli("prices", "explain", name, "--json")).ok().json
        for name in ("plain", "strict", "fake/nameless")
    }
    assert {name: each["unknown_price"] for name, each in told.items()} == {
        "plain": "free",
        "strict": "refuse",
        "fake/nameless": "free",
    }
    assert "a call to it is refused" in told["strict"]["reason"]
    assert "of the mapping strict is refuse" in told["strict"]["layers"][-1]["reason"]
