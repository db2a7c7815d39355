"""Where Conduit keeps its files: below `CONDUIT_HOME` when set, else in the XDG folders."""

import os
from pathlib import Path

APPLICATION = "conduit"


def _home() -> Path | None:
    home = os.environ.get("CONDUIT_HOME")
    return Path(home).expanduser().absolute() if home else None


def config_folder() -> Path:
    """The folder of `config.toml`, `credentials.toml` and `gateway.toml`."""
    if (home := _home()) is not None:
        return home
    from platformdirs import user_config_path  # noqa: PLC0415  # deferred: not every command

    return user_config_path(APPLICATION)


def state_folder() -> Path:
    """The folder of histories, logs and caches."""
    if (home := _home()) is not None:
        return home / "state"
    from platformdirs import user_state_path  # noqa: PLC0415  # deferred: not every command

    return user_state_path(APPLICATION)


def data_folder() -> Path:
    """The folder of the database, the journal and the sealing key."""
    if (home := _home()) is not None:
        return home / "data"
    from platformdirs import user_data_path  # noqa: PLC0415  # deferred: not every command

    return user_data_path(APPLICATION)
