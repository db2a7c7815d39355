"""Files checked without a gateway: settings, and documents of declared configuration."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from conduit.cli.declared.documents import read_document
from conduit.cli.failures import Failure
from conduit.cli.files import text_of
from conduit.client.api import Record
from conduit.client.declared import SECTIONS, Document
from conduit.core.resources.keys import KeyPatch
from conduit.core.resources.mappings import MappingPatch, NewMapping
from conduit.core.resources.prices import NewPrice
from conduit.core.resources.providers import CredentialPatch, NewProvider, ProviderPatch
from conduit.core.settings_sources import problems


def checked_file(file: str) -> Record:
    """What a file holds and all that is wrong with it. Raises Failure for one that is not there."""
    if file != "-":
        text_of(file, f"{file} cannot be read")
    if file == "-" or file.endswith(".json") or _has_sections(Path(file).expanduser()):
        found = _document_problems(file)
        holds = "document"
    else:
        found = problems(Path(file).expanduser())
        holds = "settings"
    return {"ok": not found, "file": file, "holds": holds, "problems": found}


def _has_sections(path: Path) -> bool:
    try:
        return bool(set(tomllib.loads(path.read_text(encoding="utf-8"))) & set(SECTIONS))
    except (OSError, ValueError):
        return False  # the check as settings says what is wrong


def _document_problems(file: str) -> list[str]:
    try:
        return list(document_problems(read_document(file)))
    except Failure as failure:
        return [failure.message]


def document_problems(document: Document) -> Iterator[str]:
    """What the gateway would refuse of a document by its form, a line each."""
    for entry in document.get("providers", ()):
        yield from _provider_problems(entry)
    for entry in document.get("mappings", ()):
        label = f"mappings: {entry['alias']}"
        if "targets" in entry:
            yield from _wrong(NewMapping, entry, label)
        else:
            fields = {name: value for name, value in entry.items() if name != "alias"}
            yield from _wrong(MappingPatch, fields, label)
    for entry in document.get("prices", ()):
        fields = {name: entry[name] for name in entry if name not in ("provider", "model")}
        yield from _wrong(NewPrice, fields, f"prices: {entry['provider']}/{entry['model']}")
    for entry in document.get("keys", ()):
        yield from _wrong(KeyPatch, entry, f"keys: {entry['name']}")


def _provider_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    label = f"providers: {entry['name']}"
    fields = {name: value for name, value in entry.items() if name != "credentials"}
    if "type" in fields:
        yield from _wrong(NewProvider, fields, label)
    else:
        del fields["name"]
        yield from _wrong(ProviderPatch, fields, label)
    for credential in entry.get("credentials", ()):
        kind, _, reference = credential["from"].partition(":")
        values = {kind: reference} if reference else {}
        values |= {name: credential[name] for name in ("enabled",) if name in credential}
        yield from _wrong(CredentialPatch, values, f"{label}: credential {credential['name']}")


def _wrong(kind: type[BaseModel], fields: Mapping[str, Any], label: str) -> Iterator[str]:
    try:
        kind.model_validate(fields, strict=True)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            place = ".".join(map(str, each["loc"]))
            yield f"{label}: {place}: {each['msg'].removeprefix('Value error, ')}"
