"""Templates of `conduit chat`: TOML files with a prompt, a system message, a model, parameters.

    model = "gpt-4o-mini"
    system = "You translate."
    prompt = "Into $language:\\n\\n$input"

    [params]
    temperature = 0.2

    [variables]
    language = "German"

`$input` is what the caller asks; it comes after a prompt that does not name it. `$$` is a `$`.
"""

import datetime
import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from conduit.cli.failures import Failure
from conduit.cli.files import text_of
from conduit.core.paths import config_folder

_SUFFIX = ".toml"
_INPUT = "input"
_TEXTS = ("model", "system", "prompt")
_TABLES = ("params", "variables")


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """What a template says; `name` is how it was called, for errors."""

    name: str = ""
    model: str | None = None
    system: str | None = None
    prompt: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)

    def accepted(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Values for variables. Raises Failure for one that the template has no place for."""
        if given and not self.name:
            raise Failure("--var goes with --template")
        if _INPUT in given:
            raise Failure(f"--var {_INPUT}: ${_INPUT} is what is asked; give that as the prompt")
        used = {each for text in (self.prompt, self.system) if text for each in _names_in(text)}
        known = sorted({*used, *self.variables} - {_INPUT})
        for name in given:
            if name not in known:
                said = ", ".join(known) or "none"
                raise Failure(f"--var: template {self.name} has no ${name}; there are: {said}")
        return given

    def asked(self, text: str, given: Mapping[str, Any]) -> str:
        """The prompt around what is asked. Raises Failure for a variable without a value."""
        if self.prompt is None:
            return text
        prompt = self._filled(self.prompt, {_INPUT: text, **given})
        if text and _INPUT not in _names_in(self.prompt):
            prompt = f"{prompt.rstrip()}\n\n{text}"
        return prompt

    def instructed(self, given: Mapping[str, Any]) -> str | None:
        """The system message. Raises Failure for a variable without a value."""
        return None if self.system is None else self._filled(self.system, given)

    def _filled(self, text: str, given: Mapping[str, Any]) -> str:
        try:
            return Template(text).substitute({**self.variables, **given})
        except KeyError as error:
            name = error.args[0]
            if name == _INPUT:
                raise Failure(
                    f"template {self.name}: ${_INPUT} stands in the prompt alone", code="bad_file"
                ) from error
            raise Failure(
                f"template {self.name}: ${name} has no value", hint=f"--var {name}=VALUE"
            ) from error
        except ValueError as error:
            raise Failure(f"template {self.name}: {error}", code="bad_file") from error


def _names_in(text: str) -> list[str]:
    return Template(text).get_identifiers()


def templates_folder() -> Path:
    return config_folder() / "templates"


def template_names() -> list[str]:
    """The templates in their folder, by the name they are called with."""
    return sorted(
        path.name.removesuffix(_SUFFIX) for path in templates_folder().glob(f"*{_SUFFIX}")
    )


def read_template(given: str) -> ChatTemplate:
    """The template of a name or of a path, which has a slash or ends in `.toml`. Raises Failure."""
    is_path = given.endswith(_SUFFIX) or os.sep in given or "/" in given
    if not is_path and given not in template_names():
        known = ", ".join(template_names()) or f"none in {templates_folder()}"
        raise Failure(
            f"there is no template {given!r}", code="bad_file", hint=f"there are: {known}"
        )
    file = given if is_path else str(templates_folder() / f"{given}{_SUFFIX}")
    try:
        content = tomllib.loads(text_of(file, f"--template {given}"))
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"--template {given} is not TOML: {error}", code="bad_file") from error
    _check(given, content)
    _check_values(given, file, content)
    return ChatTemplate(name=given, **content)


def _check(given: str, content: Mapping[str, Any]) -> None:
    for name, value in content.items():
        if name not in (*_TEXTS, *_TABLES):
            known = ", ".join((*_TEXTS, *_TABLES))
            raise Failure(
                f"--template {given}: no field {name}; there are {known}", code="bad_file"
            )
        kind, said = (str, "text") if name in _TEXTS else (dict, "table")
        if not isinstance(value, kind):
            raise Failure(f"--template {given}: {name} is a {said}", code="bad_file")


def _check_values(given: str, file: str, content: Mapping[str, Any]) -> None:
    """Raise Failure for what TOML can say of a parameter and JSON cannot, and for $input."""
    for place, value in _values("params", content.get("params", {})):
        wrong = None
        if isinstance(value, datetime.date | datetime.time):
            wrong = "is a date or a time, which a request has only as text"
        elif isinstance(value, float) and not math.isfinite(value):
            wrong = "is no number that a request can have"
        if wrong is not None:
            raise Failure(
                f"--template {given}: {place} {wrong}",
                code="bad_file",
                hint=f"correct it in {file}; a text stands in quotes",
            )
    if _INPUT in content.get("variables", {}):
        raise Failure(
            f"--template {given}: variables.{_INPUT}: ${_INPUT} is what is asked", code="bad_file"
        )


def _values(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """All values within a value, each with its place."""
    match value:
        case dict():
            for name, each in value.items():
                yield from _values(f"{place}.{name}", each)
        case list():
            for index, each in enumerate(value):
                yield from _values(f"{place}[{index}]", each)
        case _:
            yield place, value
