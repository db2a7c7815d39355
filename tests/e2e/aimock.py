"""aimock, a mock of many providers' formats on one port, that others wrote."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_NODE: Final = shutil.which("node")
_TESTS: Final = Path(__file__).parents[1]
_AIMOCK: Final = _TESTS / "node" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
_FIXTURES: Final = _TESTS / "fixtures" / "aimock.json"
_LISTENING: Final = "listening on "

NEEDS_AIMOCK: Final = [
    pytest.mark.services,
    pytest.mark.skipif(_NODE is None, reason="there is no node on the PATH"),
    pytest.mark.skipif(not _AIMOCK.is_file(), reason=f"no {_AIMOCK}: run make services"),
]


@contextmanager
def running_aimock() -> Iterator[int]:
    """The port of one that answers from our fixtures."""
    assert _NODE is not None, "the tests are skipped without it"
    files = [str(_AIMOCK), "-p", "0", "-f", str(_FIXTURES)]
    with subprocess.Popen(
        [_NODE, *files, "--strict", "--journal-max", "50"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None, "it is a pipe"
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if _LISTENING in line:
                    yield int(line.rsplit(":", 1)[1])
                    break
            else:
                raise AssertionError(f"aimock did not start: {''.join(said)}")
        finally:
            process.kill()
