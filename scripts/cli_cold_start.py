"""Prints how long one-shot commands take from nothing; a figure to look at, never a gate."""

import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

RUNS = 7
GOALS_MS = {"--version": 25, "--help": 150, "keys list --json": 200, "keys list -o table": 220}
_PAGE = json.dumps({"data": [], "next_cursor": None}).encode()


class EmptyGateway(http.server.BaseHTTPRequestHandler):
    """Answers everything with an empty list, so that only the client's time counts."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(_PAGE)))
        self.end_headers()
        self.wfile.write(_PAGE)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


def measured_ms(arguments: list[str], environment: dict[str, str]) -> list[float]:
    """The wall times of some runs, in milliseconds, the quickest first."""
    command = [sys.executable, "-c", "from conduit.cli import main; main()", *arguments]
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(command, env=environment, capture_output=True, check=True)
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)


def main() -> None:
    """Measure each command against an empty gateway of this process."""
    with (
        tempfile.TemporaryDirectory() as home,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmptyGateway) as server,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            **os.environ,
            "CONDUIT_HOME": home,
            "CONDUIT_URL": f"http://127.0.0.1:{server.server_port}",
            "CONDUIT_MASTER_KEY": "condt_mk_only_for_measuring",
        }
        print(f"{'command':24} {'best':>7} {'median':>7} {'goal':>7}   ms, {RUNS} runs each")
        for command, goal in GOALS_MS.items():
            times = measured_ms(command.split(), environment)
            median = statistics.median(times)
            print(f"conduit {command:16} {times[0]:7.0f} {median:7.0f} {goal:7}")
        server.shutdown()


if __name__ == "__main__":
    main()
