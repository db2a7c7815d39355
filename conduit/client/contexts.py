"""Contexts and credentials: which gateway is meant, and the secrets that open it.

`config.toml` names contexts, `credentials.toml` (0600) holds their secrets. A stored secret is
bound to the URL it was stored for and goes to no other, whatever flag or variable names that one.
Only these user-level files and the environment count; a file of the working folder never does.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conduit.core.paths import config_folder

DEFAULT_URL = "http://127.0.0.1:5000"
LOCAL = "local"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class ContextError(Exception):
    """A client file, name or URL that cannot be used; the message is one line."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom a client trusts, and the certificate that it shows where it is asked for one.

    `ca_file` replaces the system's authorities; without a `key_file` the certificate's file has
    its key too.
    """

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


USUAL_TLS = TlsFiles()
"""The system's authorities, and no certificate."""


@dataclass(frozen=True, slots=True)
class Context:
    """A named gateway.

    `admin_url` is where its admin API is, if that is elsewhere. `read_only` refuses every change
    before it is sent, `confirm_typed` wants a name typed where a y would do. `color` is an accent
    for front-ends.
    """

    name: str
    url: str
    ca_file: str | None = None
    read_only: bool = False
    default_model: str | None = None
    admin_url: str | None = None
    color: str | None = None
    confirm_typed: bool = False
    client_certificate_file: str | None = None
    client_key_file: str | None = None

    @property
    def tls(self) -> TlsFiles:
        """What TLS is spoken with there."""
        return TlsFiles(self.ca_file, self.client_certificate_file, self.client_key_file)

    @property
    def admin(self) -> str:
        """The URL that the master key is for."""
        return self.admin_url or self.url


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secrets stored for one URL; the master key for `admin_url`, where that is another."""

    url: str
    master_key: str | None = field(default=None, repr=False)
    virtual_key: str | None = field(default=None, repr=False)
    admin_url: str | None = None

    @property
    def admin(self) -> str:
        """The URL that the master key is for."""
        return self.admin_url or self.url


@dataclass(frozen=True, slots=True)
class Contexts:
    """All that the two client files say."""

    current: str | None = None
    by_name: Mapping[str, Context] = field(default_factory=dict)
    credentials: Mapping[str, Credentials] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """What one call says about where it goes; None where it says nothing."""

    url: str | None = None
    context: str | None = None
    admin_url: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The gateway of one call, its secrets, and where each of them came from.

    Clients call `url`, administration is at `admin`.
    """

    url: str
    url_origin: str
    context: Context | None
    master_key: str | None = field(default=None, repr=False)
    master_key_origin: str = "none"
    virtual_key: str | None = field(default=None, repr=False)
    virtual_key_origin: str = "none"
    admin_url: str | None = None
    tls: TlsFiles = USUAL_TLS

    @property
    def admin(self) -> str:
        """The URL that the master key goes to."""
        return self.admin_url or self.url


def config_file() -> Path:
    return config_folder() / "config.toml"


def credentials_file() -> Path:
    return config_folder() / "credentials.toml"


def normalized(url: str) -> str:
    """A gateway's URL in the one form that is compared and stored. Raises ContextError."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise ContextError(f"not a URL: {url!r} ({error})") from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ContextError(f"a gateway's URL begins with http:// or https://: {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ContextError("a gateway's URL holds no user or password")
    if parts.query or parts.fragment:
        raise ContextError(f"a gateway's URL ends with its path: {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    suffix = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{suffix}{parts.path.rstrip('/')}"


def load() -> Contexts:
    """What the client files say; files that do not exist say nothing. Raises ContextError."""
    config = _read(config_file())
    secrets = _read(credentials_file())
    by_name = {}
    for name, table in _tables(config, config_file()):
        url = _text(table, "url", config_file())
        if url is None:
            raise ContextError(f"{config_file()}: context {name!r} has no url")
        admin = _text(table, "admin_url", config_file())
        by_name[name] = Context(
            name=name,
            url=normalized(url),
            ca_file=_text(table, "ca_file", config_file()),
            read_only=table.get("read_only") is True,
            default_model=_text(table, "default_model", config_file()),
            admin_url=normalized(admin) if admin is not None else None,
            color=_text(table, "color", config_file()),
            confirm_typed=table.get("confirm") == "typed",
            client_certificate_file=_text(table, "client_certificate_file", config_file()),
            client_key_file=_text(table, "client_key_file", config_file()),
        )
    credentials = {}
    for name, table in _tables(secrets, credentials_file()):
        url = _text(table, "url", credentials_file())
        admin = _text(table, "admin_url", credentials_file())
        if url is not None:
            credentials[name] = Credentials(
                url=normalized(url),
                master_key=_text(table, "master_key", credentials_file()),
                virtual_key=_text(table, "virtual_key", credentials_file()),
                admin_url=normalized(admin) if admin is not None else None,
            )
    return Contexts(_text(config, "current", config_file()), by_name, credentials)


def section(name: str) -> Mapping[str, Any]:
    """A table of `config.toml` that is not about contexts; empty where there is none.

    Raises ContextError.
    """
    found = _read(config_file()).get(name, {})
    if not isinstance(found, dict):
        raise ContextError(f"{config_file()}: [{name}] is a table")
    return found


def resolve(contexts: Contexts, choice: Choice, environ: Mapping[str, str]) -> Resolved:
    """The gateway of one call: flag, then environment, then context, then default.

    A context that the call names stands above the environment, its secrets too. Raises
    ContextError for a context that does not exist or a URL that is none.
    """
    context = _chosen_context(contexts, choice, environ)
    by_flag = choice.context is not None
    url, url_origin = _chosen_url(context, choice, environ)
    admin = _chosen_admin_url(context, choice, environ) or url
    stored_origin = str(credentials_file())
    master_key, master_origin = _master_key_of(environ)
    stored = _stored_for(contexts, context, lambda known: known.admin == admin)
    if stored is not None and stored.master_key and (by_flag or master_key is None):
        master_key, master_origin = stored.master_key, stored_origin
    virtual_key, virtual_origin = environ.get("CONDUIT_API_KEY") or None, "env CONDUIT_API_KEY"
    stored = _stored_for(contexts, context, lambda known: known.url == url)
    if stored is not None and stored.virtual_key and (by_flag or virtual_key is None):
        virtual_key, virtual_origin = stored.virtual_key, stored_origin
    chosen = context if context is not None and context.url == url else None
    master_key = master_key and sendable_key(master_key, master_origin)
    return Resolved(
        url=url,
        url_origin=url_origin,
        context=chosen,
        master_key=master_key,
        master_key_origin=master_origin if master_key else "none",
        virtual_key=virtual_key and sendable_key(virtual_key, virtual_origin),
        virtual_key_origin=virtual_origin if virtual_key else "none",
        admin_url=admin if admin != url else None,
        tls=tls_files(chosen, environ, by_flag=by_flag),
    )


def sendable_key(key: str, origin: str) -> str:
    """The key without spaces around it. Raises ContextError for what no header can carry, which
    nothing may quote: it may be a key with something beside it.
    """
    stripped = key.strip()
    if not stripped.isascii() or not stripped.isprintable():
        raise ContextError(f"{origin}: a key is one line of plain letters and digits")
    return stripped


def tls_files(
    context: Context | None, environ: Mapping[str, str], *, by_flag: bool = False
) -> TlsFiles:
    """What TLS is spoken with: the environment stands above a context that no flag names."""
    own = context.tls if context is not None else TlsFiles()
    if by_flag and context is not None:
        return own
    ca_file = environ.get("CONDUIT_CA_FILE") or own.ca_file
    certificate = environ.get("CONDUIT_CLIENT_CERTIFICATE_FILE")
    if not certificate:
        return TlsFiles(ca_file, own.certificate_file, own.key_file)
    return TlsFiles(ca_file, certificate, environ.get("CONDUIT_CLIENT_KEY_FILE") or None)


def _chosen_context(
    contexts: Contexts, choice: Choice, environ: Mapping[str, str]
) -> Context | None:
    named = choice.context or environ.get("CONDUIT_CONTEXT")
    name = named or contexts.current
    if name is None:
        return None
    context = contexts.by_name.get(name)
    if context is None and named:
        known = ", ".join(sorted(contexts.by_name)) or "none yet"
        raise ContextError(f"there is no context {name!r} (known: {known})")
    return context


def _chosen_url(
    context: Context | None, choice: Choice, environ: Mapping[str, str]
) -> tuple[str, str]:
    if choice.url is not None:
        return normalized(choice.url), "flag --url"
    if context is not None and choice.context is not None:
        return context.url, f"context {context.name}"
    if environ.get("CONDUIT_URL"):
        return normalized(environ["CONDUIT_URL"]), "env CONDUIT_URL"
    if context is not None:
        return context.url, f"context {context.name}"
    return DEFAULT_URL, "default"


def _chosen_admin_url(
    context: Context | None, choice: Choice, environ: Mapping[str, str]
) -> str | None:
    """Where administration is, by the same order as the URL; None where it is at the URL."""
    if choice.admin_url is not None:
        return normalized(choice.admin_url)
    if choice.url is not None:
        return None
    if context is not None and choice.context is not None:
        return context.admin
    if environ.get("CONDUIT_ADMIN_URL"):
        return normalized(environ["CONDUIT_ADMIN_URL"])
    if environ.get("CONDUIT_URL") or context is None:
        return None
    return context.admin


def _stored_for(
    contexts: Contexts, context: Context | None, fits: Callable[[Credentials], bool]
) -> Credentials | None:
    """The secrets bound to exactly this URL, the chosen context's before any other's."""
    own = contexts.credentials.get(context.name) if context is not None else None
    candidates = (*((own,) if own is not None else ()), *contexts.credentials.values())
    return next((known for known in candidates if fits(known)), None)


def _master_key_of(environ: Mapping[str, str]) -> tuple[str | None, str]:
    if environ.get("CONDUIT_MASTER_KEY"):
        return environ["CONDUIT_MASTER_KEY"], "env CONDUIT_MASTER_KEY"
    path = environ.get("CONDUIT_MASTER_KEY_FILE")
    if not path:
        return None, "none"
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise ContextError(f"CONDUIT_MASTER_KEY_FILE {path}: {reason}") from error
    return text or None, "env CONDUIT_MASTER_KEY_FILE"


def save(context: Context, *, make_current: bool = False) -> None:
    """Add or replace a context; the first one becomes the current one."""
    _require_name(context.name)
    with _edited(config_file()) as document:
        tables = _section(document)
        tables[context.name] = {
            "url": normalized(context.url),
            **({"ca_file": context.ca_file} if context.ca_file else {}),
            **({"read_only": True} if context.read_only else {}),
            **({"default_model": context.default_model} if context.default_model else {}),
            **({"admin_url": normalized(context.admin_url)} if context.admin_url else {}),
            **({"color": context.color} if context.color else {}),
            **({"confirm": "typed"} if context.confirm_typed else {}),
            **_given("client_certificate_file", context.client_certificate_file),
            **_given("client_key_file", context.client_key_file),
        }
        if make_current or not document.get("current"):
            document["current"] = context.name


def _given(name: str, value: str | None) -> dict[str, str]:
    return {name: value} if value else {}


def store_secrets(
    name: str,
    url: str,
    *,
    master_key: str | None = None,
    virtual_key: str | None = None,
    moved: bool = False,
    admin_url: str | None = None,
) -> None:
    """Store secrets for a context, bound to `url`; what is None stays, unless the URL changes.

    The master key is bound to `admin_url` where that is another.

    `moved` says that it is the same gateway at a new URL, as `up` knows of the one it started.
    """
    _require_name(name)
    url = normalized(url)
    admin = normalized(admin_url) if admin_url is not None else url
    with _edited(credentials_file()) as document:
        tables = _section(document)
        old = dict(tables.get(name) or {})
        same_url = moved or old.get("url") == url
        same_admin = moved or old.get("admin_url", old.get("url")) == admin
        secrets = {
            "master_key": master_key or (old.get("master_key") if same_admin else None),
            "virtual_key": virtual_key or (old.get("virtual_key") if same_url else None),
        }
        tables[name] = {
            "url": url,
            **({"admin_url": admin} if admin != url else {}),
            **{key: text for key, text in secrets.items() if text},
        }


def forget_master_key(name: str) -> bool:
    """Remove the master key stored for a context; whether there was one. Raises ContextError."""
    require_known(name)
    if not _read(credentials_file()):
        return False
    with _edited(credentials_file()) as document:
        tables = _section(document)
        table = tables.get(name) or {}
        had_one = table.pop("master_key", None) is not None
        if had_one and "virtual_key" not in table:
            del tables[name]
    return had_one


def use(name: str) -> None:
    """Make a context the current one. Raises ContextError when it does not exist."""
    require_known(name)
    with _edited(config_file()) as document:
        document["current"] = name


def rename(name: str, new: str) -> None:
    """Give a context another name, with its secrets. Raises ContextError for a name in use."""
    require_known(name)
    _require_name(new)
    if new in load().by_name:
        raise ContextError(f"there is a context {new!r} already")
    if name in load().credentials:
        with _edited(credentials_file()) as document:
            tables = _section(document)
            tables[new] = tables.pop(name)
    with _edited(config_file()) as document:
        tables = _section(document)
        tables[new] = tables.pop(name)
        if document.get("current") == name:
            document["current"] = new


def remove(name: str) -> None:
    """Forget a context with its secrets. Raises ContextError when it does not exist."""
    require_known(name)
    with _edited(config_file()) as document:
        del _section(document)[name]
        if document.get("current") == name:
            del document["current"]
    if credentials_file().exists():
        with _edited(credentials_file()) as document:
            _section(document).pop(name, None)


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ContextError(f"a context's name is letters, digits, '.', '_' and '-': {name!r}")


def require_known(name: str) -> None:
    known = load().by_name
    if name not in known:
        names = ", ".join(sorted(known)) or "none yet"
        raise ContextError(f"there is no context {name!r} (known: {names})")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ContextError(f"{path} cannot be read: {error}") from error


def _tables(document: Mapping[str, Any], path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    section = document.get("contexts", {})
    if not isinstance(section, dict) or not all(isinstance(t, dict) for t in section.values()):
        raise ContextError(f"{path}: [contexts.NAME] tables are expected")
    return list(section.items())


def _text(table: Mapping[str, Any], name: str, path: Path) -> str | None:
    value = table.get(name)
    if value is not None and not isinstance(value, str):
        raise ContextError(f"{path}: {name} is a text")
    return value or None


def _section(document: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    import tomlkit  # noqa: PLC0415  # deferred: only commands that write need it

    if "contexts" not in document:
        document["contexts"] = tomlkit.table(is_super_table=True)
    section: MutableMapping[str, Any] = document["contexts"]
    return section


@contextmanager
def _edited(path: Path) -> Iterator[MutableMapping[str, Any]]:
    """The file as a document that keeps comments; written back whole, 0600, when all went well."""
    import tomlkit  # noqa: PLC0415  # deferred: only commands that write need it

    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        document = tomlkit.parse(text)
    except (OSError, ValueError) as error:
        raise ContextError(f"{path} cannot be read: {error}") from error
    yield document
    try:
        write_private(path, tomlkit.dumps(document))
    except OSError as error:
        raise ContextError(f"{path} cannot be written: {error}") from error


def make_private_folder(path: Path) -> None:
    """Make a folder and those above it, for their owner alone where they were not there."""
    for folder in reversed([path, *path.parents]):
        # One by one: `parents=True` would leave those above open to everybody.
        if not folder.exists():
            folder.mkdir(exist_ok=True, mode=0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    make_private_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
