"""Where settings come from: flag, `CONDUIT_*` variable, `.env`, TOML file, or default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, TomlConfigSettingsSource

from conduit.core.paths import config_folder
from conduit.core.redaction import scrubbed
from conduit.core.resources.status import SettingView
from conduit.core.settings import PREFIX, RESTART_ONLY, GatewaySettings, SettingsError, reason_of

CONFIG_FILE_NAME = "gateway.toml"
_FOREIGN_VARIABLES = frozenset(
    # Variables of the clients, which a gateway reads past.
    {
        "CONDUIT_HOME",
        "CONDUIT_URL",
        "CONDUIT_ADMIN_URL",
        "CONDUIT_CA_FILE",
        "CONDUIT_CLIENT_CERTIFICATE_FILE",
        "CONDUIT_CLIENT_KEY_FILE",
        "CONDUIT_CONTEXT",
        "CONDUIT_API_KEY",
        "CONDUIT_OUTPUT",
        "CONDUIT_NO_INPUT",
        "CONDUIT_PAGER",
        "CONDUIT_FORCE_TTY",
    }
)
# Flags are named after their settings, but for these.
_FLAGS: Mapping[str, str] = {"database_url": "db", "redis_url": "redis"}

BEFORE_THE_FILE = ("flag ", "env ", ".env ")
"""What the origins begin with that count before the settings file."""

# What opens the gateway, its credentials or its database: it holds secrets or leads to them.
_OF_THE_MACHINE = frozenset(
    {
        "database_url",
        "redis_url",
        "master_key",
        "master_key_file",
        "sealing_key",
        "sealing_key_file",
        "tls_certificate_file",
        "tls_key_file",
        "admin_client_ca_file",
    }
)


@dataclass(frozen=True, slots=True)
class CommandDefault:
    """A command's own default: it counts only where nothing else names the setting."""

    value: object
    command: str


def load(
    overrides: Mapping[str, object] | None = None,
    config_file: str | Path | None = None,
) -> tuple[GatewaySettings, dict[str, str]]:
    """The settings in force and the origin of each, for example "env CONDUIT_PORT".

    Precedence: flag, environment, `.env` of the working folder, TOML file, default. Among the
    overrides, a CommandDefault is no flag: it stands behind all but the setting's own default.
    Raises SettingsError with one clear line.
    """
    values: dict[str, object] = {}
    origins = dict.fromkeys(GatewaySettings.model_fields, "default")
    flags: dict[str, object] = {}
    for name, given in (overrides or {}).items():
        if isinstance(given, CommandDefault):
            values[name], origins[name] = given.value, f"default of {given.command}"
        else:
            flags[name] = given
    for origin, layer in reversed(_layers(flags, config_file)):
        for name, value in layer.items():
            values[name] = value
            origins[name] = origin.format(NAME=PREFIX + name.upper(), flag=_flag_of(name))
    try:
        return GatewaySettings(**values), origins  # type: ignore[arg-type]  # validated just here
    except ValidationError as error:
        raise _first_of(error, origins) from None


def settings_file(config_file: str | Path | None = None) -> Path:
    """The file that settings are kept in: the one that was named, else the usual one."""
    return Path(config_file) if config_file else config_folder() / CONFIG_FILE_NAME


@dataclass(frozen=True, slots=True)
class SettingsSource:
    """Where a gateway reads its settings, again and again: a command's flags, and its file."""

    overrides: Mapping[str, object]
    config_file: str | Path | None = None

    @property
    def file(self) -> Path:
        return settings_file(self.config_file)

    def __call__(self) -> tuple[GatewaySettings, dict[str, str]]:
        """What `load` gives now. Raises SettingsError."""
        return load(self.overrides, self.config_file)


def _flag_of(name: str) -> str:
    """The flag of a setting, as it is typed."""
    return f"--{_FLAGS.get(name, name).replace('_', '-')}"


def _layers(
    overrides: Mapping[str, object], config_file: str | Path | None
) -> list[tuple[str, Mapping[str, object]]]:
    path = settings_file(config_file)
    return [
        ("flag {flag}", overrides),
        ("env {NAME}", _known(EnvSettingsSource(GatewaySettings)())),
        (".env {NAME}", _dotenv()),
        (f"file {path}", _toml(path, required=config_file is not None)),
    ]


def _known(values: Mapping[str, Any]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name in GatewaySettings.model_fields}


def _dotenv() -> dict[str, object]:
    return _known(DotEnvSettingsSource(GatewaySettings, env_file=".env")())


def _toml(path: Path, *, required: bool) -> Mapping[str, object]:
    if not path.exists():
        if required:
            raise SettingsError(f"there is no configuration file {path}")
        return {}
    try:
        return TomlConfigSettingsSource(GatewaySettings, toml_file=path)()
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise SettingsError(f"the configuration file {path} cannot be read: {reason}") from error


def _first_of(error: ValidationError, origins: Mapping[str, str]) -> SettingsError:
    place = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
    return SettingsError(_lines(error, origins)[0], str(place[0]) if place else None)


def _lines(error: ValidationError, origins: Mapping[str, str]) -> list[str]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = []
    for each in found:
        message = each["msg"].removeprefix("Value error, ")
        name = str(each["loc"][0]) if each["loc"] else "settings"
        if each["type"] == "extra_forbidden":
            message = "there is no such setting"
        origin = origins.get(name)
        where = f" (from {origin})" if origin and origin != "default" else ""
        lines.append(f"setting {name}{where}: {message}")
    return lines


def validated(settings: GatewaySettings, changes: Mapping[str, object]) -> GatewaySettings:
    """The settings with changes, None being the default. Raises SettingsError."""
    fields = GatewaySettings.model_fields
    present = {name: getattr(settings, name) for name in fields}
    values: dict[str, Any] = {**present, **changes}
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return GatewaySettings(**given)
    except ValidationError as error:
        raise _first_of(error, {}) from None


def is_settable(name: str) -> bool:
    """Whether a setting may be changed through the admin API."""
    return name not in _OF_THE_MACHINE


def problems(path: Path) -> list[str]:
    """Everything that is wrong with a settings file, a line each; none where it can be used."""
    try:
        GatewaySettings(**_toml(path, required=True))  # type: ignore[arg-type]
    except SettingsError as error:
        return [str(error)]
    except ValidationError as error:
        return _lines(error, {})
    return []


def unknown_variables() -> list[str]:
    """`CONDUIT_*` variables that name no setting, most likely misspelt."""
    known = {PREFIX + name.upper() for name in GatewaySettings.model_fields} | _FOREIGN_VARIABLES
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def views(settings: GatewaySettings, origins: Mapping[str, str]) -> list[SettingView]:
    """Each setting in force with its origin and the sentence that explains it; no secrets."""
    return [
        SettingView(
            name=name,
            value=_shown(getattr(settings, name)),
            origin=origins[name],
            description=field.description or "",
            settable=is_settable(name) and not origins[name].startswith(BEFORE_THE_FILE),
            restart_needed=name in RESTART_ONLY,
        )
        for name, field in GatewaySettings.model_fields.items()
    ]


def _shown(value: object) -> str | int | float | bool | None:
    match value:
        case SecretStr():
            return "***"
        case None | bool() | int() | float():
            return value
        case _:
            return scrubbed(str(value))  # the URL of a database may hold a password
