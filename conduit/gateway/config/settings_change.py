"""Changing settings of a running gateway: what may be changed, and the file that keeps it."""

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from conduit.core.errors import ConflictError, ValidationFailedError
from conduit.core.settings import GatewaySettings, SettingsError
from conduit.core.settings_sources import BEFORE_THE_FILE, is_settable, validated, views

_PRIVATE = 0o600


def checked(
    changes: Mapping[str, object], settings: GatewaySettings, origins: Mapping[str, str]
) -> dict[str, object]:
    """The values to write, in their own types; None goes back to the default.

    Raises ValidationFailedError or ConflictError for what cannot be set, is no value of its
    setting, or would not count.
    """
    for name in changes:
        if name not in GatewaySettings.model_fields:
            raise ValidationFailedError(f"{name}: there is no such setting", param=name)
        if not is_settable(name):
            raise ValidationFailedError(
                f"{name}: what opens the gateway or its database is not set from afar",
                hint="set it where the gateway runs, by variable or in its file, and restart it",
                param=name,
            )
        if origins[name].startswith(BEFORE_THE_FILE):
            raise ConflictError(
                f"{name} comes from {origins[name]}, which counts before the settings file",
                hint="change it there",
                param=name,
            )
    try:
        meant = validated(settings, changes)
    except SettingsError as error:
        raise ValidationFailedError(str(error)) from error
    return {
        name: None if value is None else getattr(meant, name) for name, value in changes.items()
    }


def refuse_stale(
    expected: Mapping[str, object], settings: GatewaySettings, origins: Mapping[str, str]
) -> None:
    """Raise ConflictError where a setting is not what a caller has read, as it was shown."""
    present = {view.name: view.value for view in views(settings, origins)}
    for name, value in expected.items():
        if name not in present:
            raise ValidationFailedError(f"{name}: there is no such setting", param=name)
        if present[name] != value:
            raise ConflictError(
                f"{name} is {_said(present[name])}, no longer {_said(value)}:"
                " somebody changed it meanwhile",
                hint="repeat the change; if the settings file was changed by hand,"
                " conduit config reload first",
                param=name,
            )


def _said(value: object) -> str:
    return "unset" if value is None else repr(value)


def write(path: Path, changes: Mapping[str, object]) -> str | None:
    """Set, or take out where the value is None, in a file of settings; the text before.

    Comments and the order of lines stay. None where there was no file. Raises ConflictError where
    the file cannot be read or written.
    """
    import tomlkit  # noqa: PLC0415  # deferred: few gateways ever write their settings
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    try:
        before = path.read_text(encoding="utf-8") if path.exists() else None
        document = tomlkit.parse(before or "")
        for name, value in changes.items():
            if value is not None:
                document[name] = value
            elif name in document:
                del document[name]
        _replace(path, tomlkit.dumps(document))
    except (OSError, ValueError, TOMLKitError) as error:
        raise ConflictError(
            f"the settings file {path} cannot be changed: {error}",
            hint="change it where the gateway runs, then: conduit config reload",
        ) from error
    return before


def restore(path: Path, before: str | None) -> None:
    """Put back what the file held."""
    if before is None:
        path.unlink(missing_ok=True)
    else:
        _replace(path, before)


def _replace(path: Path, text: str) -> None:
    """Write the whole file or nothing of it; a link keeps leading to where it led."""
    path = path.resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else _PRIVATE
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
