"""What a gateway says of itself when it is ready, before anybody asks it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AnnouncedProvider:
    """A provider in force; `found` says how it came, for example "env OPENAI_API_KEY"."""

    name: str
    type: str
    found: str
    simulated: bool
    models: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """A gateway that accepts calls at `url`.

    `master_key` and `virtual_key` are set only when they have just been made: nothing can tell
    them again. `port_changed_from` is the port that was wanted and taken by somebody else,
    `certificate_file` what it shows where it speaks TLS, `admin_url` where it is administered if
    that is elsewhere. `examples` are models by names that wildcards among `models` take, as far as
    any are known.
    """

    url: str
    first_start: bool
    providers: tuple[AnnouncedProvider, ...]
    models: tuple[str, ...]
    data_folder: str
    database: str
    key_name: str | None = None
    port_changed_from: int | None = None
    certificate_file: str | None = None
    admin_url: str | None = None
    warnings: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    master_key: str | None = field(default=None, repr=False)
    virtual_key: str | None = field(default=None, repr=False)
