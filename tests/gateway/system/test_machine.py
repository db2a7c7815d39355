"""What a process reads of its use and its limits."""

import os
import sys
from pathlib import Path

import pytest

from conduit.gateway.system import machine

PHYSICAL = 64 << 30


@pytest.fixture(autouse=True)
def physical(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": PHYSICAL // 4096}
    monkeypatch.setattr(os, "sysconf", values.__getitem__)


def limit_of(folder: Path, cgroup: str, limits: dict[str, str]) -> int | None:
    """The limit of a process in `cgroup`, where the groups' files say `limits`."""
    (folder / "self").mkdir()
    (folder / "self/cgroup").write_text(cgroup)
    for name, text in limits.items():
        path = folder / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return machine.memory_limit_bytes(folder, folder / "sys")


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        pytest.param("0::/\n", {"memory.max": "max\n"}, PHYSICAL, id="none"),
        pytest.param("0::/\n", {"memory.max": "1073741824\n"}, 1 << 30, id="container"),
        pytest.param(
            "0::/a.slice/b.service\n",
            {"a.slice/memory.max": "2000000\n", "a.slice/b.service/memory.max": "max\n"},
            2_000_000,
            id="of the group above",
        ),
        pytest.param("0::/../../b\n", {"memory.max": "3000000\n"}, 3_000_000, id="outside"),
        pytest.param(
            "7:cpu:/\n4:memory:/docker/x\n",
            {"memory/memory.limit_in_bytes": "4000000\n"},
            4_000_000,
            id="version 1",
        ),
        pytest.param(
            "4:memory:/\n",
            {"memory/memory.limit_in_bytes": "9223372036854771712\n"},
            PHYSICAL,
            id="version 1 without limit",
        ),
        pytest.param("nonsense\n", {}, PHYSICAL, id="nonsense"),
    ],
)
def test_the_least_limit_of_all_groups_counts(
    tmp_path: Path, cgroup: str, limits: dict[str, str], expected: int
) -> None:
    assert limit_of(tmp_path, cgroup, limits) == expected


def test_without_groups_the_machine_s_memory_counts(tmp_path: Path) -> None:
    assert machine.memory_limit_bytes(tmp_path, tmp_path) == PHYSICAL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_open_files_are_counted() -> None:
    before = machine.open_descriptors()
    read, write = os.pipe()
    after = machine.open_descriptors()
    os.close(read)
    os.close(write)
    assert before is not None
    assert after == before + 2


def test_what_the_system_does_not_tell_is_none(tmp_path: Path) -> None:
    assert machine.open_descriptors(tmp_path) is None
    assert machine.resident_bytes(tmp_path) is None


def test_use_is_in_percent() -> None:
    use = machine.use()
    for percent in (use.descriptors_percent, use.memory_percent):
        assert percent is None or 0 <= percent <= 100
