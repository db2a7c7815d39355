"""What somebody needs who helps from afar: one archive of findings, without any secret."""

import io
import json
import os
import platform
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from conduit import __version__
from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.cli.local import process
from conduit.cli.writing import NewFile
from conduit.client import contexts
from conduit.client.api import Record
from conduit.client.errors import ClientError
from conduit.core.paths import config_folder, data_folder, state_folder
from conduit.core.redaction import LiveSecrets, redacted_fields

_LOG_BYTES = 200_000
_TRACES = 5
_EVENTS = 200
_REQUESTS = 100
_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
_TOLD_VARIABLES = ("TERM", "LANG", "LC_ALL", "COLUMNS", "NO_COLOR", "PAGER", "EDITOR", "SHELL")


def write_bundle(call: Call, file: str, findings: list[Record]) -> list[str]:
    """Write the archive, a .zip or a .tar.gz, for its owner alone; the names of what is in it.

    Raises Failure.
    """
    if not file.endswith((".zip", ".tar.gz", ".tgz")):
        raise Failure(f"--bundle {file}: a name ending in .zip or .tar.gz is expected")
    secrets = _known_secrets(call)
    texts = {name: secrets.scrub(text) for name, text in _documents(call, findings)}
    with NewFile(file, "--bundle") as opened:
        opened.write(_zipped(texts) if file.endswith(".zip") else _tarred(texts))
        opened.keep()
    return list(texts)


def _known_secrets(call: Call) -> LiveSecrets:
    """Every secret that this process can see, to be taken out by its value."""
    where = call.where
    values = {where.master_key or "", where.virtual_key or ""}
    for stored in call.contexts.credentials.values():
        values |= {stored.master_key or "", stored.virtual_key or ""}
    for name, value in os.environ.items():
        if any(word in name.upper() for word in _SECRET_NAMES):
            values.add(value.strip())
    secrets = LiveSecrets()
    secrets.hold("here", values)
    return secrets


def _documents(call: Call, findings: list[Record]) -> Iterator[tuple[str, str]]:
    yield "README.txt", _README
    yield "versions.json", _json(_versions())
    yield "doctor.json", _json({"data": findings})
    yield "contexts.json", _json(_contexts(call))
    for name, operation, query in (
        ("status.json", "status.show", {}),
        ("settings.json", "config.list", {"limit": 1000}),
        ("providers.json", "providers.list", {"limit": 1000}),
        ("mappings.json", "mappings.list", {"limit": 1000}),
        ("requests.json", "requests.list", {"limit": _REQUESTS}),
        ("events.json", "events.list", {"limit": _EVENTS}),
    ):
        yield name, _json(_asked(call, operation, query))
    log = _tail(process.log_file())
    if log:
        yield "gateway.log", log
    for path in _latest_traces():
        yield f"traces/{path.name}", _tail(path)


_README = """What `conduit doctor --bundle` collected: versions, findings, settings with their
origin, recent requests and events without their contents, the end of the gateway's log, and traces.
Keys and other secrets are taken out; look through it before you pass it on.
"""


def _versions() -> Record:
    return {
        "conduit": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "folders": {
            "config": str(config_folder()),
            "state": str(state_folder()),
            "data": str(data_folder()),
        },
        "variables": {
            **{name: os.environ[name] for name in _TOLD_VARIABLES if name in os.environ},
            # Of Conduit's own the names: their values may be secrets.
            **{name: "(set)" for name in sorted(os.environ) if name.startswith("CONDUIT_")},
        },
    }


def _contexts(call: Call) -> Record:
    where = call.where
    return {
        "in_force": {
            "context": where.context.name if where.context is not None else None,
            "url": where.url,
            "url_origin": where.url_origin,
            "admin_url": where.admin,
            "master_key": where.master_key_origin,
            "virtual_key": where.virtual_key_origin,
        },
        "config_file": str(contexts.config_file()),
        "known": [
            {"name": context.name, "url": context.url, "read_only": context.read_only}
            for context in call.contexts.by_name.values()
        ],
    }


def _asked(call: Call, operation: str, query: Mapping[str, object]) -> Record:
    """The gateway's answer, or why there is none: a bundle is wanted when things go wrong."""
    try:
        return call.gateway.call(operation, query=query)
    except (ClientError, Failure) as error:
        return {"not_available": str(error)}


def _latest_traces() -> Iterable[Path]:
    try:
        return sorted((state_folder() / "traces").glob("*.txt"))[-_TRACES:]
    except OSError:
        return ()


def _tail(path: Path) -> str:
    """The end of a text file, whole lines."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - _LOG_BYTES))
            content = file.read(_LOG_BYTES)
    except OSError:
        return ""
    if size > _LOG_BYTES:
        content = content.partition(b"\n")[2]
    return content.decode("utf-8", "replace")


def _json(value: Any) -> str:
    return json.dumps(redacted_fields(value), indent=2, ensure_ascii=False) + "\n"


def _zipped(texts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def _tarred(texts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in texts.items():
            content = text.encode("utf-8")
            entry = tarfile.TarInfo(f"conduit-bundle/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
