"""Importing libraries without what they would take along."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from conduit.client.optional import without

ROOT = Path(__file__).parents[2]


def test_a_hidden_package_is_not_found_within_and_is_there_afterwards() -> None:
    with without("this", "wave"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("wave")
    assert "wave" not in sys.modules
    assert importlib.util.find_spec("wave") is not None


def test_what_is_loaded_already_stays() -> None:
    with without("json"):
        assert importlib.import_module("json") is json
    assert sys.modules["json"] is json


def test_the_live_events_load_no_broker_and_no_second_http_client() -> None:
    code = (
        "import sys, json, conduit.client.live\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(outcome.stdout))
    assert {"aiohttp", "socketio"} <= loaded
    assert not loaded & {"redis", "requests", "urllib3", "kombu", "pydantic", "sqlalchemy"}
