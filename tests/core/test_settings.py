"""Where settings come from."""

from pathlib import Path

import pytest

from conduit.core.networks import network_names, networks_of
from conduit.core.settings import SettingsError
from conduit.core.settings_sources import CommandDefault, load, unknown_variables

OWN = {"drain_accept_s": CommandDefault(0.0, "conduit up")}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working and configuration folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONDUIT_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "flag"),
    [
        ("port", 7000, "--port"),
        ("database_url", "sqlite:///x.db", "--db"),
        ("redis_url", "redis://127.0.0.1:6379/0", "--redis"),
        ("log_level", "debug", "--log-level"),
    ],
)
def test_the_origin_names_the_flag_as_it_is_typed(name: str, value: object, flag: str) -> None:
    settings, origins = load({name: value})
    assert getattr(settings, name) == value
    assert origins[name] == f"flag {flag}"


def test_a_value_that_cannot_be_used_names_its_flag() -> None:
    with pytest.raises(SettingsError, match=r"setting log_level \(from flag --log-level\): "):
        load({"log_level": "loud"})


def test_a_default_of_a_command_stands_before_the_setting_s_own() -> None:
    settings, origins = load(OWN)
    assert settings.drain_accept_s == 0
    assert origins["drain_accept_s"] == "default of conduit up"


@pytest.mark.parametrize("where", ["variable", ".env", "gateway.toml", "other.toml", "flag"])
def test_a_default_of_a_command_overrides_nothing_that_is_configured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    overrides: dict[str, object] = dict(OWN)
    config = None
    match where:
        case "variable":
            monkeypatch.setenv("CONDUIT_DRAIN_ACCEPT_S", "7")
        case ".env":
            (folder / where).write_text("CONDUIT_DRAIN_ACCEPT_S=7\n")
        case "flag":
            overrides["drain_accept_s"] = 7
        case _:
            (folder / where).write_text("drain_accept_s = 7\n")
            config = None if where == "gateway.toml" else where
    settings, origins = load(overrides, config)
    assert settings.drain_accept_s == 7
    assert not origins["drain_accept_s"].startswith("default")


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUIT_PROT", "7000")
    monkeypatch.setenv("CONDUIT_PORT", "7000")
    assert "CONDUIT_PROT" in unknown_variables()
    assert "CONDUIT_PORT" not in unknown_variables()


@pytest.mark.parametrize(
    ("given", "networks"),
    [
        (None, []),
        ("", []),
        ("127.0.0.1", ["127.0.0.1/32"]),
        ("10.0.0.0/8, 2001:db8::/32,", ["10.0.0.0/8", "2001:db8::/32"]),
    ],
)
def test_trusted_proxies_are_networks(given: str | None, networks: list[str]) -> None:
    settings, _ = load({"trusted_proxies": given})
    assert [str(each) for each in networks_of(settings.trusted_proxies)] == networks


@pytest.mark.parametrize("given", ["proxy.internal", "10.0.0.1/8", "10.0.0.0/40", "*"])
def test_trusted_proxies_that_are_no_networks_are_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="setting trusted_proxies"):
        load({"trusted_proxies": given})


@pytest.mark.parametrize("given", ["0.0.0.0/0", "10.0.0.0/8, ::/0"])
def test_everybody_is_no_trusted_proxy(given: str) -> None:
    with pytest.raises(SettingsError, match="would let every client choose its own address"):
        load({"trusted_proxies": given})


@pytest.mark.parametrize("name", ["admin_allowed_ips", "denied_ips"])
def test_lists_of_addresses_are_networks(name: str) -> None:
    settings, _ = load({name: "10.0.0.0/8, 203.0.113.7"})
    assert network_names(getattr(settings, name)) == ("10.0.0.0/8", "203.0.113.7/32")
    with pytest.raises(SettingsError, match=f"setting {name}"):
        load({name: "10.0.0.1/8"})


@pytest.mark.parametrize("character", list("'\"\\/?#@ é"))
def test_a_password_that_would_not_be_seen_as_one_is_refused(character: str) -> None:
    with pytest.raises(SettingsError, match="percent-encoded") as refused:
        load({"database_url": f"postgresql://user:hun{character}ter2@host/db"})
    assert "ter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("redis://127.0.0.1:6379/0", True),
        ("rediss://:p%40ss@redis.example", True),
        ("redis://user:word@[::1]:6379/3?socket_keepalive=true", True),
        ("unix:///run/redis.sock?db=2", True),
        ("127.0.0.1:6379", False),
        ("http://127.0.0.1", False),
        ("redis://127.0.0.1/x", False),
        ("redis://:a/b@127.0.0.1", False),
        ("redis://:a@b@127.0.0.1", False),
        ("redis://127.0.0.1?password=secret", False),
    ],
)
def test_the_url_of_a_redis_is_one_whose_password_can_be_told(url: str, good: bool) -> None:
    if good:
        assert load({"redis_url": url})[0].redis_url == url
        return
    with pytest.raises(SettingsError, match="percent-encoded"):
        load({"redis_url": url})
