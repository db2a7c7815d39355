"""The pages for users name all that there is, and lead nowhere that is not."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from conduit.cli.reference import command_tree
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
_INLINE_CODE = re.compile(r"`([^`]+)`")
_COMMAND = re.compile(r"(?:^|[\s(/])conduit ([a-z][^#|;&)]*)")
_MAPPED = re.compile(r"[a-z_]+(?:\.py|/)")
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


def test_every_header_of_the_gateways_own_is_told_of() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "conduit/gateway").rglob("*.py")
    )
    pages = "".join(
        page.read_text(encoding="utf-8") for page in PAGES if page.parent != DOCS / "adr"
    )
    own = set(re.findall(r'"(x-conduit-[a-z-]*[a-z])"', source))
    assert own
    assert {name for name in own if f"`{name}" not in pages} == set()


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


def test_the_map_of_the_gateway_names_every_module_and_none_that_is_not() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.partition("\nIn `conduit/gateway/`,")[2].partition("\n\n")[2].partition("\n\n")[0]
    names = [_MAPPED.findall(row.strip().partition("  ")[0]) for row in block.splitlines()]
    gateway = ROOT / "conduit" / "gateway"
    modules = {path.name for path in gateway.glob("*.py")} - {"__init__.py"}
    packages = {f"{path.parent.name}/" for path in gateway.glob("*/__init__.py")}
    assert {name for row in names for name in row} == modules | packages


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


def commands_in(text: str) -> Iterator[list[str]]:
    """The words behind each `conduit` that somebody may type, in blocks and in sentences."""
    lines = [line for block in _CODE_BLOCK.findall(text) for line in block.splitlines()]
    for code in (*lines, *_INLINE_CODE.findall(_FENCED.sub("", text).replace("\n", " "))):
        for words in _COMMAND.findall(code):
            try:
                yield shlex.split(words)
            except ValueError:  # a quotation that goes on behind what ends a command elsewhere
                yield words.split()


def unknown_in(words: Sequence[str], tree: Mapping[str, Any]) -> list[str]:
    """What no command of the tree takes: a verb, or an option in its long form."""
    node, left = tree, list(words)
    while left and (below := {each["name"]: each for each in node["commands"]}).get(left[0]):
        node = below[left.pop(0)]
    known = {"--help"} | {flag for option in node["options"] for flag in option["flags"]}
    unknown = [word for word in left[:1] if node["commands"] and word.isalpha() and word.islower()]
    given = [word.partition("=")[0] for word in left if word.startswith("--")]
    return unknown + [flag for flag in given if flag not in known]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in ("CHANGELOG.md", "cli-reference.md")],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_command_that_a_page_shows_can_be_given(page: Path) -> None:
    tree = command_tree()
    shown = [
        words for words in commands_in(page.read_text(encoding="utf-8")) if words[0] in COMMANDS
    ]
    found = {" ".join(words): unknown_in(words, tree) for words in shown}
    assert {command: unknown for command, unknown in found.items() if unknown} == {}


def test_the_service_of_the_manual_has_the_master_key_that_was_made_for_it() -> None:
    text = text_of("operating.md").partition("### As a systemd service")[2].partition("### TLS")[0]
    made = re.search(r"auth init --out (\S+)", text)
    assert made is not None
    assert f"\nEnvironment=CONDUIT_MASTER_KEY_FILE={made[1]}\n" in text
