"""`prices update` against a gateway."""

import json
from importlib.resources import files
from pathlib import Path

from tests.e2e.cli import Cli
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
