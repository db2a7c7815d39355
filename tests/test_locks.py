"""The lock files agree with each other and pin everything by hash."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNTIME = ROOT / "requirements.lock"
DEVELOPMENT = ROOT / "requirements-dev.lock"
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)(?:\[[a-z,]+\])?==(?P<version>\S+)", re.MULTILINE)


def pins(lock: Path) -> dict[str, str]:
    return {found["name"]: found["version"] for found in PIN.finditer(lock.read_text())}


def test_development_holds_everything_of_run_time_at_the_same_version() -> None:
    assert pins(RUNTIME)
    assert pins(RUNTIME).items() <= pins(DEVELOPMENT).items()


@pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT], ids=lambda path: path.name)
def test_every_distribution_is_pinned_by_hash(lock: Path) -> None:
    entries = re.split(r"\n(?=[a-z])", lock.read_text().strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert len(entries) == len(pins(lock))


def test_the_node_lock_pins_every_package_by_hash_and_names_no_address() -> None:
    packages = json.loads((ROOT / "tests/node/package-lock.json").read_text())["packages"]
    locked = [package for path, package in packages.items() if path]
    assert locked
    assert all(package["integrity"].startswith("sha512-") for package in locked)
    assert not [package for package in locked if "resolved" in package]
