"""What `doctor` looks at: this machine, the way to the gateway, and what the gateway says."""

import os
import shutil
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from conduit import __version__
from conduit.cli.call import Call
from conduit.cli.failures import is_of_key
from conduit.client import contexts
from conduit.client.api import Record
from conduit.client.blocking import Gateway
from conduit.client.errors import ClientError, Unreachable
from conduit.core import people
from conduit.core.paths import config_folder, data_folder, state_folder

State = Literal["ok", "warn", "fail"]
_CLOCK_S = 5.0
_FEW_FILES = 1024
_LITTLE_SPACE, _NO_SPACE = 10**9, 10**8
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check(name: str, state: State, detail: str, fix: str | None = None) -> Record:
    """One finding; `fix` is what to do about it, a command where there is one."""
    return {"check": name, "state": state, "detail": detail, "fix": fix}


def findings(call: Call) -> list[Record]:
    """All of it, from what is nearest to what is farthest."""
    return [*_machine(), *_files(), *_keymap(), *_settings(), *_context(call)]


def _machine() -> Iterator[Record]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield check("client", "ok", f"conduit {__version__}, Python {version}")
    encoding = (sys.stdout.encoding or "ascii").lower()
    if encoding.replace("-", "").startswith("utf"):
        yield check("encoding", "ok", encoding)
    else:
        yield check("encoding", "warn", f"{encoding}: names are shown as escapes", "LC_ALL=C.UTF-8")
    yield from _open_files()
    yield from _space(data_folder())


def _open_files() -> Iterator[Record]:
    try:
        import resource  # noqa: PLC0415  # not on every system
    except ImportError:
        return
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < _FEW_FILES:
        room = "" if most == resource.RLIM_INFINITY else f" (at most {most})"
        yield check("open files", "warn", f"at most {limit}", f"ulimit -n {_FEW_FILES * 4}{room}")
    else:
        yield check("open files", "ok", "no limit" if limit < 0 else f"at most {limit}")


def _space(folder: Path) -> Iterator[Record]:
    existing = next((each for each in (folder, *folder.parents) if each.exists()), None)
    if existing is None:
        return
    free = shutil.disk_usage(existing).free
    state: State = "ok" if free > _LITTLE_SPACE else "warn" if free > _NO_SPACE else "fail"
    fix = None if state == "ok" else f"make room on the disk of {existing}"
    yield check("disk", state, f"{people.size(free)} free for {folder}", fix)


def _files() -> Iterator[Record]:
    for name, folder in (
        ("config folder", config_folder()),
        ("state folder", state_folder()),
        ("data folder", data_folder()),
    ):
        yield _folder(name, folder)
    yield _private("credentials", contexts.credentials_file())
    for path in sorted(data_folder().glob("*.key")) if data_folder().is_dir() else ():
        yield _private(path.name, path)


def _folder(name: str, path: Path) -> Record:
    if not path.exists():
        return check(name, "ok", f"{path} is not there yet")
    if not os.access(path, os.W_OK | os.X_OK):
        return check(name, "fail", f"{path} is not writable", f"chmod u+rwx {path}")
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
        return check(name, "fail", f"others may write to {path} ({mode:o})", f"chmod go-w {path}")
    return check(name, "ok", f"{path} ({mode:o})")


def _private(name: str, path: Path) -> Record:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return check(name, "ok", f"{path} is not there yet")
    others = mode & (stat.S_IRWXG | stat.S_IRWXO)
    if os.name == "posix" and others:
        return check(name, "fail", f"{path} is open to others ({mode:o})", f"chmod go= {path}")
    return check(name, "ok", f"{path} ({mode:o})")


def _keymap() -> Iterator[Record]:
    """Keys of the operator's own in the terminal interface; nothing where there are none."""
    try:
        if not contexts.section("tui"):
            return
    except contexts.ContextError:
        return  # told of with the context
    from conduit.tui import keymap  # noqa: PLC0415  # deferred: loads the interface

    found = keymap.read()
    fix = f"change [tui.keymap] in {contexts.config_file()}"
    for problem in found.problems:
        yield check("keymap", "warn", problem, fix)
    if not found.problems:
        yield check("keymap", "ok", people.counted(len(found.keys), "action"))


def _settings() -> Iterator[Record]:
    """The settings that a gateway would start with here."""
    from conduit.core.settings import SettingsError  # noqa: PLC0415  # deferred: pydantic
    from conduit.core.settings_sources import load, unknown_variables  # noqa: PLC0415  # the same

    try:
        load({}, None)
    except SettingsError as error:
        fix = "conduit config show --offline"
        yield check("settings", "fail", " ".join(str(error).split()), fix)
    else:
        yield check("settings", "ok", "those of this machine are valid")
    for name in unknown_variables():
        detail = f"{name} is no setting of Conduit"
        yield check(
            "variable", "warn", detail, "correct its name: conduit config show, or unset it"
        )


def _context(call: Call) -> Iterator[Record]:
    try:
        where = call.where
    except contexts.ContextError as error:
        yield check("context", "fail", str(error), "conduit context list")
        return
    name = where.context.name if where.context is not None else "none"
    yield check("context", "ok", f"{name}: {where.url} ({where.url_origin})")
    parts = urlsplit(where.admin)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        detail = f"keys go to {parts.netloc} unencrypted"
        fix = "give it a certificate, or put TLS in front of it; then use https://"
        yield check("transport", "warn", detail, fix)
    gateway = call.gateway_at(call.target)
    with call.console.waiting(f"waiting for {where.admin}"):
        if not (yield from _reachable(gateway)):
            return
        if call.where.master_key is None:
            yield check("master key", "warn", "none is known", "conduit auth login")
        else:
            yield from _administered(call, gateway)
        yield from _client_side(call)


def _reachable(gateway: Gateway) -> Generator[Record, None, bool]:
    """Whether it answers: if not, there is nothing further to ask it."""
    try:
        live = gateway.probe("/health/live")
        ready = gateway.probe("/health/ready")
    except Unreachable as error:
        yield check("gateway", "fail", str(error), "conduit up, or name another: --url URL")
        return False
    if live != 200:
        yield check("gateway", "fail", f"/health/live answers {live}", "conduit context show")
        return False
    yield check("gateway", "ok", "reachable")
    if ready == 200:
        yield check("ready", "ok", "it accepts calls")
    else:
        yield check("ready", "fail", f"/health/ready answers {ready}", "conduit status")
    return True


def _administered(call: Call, gateway: Gateway) -> Iterator[Record]:
    try:
        status = gateway.call("status.show")
    except ClientError as error:
        if is_of_key(error):
            call.tell_refused_key(error)
        yield check("master key", "fail", str(error), "conduit auth login")
        return
    yield check("master key", "ok", f"accepted ({call.where.master_key_origin})")
    yield from _status(status)
    yield from _each(gateway, "providers.list", _providers)
    yield from _each(gateway, "mappings.list", _mappings)


def _status(status: Record) -> Iterator[Record]:
    if status["version"] == __version__:
        yield check("versions", "ok", f"both {__version__}")
    else:
        detail = f"gateway {status['version']}, client {__version__}"
        yield check("versions", "warn", detail, "bring both to one version")
    with suppress(ValueError):
        started = datetime.fromisoformat(status["started_at"]).timestamp()
        apart_s = abs(datetime.now(UTC).timestamp() - started - status["uptime_s"])
        if apart_s > _CLOCK_S:
            yield check("clock", "warn", f"{apart_s:.0f} s apart", "synchronise both clocks")
        else:
            yield check("clock", "ok", "same as the gateway's")
    ledger = status["ledger"]
    if ledger["available"]:
        yield check("ledger", "ok", f"available, sync {ledger['sync']}")
    else:
        yield check("ledger", "fail", f"unavailable: {ledger['reason']}", "see the gateway's log")
    yield from _bodies(status["bodies"])
    for warning in status["warnings"]:
        yield check("warning", "warn", warning, "see the gateway's log")


def _bodies(bodies: Record) -> Iterator[Record]:
    """What the kept bodies take. A gateway that keeps none needs no line."""
    if bodies["failure"] is not None:
        yield check("bodies", "fail", bodies["failure"], "make room, or see the gateway's log")
    elif bodies["dropped"]:
        detail = f"{bodies['dropped']:,} requests were dropped: more came than could be written"
        yield check("bodies", "warn", detail, "conduit config set log_bodies false, keep some keys")
    elif bodies["days"]:
        detail = f"{people.size(bodies['bytes'])} of {people.counted(bodies['days'], 'day')}"
        yield check("bodies", "ok", detail)


def _each(
    gateway: Gateway, name: str, judge: Callable[[list[Record]], Iterator[Record]]
) -> Iterator[Record]:
    try:
        rows = [row for page in gateway.pages(name, query={"limit": 1000}) for row in page["data"]]
    except ClientError as error:
        yield check(name.partition(".")[0], "fail", str(error), "conduit status")
        return
    yield from judge(rows)


def _providers(rows: list[Record]) -> Iterator[Record]:
    if not rows:
        yield check("providers", "warn", "none yet", "conduit providers add TYPE --name NAME")
        return
    enabled = [row for row in rows if row["enabled"]]
    yield check("providers", "ok", f"{len(enabled)} of {len(rows)} enabled")
    for row in enabled:
        states = [credential.get("state") for credential in row.get("credentials") or ()]
        if states and "ready" not in states:
            detail = (
                f"{row['name']} has no credential that can be used ({', '.join(map(str, states))})"
            )
            fix = f"conduit providers credentials list {row['name']}"
            yield check("credential", "fail", detail, fix)


def _mappings(rows: list[Record]) -> Iterator[Record]:
    enabled = [row for row in rows if row["enabled"]]
    if enabled:
        yield check("mappings", "ok", f"{len(enabled)} of {len(rows)} enabled")
    else:
        fix = "conduit mappings add ALIAS --to PROVIDER/MODEL"
        yield check("mappings", "warn", "no model is mapped", fix)


def _client_side(call: Call) -> Iterator[Record]:
    key = call.where.virtual_key
    if key is None:
        yield check(
            "virtual key", "warn", "none is known: chat needs one", "conduit keys create NAME"
        )
        return
    try:
        models = call.gateway_at(call.client_target(key)).models()
    except ClientError as error:
        if is_of_key(error):
            call.tell_refused_key(error)
        yield check("virtual key", "warn", str(error), "conduit keys list")
        return
    detail = f"accepted ({call.where.virtual_key_origin}), {people.counted(len(models), 'model')}"
    yield check("virtual key", "ok", detail)
