"""What holds for every test: a closed network, an empty environment, counts by occasion."""

import gc
import ipaddress
import os
import socket
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import canary

SOAKING = os.environ.get("CONDUIT_SOAK") == "1"
SERVICES_REQUIRED = os.environ.get("CONDUIT_REQUIRE_SERVICES") == "1"

# Settings of the person who runs the tests must not reach them, nor may a proxy stand between
# a test and its own servers.
_FOREIGN_PREFIXES = ("CONDUIT_",)
_FOREIGN_SUFFIXES = ("_API_KEY", "_PROXY", "_BASE_URL")
# COLUMNS and LINES are exported by readline too, to all that a process starts.
_FOREIGN_NAMES = frozenset({"COLUMNS", "DATABASE_URL", "LINES", "OLLAMA_HOST", "REDIS_URL"})

settings.register_profile(
    "small", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("full", parent=settings.get_profile("small"), max_examples=2000)
settings.load_profile("full" if SOAKING else "small")


_ADDRESSED = frozenset({"socket.bind", "socket.connect", "socket.sendto"})
_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
_LOCAL_NAMES = (None, "", "localhost", b"localhost")


class NetworkReached(RuntimeError):
    """A test tried to reach another machine."""


def _address(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return None


def _guard(event: str, arguments: tuple[Any, ...], addressed: frozenset[str] = _ADDRESSED) -> None:
    """Audit hook: sockets reach 127.0.0.1, ::1 and Unix sockets, whoever opens them.

    It outlives this module, whose names are gone while the interpreter ends; hence `addressed`.
    """
    if event in addressed and arguments[0].family in _INTERNET:
        found = _address(arguments[1][0])
        if arguments[1][0] != "localhost" and (found is None or not found.is_loopback):
            raise NetworkReached(f"{event} {arguments[1]}: tests stay on this machine")
    elif event == "socket.getaddrinfo" and arguments[0] not in _LOCAL_NAMES:
        if str(arguments[0]).endswith(".invalid"):  # what a resolver answers, without asking one
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if _address(arguments[0]) is None:
            raise NetworkReached(f"look-up of {arguments[0]!r}: tests stay on this machine")


sys.addaudithook(_guard)


def _is_foreign(name: str) -> bool:
    upper = name.upper()
    return (
        upper.startswith(_FOREIGN_PREFIXES)
        or upper.endswith(_FOREIGN_SUFFIXES)
        or upper in _FOREIGN_NAMES
    )


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home for the session, and none of the settings and secrets of the real one."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if _is_foreign(name):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        yield home


@pytest.fixture(scope="session")
def soaking() -> bool:
    """Whether the full counts are wanted: `kills = 25 if soaking else 2`."""
    return SOAKING


def pytest_configure(config: pytest.Config) -> None:
    canary.spread(config)


def pytest_collection() -> None:
    gc.disable()  # what collecting makes stays to the end of the session


def pytest_collection_finish() -> None:
    gc.freeze()  # so no later round of the collector has to walk it
    gc.enable()


def _missing_service(reason: str) -> str:
    return f"nothing may be skipped when CONDUIT_REQUIRE_SERVICES=1: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if SERVICES_REQUIRED and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = _missing_service(str(report.longrepr))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if SERVICES_REQUIRED and report.skipped:
        report.outcome = "failed"
        report.longrepr = _missing_service(str(report.longrepr))
    return report
