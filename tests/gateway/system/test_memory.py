"""How a process keeps its memory: what is freed and wanted again is not paid for twice."""

import subprocess
import sys

import pytest

from conduit.gateway.system.memory import keep_freed_memory

ROUNDS = 200
BODY_BYTES = 600_000
PROGRAM = f"""
import resource
from conduit.gateway.system.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

print(int(keep_freed_memory()))
bodies = [b"", b""]
for round in range({ROUNDS}):
    if round == 10:
        began = faults()
    for place in range(2):
        bodies[place] = b"x" * {BODY_BYTES}
    bodies[:] = b"", b""
print(faults() - began)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_bodies_that_are_freed_and_made_again_cause_no_page_faults() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={}, capture_output=True, text=True, check=True
    )
    told, faults = map(int, done.stdout.split())
    if not told:
        pytest.skip("another C library")
    # Otherwise each body would be some 150 pages.
    assert faults < ROUNDS


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_an_operator_has_set_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not keep_freed_memory()
