"""Which mapping a name belongs to, and what its targets are asked for; wildcards included."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Final

THE_NAME: Final = "*"
"""As a target's model: the whole name that the client asked for."""
THE_STAR: Final = "{*}"
"""Within a target's model: what the star of the alias took of that name."""


def taken_by(name: str, aliases: Collection[str]) -> str | None:
    """The one of these aliases that takes a name: the same, or else the wildcard with the longest
    fitting start; None where none does.
    """
    if name in aliases:
        return name
    fitting = [each for each in aliases if each.endswith("*") and name.startswith(each[:-1])]
    return max(fitting, key=len, default=None)


def model_asked_for(model: str, alias: str, name: str) -> str:
    """The model that a target of an alias is asked for, where the client asked for `name`.

    `{*}` of an alias without a star is the whole name.
    """
    if model == THE_NAME:
        return name
    return model.replace(THE_STAR, name.removeprefix(alias[:-1]) if alias.endswith("*") else name)


def name_asking_for(model: str, alias: str, target_model: str) -> str | None:
    """What a client says, of all that a wildcard alias takes, to have a target asked for `model`;
    None where nothing does.
    """
    start = alias.removesuffix("*")
    if is_one_model(target_model):  # whatever stands for the star is sent there
        return start + target_model.rpartition("/")[2]
    if target_model == THE_NAME:
        return model if model.startswith(start) else None
    before, _, after = target_model.partition(THE_STAR)
    name = start + model.removeprefix(before).removesuffix(after)
    return name if model_asked_for(target_model, alias, name) == model else None


def is_one_model(model: str) -> bool:
    """Whether a target's model is the same whatever the client asks for."""
    return model != THE_NAME and THE_STAR not in model


def fits(pattern: str, name: str) -> bool:
    """Whether a name is one that a pattern means, in which `*` stands for any run of characters."""
    # ? and [ are ordinary characters of model names.
    return fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))
