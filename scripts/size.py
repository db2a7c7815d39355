"""Prints the distributions Conduit needs at run time with their installed sizes."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

import conduit

ROOT = "conduit-llm"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(root: str) -> dict[str, Distribution]:
    """The root and everything it requires on this platform, by canonical name."""
    found: dict[str, Distribution] = {}
    visited: set[tuple[str, str]] = set()
    waiting = [(root, "")]
    while waiting:
        name, extra = waiting.pop()
        if (canonical(name), extra) in visited:
            continue
        visited.add((canonical(name), extra))
        try:
            found[canonical(name)] = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{name} is required and not installed: run make setup") from None
        for line in found[canonical(name)].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, wanted) for wanted in ("", *requirement.extras)]
    return found


def installed_bytes(found: Distribution) -> int:
    """The files as they are on disk, byte code included."""
    paths = [Path(str(found.locate_file(path))) for path in found.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def own_bytes() -> int:
    """Conduit's own package: an editable install lists none of its files."""

    folder = Path(conduit.__file__).parent
    return sum(path.stat().st_size for path in folder.rglob("*.*") if path.suffix != ".pyc")


def main() -> None:
    sizes = {name: installed_bytes(found) for name, found in closure(ROOT).items()}
    sizes[ROOT] = own_bytes()
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size / 1e6:8.2f} MB  {name}")
    print(f"{sum(sizes.values()) / 1e6:8.2f} MB  in {len(sizes)} distributions, Conduit included")


if __name__ == "__main__":
    main()
