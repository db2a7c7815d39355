"""The published document, tried against a running gateway with data made from it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from conduit.gateway.provider import Operation
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

CONFIG = Path(__file__).with_name("schemathesis.toml")
PROGRAM = "from schemathesis.cli import schemathesis; schemathesis()"


async def tried(folder: Path, url: str, keys: dict[str, str], *which: str) -> tuple[int, str]:
    """Operations with good and bad data, and chains of them: the exit code and the report."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        "--config-file",
        str(CONFIG),
        "run",
        f"{url}/openapi.json",
        *which,
        cwd=folder,
        env={**os.environ, **keys, "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("option", "is_for_applications"),
    [("--include-path-regex", True), ("--exclude-path-regex", False)],
    ids=["what applications use", "the operator's part"],
)
async def test_the_gateway_keeps_to_its_own_document(
    option: str, is_for_applications: bool, tmp_path: Path, fake: FakeUpstream
) -> None:
    """No server error, no undocumented status, header, content type or shape, no bad data taken."""
    async with running_gateway(tmp_path / "home") as running:
        await connect_fake(running, fake)
        everything = {"alias": "*", "targets": [{"provider": "fake", "model": "fake"}]}
        await running.admin("POST", "/mappings", everything)
        await running.admin("POST", "/providers", {"name": "sim", "type": "simulator"})
        keys = {"MASTER_KEY": running.master_key, "VIRTUAL_KEY": await running.key()}
        pattern = "^/(v1|v1beta|v2|rerank)"
        code, report = await tried(tmp_path, running.url, keys, option, pattern)
        assert code == 0, report
        assert "No operations" not in report
        assert running.master_key not in report
        if is_for_applications:
            await calls_were_answered(running)
        await running.ledger_holds()


async def calls_were_answered(running: Running) -> None:
    """Each operation of `/v1` was taken at least once, or the tries have shown nothing."""
    await running.gateway.ledger.caught_up()
    page = await running.admin("GET", "/requests?limit=1000&filter=status:200")
    answered = {record["operation"] for record in page["data"]}
    assert answered == {operation.value for operation in Operation}
