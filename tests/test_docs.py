"""The pages for users name all that there is, and lead nowhere that is not."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conduit.cli.table import COMMANDS
from conduit.core.errors import ConduitError
from conduit.core.settings import GatewaySettings
from conduit.gateway.providers.registry import types

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted((*ROOT.glob("*.md"), *DOCS.rglob("*.md")))
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def first_cells(text: str) -> set[str]:
    """The names in backquotes that stand first in a row of a table."""
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))


def error_codes(of: type[ConduitError] = ConduitError) -> Iterator[str]:
    yield of.code
    for kind in of.__subclasses__():
        yield from error_codes(kind)


def shown(default: object) -> str:
    """A setting's default as its row shows it."""
    match default:
        case None:
            return "none"
        case bool():
            return f"`{str(default).lower()}`"
        case float():
            return f"`{default:g}`"
        case _:
            return f"`{default}`"


def anchors_of(text: str) -> set[str]:
    """What the headings of a page can be linked as."""
    titles = _HEADING.findall(_FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_setting_is_described_with_its_name_and_none_is_made_up() -> None:
    settings = text_of("configuration.md").partition("\n## Settings\n")[2].partition("\n## ")[0]
    assert first_cells(settings) == set(GatewaySettings.model_fields)


@pytest.mark.parametrize("name", GatewaySettings.model_fields)
def test_a_setting_is_described_with_its_default(name: str) -> None:
    default = GatewaySettings.model_fields[name].default
    assert f"| `{name}` | {shown(default)} |" in text_of("configuration.md")


def test_every_error_code_is_explained() -> None:
    assert set(error_codes()) <= first_cells(text_of("troubleshooting.md"))


def test_every_provider_type_is_listed_with_its_address_and_variables() -> None:
    rows = {
        row.split("`")[1]: row
        for row in text_of("providers.md").splitlines()
        if row.startswith("| `")
    }
    for kind in types():
        assert kind.name in rows
        for word in (*kind.environment, kind.default_base_url):
            assert word is None or f"`{word}`" in rows[kind.name]


def test_every_command_is_listed() -> None:
    assert {f"conduit {name}" for name in COMMANDS} <= first_cells(text_of("cli.md"))


def test_the_changelog_names_every_command_and_provider_type() -> None:
    named = set(re.findall(r"`([\w-]+)`", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    assert set(COMMANDS) - {"tui"} <= named  # the interface itself is told of instead
    assert {kind.name for kind in types()} <= named


def test_the_readme_opens_with_exactly_the_two_commands() -> None:
    blocks = _CODE_BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    commands = [line.partition("#")[0].strip() for line in blocks[0].splitlines()]
    assert commands == ["make up", "make test"]


def test_the_readme_leads_to_every_page() -> None:
    linked = {
        target.partition("#")[0] for target in _LINK.findall((ROOT / "README.md").read_text())
    }
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors_of(linked.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_holds_a_key(page: Path) -> None:
    assert not re.search(r"condt_(?:mk_)?[0-9A-Za-z]{20,}", page.read_text(encoding="utf-8"))
