"""The limit of open files."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")

PROGRAM = """
import resource, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
from conduit.gateway.server.descriptors import allow_many_connections
allowed = allow_many_connections()
soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
print(allowed, soft, hard)
"""


def test_a_process_takes_as_many_as_it_may() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    allowed, soft, hard = map(int, ran.stdout.split())
    assert allowed == soft
    assert soft == (65_536 if hard < 0 else min(65_536, hard))
