"""What this process uses of what its system lets it have; None where the system does not tell."""

import os
import sys
from pathlib import Path

from conduit.gateway.shedding import Use

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_PAGE_BYTES = 4096
# What version 1 says where there is no limit: the most pages that a signed number counts.
_UNLIMITED_BYTES = 1 << 60


def resident_bytes(proc: Path = _PROC) -> int | None:
    """The resident memory of this process."""
    try:
        pages = int((proc / "self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * _PAGE_BYTES


def memory_limit_bytes(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """The memory that it may have: the least limit of its control groups, or what there is."""
    limits = [limit for limit in _group_limits(proc, cgroups) if limit < _UNLIMITED_BYTES]
    if (physical := _physical_bytes()) is not None:
        limits.append(physical)
    return min(limits, default=None)


def open_descriptors(proc: Path = _PROC) -> int | None:
    """How many files and connections are open."""
    folder = proc / "self/fd"
    try:
        # Linux has said so since 6.2; to list tens of thousands takes milliseconds.
        return folder.stat().st_size or len(os.listdir(folder))
    except OSError:
        return None


def descriptor_limit() -> int | None:
    """How many files and connections may be open at once."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  # there is none on Windows

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def use() -> Use:
    """What is used of descriptors and memory, in percent."""
    return Use(
        descriptors_percent=_percent(open_descriptors(), descriptor_limit()),
        memory_percent=_percent(resident_bytes(), memory_limit_bytes()),
    )


def _percent(used: int | None, limit: int | None) -> float | None:
    return None if used is None or not limit else 100 * used / limit


def _group_limits(proc: Path, cgroups: Path) -> list[int]:
    """The limits of the groups that the process is in, and of those above them.

    In a container the path may be that of the host, of which nothing but the top is to be seen.
    """
    try:
        lines = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found += _limits_up(cgroups, path, "memory.max")
            found += _limits_up(cgroups / "unified", path, "memory.max")
        elif "memory" in controllers.split(","):
            found += _limits_up(cgroups / "memory", path, "memory.limit_in_bytes")
    return found


def _limits_up(top: Path, path: str, name: str) -> list[int]:
    folder = top / path.strip("/")
    folders = [each for each in (folder, *folder.parents) if each.is_relative_to(top)]
    limits = (_number_in(each / name) for each in folders if ".." not in each.parts)
    return [limit for limit in limits if limit is not None]


def _number_in(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() else None


def _physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
