"""One-shot commands start in a blink: what they load is asserted, how long it takes is printed."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conduit.core.keys import make_master_key

HEAVY = frozenset(
    {"aiohttp", "asyncpg", "openai", "plotext", "pydantic", "socketio", "sqlalchemy", "textual"}
)

# What was loaded is told on stderr when the interpreter ends, whatever ended it.
RUN = """
import atexit, json, sys

atexit.register(lambda: sys.stderr.write("\\nLOADED " + json.dumps(sorted(sys.modules)) + "\\n"))
sys.argv[0] = "conduit"
from conduit.cli import main

sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished command and the modules it had loaded."""

    exit_code: int
    stdout: str
    stderr: str
    loaded: frozenset[str]
    elapsed_ms: float


def run(*arguments: str, environment: dict[str, str]) -> Outcome:
    began = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    elapsed_ms = (time.perf_counter() - began) * 1000
    stderr, _, loaded = finished.stderr.rpartition("\nLOADED ")
    return Outcome(
        finished.returncode,
        finished.stdout,
        stderr,
        frozenset(json.loads(loaded)) if loaded else frozenset(),
        elapsed_ms,
    )


class EmptyGateway(BaseHTTPRequestHandler):
    """Answers every GET with an empty page."""

    def do_GET(self) -> None:
        body = json.dumps({"data": [], "next_cursor": None}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent: the command's own output is what is looked at."""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a command that talks to an empty gateway."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyGateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield {
            "CONDUIT_HOME": str(tmp_path),
            "CONDUIT_MASTER_KEY": make_master_key(),
            "CONDUIT_URL": f"http://127.0.0.1:{server.server_port}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("--help",), ("keys", "list", "--json")],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_one_shot_command_loads_nothing_heavy(
    arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    outcome = run(*arguments, environment=environment)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout
    assert "conduit.cli" in outcome.loaded
    assert not HEAVY & outcome.loaded
    print(f"conduit {' '.join(arguments)}: {outcome.elapsed_ms:.0f} ms")


def test_a_translation_offline_loads_no_server(environment: dict[str, str]) -> None:
    outcome = run("translate", "--from", "chat", "--to", "gemini", environment=environment)
    assert outcome.exit_code == 2  # its input is empty
    assert "conduit.gateway.preview" in outcome.loaded
    print(f"conduit translate: {outcome.elapsed_ms:.0f} ms")
    assert not HEAVY & outcome.loaded


def test_the_version_does_not_load_the_command_tree(environment: dict[str, str]) -> None:
    outcome = run("--version", environment=environment)
    assert not {"typer", "rich"} & outcome.loaded


def test_a_gateway_loads_what_operators_use_when_they_come() -> None:
    names = (
        "alembic",
        "conduit.gateway.admin.table",
        "conduit.gateway.ledger.checks",
        "conduit.gateway.openapi.document",
        "cryptography",
        "socketio",
        "sqlalchemy.dialects.postgresql",
        "typer",
    )
    code = (
        "import json, sys\nimport conduit.gateway.run\n"
        f"print(json.dumps([name for name in {names!r} if name in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
