"""Secrets at rest."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conduit.gateway.config.sealing import (
    MissingSealingKeyError,
    OtherKeyError,
    Place,
    SealedError,
    SealingKey,
    SealingKeyError,
    key_source,
    load_or_make_sealing_key,
    load_sealing_key,
)

KEY = SealingKey.of(b"k" * 32)
PLACE = Place("credentials", "cred_1", "sealed")


@given(st.text(max_size=300), st.integers(min_value=1, max_value=10**9))
def test_what_is_sealed_opens_again(secret: str, version: int) -> None:
    secret = secret.encode("utf-8", "ignore").decode()
    assert KEY.open(KEY.seal(secret, PLACE, version), PLACE) == secret


def test_the_form_names_the_key_and_holds_no_secret() -> None:
    envelope = KEY.seal("sk-canary", PLACE, 3)
    form, key_id, version, *_ = envelope.split(".")
    assert (form, key_id, version) == ("c1", KEY.id, "3")
    assert "canary" not in envelope


def test_sealing_twice_gives_nothing_to_compare() -> None:
    first, second = (KEY.seal("same", PLACE, 1).split(".") for _ in range(2))
    assert first[3] != second[3]
    assert first[4] != second[4]


@pytest.mark.parametrize(
    "elsewhere",
    [
        Place("credentials", "cred_2", "sealed"),
        Place("credentials", "cred_1", "hint"),
        Place("webhooks", "cred_1", "sealed"),
    ],
)
def test_an_envelope_that_was_moved_does_not_open(elsewhere: Place) -> None:
    with pytest.raises(SealedError):
        KEY.open(KEY.seal("secret", PLACE, 1), elsewhere)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(SealedError, match="another key"):
        SealingKey.of(b"x" * 32).open(KEY.seal("secret", PLACE, 1), PLACE)


@pytest.mark.parametrize("part", range(5))
def test_a_change_to_any_part_is_noticed(part: int) -> None:
    parts = KEY.seal("secret", PLACE, 1).split(".")
    parts[part] = {0: "c2", 1: "00000000", 2: "2"}.get(part, "A" + parts[part][1:-2] + "AA")
    with pytest.raises(SealedError):
        KEY.open(".".join(parts), PLACE)


@given(st.text(max_size=80))
def test_nonsense_never_opens_and_never_fails_otherwise(nonsense: str) -> None:
    with pytest.raises(SealedError):
        KEY.open(nonsense, PLACE)
    with pytest.raises(SealedError):
        KEY.open(f"c1.{KEY.id}.1.{nonsense}", PLACE)


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    made = load_or_make_sealing_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_sealing_key(path) == made
    assert made != load_or_make_sealing_key(tmp_path / "other.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "sealing.key"
    load_or_make_sealing_key(path)
    path.chmod(mode)
    with pytest.raises(SealingKeyError, match="chmod 600"):
        load_or_make_sealing_key(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives away")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    load_or_make_sealing_key(path)
    os.chown(path, 12345, -1)
    with pytest.raises(SealingKeyError, match="another user"):
        load_or_make_sealing_key(path)


@pytest.mark.parametrize("content", [b"", b"c2hvcnQ=\n", b"not base64!", b"A" * 400])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sealing.key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(SealingKeyError, match="no sealing key"):
        load_or_make_sealing_key(path)


def test_a_key_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SealingKeyError, match="cannot be made"):
        load_or_make_sealing_key(tmp_path / "nowhere" / "sealing.key")


def test_a_key_that_could_not_be_written_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SealingKeyError, match="No space left"):
        load_or_make_sealing_key(tmp_path / "sealing.key")
    assert list(tmp_path.iterdir()) == []


def test_neither_key_nor_bytes_show_in_a_repr() -> None:
    assert "kkk" not in repr(KEY)


def test_no_cryptography_is_loaded_until_something_is_sealed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from conduit.gateway.config.sealing import load_or_make_sealing_key\n"
        "load_or_make_sealing_key(Path(sys.argv[1]))\n"
        "assert 'cryptography' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "sealing.key")],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_a_missing_key_is_told_apart_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "sealing.key"
    with pytest.raises(MissingSealingKeyError, match=r"sealing\.key is missing"):
        load_sealing_key(path)
    assert not path.exists()
    made = load_or_make_sealing_key(path)
    assert load_sealing_key(path) == made


def test_the_key_comes_from_the_first_place_that_names_one(tmp_path: Path) -> None:
    passed, named = tmp_path / "credentials", tmp_path / "named.key"
    passed.mkdir()
    (passed / "conduit-sealing-key").write_text(SealingKey.of(b"s" * 32).written())
    (passed / "conduit-sealing-key").chmod(0o440)  # as systemd shows it to a service's user
    named.touch(mode=0o600)
    named.write_text(SealingKey.of(b"n" * 32).written() + "\n")
    value, environ = SealingKey.of(b"v" * 32).written(), {"CREDENTIALS_DIRECTORY": str(passed)}

    def found(value: str | None, file: Path | None, environ: dict[str, str]) -> SealingKey:
        return key_source(tmp_path, value, file, environ).load(make=True)

    assert found(value, None, environ) == SealingKey.of(b"v" * 32)
    assert found(None, named, environ) == SealingKey.of(b"n" * 32)
    assert found(None, None, environ) == SealingKey.of(b"s" * 32)
    own = found(None, None, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert load_sealing_key(tmp_path / "sealing.key") == own


def test_a_named_file_is_looked_at_as_closely_as_our_own(tmp_path: Path) -> None:
    path = tmp_path / "named.key"
    path.write_text(KEY.written())
    path.chmod(0o644)
    with pytest.raises(SealingKeyError, match="chmod 600"):
        key_source(tmp_path, None, path, {}).load(make=True)


@pytest.mark.parametrize("value", ["", "short", "not base64!", "A" * 400])
def test_a_value_that_is_no_key_is_refused_without_repeating_it(value: str, tmp_path: Path) -> None:
    with pytest.raises(SealingKeyError, match="sealing_key holds no sealing key") as raised:
        key_source(tmp_path, value, None, {}).load(make=True)
    assert not value or value not in str(raised.value)


def test_another_key_is_told_from_damage() -> None:
    with pytest.raises(OtherKeyError):
        SealingKey.of(b"x" * 32).open(KEY.seal("secret", PLACE, 1), PLACE)
    with pytest.raises(SealedError) as raised:
        KEY.open(KEY.seal("secret", PLACE, 1)[:-4], PLACE)
    assert not isinstance(raised.value, OtherKeyError)


def test_bytes_open_where_and_when_they_were_sealed() -> None:
    key, place = SealingKey.of(b"k" * 32), Place("table", "row", "field")
    plain = bytes(range(256))
    envelope = key.seal_bytes(plain, place, 3)
    assert key.open_bytes(envelope, place, 3) == plain
    assert plain not in envelope
    assert key.seal_bytes(plain, place, 3) != envelope
    assert key.open_bytes(key.seal_bytes(b"", place, 0), place, 0) == b""
    for elsewhere, version in ((Place("table", "other", "field"), 3), (place, 4)):
        with pytest.raises(SealedError):
            key.open_bytes(envelope, elsewhere, version)
    with pytest.raises(OtherKeyError):
        SealingKey.of(b"o" * 32).open_bytes(envelope, place, 3)


@pytest.mark.parametrize("at", [0, 8, 20, 70, 100, -1])
def test_bytes_that_were_changed_or_cut_do_not_open(at: int) -> None:
    key, place = SealingKey.of(b"k" * 32), Place("table", "row", "field")
    envelope = bytearray(key.seal_bytes(b"x" * 64, place, 3))
    for damaged in (bytes(envelope[:at]), b""):
        with pytest.raises(SealedError):
            key.open_bytes(damaged, place, 3)
    envelope[at] ^= 1
    with pytest.raises(SealedError):
        key.open_bytes(bytes(envelope), place, 3)
