"""Each import contract holds, and each one breaks when what it forbids is planted."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

# One run of import-linter in a process of its own: grimp finds packages through sys.path, and this
# process has already imported the real one.
LINT = """
import sys
from importlinter.cli import lint_imports

sys.exit(lint_imports(limit_to_contracts=tuple(sys.argv[1:]), no_cache=True, no_logo=True))
"""

# (contract, module that gets the import, what it imports)
PLANTS = [
    ("core-alone", "core.planted", "conduit.client"),
    ("core-alone", "core.planted", "conduit.gateway.config.snapshot"),
    ("client-on-core", "client.planted", "conduit.gateway.config.snapshot"),
    ("client-on-core", "client.planted", "conduit.tui"),
    ("front-ends-through-client", "cli.commands.planted", "conduit.gateway.run"),
    ("front-ends-through-client", "cli.planted", "conduit.gateway.storage.keys"),
    ("front-ends-through-client", "tui.planted", "conduit.gateway.config.snapshot"),
    ("gateway-below-front-ends", "gateway.planted", "conduit.client"),
    ("gateway-layers", "gateway.storage.planted", "conduit.gateway.ledger"),
    ("gateway-layers", "gateway.pricing.planted", "conduit.gateway.ledger"),
    ("gateway-layers", "gateway.ledger.planted", "conduit.gateway.metrics"),
    ("gateway-layers", "gateway.health.planted", "conduit.gateway.routing"),
    ("gateway-layers", "gateway.maintenance.planted", "conduit.gateway.stages"),
    ("gateway-layers", "gateway.storage.planted", "conduit.gateway.config.snapshot"),
    ("gateway-layers", "gateway.pipeline", "conduit.gateway.app"),
    ("gateway-layers", "gateway.routes.planted", "conduit.gateway.admin"),
    ("gateway-layers", "gateway.admin.planted", "conduit.gateway.openapi"),
    ("translation-layers", "gateway.dialects.planted", "conduit.gateway.providers"),
    ("translation-layers", "gateway.providers.planted", "conduit.gateway.stages"),
    ("translation-layers", "gateway.conversation", "conduit.gateway.dialects"),
    ("translation-layers", "gateway.embedding", "conduit.gateway.dialects"),
    ("translation-pure", "gateway.dialects.planted", "conduit.gateway.storage"),
    ("translation-pure", "gateway.providers.planted", "conduit.gateway.upstream"),
    ("pure-of-frameworks", "core.planted", "sqlalchemy"),
    ("pure-of-frameworks", "gateway.dialects.planted", "aiohttp"),
    ("pure-of-frameworks", "gateway.providers.planted", "typer"),
    ("pipeline-of-frameworks", "gateway.pipeline", "aiohttp.web"),
    ("request-path-in-memory", "gateway.stages.planted", "conduit.gateway.storage.keys"),
    ("request-path-in-memory", "gateway.routes.planted", "conduit.gateway.storage.keys"),
    ("routes-through-pipeline", "gateway.routes.planted", "conduit.gateway.upstream"),
    ("aiohttp-at-the-edges", "gateway.ledger.planted", "aiohttp"),
    ("aiohttp-at-the-edges", "gateway.events.planted", "aiohttp.web"),
    ("aiohttp-at-the-edges", "cli.planted", "aiohttp"),
    ("parser-at-the-edges", "gateway.server.planted", "httptools"),
    ("sql-in-storage", "gateway.admin.planted", "sqlalchemy"),
    ("sql-in-storage", "gateway.ledger.planted", "aiosqlite"),
    ("providers-apart", "gateway.providers.planted", "conduit.gateway.providers.planted_too"),
    ("events-apart", "gateway.events.planted", "conduit.gateway.config.snapshot"),
    ("cache-apart", "gateway.cache.planted", "conduit.gateway.config.snapshot"),
    ("no-cycles", "core.money", "conduit.core.planted_too"),
    ("tui-state-of-terminals", "tui.state.store", "textual.widgets"),
    ("tui-state-of-terminals", "tui.state.gateway", "conduit.tui.widgets.frame"),
]


def contracts() -> dict[str, dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {found["id"]: found for found in settings["tool"]["importlinter"]["contracts"]}


def add_import(package: Path, module: str, imported: str) -> None:
    path = package.joinpath(*module.split(".")).with_suffix(".py")
    before = path.read_text() if path.exists() else '"""Planted."""\n'
    path.write_text(f"{before}\nimport {imported}\n")


def lint(folder: Path, *limits: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, *limits], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to be spoilt."""
    shutil.copytree(
        ROOT / "conduit", tmp_path / "conduit", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_holds() -> None:
    outcome = lint(ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize(("contract", "module", "imported"), PLANTS)
def test_a_planted_import_breaks_its_contract(
    tree: Path, contract: str, module: str, imported: str
) -> None:
    add_import(tree / "conduit", module, imported)
    if imported.endswith(".planted_too"):
        other = "conduit." + module if contract == "no-cycles" else "conduit.core"
        add_import(tree / "conduit", imported.removeprefix("conduit."), other)
    outcome = lint(tree, contract)
    assert outcome.returncode == 1, outcome.stdout + outcome.stderr
    assert f"{contracts()[contract]['name']} BROKEN" in outcome.stdout
    assert module.rpartition(".")[2] in outcome.stdout


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract for contract, _, _ in PLANTS} == contracts().keys()


def test_a_command_that_works_on_this_machine_may_import_the_gateway(tree: Path) -> None:
    add_import(tree / "conduit", "cli.commands.serve", "conduit.gateway.run")
    assert lint(tree, "front-ends-through-client").returncode == 0


RUFF = (sys.executable, "-m", "ruff", "check", "--no-cache", "--select=TID251")


def check_client_use(filename: str, source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUFF, "--stdin-filename", filename, "-"],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "source",
    [
        "import aiohttp\n\nsession = aiohttp.ClientSession()\n",
        "from aiohttp import TCPConnector\n",
        "from aiohttp.client import ClientSession\n",
    ],
)
def test_the_client_of_aiohttp_is_found_outside_its_two_homes(source: str) -> None:
    # import-linter cannot tell aiohttp's client from its server, so ruff holds this one.
    assert check_client_use("conduit/gateway/routes/planted.py", source).returncode == 1
    assert check_client_use("conduit/gateway/upstream/planted.py", source).returncode == 0
    assert check_client_use("conduit/client/planted.py", source).returncode == 0
