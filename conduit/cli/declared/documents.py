"""Files of declared configuration, read and written: TOML or JSON, and CSV of prices alone."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from conduit.cli.failures import Failure
from conduit.cli.files import text_of_input
from conduit.client.declared import TARGET_DEFAULTS, DeclarationError, Document, checked
from conduit.client.declared_prices import PriceError, from_csv

_CSV_HEAD = ("provider,", "model,")
_HEAD = """\
# Configuration of a Conduit gateway. It holds no plain secrets: a credential that says "sealed" was
# entered at the gateway, and only "sealed:..." has it, for gateways with the same sealing key.
"""


def read_document(file: str) -> Document:
    """The document of a file, `-` being stdin. Raises Failure."""
    text = text_of_input(file)
    if file.endswith(".csv") or (file == "-" and text.startswith(_CSV_HEAD)):
        return _table_of_prices(file, text)
    is_json = file.endswith(".json") or (file == "-" and text.lstrip().startswith("{"))
    try:
        content = json.loads(text) if is_json else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if is_json else "TOML"
        raise Failure(f"{file} is not {kind}: {error}", code="bad_file") from error
    if not isinstance(content, dict):
        raise Failure(f"{file} holds no object", code="bad_file")
    try:
        return checked(content)
    except DeclarationError as error:
        raise Failure(f"{file}: {error}", code="bad_file") from error


def _table_of_prices(file: str, text: str) -> Document:
    try:
        return checked({"prices": from_csv(text)})
    except (PriceError, DeclarationError) as error:
        raise Failure(f"{file}: {error}", code="bad_file") from error


def short(document: Document) -> dict[str, Any]:
    """The document without what the targets of a mapping are anyway."""
    result: dict[str, Any] = {section: list(entries) for section, entries in document.items()}
    if "mappings" in result:
        result["mappings"] = [
            {**each, "targets": [_short_target(target) for target in each["targets"]]}
            for each in result["mappings"]
        ]
    return result


def _short_target(target: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in target.items()
        if name not in TARGET_DEFAULTS or value != TARGET_DEFAULTS[name]
    }


def as_toml(document: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The document in TOML. Raises Failure where it holds a null, for which TOML has no word."""
    import tomlkit  # noqa: PLC0415  # deferred: 30 ms that only exports need
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415

    made = tomlkit.document()
    try:
        for section, entries in document.items():
            tables = tomlkit.aot()
            for entry in entries:
                table = tomlkit.table()
                for name, value in entry.items():
                    table[name] = _item(name, value)
                tables.append(table)
            if entries:
                made[section] = tables
        return f"{_HEAD}\n{tomlkit.dumps(made)}"
    except (TypeError, ValueError, TOMLKitError) as error:
        raise Failure(
            "TOML has no word for null, which a parameter of a target says",
            code="not_in_toml",
            hint="export it as JSON: -o json",
        ) from error


def _item(name: str, value: Any) -> Any:
    """Credentials as tables of their own; other lists of tables on lines of their own."""
    import tomlkit  # noqa: PLC0415  # deferred: 30 ms that only exports need

    if name == "credentials" and value:
        tables = tomlkit.aot()
        for each in value:
            table = tomlkit.table()
            table.update(each)
            tables.append(table)
        return tables
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        array = tomlkit.array()
        for each in value:
            inline = tomlkit.inline_table()
            inline.update(each)
            array.append(inline)
        return array.multiline(len(value) > 1)
    return tomlkit.item(value)
