"""A credential that its provider refuses, as lists of credentials show it and as it is undone."""

from pathlib import Path
from typing import Any

from tests.e2e.cli import Cli
from tests.e2e.conftest import Running, connect_fake, running_gateway
from tests.fakes.upstream import FakeUpstream

CREDENTIALS = "/providers/fake/credentials"


async def ask(running: Running, key: str, model: str) -> int:
    async with running.http.post(
        f"{running.url}/v1/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "x"}]},
        headers={"authorization": f"Bearer {key}"},
    ) as response:
        await response.read()
        return response.status


async def left_out(running: Running) -> list[dict[str, Any]]:
    """The same in the list of credentials, and in the list of providers."""
    [credential] = (await running.admin("GET", CREDENTIALS))["data"]
    [provider] = (await running.admin("GET", "/providers"))["data"]
    shown = await running.admin("GET", "/providers/fake")
    assert credential["state"] == "ready"
    [of_list], [of_one] = provider["credentials"], shown["credentials"]
    found: list[dict[str, Any]] = credential["left_out"]
    names = [(each["state"], each["model"]) for each in found]
    for other in (of_list, of_one):
        assert [(each["state"], each["model"]) for each in other["left_out"]] == names
    return found


async def test_a_refused_credential_is_told_until_it_is_reset(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path / "home", max_attempts=1) as running:
        await connect_fake(running, fake)
        key = await running.key()
        assert await left_out(running) == []
        assert await ask(running, key, "fake-status401") == 502
        [told] = await left_out(running)
        assert (told["state"], told["model"]) == ("invalid_key", None)
        assert told["reason"] == "the provider refused its credential"
        assert told["until"] > (await running.admin("GET", "/status"))["started_at"]
        assert await ask(running, key, "fake") == 502
        cli = Cli(tmp_path / "shell", running.url, running.master_key)
        for command in (("providers", "credentials", "list", "fake"), ("providers", "list")):
            listed = (await cli(*command, "-o", "table", CONDUIT_FORCE_TTY="160")).ok()
            assert "invalid_key until 2" in listed.out
            *_, step = listed.err.partition("next: conduit ")
        (await cli(*step.split(), "--yes")).ok()
        assert await left_out(running) == []
        assert await ask(running, key, "fake") == 200


async def test_a_model_that_is_left_out_is_named_and_another_secret_begins_anew(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path / "home", max_attempts=1) as running:
        await connect_fake(running, fake)
        key = await running.key()
        assert await ask(running, key, "fake-status403") >= 400
        assert await ask(running, key, "fake-status429") == 429
        told = await left_out(running)
        assert [(each["state"], each["model"]) for each in told] == [
            ("no_permission", "fake-status403"),
            ("throttled", "fake-status429"),
        ]
        await running.admin("PATCH", f"{CREDENTIALS}/default", {"secret": "sk-another-one"})
        assert await left_out(running) == []


async def test_nothing_is_left_out_where_breakers_are_off(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    async with running_gateway(tmp_path / "home", max_attempts=1, breakers=False) as running:
        await connect_fake(running, fake)
        assert await ask(running, await running.key(), "fake-status401") == 502
        assert await left_out(running) == []
