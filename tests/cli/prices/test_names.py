"""Prices by names that say less than provider and model: where one fits, and where several do."""

import json

from tests.cli.conftest import Outcome, Shell


def test_a_price_is_found_by_the_model_alone_where_one_fits(
    lonely_shell: Shell, started: Outcome
) -> None:
    shell = lonely_shell
    by_model = shell("prices", "show", "simulated-small", "--json")
    assert by_model.code == 0
    assert by_model.out == shell("prices", "show", "simulator/simulated-small", "--json").out
    in_book = json.loads(shell("prices", "show", "gpt-4o", "--json").out)
    assert (in_book["provider"], in_book["source"]) == ("openai", "book")


def test_several_prices_are_named_and_none_is_not_found(
    lonely_shell: Shell, started: Outcome
) -> None:
    several = lonely_shell("prices", "show", "gpt-oss-120b")
    assert (several.code, several.out) == (2, "")
    assert "cerebras/gpt-oss-120b, fireworks/gpt-oss-120b" in several.err
    assert "hint: name one of them: conduit prices show cerebras/gpt-oss-120b" in several.err
    for verb in ("show", "explain"):
        unknown = lonely_shell("prices", verb, "no-such-model")
        assert (unknown.code, unknown.out) == (5, "")
        assert "the price book has no model of this name" in unknown.err


def test_a_model_that_nothing_serves_is_explained_from_the_book(
    lonely_shell: Shell, started: Outcome
) -> None:
    for name in ("gpt-4o", "openai/gpt-4o"):
        found = json.loads(lonely_shell("prices", "explain", name, "--json").out)
        assert (found["provider"], found["model"]) == ("openai", "gpt-4o")
        assert found["reason"].startswith("no provider here serves it; the price book")
        assert found["price"]["input"] == "2.50"
        [layer] = found["layers"]
        assert (layer["layer"], layer["wins"]) == ("book", True)
    version = lonely_shell("prices", "explain", "gpt-4o", "--version", "1999-01-01")
    assert version.code == 5
    assert "the price book in force is" in version.err
