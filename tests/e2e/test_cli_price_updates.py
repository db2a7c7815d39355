"""`prices update` against a gateway."""

import json
import os
from importlib.resources import files
from pathlib import Path

from tests.e2e.cli import ROOT, Cli
from tests.e2e.conftest import running_gateway


async def test_prices_are_updated_from_a_file_and_stay_so_after_a_restart(tmp_path: Path) -> None:
    content = json.loads(files("conduit.gateway.pricing").joinpath("prices.json").read_bytes())
    shipped = content["version"]
    content["version"] = "2999-01-01"
    content["vendors"]["openai"]["models"]["gpt-4o"]["input"] = 3_000_000_000
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(content))
    update = ("prices", "update", str(file))
    async with running_gateway(tmp_path / "home") as running:
        await running.admin("POST", "/providers", {"name": "openai", "type": "openai"})
        target = {"provider": "openai", "model": "gpt-4o"}
        await running.admin("POST", "/mappings", {"alias": "gpt-4o", "targets": [target]})
        cli = Cli(tmp_path, running.url, running.master_key)
        plan = (await cli(*update, "--dry-run", CONDUIT_FORCE_TTY="100", NO_COLOR="1")).ok()
        assert plan.out == '~ price openai/gpt-4o\n    input: "2.50" -> "3.00"\n'
        assert f"price book {shipped} -> 2999-01-01: 1 price in use would change" in plan.err
        assert (await cli(*update)).code == 2  # nobody was asked
        row = (await cli(*update, "--yes", "--json")).ok().json
        assert (row["version"], len(row["changes"])) == ("2999-01-01", 1)
        assert "already" in (await cli(*update, "--yes")).ok().err
    async with running_gateway(tmp_path / "home") as running:
        cli = Cli(tmp_path, running.url, running.master_key)
        price = (await cli("prices", "show", "openai/gpt-4o", "--json")).ok().json
        assert (price["input"], price["price_version"]) == ("3.00", "2999-01-01")
        assert (await cli("prices", "update", "--yes")).code == 0
        price = (await cli("prices", "show", "openai/gpt-4o", "--json")).ok().json
        assert (price["input"], price["price_version"]) == ("2.50", shipped)
        assert "already" in (await cli("prices", "update", "--yes")).ok().err
        left = tmp_path / "home/data/prices.json"
        left.write_text("{")
        plan = (await cli("prices", "update", "--dry-run")).ok()
        assert f"the price book stays {shipped}" in plan.err
        assert left.exists()
        assert (await cli("prices", "update")).code == 2
        row = (await cli("prices", "update", "--yes", "--json")).ok().json
        assert (row["version"], row["removes_unused"], left.exists()) == (shipped, True, False)
        refused = await cli("prices", "update", "-", stdin='{"prices": []}')
        assert refused.code == 2
        assert "conduit prices import" in refused.err


# What of genai-prices a book is made of, with one model.
_PACKAGE = """\
from decimal import Decimal
from types import SimpleNamespace

from conduit.cli.prices.genai_book import VENDORS


class ModelPrice(SimpleNamespace):
    def __getattr__(self, name):
        return None


class ClauseEquals(SimpleNamespace):
    pass


def _models(vendor):
    if vendor != "openai":
        return []
    price = ModelPrice(input_mtok=Decimal("3"), output_mtok=Decimal("12.5"))
    match = ClauseEquals(equals="gpt-4o")
    return [SimpleNamespace(id="gpt-4o", match=match, prices=price, context_window=128_000)]


providers = [
    SimpleNamespace(id=vendor, models=_models(vendor), fallback_model_providers=None)
    for vendor in (*VENDORS, "huggingface_novita")
]
"""


def _with_package(folder: Path) -> str:
    """A PYTHONPATH on which a package genai-prices is installed."""
    package, told = folder / "genai_prices", folder / "genai_prices-0.1.dist-info"
    (told / "licenses").mkdir(parents=True)
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "data.py").write_text(_PACKAGE)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: genai-prices\nVersion: 0.1\n")
    (told / "licenses/LICENSE").write_text("Do what you like.\n")
    return f"{ROOT}{os.pathsep}{folder}"


async def test_the_installed_package_is_shown_before_it_is_put_in_force(tmp_path: Path) -> None:
    update = ("prices", "update", "--genai-prices")
    async with running_gateway(tmp_path / "home") as running:
        await running.admin("POST", "/providers", {"name": "openai", "type": "openai"})
        target = {"provider": "openai", "model": "gpt-4o"}
        await running.admin("POST", "/mappings", {"alias": "gpt-4o", "targets": [target]})
        cli = Cli(tmp_path, running.url, running.master_key)
        absent = await cli(*update)
        assert (absent.code, absent.out) == (2, "")
        assert "the package genai-prices is not installed" in absent.err
        path = _with_package(tmp_path / "site")
        people = {"PYTHONPATH": path, "CONDUIT_FORCE_TTY": "100", "NO_COLOR": "1"}
        plan = (await cli(*update, "--dry-run", **people)).ok()
        assert plan.out.startswith("~ price openai/gpt-4o\n")
        assert '    input: "2.50" -> "3.00"\n    output: "10.00" -> "12.50"\n' in plan.out
        assert "1 price in use would change" in plan.err
        before = (await cli("prices", "show", "openai/gpt-4o", "--json")).ok().json
        assert before["input"] == "2.50"
        unasked = await cli(*update, **people)
        assert (unasked.code, unasked.out) == (2, plan.out)  # shown, and nobody was asked
        applied = (await cli(*update, "--yes", **people)).ok()
        assert applied.out == plan.out
        price = (await cli("prices", "show", "openai/gpt-4o", "--json")).ok().json
        assert (price["input"], price["output"], price["source"]) == ("3.00", "12.50", "book")
        assert "already" in (await cli(*update, "--yes", **people)).ok().err
