"""A net under all tests: what they wrote and printed is searched for secrets when they are over.

Two things are found: the mark that shared fixtures put into the secrets they make up, and any key
of ours, which its checksum gives away, whoever made it. Searched are what tests printed and logged
and did not look at themselves, every file they left in their temporary folders (databases,
journals, logs, traces, and what is packed in backups, bundles and kept bodies), and the pictures of
screens that are kept beside them.

A test that writes a secret itself where none belongs, to see it taken out, is marked
`plants_secrets`: what it leaves in its own folder is not looked at.

Where several processes run the tests, the one that gathers their reports searches for all of them;
so which folders were planted is told in the reports.
"""

import gzip
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from fnmatch import fnmatch
from pathlib import Path

import pytest

from conduit.core.keys import is_master_key, is_virtual_key

MARK = "MarkedSecret7q"

# Files whose purpose is to hold a secret, by their names: keys that were asked for, the clients'
# own store, the standard output of `up`, which shows two, and what tests put there to be read.
HOLDERS = ("*key*", "*master*", "*secret*", "*.pem", "credentials.toml", "*.out", ".env", "*.py")
NEVER_HOLDERS = (".db", ".db-wal", ".gz", ".json", ".jsonl", ".log", ".snapshot", ".svg", ".zip")
_KEY = re.compile(rb"condt_(?:mk_)?[0-9A-Za-z]{49}")
_AROUND = 8
_NAME = "conduit-canary"
_PLANTERS = f"{_NAME}-planters"
_PLANTS = "plants_secrets"
_PLANTED_IN = "secrets planted in"


def marked(name: str) -> str:
    """A provider's secret for tests, to be found wherever it gets to."""
    return f"{name}-{MARK}-0123456789abcdef"


def secrets_in(content: bytes) -> Iterator[str]:
    """What was found, and not the secret itself."""
    if MARK.encode() in content:
        yield "a marked secret"
    for match in _KEY.finditer(content):
        key = match[0].decode()
        if is_virtual_key(key):
            yield f"virtual key {key[: len('condt_') + _AROUND]}..."
        elif is_master_key(key):
            yield f"master key {key[: len('condt_mk_') + _AROUND]}..."


def leaks_in(folder: Path, pattern: str = "*", *, planted: Collection[Path] = ()) -> Iterator[str]:
    """The secrets in files below a folder, but for those that are there to hold one."""
    for path in sorted(folder.rglob(pattern)):
        if path.is_symlink() or not path.is_file() or _is_holder(path):
            continue
        if any(path.is_relative_to(own) for own in planted):
            continue
        try:
            contents = [path.read_bytes()]
        except OSError:
            continue  # a test has made it unreadable on purpose
        with suppress(EOFError, OSError, sqlite3.Error, zipfile.BadZipFile, zlib.error):
            contents += unpacked(path, contents[0])  # unless a test has damaged it
        for found in sorted({each for content in contents for each in secrets_in(content)}):
            yield f"{found} in {path}"


def unpacked(path: Path, content: bytes) -> Iterator[bytes]:
    """What a file holds that its bytes do not show."""
    if content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif content.startswith(b"PK"):
        with zipfile.ZipFile(path) as bundle:
            yield from (bundle.read(name) for name in bundle.namelist())
    elif content.startswith(b"SQLite format 3") and path.parent.name == "bodies":
        with closing(sqlite3.connect(path)) as database:
            for (packed,) in database.execute("SELECT content FROM bodies"):
                yield zlib.decompress(packed)


def _is_holder(path: Path) -> bool:
    if path.suffix in NEVER_HOLDERS:
        return False
    return any(fnmatch(path.name, holder) for holder in HOLDERS)


class Net:
    """Gathers what tests leave behind, and fails the session where a secret is in it."""

    def __init__(self, snapshots: Path) -> None:
        self._snapshots = snapshots
        self._found: dict[str, None] = {}
        self._planted: list[Path] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, content in report.sections:
            for found in secrets_in(content.encode("utf-8", "replace")):
                self._found[f"{found} in the {name.lower()} of {report.nodeid}"] = None
        properties = report.user_properties
        self._planted += [Path(str(where)) for name, where in properties if name == _PLANTED_IN]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]  # the way pytest's own plugins get at it
        folders = [(factory.getbasetemp(), "*"), (self._snapshots, "*.svg")]
        for folder, pattern in folders:
            self._found |= dict.fromkeys(leaks_in(folder, pattern, planted=self._planted))
        if self._found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._found:
            terminalreporter.section("secrets found in what the tests left behind", red=True)
            for found in self._found:
                terminalreporter.line(found)
            terminalreporter.line(f"meant to be there? see HOLDERS and {_PLANTS} in {__name__}")


class Planters:
    """Tells the net, by way of the reports, where tests planted secrets."""

    def pytest_runtest_teardown(self, item: pytest.Function) -> None:
        folder = item.funcargs.get("tmp_path")
        if item.get_closest_marker(_PLANTS) is not None and isinstance(folder, Path):
            item.user_properties.append((_PLANTED_IN, str(folder)))


def spread(config: pytest.Config) -> None:
    """Put the net under a session, once."""
    if config.pluginmanager.has_plugin(_PLANTERS):
        return
    text = f"{_PLANTS}: writes secrets where none belong, to see them taken out"
    config.addinivalue_line("markers", text)
    config.pluginmanager.register(Planters(), _PLANTERS)
    if not hasattr(config, "workerinput"):  # what pytest-xdist gives to its workers
        config.pluginmanager.register(Net(Path(__file__).parent), _NAME)
