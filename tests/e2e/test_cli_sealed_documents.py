"""Secrets that go from one gateway to another in a document, sealed."""

import base64
import os
import stat
from pathlib import Path

from tests.e2e.cli import Cli
from tests.e2e.conftest import running_gateway

SECRET = "sk-of-a-provider-0123456789abcdef"
ROTATED = "sk-of-a-provider-fedcba9876543210"
KEY = base64.b64encode(os.urandom(32)).decode()
OTHER_KEY = base64.b64encode(os.urandom(32)).decode()
ADD = ("providers", "add", "openai", "--no-test", "--key-stdin")
EXPORT = ("config", "export", "--include-secrets", "encrypted")


async def test_a_document_brings_sealed_secrets_to_a_gateway_with_the_same_key(
    tmp_path: Path,
) -> None:
    file = tmp_path / "whole.toml"
    async with running_gateway(tmp_path / "one", sealing_key=KEY) as one:
        source = Cli(tmp_path / "c1", one.url, one.master_key)
        (await source(*ADD, stdin=SECRET)).ok()
        (await source(*EXPORT, "--out", str(file))).ok()
        plain = (await source("config", "export")).ok().out
        again = (await source("config", "diff", str(file))).ok()
        assert (again.out, again.err) == ("", "")
        (await source("config", "validate", str(file))).ok()
    text = file.read_text()
    assert 'from = "sealed:c1.' in text
    assert SECRET not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert 'from = "sealed"\n' in plain
    assert "fingerprint" not in plain

    async with running_gateway(tmp_path / "two", sealing_key=KEY) as two:
        target = Cli(tmp_path / "c2", two.url, two.master_key)
        plan = (await target("config", "apply", str(file), "--dry-run", "--json")).ok()
        assert "sealed:c1." not in plan.out
        (await target("config", "apply", str(file), "--yes")).ok()
        configuration = two.gateway.configuration
        [credential] = configuration.snapshot.upstreams["openai"].credentials
        assert credential.secret == SECRET
        assert (await target("config", "diff", str(file))).code == 0

        update = ("providers", "credentials", "update", "openai", "default", "--key-stdin")
        (await target(*update, stdin=ROTATED)).ok()
        assert (await target("config", "diff", str(file))).code == 9
        (await target("config", "apply", str(file), "--yes")).ok()
        [credential] = configuration.snapshot.upstreams["openai"].credentials
        assert credential.secret == SECRET


async def test_another_sealing_key_opens_none_of_it(tmp_path: Path) -> None:
    file = tmp_path / "whole.json"
    async with running_gateway(tmp_path / "one", sealing_key=KEY) as one:
        source = Cli(tmp_path / "c1", one.url, one.master_key)
        (await source(*ADD, stdin=SECRET)).ok()
        (await source(*EXPORT, "--out", str(file))).ok()
        assert (await source("config", "export", "--include-secrets", "plain")).code == 2
    async with running_gateway(tmp_path / "two", sealing_key=OTHER_KEY) as two:
        target = Cli(tmp_path / "c2", two.url, two.master_key)
        refused = await target("config", "apply", str(file), "--yes")
        assert refused.code == 6
        assert "sealed with another key" in refused.err
        assert two.gateway.configuration.snapshot.upstreams["openai"].credentials == ()
