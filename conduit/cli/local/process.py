"""The gateway process that `up` started on this machine: found, told from others, stopped."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from conduit.client.contexts import write_private
from conduit.core.paths import state_folder

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """A started gateway. `started` tells its process from a later one with the same number."""

    pid: int
    started: str
    url: str

    def is_alive(self) -> bool:
        return bool(self.started) and start_of(self.pid) == self.started

    def terminate(self) -> None:
        """Ask it to drain and end. It may have ended by itself meanwhile."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; False when it takes longer."""
        deadline = time.monotonic() + timeout_s
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def file() -> Path:
    return state_folder() / "gateway.json"


def log_file() -> Path:
    return state_folder() / "gateway.log"


def remember(url: str) -> None:
    """Write down that this process is the gateway at `url`."""
    process = GatewayProcess(os.getpid(), start_of(os.getpid()), url)
    write_private(file(), json.dumps(asdict(process)) + "\n")


def forget() -> None:
    """Remove what this process wrote down; another's stays."""
    known = _read()
    if known is not None and known.pid == os.getpid():
        file().unlink(missing_ok=True)


def running() -> GatewayProcess | None:
    """The gateway that `up` started, if it still runs."""
    known = _read()
    return known if known is not None and known.is_alive() else None


def _read() -> GatewayProcess | None:
    try:
        fields = json.loads(file().read_text(encoding="utf-8"))
        return GatewayProcess(int(fields["pid"]), str(fields["started"]), str(fields["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def start_of(pid: int) -> str:
    """When a process began, in the system's own terms; "" where there is none (any more)."""
    try:
        # The name in parentheses may hold spaces: count from behind it. A zombie has ended.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    return _start_elsewhere(pid)


def _start_elsewhere(pid: int) -> str:
    """Systems without /proc: `ps` knows; Windows has to do with whether the number is in use."""
    import subprocess  # noqa: PLC0415  # deferred: not on Linux

    if os.name == "nt":
        listed = subprocess.run(
            ["tasklist", "/FI", f"PID eq {pid}", "/NH"], capture_output=True, text=True, check=False
        )
        return "running" if str(pid) in listed.stdout else ""
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()
