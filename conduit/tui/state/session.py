"""Which gateway the interface looks at, and how it was asked to look."""

from dataclasses import dataclass, field

from conduit.client.contexts import USUAL_TLS, Context, Resolved, TlsFiles

THEME_NAMES = ("conduit-dark", "conduit-light", "ansi", "high-contrast", "deuteranopia")
"""Named here, so that the command line knows them without importing Textual."""


@dataclass(frozen=True, slots=True)
class Target:
    """One gateway: its two addresses, what opens it, and what may be done there.

    `core_url` is where clients' calls go (chat), `admin_url` the rest; they differ only where an
    operator split them. `confirm_typed` wants a name typed where a y would do, `color` is the
    accent of the gateway's name.
    """

    name: str
    admin_url: str
    core_url: str
    master_key: str = field(repr=False)
    virtual_key: str | None = field(default=None, repr=False)
    tls: TlsFiles = USUAL_TLS
    read_only: bool = False
    default_model: str | None = None
    confirm_typed: bool = False
    color: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How the interface is drawn."""

    theme: str = "conduit-dark"
    ascii: bool = False
    lite: bool = False
    screen: str = "overview"
    mouse: bool = True

    @property
    def flush_hz(self) -> float:
        return 2.0 if self.lite else 4.0


DEFAULT_LOOK = Look()


def target_of(
    found: Resolved, *, core_url: str | None = None, master_key: str | None = None
) -> Target:
    """The target of a resolved call. `master_key` stands in for the resolved one."""
    context = found.context or Context(name="", url=found.url)
    # A stored key belongs to the address that it was stored for.
    is_theirs = core_url in (None, found.url) or found.virtual_key_origin.startswith("env ")
    return Target(
        name=context.name,
        admin_url=found.admin,
        core_url=core_url or found.url,
        master_key=master_key or found.master_key or "",
        virtual_key=found.virtual_key if is_theirs else None,
        tls=found.tls,
        read_only=context.read_only,
        default_model=context.default_model,
        confirm_typed=context.confirm_typed,
        color=context.color,
    )
