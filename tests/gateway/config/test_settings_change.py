"""Changing settings: what is refused, and what becomes of the file."""

from pathlib import Path

import pytest

from conduit.core.errors import ConflictError, ValidationFailedError
from conduit.core.settings import GatewaySettings
from conduit.core.settings_sources import is_settable, load
from conduit.gateway.config.settings_change import checked, refuse_stale, restore, write

ORIGINS = dict.fromkeys(GatewaySettings.model_fields, "default")
SETTINGS = GatewaySettings()
VALUES = {
    "admin_allowed_ips": "10.0.0.0/8",
    "admin_port": 5001,
    "default_price": "3/15",
    "denied_ips": "203.0.113.7",
    "rate_limits": "rpm=600",
    "stop_grace_s": 150.0,
    "trusted_proxies": "10.0.0.0/8",
}
"""Values of those that have none at first."""


def test_values_are_written_in_the_type_of_their_setting() -> None:
    changes = {"max_attempts": "5", "drain_s": 2, "host": None}
    values = checked(changes, SETTINGS, ORIGINS)
    assert values == {"max_attempts": 5, "drain_s": 2.0, "host": None}
    assert isinstance(values["drain_s"], float)


@pytest.mark.parametrize("origin", ["env CONDUIT_PORT", ".env CONDUIT_PORT", "flag --port"])
def test_what_counts_before_the_file_cannot_be_set_there(origin: str) -> None:
    with pytest.raises(ConflictError, match=f"port comes from {origin}"):
        checked({"port": 5001}, SETTINGS, {**ORIGINS, "port": origin})


def test_what_somebody_else_has_changed_meanwhile_is_told() -> None:
    now = SETTINGS.model_copy(update={"denied_ips": "203.0.113.7"})
    refuse_stale({"denied_ips": "203.0.113.7", "rate_limits": None}, now, ORIGINS)
    with pytest.raises(ConflictError, match=r"is '203\.0\.113\.7', no longer unset: somebody"):
        refuse_stale({"denied_ips": None}, now, ORIGINS)
    with pytest.raises(ConflictError, match="max_attempts"):
        refuse_stale({"max_attempts": SETTINGS.max_attempts + 1}, now, ORIGINS)
    with pytest.raises(ValidationFailedError, match="no such setting"):
        refuse_stale({"nonsense": 1}, now, ORIGINS)


def test_a_default_of_a_command_gives_way_to_the_file() -> None:
    origins = {**ORIGINS, "drain_accept_s": "default of up"}
    assert checked({"drain_accept_s": 1}, SETTINGS, origins) == {"drain_accept_s": 1.0}


@pytest.mark.parametrize("changes", [{"nonsense": 1}, {"max_attempts": 0}, {"log_level": "loud"}])
def test_what_is_no_setting_or_no_value_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationFailedError):
        checked(changes, SETTINGS, ORIGINS)


def test_no_secret_can_be_set_from_afar() -> None:
    secret = {
        name
        for name, field in GatewaySettings.model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert {"master_key", "sealing_key"} <= secret
    assert not any(is_settable(name) for name in secret)


def test_the_file_keeps_its_comments_its_mode_and_its_link(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("# mine\nport = 1 # one\n")
    real.chmod(0o640)
    link = tmp_path / "gateway.toml"
    link.symlink_to(real)
    before = write(link, {"port": 2, "host": "::1"})
    assert real.read_text() == '# mine\nport = 2 # one\nhost = "::1"\n'
    assert real.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    restore(link, before)
    assert real.read_text() == "# mine\nport = 1 # one\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gateway.toml", "real.toml"]


def test_a_file_that_was_not_there_is_gone_again_after_a_restore(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gateway.toml"
    assert write(path, {"port": 2}) is None
    assert path.stat().st_mode & 0o777 == 0o600
    restore(path, None)
    assert not path.exists()


@pytest.mark.parametrize(
    "name", [name for name in GatewaySettings.model_fields if is_settable(name)]
)
def test_every_setting_that_can_be_set_is_read_back_as_it_was_written(
    tmp_path: Path, name: str
) -> None:
    value = getattr(SETTINGS, name)
    if value is None:
        value = VALUES[name]
    path = tmp_path / "gateway.toml"
    write(path, checked({name: value}, SETTINGS, ORIGINS))
    settings, origins = load({}, path)
    assert getattr(settings, name) == value
    assert origins[name] == f"file {path}"


def test_taking_out_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("port = 1\n")
    write(path, {"host": None})
    assert path.read_text() == "port = 1\n"


def test_a_file_that_is_no_toml_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("port = \n")
    with pytest.raises(ConflictError, match="cannot be changed"):
        write(path, {"port": 2})
    assert path.read_text() == "port = \n"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("no folder")
    with pytest.raises(ConflictError, match="cannot be changed") as refused:
        write(tmp_path / "folder" / "gateway.toml", {"port": 2})
    assert "conduit config reload" in str(refused.value.hint)
