"""`conduit doctor` and `conduit status`: what they find, what they collect, what they leave out."""

import json
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Shell
from tests.cli.fake_gateway import MASTER_KEY, VIRTUAL_KEY, FakeGateway, Refusal
from tests.cli.terminal import Terminal

CANARY = "plain-canary-value-7731"
PROVIDER_KEY = "sk-proj-CanaryCanaryCanary0000000002"


def found(shell: Shell, *flags: str, **environment: str) -> dict[str, dict[str, Any]]:
    outcome = shell("doctor", "--json", *flags, **environment)
    return {row["check"]: row for row in json.loads(outcome.out)["data"]}


def test_each_finding_is_ok_or_says_what_to_do(shell: Shell, gateway: FakeGateway) -> None:
    gateway.ready = False
    gateway.add("providers", name="main", type="openai")
    rows = found(shell, CONDUIT_PROT="1")
    for row in rows.values():
        assert row["state"] in ("ok", "warn", "fail")
        assert (row["fix"] is None) is (row["state"] == "ok"), row
    assert {"client", "disk", "config folder", "settings", "context", "gateway"} <= set(rows)
    assert (rows["ready"]["state"], rows["mappings"]["state"]) == ("fail", "warn")


def test_a_provider_without_a_usable_credential_is_found(
    shell: Shell, gateway: FakeGateway
) -> None:
    credential = {"name": "default", "state": "missing", "source": "env:X", "hint": None}
    gateway.add("providers", name="main", type="openai", credentials=[credential])
    row = found(shell)["credential"]
    assert row["state"] == "fail"
    assert row["fix"] == "conduit providers credentials list main"


def test_keys_of_ones_own_are_checked(shell: Shell, gateway: FakeGateway) -> None:
    assert "keymap" not in found(shell)
    config = shell.home / "conduit" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text('[tui.keymap]\n"keys.rotate" = "Z"\n')
    assert found(shell)["keymap"]["state"] == "ok"
    config.write_text('[tui.keymap]\n"keys.rotate" = "e"\n')
    row = found(shell)["keymap"]
    assert row["state"] == "warn"
    assert row["detail"] == "keys.rotate: e is the key of keys.edit on Keys"
    assert str(config) in row["fix"]


def test_settings_that_no_gateway_would_start_with_are_found(shell: Shell) -> None:
    row = found(shell, CONDUIT_PORT="seven")["settings"]
    assert row["state"] == "fail"
    assert shell("doctor", CONDUIT_PORT="seven").code == 9


def test_a_gateway_that_does_not_answer_is_the_last_finding(lonely_shell: Shell) -> None:
    rows = found(lonely_shell, "--url", "http://127.0.0.1:9")
    assert list(rows)[-1] == "gateway"
    assert rows["gateway"]["state"] == "fail"


def test_keys_that_would_travel_unencrypted_are_told_of(lonely_shell: Shell) -> None:
    rows = found(lonely_shell, "--url", "http://192.0.2.1", "--timeout", "1s")
    assert rows["transport"]["state"] == "warn"


def test_a_key_that_the_gateway_refuses_is_found(shell: Shell, gateway: FakeGateway) -> None:
    rows = found(shell, CONDUIT_MASTER_KEY="condt_mk_wrong")
    assert rows["master key"]["state"] == "fail"
    assert rows["virtual key"]["state"] == "ok"


def unpacked(path: Path) -> dict[str, str]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {
            name.removeprefix("conduit-bundle/"): file.read().decode()
            for name, file in files.items()
            if file is not None
        }


def place_canaries(shell: Shell, gateway: FakeGateway) -> None:
    """A secret wherever a bundle looks."""
    shell("context", "add", "x", "--url", "https://x.invalid", "--key-stdin", stdin=MASTER_KEY)
    state = shell.home / "conduit/state"
    (state / "traces").mkdir(parents=True)
    told = f"{MASTER_KEY} {VIRTUAL_KEY} {PROVIDER_KEY} {CANARY}\nthe last line\n"
    (state / "gateway.log").write_text(told)
    (state / "traces" / "1.txt").write_text(told)
    gateway.add("providers", name="main", type="openai", base_url=f"http://u:{CANARY}@h/v1")
    gateway.add("requests", id="req_1", user_agent=f"Bearer {PROVIDER_KEY}", error_code=CANARY)
    gateway.add("mappings", alias="m", targets=[{"secret": CANARY}])


@pytest.mark.plants_secrets
@pytest.mark.parametrize("name", ["bundle.zip", "bundle.tar.gz"])
def test_a_bundle_holds_what_helps_and_no_secret(
    shell: Shell, gateway: FakeGateway, tmp_path: Path, name: str
) -> None:
    place_canaries(shell, gateway)
    path = tmp_path / name
    outcome = shell("doctor", "--bundle", str(path), MY_PASSWORD=CANARY)
    assert outcome.code == 0, outcome.err
    assert path.stat().st_mode & 0o777 == 0o600
    texts = unpacked(path)
    assert {"versions.json", "doctor.json", "contexts.json", "status.json", "settings.json"} <= set(
        texts
    )
    assert "the last line" in texts["gateway.log"]
    assert json.loads(texts["contexts.json"])["known"][0]["name"] == "x"
    everything = "\n".join(texts.values())
    for secret in (MASTER_KEY, VIRTUAL_KEY, PROVIDER_KEY, CANARY):
        assert secret not in everything
        assert secret.encode() not in path.read_bytes()


def test_a_bundle_is_made_without_a_gateway_too(lonely_shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    outcome = lonely_shell("doctor", "--bundle", str(path), "--url", "http://127.0.0.1:9")
    assert outcome.code == 9
    assert "not_available" in json.loads(unpacked(path)["status.json"])


def test_a_bundle_takes_the_place_of_no_file(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_text("mine")
    assert shell("doctor", "--bundle", str(path)).code == 2
    assert path.read_text() == "mine"
    assert shell("doctor", "--bundle", str(tmp_path / "bundle.rar")).code == 2


@pytest.mark.parametrize("flags", [("--watch=10ms",), ("--watch", "--every", "10ms")])
def test_a_watched_state_is_told_again_and_again(shell: Shell, flags: tuple[str, ...]) -> None:
    with shell.start("status", "-o", "jsonl", *flags) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.stdout.close()  # as `| head -3` does
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
    assert all(line["ready"] for line in lines)


def test_a_watch_survives_a_gateway_that_goes_away(lonely_shell: Shell) -> None:
    lonely_shell.environment["CONDUIT_MASTER_KEY"] = MASTER_KEY
    arguments = ("status", "--watch=10ms", "--url", "http://127.0.0.1:9")
    with lonely_shell.start(*arguments) as process:
        assert process.stderr is not None
        assert b"no answer" in process.stderr.readline()
        assert b"no answer" in process.stderr.readline()
        process.send_signal(subprocess.signal.SIGINT)  # type: ignore[attr-defined]
        assert process.wait(30) == 130


def test_a_watch_ends_with_the_time_that_it_was_given(shell: Shell) -> None:
    outcome = shell("status", "--watch=10ms", "--timeout", "2s")
    assert outcome.code == 124
    assert outcome.out


def test_a_watch_on_a_terminal_takes_the_screen_and_ends_with_ctrl_c(shell: Shell) -> None:
    with Terminal(shell, "status", "--watch=10ms") as terminal:
        terminal.until("\x1b[H\x1b[2J")
        terminal.until("\x1b[H\x1b[2J")
        terminal.interrupt()
        assert terminal.end() == 130


def test_a_watch_checks_nothing(shell: Shell) -> None:
    assert shell("status", "--watch", "--check").code == 2
    assert shell("status", "--watch=soon").code == 2


def test_a_refused_watch_ends(shell: Shell, gateway: FakeGateway) -> None:
    gateway.failing = [Refusal(401, "invalid_api_key", "no")]
    assert shell("status", "--watch").code == 4
