"""`conduit chat` against a gateway: whose error it is that a call ends with."""

import json
from pathlib import Path

import pytest

from tests.e2e.cli import Cli
from tests.e2e.conftest import Running
from tests.fakes.behaviour import Behaviour
from tests.fakes.upstream import FakeUpstream


@pytest.mark.parametrize("flag", [[], ["--no-stream"]], ids=["stream", "whole"])
async def test_a_providers_error_is_its_own_whatever_its_code(
    running: Running, fake: FakeUpstream, tmp_path: Path, flag: list[str]
) -> None:
    error = {"message": "there is no such model", "code": "model_not_found", "type": "x"}
    fake.script(Behaviour(status=404, raw_body=json.dumps({"error": error}).encode()))
    cli = Cli(tmp_path, running.url, running.master_key, await running.key())
    theirs = await cli("chat", "-m", "fake", "hi", *flag)
    assert (theirs.code, theirs.out) == (7, "")
    assert "[model_not_found]" in theirs.err
    ours = await cli("chat", "-m", "unmapped", "hi", *flag)
    assert (ours.code, ours.out) == (5, "")
    assert "[model_not_found]" in ours.err
